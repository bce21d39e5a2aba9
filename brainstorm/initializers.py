"""Initializers fill a parameter of a given shape; `Network.initialize` says which one fills what.

Weights have the shape (out, in, ...).
"""

import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from brainstorm.checks import check_array, check_choice, check_flag, check_number
from brainstorm.describable import Describable, DescribedByArguments, create_from_description
from brainstorm.randomness import Seedable
from brainstorm.utils import InitializationError

__all__ = [
    'ArrayInitializer', 'DenseSqrtFanIn', 'DenseSqrtFanInOut', 'EchoState', 'Gaussian', 'Identity',
    'Initializer', 'LstmOptInit', 'Orthogonal', 'RandomWalk', 'SparseInputs', 'SparseOutputs',
    'Uniform', 'evaluate_initializer',
]


class Initializer(Seedable, Describable):
    """Base class: an initializer is called with a shape and returns an array of that shape.

    It draws from `self.rnd`, which is seeded anew before each use by a network. It raises
    InitializationError for shapes that it cannot fill.
    """

    __undescribed__ = {'rnd'}

    def __init_from_description__(self, description):
        Seedable.__init__(self)

    def __call__(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of the given shape (tuple of int) with the initial values."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(shape)")


def evaluate_initializer(initializer: Any, shape: tuple[int, ...], fallback: Any = None,
                         seed: int | None = None) -> np.ndarray:
    """The initial values of a parameter, a float64 array of the given shape.

    Args:
        initializer (Initializer | float | array): a number fills the array.
        shape (tuple[int]): shape of the parameter.
        fallback (Initializer | float | array | None): used where the initializer raises
            InitializationError.
        seed (int | None): seeds the initializer and the fallback; None leaves them as they are.

    Raises:
        InitializationError: neither can fill that shape.
    """
    shape = tuple(shape)
    try:
        return _evaluate(initializer, shape, seed)
    except InitializationError:
        if fallback is None:
            raise
    return _evaluate(fallback, shape, seed)


def _evaluate(initializer, shape, seed):
    if not isinstance(initializer, Initializer):
        values = check_array('evaluate_initializer', 'initializer', initializer)
        values = np.full(shape, values) if values.ndim == 0 else values
    else:
        if seed is not None:
            initializer.rnd.set_seed(seed)
        values = np.asarray(initializer(shape), dtype=np.float64)
    if values.shape != shape:
        raise InitializationError(f"{initializer!r} gives the shape {values.shape}, "
                                  f"but the parameter has {shape}")
    return values


class ArrayInitializer(Initializer):
    """Fills a parameter with the values of an array of the same shape."""

    def __init__(self, array: ArrayLike):
        super().__init__()
        self.array = check_array('ArrayInitializer', 'array', array)

    def __call__(self, shape):
        if self.array.shape != tuple(shape):
            raise InitializationError(f"the array has the shape {self.array.shape}, "
                                      f"but the parameter has {tuple(shape)}")
        return self.array.copy()

    def __describe__(self):
        return self.array.tolist()


class _DenseSqrt(DescribedByArguments, Initializer):
    """Uniform in +-scale/sqrt(n), the scale a number or the name of the units' activation."""

    __default_values__ = {'scale': 'rel'}
    scales: dict[str, float] = {}

    def __init__(self, scale: float | str = 'rel'):
        super().__init__()
        owner = type(self).__name__
        self.scale = check_choice(owner, 'scale', scale, self.scales) if isinstance(scale, str) \
            else check_number(owner, 'scale', scale)

    def _draw(self, shape, n):
        scale = self.scales[self.scale] if isinstance(self.scale, str) else self.scale
        return scale * (2 * self.rnd.rand(*shape) - 1) / np.sqrt(n)


class DenseSqrtFanIn(_DenseSqrt):
    """Uniform in +-scale/sqrt(n), n being the number of inputs of each unit.

    Args:
        scale (float | str): a number, or the activation of the units: 'rel' (sqrt 6, default),
            'tanh' (sqrt 3), 'sigmoid' (4 sqrt 3) or 'linear' (1).

    Needs 2 or more dimensions.
    """

    scales = {'rel': np.sqrt(6), 'tanh': np.sqrt(3), 'sigmoid': 4 * np.sqrt(3), 'linear': 1.0}

    def __call__(self, shape):
        _require_dimensions(self, shape, at_least=2)
        return self._draw(shape, _size(shape[1:]))


class DenseSqrtFanInOut(_DenseSqrt):
    """Uniform in +-scale/sqrt(n1 + n2), for n1 inputs of each unit and n2 units in the layer.

    Args:
        scale (float | str): a number, or the activation of the units: 'rel' (sqrt 12, default),
            'tanh' (sqrt 6), 'sigmoid' (4 sqrt 6) or 'linear' (1).

    Needs 2 or more dimensions.

    Reference: X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward
    neural networks", AISTATS 2010.
    """

    scales = {'rel': np.sqrt(12), 'tanh': np.sqrt(6), 'sigmoid': 4 * np.sqrt(6), 'linear': 1.0}

    def __call__(self, shape):
        _require_dimensions(self, shape, at_least=2)
        return self._draw(shape, shape[0] + _size(shape[1:]))


