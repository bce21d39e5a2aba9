"""States between the pieces of a sequence: {layer: {'outputs' or 'internals': {name: array}}}."""

import numpy as np

from brainstorm.checks import check_type
from brainstorm.utils import NetworkValidationError, list_names

__all__ = ['collect_context', 'find_states']


def collect_context(handler, time_steps, leaves):
    """Copies (1, B, ...) of the last time step of leaves, given as ((layer, kind, name), array)."""
    context: dict = {}
    for (layer, kind, name), array in leaves:
        state = handler.get_numpy_copy(array[time_steps - 1:time_steps])
        context.setdefault(layer, {}).setdefault(kind, {})[name] = state
    return context


def find_states(context, context_leaves, layer_names):
    """The states of a context as a list of (leaf, array).

    Args:
        context (dict): what the user gives.
        context_leaves: (layer, kind, name, leaf) of all buffers that keep a state.
        layer_names: names of all layers.

    Raises:
        TypeError: the context is not made of dicts of arrays of numbers.
        NetworkValidationError: it names a layer or state that is not there.
    """
    leaves = {(layer, kind, name): leaf for layer, kind, name, leaf in context_leaves}
    states = []
    for layer, kinds in _require_dict('context', context).items():
        if layer not in layer_names:
            raise NetworkValidationError(f"context: there is no layer {layer!r}; "
                                         + list_names('there are', layer, layer_names))
        for kind, arrays in _require_dict(f'context of {layer}', kinds).items():
            for name, state in _require_dict(f'context of {layer}.{kind}', arrays).items():
                if (layer, kind, name) not in leaves:
                    raise NetworkValidationError(
                        f"context: {layer}.{kind}.{name} keeps no state; "
                        + list_names('there are', f'{layer}.{kind}.{name}',
                                     map('.'.join, leaves)))
                states.append((leaves[layer, kind, name], _require_numbers(
                    f'the context of {layer}.{kind}.{name}', state)))
    return states


def _require_dict(name, value):
    return check_type('forward_pass', name, value, dict)


def _require_numbers(name, value):
    array = np.asarray(value)
    if array.dtype.kind not in 'biuf':
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array
