"""A handler that finds mistakes: it checks all arguments of every operation."""

import functools
from typing import Any

import numpy as np

from brainstorm import _core
from brainstorm.describable import DescribedByArguments, get_description
from brainstorm.handlers.base_handler import Handler

__all__ = ['DebugArray', 'DebugHandler']


class DebugArray:
    """An array of a DebugHandler.

    It can be sliced, assigned to, reshaped and converted by numpy. To compute with it there are
    the operations of the handler alone.

    Attributes:
        array: the array of the wrapped handler.
        shape (tuple[int]), dtype: those of the array.
    """

    __array_ufunc__ = None  # or numpy would compute with it

    def __init__(self, array: Any):
        self.array = array

    @property
    def shape(self):
        return self.array.shape

    @property
    def dtype(self):
        return self.array.dtype

    def reshape(self, *shape: Any) -> 'DebugArray':
        """The same entries in another shape."""
        return DebugArray(self.array.reshape(*shape))

    def __getitem__(self, item):
        part = self.array[item]
        return DebugArray(part) if isinstance(part, type(self.array)) else part

    def __setitem__(self, item, value):
        self.array[item] = value.array if isinstance(value, DebugArray) else value

    def __len__(self):
        return len(self.array)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype, copy=copy)

    def __repr__(self):
        return f'DebugArray({self.array!r})'


class DebugHandler(_core.DebugHandler, DescribedByArguments, Handler):
    """Computes what another handler computes, to the bit, and checks every operation.

    Before it runs: types, dtypes (there is no conversion), shapes, ranges of indices and flags,
    outputs that overlap other arrays, NaN and infinity in whatever is read. After it: NaN and
    infinity in all arrays. The errors name operation and argument and, inside a network, the layer.
    Numbers may be infinite, as bounds of clip_t are, but not NaN.

    Its arrays are of class `DebugArray`, and nothing else is accepted in their place, but None
    where an operation does without. All other attributes are those of the wrapped handler.

    Args:
        handler: what computes, for example NumpyHandler().

    Raises:
        TypeError: that is no handler of the engine, or a DebugHandler.

    Example:
        >>> net.set_handler(DebugHandler(net.handler))
    """

    array_type = DebugArray

    def __init__(self, handler: Handler):
        if not isinstance(handler, _core.Handler) or isinstance(handler, DebugHandler):
            raise TypeError("DebugHandler wraps a handler of the engine that is no DebugHandler, "
                            f"like NumpyHandler(), got {handler!r}")
        super().__init__(handler)
        self.handler = handler

    def __getattr__(self, name):
        if name == 'handler':  # before __init__
            raise AttributeError(name)
        return getattr(self.handler, name)

    @property
    def context(self):
        """Where the arrays of the wrapped handler live."""
        return self.handler.context

    @property
    def EMPTY(self):
        """An array without elements."""
        return DebugArray(self.handler.EMPTY)

    @property
    def rnd(self):
        """The RandomState of the wrapped handler."""
        return self.handler.rnd

    @rnd.setter
    def rnd(self, rnd):
        self.handler.rnd = rnd

    def allocate(self, shape):
        return DebugArray(self.handler.allocate(shape))

    def create_from_numpy(self, arr):
        return DebugArray(self.handler.create_from_numpy(arr))

    def get_numpy_copy(self, mem):
        return self.handler.get_numpy_copy(_unwrap("get_numpy_copy: 'mem'", mem))

    def set_from_numpy(self, mem, arr):
        self.handler.set_from_numpy(_unwrap("set_from_numpy: 'mem'", mem), arr)

    def wrap_leaf(self, leaf):
        return DebugArray(self.handler.wrap_leaf(leaf))

    def __describe__(self):
        return {'@type': type(self).__name__, 'handler': get_description(self.handler)}

    def __reduce__(self):
        return type(self), (self.handler,)


def _unwrap(what, value):
    if not isinstance(value, DebugArray):
        raise TypeError(f"{what} must be a DebugArray, not {type(value).__name__}")
    return value.array


def _check_array(what, value, dtype):
    array = _unwrap(what, value)
    if array.dtype != dtype:
        raise TypeError(f"{what} has dtype {array.dtype}, expected {np.dtype(dtype)}")
    return array


def _check_array_or_none(what, value, dtype):
    return value if value is None else _check_array(what, value, dtype)


def _check_flag(what, value, dtype):
    if not isinstance(value, (bool, int, np.bool_)) or value not in (0, 1):
        raise TypeError(f"{what} must be True or False, got {value!r}")
    return value


_CHECKS = {'in': _check_array, 'out': _check_array, 'inout': _check_array, 'flag': _check_flag,
           'in_if': _check_array_or_none, 'inout_if': _check_array_or_none}


def _checked(name, arguments):
    """The operation `name` of the engine on DebugArrays; the other checks are the engine's."""
    kinds = dict(arguments)
    run = getattr(_core.DebugHandler, name)

    @functools.wraps(getattr(Handler, name))
    def operation(self, *args, **kwargs):
        def check(argument, value):
            check_kind = _CHECKS.get(kinds.get(argument))
            return check_kind(f"{name}: {argument!r}", value, self.dtype) if check_kind else value
        named = {argument: check(argument, value) for argument, value in kwargs.items()}
        return run(self, *map(check, kinds, args), *args[len(kinds):], **named)
    return operation


for _operation in _core.operations:
    setattr(DebugHandler, _operation['name'], _checked(_operation['name'], _operation['args']))
setattr(DebugHandler, 'is_fully_finite', _checked('is_fully_finite', (('a', 'in'),)))
