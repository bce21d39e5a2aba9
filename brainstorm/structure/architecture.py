"""The architecture of a network: a JSON-able dict of its layers and connections.

    {NAME: {'@type': TYPE, '@outgoing_connections': {OUTPUT: ['LAYER.INPUT', ...]}, **kwargs}}

A list in place of the inner dict means the output `default`, a bare 'LAYER' the input `default`.
"""

import copy
from collections import Counter, namedtuple
from typing import Any

from brainstorm.structure.construction import ConstructionWrapper, check_layer_name
from brainstorm.utils import NetworkValidationError

__all__ = ['Connection', 'generate_architecture', 'get_connections', 'get_layer_kwargs']

Connection = namedtuple('Connection', 'start_layer output_name end_layer input_name')
"""One wire: `start_layer.outputs.output_name` feeds `end_layer.inputs.input_name`."""


def generate_architecture(some_layer: ConstructionWrapper) -> dict[str, Any]:
    """The architecture of all layers that are wired to `some_layer`, directly or not.

    Layers that share a name get the suffixes _1, _2, ... in the order of their creation, where
    names that are taken already are skipped.

    Args:
        some_layer (ConstructionWrapper): any layer of the network.
    """
    if not isinstance(some_layer, ConstructionWrapper):
        raise TypeError(f"expected a layer, got {some_layer!r}")
    layers = _collect_connected(some_layer.layer)
    names = _choose_names(layers)
    architecture = {}
    for layer in layers:
        outgoing: dict[str, list[str]] = {}
        for output_name, other, input_name in layer.outgoing:
            outgoing.setdefault(output_name, []).append(f'{names[other]}.{input_name}')
        architecture[names[layer]] = {
            '@type': layer.layer_type,
            '@outgoing_connections': {output: sorted(targets)
                                      for output, targets in sorted(outgoing.items())},
            **copy.deepcopy(layer.kwargs)}
    return architecture


def get_connections(architecture: dict[str, Any]) -> list[Connection]:
    """All wires of an architecture, a sorted list of Connection.

    Raises NetworkValidationError for a dict that is no architecture. Whether the wires make a
    network is checked when one is built.
    """
    if not isinstance(architecture, dict) or not architecture:
        raise NetworkValidationError("an architecture is a dict of layers by name, "
                                     f"got {architecture!r}")
    connections: set[Connection] = set()
    for name, layer in architecture.items():
        if not isinstance(layer, dict) or not isinstance(layer.get('@type'), str):
            raise NetworkValidationError(f"layer {name!r} must be a dict with a string '@type', "
                                         f"got {layer!r}")
        check_layer_name(name, layer['@type'])
        outgoing = layer.get('@outgoing_connections', {})
        if isinstance(outgoing, (list, tuple)):
            outgoing = {'default': outgoing}
        if not isinstance(outgoing, dict):
            raise NetworkValidationError(f"'@outgoing_connections' of layer {name!r} must be a "
                                         f"dict or a list, got {outgoing!r}")
        for output_name, targets in outgoing.items():
            if not isinstance(targets, (list, tuple)):
                raise NetworkValidationError(f"output {output_name!r} of layer {name!r} must have "
                                             f"a list of targets, got {targets!r}")
            connections.update(Connection(name, output_name, *_parse_target(target, name))
                               for target in targets)
    return sorted(connections)


def get_layer_kwargs(layer: dict[str, Any]) -> dict[str, Any]:
    """The arguments in one layer's entry of an architecture."""
    return {key: value for key, value in layer.items()
            if key not in ('@type', '@outgoing_connections')}


def _parse_target(target, name):
    parts = target.split('.') if isinstance(target, str) else []
    if len(parts) not in (1, 2) or not all(part.isidentifier() for part in parts):
        raise NetworkValidationError(f"layer {name!r} is wired to {target!r}: "
                                     "expected 'LAYER' or 'LAYER.INPUT'")
    return parts[0], parts[1] if len(parts) == 2 else 'default'


def _collect_connected(layer):
    """All layers of the connected graph, in the order of creation."""
    found, to_visit = {layer}, [layer]
    while to_visit:
        new = [other for other in to_visit.pop().neighbours if other not in found]
        found.update(new)
        to_visit.extend(new)
    return sorted(found, key=lambda details: details.index)


def _choose_names(layers):
    counts = Counter(layer.name for layer in layers)
    taken = {name for name, count in counts.items() if count == 1}
    names, last_suffix = {}, Counter()
    for layer in layers:
        name = layer.name
        if counts[name] > 1:
            while True:
                last_suffix[layer.name] += 1
                name = f'{layer.name}_{last_suffix[layer.name]}'
                if name not in taken:
                    break
            taken.add(name)
        names[layer] = name
    return names
