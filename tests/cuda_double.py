"""The double of a GPU (tests/cuda/double.h), driven from Python: memory, kernels, reports."""

import ctypes
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CUDA = ROOT / 'csrc' / 'handlers' / 'cuda'

ORDERS = ['ascending', 'descending', 'random']
VARIANTS = {'float_int': np.float32, 'float_long': np.float32,
            'double_int': np.float64, 'double_long': np.float64}


def _constant(name):
    return int(re.search(rf'{name} = (\d+)', (CUDA / 'kernel_args.h').read_text())[1])


class Array(ctypes.Structure):
    _fields_ = [('at', ctypes.c_void_p), ('pitch', ctypes.c_longlong)]


class Number(ctypes.Union):
    _fields_ = [('f', ctypes.c_float), ('d', ctypes.c_double)]


class KernelArgs(ctypes.Structure):
    """bs_kernel_args"""
    _fields_ = [('array', Array * _constant('BS_KERNEL_ARRAYS')),
                ('size', ctypes.c_longlong * _constant('BS_KERNEL_SIZES')),
                ('number', Number * _constant('BS_KERNEL_NUMBERS')),
                ('key', ctypes.c_ulonglong), ('draw', ctypes.c_ulonglong)]


class Failed(Exception):
    """A call of the double failed: (code, reason)."""


class Double:
    """A context on the GPU that the library at a path plays. Functions of the library are called
    by their names and raise Failed."""

    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        for name, result in [('double_report', ctypes.c_char_p),
                             ('double_live_bytes', ctypes.c_long),
                             ('double_pooled_bytes', ctypes.c_long),
                             ('double_set_memory', ctypes.c_size_t),
                             ('double_live_objects', ctypes.c_long),
                             ('double_replace_kernel', ctypes.c_void_p)]:
            getattr(self.library, name).restype = result
        self.library.double_fail_at.argtypes = [ctypes.c_long, ctypes.c_int]
        self.library.double_set_memory.argtypes = [ctypes.c_size_t]
        self.library.double_calls.restype = ctypes.c_long
        context = ctypes.c_void_p()
        self.library.double_plug(1)
        self.cuInit(0)
        self.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
        self.context = context
        self.cuCtxSetCurrent(context)

    def __getattr__(self, name):
        function = getattr(self.library, name)

        def call(*args):
            code = function(*args)
            if code:
                raise Failed(code, self.library.double_report().decode())
        return call

    def close(self):
        self.cuDevicePrimaryCtxRelease_v2(0)
        self.library.double_plug(0)

    def set_order(self, order):
        self.library.double_set_order(ORDERS.index(order))

    def live(self):
        """(bytes, objects) that nobody has released."""
        return self.library.double_live_bytes(), self.library.double_live_objects()

    # ---- memory ----

    def allocate(self, size):
        address = ctypes.c_ulonglong()
        self.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def free(self, address):
        self.cuMemFree_v2(ctypes.c_ulonglong(address))

    def upload(self, array, address=None, stream=None):
        """Copies to new memory or to an address, and returns where that is."""
        if address is None:
            address = self.allocate(array.nbytes)
        self.cuMemcpyHtoDAsync_v2(ctypes.c_ulonglong(address), ctypes.c_void_p(array.ctypes.data),
                                  ctypes.c_size_t(array.nbytes), stream)
        return address

    def download(self, address, shape=None, dtype=None, stream=None, array=None):
        """Copies to a new array, or to the one that is given."""
        if array is None:
            array = np.empty(shape, dtype)
        self.cuMemcpyDtoHAsync_v2(ctypes.c_void_p(array.ctypes.data), ctypes.c_ulonglong(address),
                                  ctypes.c_size_t(array.nbytes), stream)
        return array

    # ---- streams ----

    def stream(self):
        """One that does not wait for the default stream, nor is waited for."""
        stream = ctypes.c_void_p()
        self.cuStreamCreate(ctypes.byref(stream), 1)
        return stream

    def event(self, stream=None):
        """A new event that is recorded on a stream."""
        event = ctypes.c_void_p()
        self.cuEventCreate(ctypes.byref(event), 2)
        self.cuEventRecord(event, stream)
        return event

    def pinned(self, *shape):
        """(array of float32 in pinned memory, its address)"""
        address = ctypes.c_void_p()
        self.cuMemHostAlloc(ctypes.byref(address), ctypes.c_size_t(4 * int(np.prod(shape))), 0)
        numbers = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(numbers, shape), address

    # ---- kernels ----

    def load(self, module, variant):
        loaded = ctypes.c_void_p()
        self.cuModuleLoadData(ctypes.byref(loaded), f'sm_90 {module} {variant}'.encode())
        return loaded

    def function(self, module, name):
        function = ctypes.c_void_p()
        self.cuModuleGetFunction(ctypes.byref(function), module, f'bs_{name}'.encode())
        return function

    def launch(self, function, args, blocks=1, threads=32):
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(args))
        self.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, None, pointers, None)

    def run(self, module, variant, name, arrays, sizes, blocks=1, threads=32):
        """Launches a kernel over matrices (None: no memory) and returns what they hold then."""
        args, results = KernelArgs(), []
        with ExitStack() as stack:
            for k, array in enumerate(arrays):
                if array is not None:
                    address = self.allocate(array.nbytes)
                    stack.callback(self.free, address)
                    args.array[k] = Array(self.upload(array, address), array.shape[1])
            args.size[:len(sizes)] = sizes
            loaded = self.load(module, variant)
            stack.callback(self.cuModuleUnload, loaded)
            self.launch(self.function(loaded, name), args, blocks, threads)
            for place, array in zip(args.array, arrays):
                results.append(array if array is None else
                               self.download(place.at, array.shape, array.dtype))
        return results
