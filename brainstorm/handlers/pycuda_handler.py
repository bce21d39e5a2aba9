"""The handler for Nvidia GPUs."""

import numpy as np
from numpy.typing import DTypeLike

from brainstorm import _core
from brainstorm.handlers.base_handler import Handler

__all__ = ['PyCudaHandler']


class PyCudaHandler(Handler):
    """Computes on an Nvidia GPU. This build has no support for it.

    Args:
        dtype: np.float32 (default) or np.float64.
        seed (int | None): seed of the random operations.
        device (int): which GPU.
        tf32 (bool): let matrix products round float32 to TensorFloat-32.

    Raises:
        RuntimeError: always, in this build.
    """

    def __init__(self, dtype: DTypeLike = np.float32, seed: int | None = None, device: int = 0,
                 tf32: bool = False):
        raise RuntimeError("this build of brainstorm has no CUDA handler; it has "
                           f"{', '.join(_core.info()['handlers'])}: use NumpyHandler")
