"""Access to the buffers of a network by name."""

from collections.abc import Mapping
from typing import SupportsIndex

from brainstorm.utils import list_names

__all__ = ['BufferView', 'current_name']

_OLD_NAMES = {'probabilities': 'predictions'}


class BufferView:
    """A node of the tree of buffers: children by name, in a fixed order.

    `view.a.b`, `view['a.b']` and `view['a']['b']` are the same, `view[0]` is the first child, and
    `W, bias = view` unpacks the children. A child that is called like a method,
    or whose name begins with two underscores, is reached by `[]` only.

    The view is live: it looks an array up when it is asked for. The array itself belongs to the
    size of the network at that moment.

    Args:
        children (Mapping): nested mappings, whose leaves are what `resolve` takes.
        resolve (Callable): gives the array that a leaf stands for.
    """

    def __init__(self, children, resolve):
        self.__children = children
        self.__resolve = resolve

    def keys(self):
        """Names of the children, in order."""
        return list(self.__children)

    def values(self):
        """The children, in order: arrays and views."""
        return [self.__get(name) for name in self.__children]

    def items(self):
        """(name, child) pairs, in order."""
        return [(name, self.__get(name)) for name in self.__children]

    def __getitem__(self, path):
        if isinstance(path, SupportsIndex):
            return self.__get(self.keys()[path])
        if not isinstance(path, str):
            raise TypeError(f"a buffer is named by a string or its position, got {path!r}")
        node = self
        for name in path.split('.'):
            if not isinstance(node, BufferView):
                raise KeyError(f"there is no buffer {path!r}: it leads beyond an array")
            node = node.__get(name, path)
        return node

    def __getattr__(self, name):
        if name.startswith(('__', '_BufferView__')):
            raise AttributeError(name)
        try:
            return self.__get(name)
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __contains__(self, path):
        if not isinstance(path, str):
            raise TypeError(f"a buffer is named by a string, got {path!r}")
        node = self.__children
        for name in path.split('.'):
            if not isinstance(node, Mapping):
                return False
            name = current_name(name, node)
            if name not in node:
                return False
            node = node[name]
        return True

    def __len__(self):
        return len(self.__children)

    def __iter__(self):
        return iter(self.values())

    def __dir__(self):
        return list(super().__dir__()) + self.keys()

    def __repr__(self):
        return f"<BufferView of {', '.join(self.__children)}>"

    def __get(self, name, path=None):
        name = current_name(name, self.__children)
        if name not in self.__children:
            raise KeyError(f"there is no buffer {path or name!r}; "
                           + list_names(f'in place of {name!r} there are', name, self.__children))
        child = self.__children[name]
        return BufferView(child, self.__resolve) if isinstance(child, Mapping) \
            else self.__resolve(child)


def current_name(name, children):
    """The name of a child of today, also for the one that it had in brainstorm 0.5."""
    old = name in _OLD_NAMES and name not in children and _OLD_NAMES[name] in children
    return _OLD_NAMES[name] if old else name
