"""The handler for NVIDIA GPUs. Its arrays are GpuArrays."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from brainstorm import _core
from brainstorm.checks import check_number, check_type
from brainstorm.handlers import cuda_libraries, kernel_cache
from brainstorm.handlers.base_handler import Handler
from brainstorm.randomness import RandomState, global_rnd

__all__ = ['PyCudaHandler']

_core.set_host(cuda_libraries.find_library, kernel_cache.recall, kernel_cache.keep)


class PyCudaHandler(_core.Handler, Handler):
    """Computes on an NVIDIA GPU, with arrays in its memory.

    It needs NVIDIA's driver, NVRTC and cuBLAS, and uses cuDNN if it is there;
    `pip install brainstorm[pycuda]` brings them (`brainstorm[pycuda12]` for drivers before 580).
    Kernels are compiled for the GPU at their first use, which takes some tenths of a second, and
    kept on disk.

    Numbers are those of the CPU to rounding; random masks are the same to the bit. A run gives the
    same bits as any other on the same GPU.

    Args:
        dtype: np.float32 (default) or np.float64.
        seed (int | None): seed of the random operations; None draws one from `global_rnd`.
        device (int): number of the GPU.
        tf32 (bool): let matrix products and convolutions round float32 to TensorFloat-32, which has
            10 bits behind the point: faster, and too coarse to check gradients with.

    Raises:
        TypeError: any other dtype.
        ValueError: there is no GPU of that number.
        RuntimeError: there is no usable GPU or driver, or a library is missing; the message says
            what, and how to install it.

    Example:
        >>> net.set_handler(PyCudaHandler())
    """

    context = 'cuda'
    array_type = _core.GpuArray

    def __init__(self, dtype: DTypeLike = np.float32, seed: int | None = None, device: int = 0,
                 tf32: bool = False):
        self.device = check_number('PyCudaHandler', 'device', device, 0, 2**31 - 1, integer=True)
        self.tf32 = check_type('PyCudaHandler', 'tf32', tf32, bool)
        self._rnd = global_rnd.create_random_state(seed)
        super().__init__('cuda', dtype, self._rnd.stream, self.device, tf32)

    @property
    def EMPTY(self):
        """An array without elements."""
        return self.allocate((0,))

    @property
    def rnd(self):
        """The RandomState whose stream the random operations draw from."""
        return self._rnd

    @rnd.setter
    def rnd(self, rnd):
        self.stream = check_type('PyCudaHandler', 'rnd', rnd, RandomState).stream
        self._rnd = rnd

    def allocate(self, shape):
        return self.new_array(shape, self.dtype)

    def create_from(self, array: Any) -> Any:
        """A GpuArray on the memory of an array of another library, without a copy.

        Args:
            array: float32 or float64 on this GPU; anything with `__cuda_array_interface__` or
                `__dlpack__`, like arrays of CuPy, Numba and JAX and tensors of PyTorch.

        Raises:
            TypeError: it is no such array.
            ValueError: it lives on the host or on another GPU, or what it tells of its memory
                makes no sense.
        """
        return self.wrap_array(array)

    def create_from_numpy(self, arr):
        arr = np.asarray(arr)
        dtype = arr.dtype if arr.dtype in (np.float32, np.float64) else self.dtype
        mem = self.new_array(arr.shape, dtype)
        mem.set(arr)
        return mem

    def get_numpy_copy(self, mem):
        return mem.get()

    def set_from_numpy(self, mem, arr):
        if mem.shape != np.shape(arr):
            raise ValueError(f"cannot set an array of the shape {mem.shape} "
                             f"from one of the shape {np.shape(arr)}")
        mem.set(arr)

    def __describe__(self):
        description = super().__describe__()
        if self.dtype == np.float32:
            del description['dtype']
        if self.device:
            description['device'] = self.device
        if self.tf32:
            description['tf32'] = True
        return description

    def __reduce__(self):
        return (type(self), (self.dtype, self._rnd.get_seed(), self.device, self.tf32),
                {'rnd': self._rnd})

    def __setstate__(self, state):
        self.rnd = state['rnd']