class EchoState(DescribedByArguments, Initializer):
    """Uniform in +-0.5, rescaled to a spectral radius; for square matrices of recurrent weights.

    Args:
        spectral_radius (float): largest absolute eigenvalue; below 1 past inputs fade.
    """

    __default_values__ = {'spectral_radius': 1.0}

    def __init__(self, spectral_radius: float = 1.0):
        super().__init__()
        self.spectral_radius = check_number('EchoState', 'spectral_radius', spectral_radius, 0)

    def __call__(self, shape):
        _require_square(self, shape)
        weights = self.rnd.uniform(-0.5, 0.5, size=shape)
        return weights * (self.spectral_radius / np.max(np.abs(np.linalg.eigvals(weights))))


class Gaussian(DescribedByArguments, Initializer):
    """Normally distributed with the given standard deviation and mean."""

    __default_values__ = {'mean': 0.0}

    def __init__(self, std: float = 0.1, mean: float = 0.0):
        super().__init__()
        self.std = check_number('Gaussian', 'std', std, 0)
        self.mean = check_number('Gaussian', 'mean', mean)

    def __call__(self, shape):
        return self.rnd.randn(*shape) * self.std + self.mean


class Identity(DescribedByArguments, Initializer):
    """The identity matrix times `scale`, plus Gaussian noise.

    Args:
        scale (float): value on the diagonal.
        std (float): standard deviation of the noise.
        enforce_square (bool): refuse matrices that are not square.
    """

    def __init__(self, scale: float = 1.0, std: float = 0.01, enforce_square: bool = True):
        super().__init__()
        self.scale = check_number('Identity', 'scale', scale)
        self.std = check_number('Identity', 'std', std, 0)
        self.enforce_square = check_flag('Identity', 'enforce_square', enforce_square)

    def __call__(self, shape):
        _require_dimensions(self, shape, at_least=2, at_most=2)
        if self.enforce_square:
            _require_square(self, shape)
        return np.eye(*shape) * self.scale + self.rnd.randn(*shape) * self.std


