"""Handlers compute on arrays of one device in one precision.

A network runs on the handler it is given by `Network.set_handler`.
"""

from brainstorm._core import GpuArray
from brainstorm.handlers.debug_handler import DebugArray, DebugHandler
from brainstorm.handlers.numpy_handler import NumpyHandler, default_handler
from brainstorm.handlers.pycuda_handler import PyCudaHandler

__all__ = ['DebugArray', 'DebugHandler', 'GpuArray', 'NumpyHandler', 'PyCudaHandler',
           'default_handler']
