"""The handler for the CPU. Its arrays are numpy arrays."""

import numpy as np
from numpy.typing import DTypeLike

from brainstorm import _core
from brainstorm.checks import check_type
from brainstorm.handlers.base_handler import Handler
from brainstorm.randomness import RandomState, global_rnd

__all__ = ['NumpyHandler', 'default_handler']


class NumpyHandler(_core.Handler, Handler):
    """Computes on the CPU with numpy arrays.

    Operations take arrays of any strides; arrays of another dtype are computed in the dtype of the
    handler and written back.

    Args:
        dtype: np.float32 (default) or np.float64.
        seed (int | None): seed of the random operations; None draws one from `global_rnd`.

    Raises:
        TypeError: any other dtype.
    """

    context = 'numpy'
    array_type = np.ndarray
    EMPTY = np.zeros(0)

    def __init__(self, dtype: DTypeLike = np.float32, seed: int | None = None):
        self._rnd = global_rnd.create_random_state(seed)
        super().__init__('cpu', dtype, self._rnd.stream)

    @property
    def rnd(self):
        """The RandomState whose stream the random operations draw from."""
        return self._rnd

    @rnd.setter
    def rnd(self, rnd):
        self.stream = check_type('NumpyHandler', 'rnd', rnd, RandomState).stream
        self._rnd = rnd

    def allocate(self, shape):
        return np.empty(shape, self.dtype)

    def create_from_numpy(self, arr):
        return np.array(arr)

    def get_numpy_copy(self, mem):
        return np.array(mem)

    def set_from_numpy(self, mem, arr):
        if mem.shape != np.shape(arr):
            raise ValueError(f"cannot set an array of the shape {mem.shape} "
                             f"from one of the shape {np.shape(arr)}")
        mem[...] = arr

    def __reduce__(self):
        return type(self), (self.dtype, self._rnd.get_seed()), {'rnd': self._rnd}

    def __setstate__(self, state):
        self.rnd = state['rnd']


default_handler = NumpyHandler()
"""What networks compute with unless they are given another handler."""