class LstmOptInit(DescribedByArguments, Initializer):
    """Fills the four blocks of rows of an LstmOpt parameter, each by its own initializer.

    Each argument is a number or an Initializer. The number of rows must be divisible by 4.
    """

    def __init__(self, input_block: float | Initializer = 0.0,
                 input_gate: float | Initializer = 0.0, forget_gate: float | Initializer = 0.0,
                 output_gate: float | Initializer = 0.0):
        super().__init__()
        self.block_input = as_initializer('LstmOptInit: input_block', input_block)
        self.input_gate = as_initializer('LstmOptInit: input_gate', input_gate)
        self.forget_gate = as_initializer('LstmOptInit: forget_gate', forget_gate)
        self.output_gate = as_initializer('LstmOptInit: output_gate', output_gate)

    def __call__(self, shape):
        if not shape or shape[0] % 4 != 0:
            raise InitializationError(f"LstmOptInit needs four blocks of rows, not {shape}")
        block = (shape[0] // 4,) + tuple(shape[1:])
        gates = (self.block_input, self.input_gate, self.forget_gate, self.output_gate)
        return np.concatenate([
            evaluate_initializer(gate, block, seed=self.rnd.generate_seed()) for gate in gates])

    @classmethod
    def __new_from_description__(cls, description):
        renamed = {'input_block' if name == 'block_input' else name: value
                   for name, value in description.items()}
        return super().__new_from_description__(renamed)


class Orthogonal(DescribedByArguments, Initializer):
    """An orthogonal matrix times `scale`.

    Reference: A. M. Saxe, J. L. McClelland and S. Ganguli, "Exact solutions to the nonlinear
    dynamics of learning in deep linear neural networks", arXiv:1312.6120, 2013.
    """

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = check_number('Orthogonal', 'scale', scale)

    def __call__(self, shape):
        _require_dimensions(self, shape, at_least=2, at_most=2)
        u, _, v = np.linalg.svd(self.rnd.randn(*shape), full_matrices=False)
        return self.scale * (u if u.shape == tuple(shape) else v)


class RandomWalk(DescribedByArguments, Initializer):
    """Gaussian recurrent weights whose scale keeps the norm of the error signal through time.

    Args:
        act_func (str): 'linear' or 'rel', from which the scale is computed.
        scale (float | None): the scale itself; None computes exp(1 / (2 N)) for N units, or
            sqrt(2) exp(1.2 / (max(N, 6) - 2.4)) for 'rel'.

    Reference: D. Sussillo and L. F. Abbott, "Random Walk Initialization for Training Very Deep
    Feedforward Networks", arXiv:1412.6558, 2014.
    """

    __default_values__ = {'scale': None}

    def __init__(self, act_func: str = 'linear', scale: float | None = None):
        super().__init__()
        self.act_func = check_choice('RandomWalk', 'act_func', act_func, ('linear', 'rel'))
        self.scale = None if scale is None else check_number('RandomWalk', 'scale', scale)

    def __call__(self, shape):
        _require_dimensions(self, shape, at_least=2, at_most=2)
        _require_square(self, shape)
        n = shape[0]
        if self.scale is not None:
            scale = self.scale
        elif self.act_func == 'rel':
            scale = np.sqrt(2) * np.exp(1.2 / (max(n, 6) - 2.4))
        else:
            scale = np.exp(1 / (2 * n))
        return scale * self.rnd.randn(*shape) / n


class _Sparse(DescribedByArguments, Initializer):
    """Keeps `connections` random entries along `axis` of the first two and sets the others to 0."""

    axis: int

    def __init__(self, sub_initializer: float | Initializer, connections: int = 15):
        super().__init__()
        owner = type(self).__name__
        self.sub_initializer = as_initializer(f'{owner}: sub_initializer', sub_initializer)
        self.connections = check_number(owner, 'connections', connections, 0, integer=True)

    def __call__(self, shape):
        _require_dimensions(self, shape, at_least=2)
        if shape[self.axis] < self.connections:
            raise InitializationError(f"{type(self).__name__} cannot make {self.connections} "
                                      f"connections in dimension {self.axis} of {tuple(shape)}")
        values = evaluate_initializer(self.sub_initializer, shape)
        mask = np.zeros(shape)
        for line in np.moveaxis(mask, self.axis, 1):  # views of the mask, each along the axis
            line[:self.connections] = 1.0
            self.rnd.shuffle(line)
        return values * mask


class SparseInputs(_Sparse):
    """Keeps `connections` entries in every column and sets all others to 0.

    Whatever the name suggests, for weights of shape (out, in) these are the outputs that each
    input reaches; it has always been so.

    Args:
        sub_initializer (Initializer | float): gives the values.
        connections (int): how many entries of each column are kept.
    """

    axis = 0


class SparseOutputs(_Sparse):
    """Keeps `connections` entries in every row and sets all others to 0.

    Whatever the name suggests, for weights of shape (out, in) these are the inputs that reach each
    output; it has always been so.

    Args:
        sub_initializer (Initializer | float): gives the values.
        connections (int): how many entries of each row are kept.
    """

    axis = 1


class Uniform(DescribedByArguments, Initializer):
    """Uniformly distributed in [low, high), or in [-low, low) if `high` is None."""

    def __init__(self, low: float = 0.1, high: float | None = None):
        super().__init__()
        check_number('Uniform', 'low', low)
        self.low, self.high = (-low, low) if high is None else (low, high)
        check_number('Uniform', 'high', self.high)
        if not self.low < self.high:
            raise ValueError(f"Uniform: low must be below high, got {self.low} and {self.high}")

    def __call__(self, shape):
        return (self.high - self.low) * self.rnd.rand(*shape) + self.low


def as_initializer(what, value):
    """What `Network.initialize` keeps for a value: an Initializer, or a plain number.

    Numpy scalars become numbers; lists and whatever converts to an array become ArrayInitializers,
    as they do in descriptions. Raises TypeError for anything else, with `what` it is.
    """
    if isinstance(value, (Initializer, bool, int, float)):
        return value
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    if hasattr(value, '__array__') and np.ndim(value) == 0:
        return as_initializer(what, np.asarray(value).item())
    if hasattr(value, '__array__') or isinstance(value, (list, tuple, range)):
        return ArrayInitializer(value)
    raise TypeError(f"{what} must be a number, a list or array of the parameter's shape or an "
                    f"Initializer, got {value!r}")


def initializer_from_description(description):
    """The initializer, number or dict of them that a description stands for."""
    if isinstance(description, dict) and '@type' not in description:
        return {name: initializer_from_description(value) for name, value in description.items()}
    return as_initializer('an initializer', create_from_description(description))


def _require_dimensions(initializer, shape, at_least, at_most=None):
    if len(shape) < at_least or (at_most is not None and len(shape) > at_most):
        wanted = f"{at_least}" if at_least == at_most else f"{at_least} or more"
        raise InitializationError(f"{type(initializer).__name__} needs {wanted} dimensions, "
                                  f"but the parameter has the shape {tuple(shape)}")


def _require_square(initializer, shape):
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InitializationError(f"{type(initializer).__name__} needs a square matrix, "
                                  f"but the parameter has the shape {tuple(shape)}")


def _size(shape):
    return int(np.prod(shape))
