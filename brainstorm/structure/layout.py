"""How the buffers of layers are put into memory.

Buffers that are wired into one port share a *hub*: memory in which they stand side by side, so that
the consumer's input is a view and not a copy. Every other buffer has a hub of its own; all
parameters are one hub, all gradients another.

The layout is a tree of nested dicts. A view node has '@type' 'BufferView', '@index' (its position
among its siblings; not in the root) and its children by name. An array node has '@type' 'array',
'@index', '@shape', '@hub' (a position in the list of hubs), '@slice' (start, stop), and where they
apply '@context_size' and '@is_backward_only'. The slice counts in the last dimension of a hub that
several buffers share, else in flat features; in the hubs of parameters and gradients it is a
position in the flat vector.
"""

from typing import NamedTuple

from brainstorm import _core

__all__ = ['Hub', 'create_layout']

CATEGORIES = ('inputs', 'outputs', 'parameters', 'internals', 'input_deltas', 'output_deltas',
              'gradients')


class Hub(NamedTuple):
    """A piece of memory for one buffer, or for several side by side.

    For each time step and sequence it has `pixels` rows of `columns` numbers.

    Attributes:
        buffer_type (int): 0 constant, 1 grows with the batch, 2 with time and batch.
        is_backward_only (bool): needed in backward passes only.
        context_size (int): extra time steps after the last one.
        nr_sources (int): how many buffers stand side by side.
        rank (int): number of their feature dimensions.
        pixels (int): product of the feature dimensions but the last, for several sources; else 1.
        columns (int): all features of one source, or the sum of the last dimensions of several.
    """

    buffer_type: int
    is_backward_only: bool
    context_size: int
    nr_sources: int
    rank: int
    pixels: int
    columns: int

    @property
    def size(self):
        """Numbers for each time step and sequence."""
        return self.pixels * self.columns

    @property
    def spec(self):
        """The tuple that the engine speaks."""
        return (self.buffer_type, self.is_backward_only, self.context_size, self.nr_sources,
                self.rank, self.pixels, self.columns)


def create_layout(layers):
    """The memory layout of layers.

    Args:
        layers (dict): layer objects by name, with in_shapes, out_shapes, parameter_shapes,
            internal_shapes, and the connections `incoming` and `outgoing`.

    Returns:
        (hubs, layout): a list of `Hub` and the layout dict, as `BufferManager` takes them.

    Raises:
        NetworkValidationError: a connection leads to nothing, shapes do not fit, or no order of
            joined sources suits all their consumers.
    """
    specs = [(name, *(_specs(shapes) for shapes in (
        dict(sorted(layer.in_shapes.items())), layer.out_shapes, layer.parameter_shapes,
        layer.internal_shapes))) for name, layer in layers.items()]
    connections = sorted({tuple(connection) for layer in layers.values()
                          for connection in (*layer.incoming, *layer.outgoing)})
    hubs, leaves = _core.create_layout(specs, connections)
    hubs = [Hub(*hub) for hub in hubs]
    numbers = {old: new for new, old in enumerate(i for i, hub in enumerate(hubs) if hub.size)}
    layout = _build_tree(list(layers), hubs, leaves, numbers)
    return [hub for hub in hubs if hub.size], layout


def _specs(shapes):
    return {name: structure.spec for name, structure in shapes.items()}


def _build_tree(names, hubs, leaves, numbers):
    """The layout dict; `numbers` are the positions of the hubs that are not empty."""
    layout = {'@type': 'BufferView'}
    children = {}
    for index, (layer, category, name, spec, hub, column) in enumerate(leaves):
        if layer is None:
            layout[name] = _array_node(index, spec, numbers.get(hub, 0), (0, spec[0][0]))
        else:
            node_slice = _slice(hubs[hub], category, spec, column)
            children.setdefault((layer, category), []).append(
                (name, spec, numbers[hub], node_slice))
    for index, name in enumerate(names):
        layout[name] = {'@type': 'BufferView', '@index': index + 2}
        for i, category in enumerate(CATEGORIES):
            entries = enumerate(children.get((name, category), []))
            layout[name][category] = {'@type': 'BufferView', '@index': i, **{
                child: _array_node(k, *place) for k, (child, *place) in entries}}
    return layout


def _array_node(index, spec, hub, slice):
    shape, context_size, is_backward_only = spec
    node = {'@type': 'array', '@index': index, '@slice': slice, '@shape': shape, '@hub': hub}
    if context_size:
        node['@context_size'] = context_size
    if is_backward_only:
        node['@is_backward_only'] = True
    return node


def _slice(hub, category, spec, column):
    features = [size for size in spec[0] if size not in ('T', 'B')]
    width = 1
    for size in features:
        width *= size
    if hub.nr_sources > 1 and category not in ('parameters', 'gradients'):
        width = features[-1]
    return column, column + width
