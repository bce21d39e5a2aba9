"""The memory of a network, by itself."""

from collections.abc import Mapping

from brainstorm import _core
from brainstorm.checks import check_type
from brainstorm.handlers import default_handler
from brainstorm.structure.buffer_structure import BufferStructure
from brainstorm.structure.buffer_views import BufferView
from brainstorm.structure.context import collect_context
from brainstorm.structure.layout import Hub
from brainstorm.utils import StructureValidationError, list_names

__all__ = ['BufferManager']


class BufferManager:
    """Memory for the buffers of a layout.

    Parameters and gradients keep their memory for good and move only with `set_handler`; all other
    buffers grow with `resize`.

    Args:
        layout (dict): what `create_layout` returned.
        hubs (list[Hub]): likewise.
        handler: whose arrays they are; default: `default_handler`.

    Attributes:
        views (BufferView): the tree of arrays, live.
        time_steps, batch_size (int): present T and B, at first 1.
        handler: as given, or changed by `set_handler`.

    Raises:
        StructureValidationError: that is no layout, or the hubs do not fit it.
    """

    def __init__(self, layout, hubs, handler=default_handler):
        self._paths = []
        children = _leaf_numbers(layout, (), self._paths)
        if self._paths[:2] != [('parameters',), ('gradients',)]:
            raise StructureValidationError("a layout begins with the arrays parameters and "
                                           f"gradients, got {self._paths[:2]}")
        nodes = [_find(layout, path) for path in self._paths]
        self._is_empty = all(tuple(node['@shape']) == (0,) for node in nodes[:2])
        specs = [check_type('BufferManager', 'a hub', hub, Hub).spec for hub in hubs]
        if self._is_empty:  # the engine has no vectors without numbers: they get one, unseen
            nodes[:2] = [{**node, '@shape': (1,), '@slice': (0, 1), '@hub': len(specs) + i}
                         for i, node in enumerate(nodes[:2])]
            specs += [(0, False, 0, 1, 1, 1, 1), (0, True, 0, 1, 1, 1, 1)]
        self._structures = [BufferStructure.from_layout(node) for node in nodes]
        leaves = [(structure.spec, node['@hub'], node['@slice'][0])
                  for structure, node in zip(self._structures, nodes)]
        self.handler = handler
        try:
            self._core = _core.Buffers(specs, leaves, handler)
        except ValueError as error:
            raise StructureValidationError(str(error)) from None
        self.views = BufferView(children, self._resolve)

    @property
    def time_steps(self):
        return self._core.time_steps

    @property
    def batch_size(self):
        return self._core.batch_size

    def resize(self, time_size, batch_size):
        """Make room for so many time steps and sequences; parameters and gradients stay.

        Raises ValueError for sizes below 1 and MemoryError.
        """
        self._core.resize(time_size, batch_size)

    def set_handler(self, new_handler):
        """Move to another handler: parameters and gradients come along, the rest is zero."""
        self._core.set_handler(new_handler)
        self.handler = new_handler

    def get_context(self):
        """Copies of the last time step of all forward buffers that keep a context.

        Returns {layer: {'outputs' or 'internals': {name: numpy array (1, B, ...)}}}.
        """
        return collect_context(self.handler, self.time_steps, (
            (path, self._resolve(i)) for i, path in self._context_leaves()))

    def apply_context(self, context):
        """Fill the context slots from what `get_context` returned; those without get zeros.

        Raises KeyError for a state that is not there and ValueError for a wrong shape.
        """
        known = {path: i for i, path in self._context_leaves()}
        given = {(layer, category, name): state for layer, kinds in context.items()
                 for category, states in kinds.items() for name, state in states.items()}
        for path in given:
            if path not in known:
                raise KeyError(f"{'.'.join(path)} keeps no context; " + list_names(
                    'there are', '.'.join(path), map('.'.join, known)))
        self.clear_context()
        for path, state in given.items():
            slot = self._resolve(known[path])[self.time_steps:]
            if state.shape != slot.shape:
                raise ValueError(f"the context of {'.'.join(path)} has the shape {state.shape}, "
                                 f"expected {slot.shape}")
            self.handler.set_from_numpy(slot, state)

    def clear_context(self):
        """Fill all context slots of forward buffers with zeros."""
        for i, _ in self._context_leaves():
            self.handler.fill(self._resolve(i)[self.time_steps:], 0.0)

    def clear_backward_buffers(self):
        """Fill everything that a backward pass adds to or computes with zeros."""
        for i, structure in enumerate(self._structures):
            if structure.is_backward_only:
                self.handler.fill(self._resolve(i), 0.0)

    def _context_leaves(self):
        return [(i, path) for i, (path, structure) in enumerate(zip(self._paths, self._structures))
                if structure.context_size and not structure.is_backward_only]

    def _resolve(self, i):
        array = self._core.leaf(i)
        return self.handler.wrap_leaf(array[:0] if self._is_empty and i < 2 else array)


def _leaf_numbers(node, path, paths):
    """The children of a view node with numbers for arrays; their paths are appended to `paths`."""
    _check_entries(node, path, ('@type',))
    names = [name for name in node if not name.startswith('@')]
    for name in names:
        _check_entries(node[name], (*path, name), ('@type', '@index'))
    children = {}
    for name in sorted(names, key=lambda name: node[name]['@index']):
        if node[name]['@type'] == 'array':
            _check_entries(node[name], (*path, name), ('@shape', '@slice', '@hub'))
            children[name] = len(paths)
            paths.append((*path, name))
        else:
            children[name] = _leaf_numbers(node[name], (*path, name), paths)
    return children


def _is_sequence(value):
    return isinstance(value, (tuple, list))


_MAKES_SENSE = {
    '@type': lambda value: value in ('array', 'BufferView'),
    '@index': lambda value: isinstance(value, int),
    '@shape': _is_sequence,
    '@slice': lambda value: _is_sequence(value) and [type(i) for i in value] == [int, int],
    '@hub': lambda value: isinstance(value, int),
}


def _check_entries(node, path, keys):
    """Raise StructureValidationError unless a node of a layout has entries that make sense."""
    where = f"node {'.'.join(path)!r}" if path else 'root'
    if not isinstance(node, Mapping):
        raise StructureValidationError(f"the {where} of a layout must be a dict, got {node!r}")
    for key in keys:
        if not _MAKES_SENSE[key](node.get(key)):
            raise StructureValidationError(f"the {where} of a layout has no {key} that makes "
                                           f"sense, got {node.get(key)!r}")


def _find(node, path):
    for name in path:
        node = node[name]
    return node
