"""What every handler offers: memory, and the operations of the engine.

The suffix of an operation tells what its operands are: s scalar, v vector (a matrix with one row or
one column), m matrix, t tensor (an array of any shape). `out` is the array that the result is
written to; an operation returns None.
"""

from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

import numpy as np

from brainstorm._core import operations
from brainstorm.describable import Describable

__all__ = ['Handler']


class Handler(Describable):
    """Base class of all handlers. Its operations are those of `brainstorm._core.operations`.

    Attributes:
        dtype: numpy.float32 or numpy.float64.
        context: where the arrays live.
        array_type: class of the arrays.
        EMPTY: an array without elements.
        rnd (RandomState): its stream is what the random operations draw from.
    """

    dtype: Any
    context: Any = None
    array_type: Any = None
    EMPTY: Any = None

    if TYPE_CHECKING:  # the operations, which the loop at the end of this file adds
        def __getattr__(self, name: str) -> Any: ...

    def allocate(self, shape: tuple[int, ...]) -> Any:
        """A new array of arbitrary content."""
        raise NotImplementedError

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """A new array of zeros."""
        out = self.allocate(shape)
        self.fill(out, 0.0)
        return out

    def ones(self, shape: tuple[int, ...]) -> Any:
        """A new array of ones."""
        out = self.allocate(shape)
        self.fill(out, 1.0)
        return out

    def create_from_numpy(self, arr: np.ndarray) -> Any:
        """A new array with the entries and the dtype of a numpy array."""
        raise NotImplementedError

    def get_numpy_copy(self, mem: Any) -> np.ndarray:
        """A numpy array with the entries of an array of this handler."""
        raise NotImplementedError

    def set_from_numpy(self, mem: Any, arr: np.ndarray) -> None:
        """Fill an array of this handler from a numpy array of the same shape."""
        raise NotImplementedError

    def is_fully_finite(self, a: Any) -> bool:
        """Whether an array holds neither NaN nor an infinity."""
        raise NotImplementedError

    def wrap_leaf(self, leaf: Any) -> Any:
        """What `net.buffer` shows of an array of the engine: the array itself or a view of it."""
        return leaf

    @property
    def act_func(self):
        """Dict from the names of activations to operations (x, y) that set y."""
        return {'linear': self.copy_to, **{name: getattr(self, name) for name in _ACTIVATIONS}}

    @property
    def act_func_deriv(self):
        """Dict from the names of activations to operations (x, y, dy, dx) that set dx."""
        def linear_deriv(x, y, dy, dx):
            self.copy_to(dy, dx)
        return {'linear': linear_deriv,
                **{name: getattr(self, name + '_deriv') for name in _ACTIVATIONS}}

    @property
    def inplace_act_func(self):
        """Dict from the names of activations to operations (x) that replace x by its activation."""
        def in_place(activate):
            return lambda x: activate(x, x)
        return {name: in_place(activate) if name != 'linear' else _leave
                for name, activate in self.act_func.items()}

    @property
    def inplace_act_func_deriv(self):
        """Dict from the names of activations to operations (y, dy) that replace dy by dx."""
        def in_place(derive):
            return lambda y, dy: derive(y, y, dy, dy)
        return {name: in_place(derive) if name != 'linear' else _leave
                for name, derive in self.act_func_deriv.items()}

    def __describe__(self):
        return {'@type': type(self).__name__, 'dtype': np.dtype(self.dtype).name}

    @classmethod
    def __new_from_description__(cls, description):
        """Open the handler. Raises ValueError for a dtype that is neither float32 nor float64."""
        arguments = {name: value for name, value in description.items() if name != '@type'}
        dtype = arguments.pop('dtype', 'float32')
        if dtype not in ('float32', 'float64'):
            raise ValueError(f"{cls.__name__}: dtype must be 'float32' or 'float64', got {dtype!r}")
        return cls(dtype=np.dtype(dtype).type, **arguments)


_ACTIVATIONS = ('rel', 'tanh', 'sigmoid', 'el')


def _leave(*arrays):
    """The activation 'linear' in place: nothing to do."""


def _declare(name, formula, arguments):
    """An operation that has only a name, a signature and a docstring, for handlers to define."""
    def operation(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no operation {name}")
    parameters = [Parameter(argument, Parameter.POSITIONAL_OR_KEYWORD,
                            default=False if kind == 'flag' else Parameter.empty)
                  for argument, kind in [('self', None), *arguments]]
    operation.__name__ = name
    operation.__qualname__ = f'Handler.{name}'
    operation.__signature__ = Signature(parameters)
    operation.__doc__ = formula
    return operation


for _operation in operations:
    if _operation['name'] not in vars(Handler):
        setattr(Handler, _operation['name'],
                _declare(_operation['name'], _operation['formula'], _operation['args']))
