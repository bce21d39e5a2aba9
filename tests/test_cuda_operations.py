"""Every operation on a GPU against its NumPy formula (op_cases.py)."""

import ctypes
import functools
import os

import numpy as np
import pytest

from brainstorm import _core
from brainstorm.handlers import DebugHandler, PyCudaHandler
from cuda_double import ORDERS
from op_cases import CASES, DRAW, KEY
from test_operations import (
    ALL, DTYPES, IN_PLACE, LAYOUTS, check, expect, expect_of, make, outputs)

pytestmark = pytest.mark.usefixtures('gpu')


_handlers: dict = {}  # one for each dtype: to open a GPU takes a while


def open_gpu(dtype):
    if dtype not in _handlers:
        _handlers[dtype] = PyCudaHandler(dtype)
        _handlers[dtype].stream = _core.RandomStream(KEY)
    return _handlers[dtype]


def upload(handler, arguments, view=np.copy):
    """GpuArrays with the strides of what `view` makes of NumPy's arrays."""
    return {name: on_gpu(handler, view(value)) if isinstance(value, np.ndarray) else value
            for name, value in arguments.items()}


def on_gpu(handler, a):
    """A GpuArray with the numbers and the strides of an array."""
    if a.size == 0:
        return handler.create_from_numpy(a)
    low, high = np.lib.array_utils.byte_bounds(a)
    memory = handler.create_from_numpy(np.full((high - low) // a.itemsize, np.nan, a.dtype))
    address = memory.ptr + a.__array_interface__['data'][0] - low

    class View:
        __cuda_array_interface__ = {'shape': a.shape, 'typestr': a.dtype.str, 'strides': a.strides,
                                    'data': (address, False), 'version': 3}
        owner = memory
    view = handler.create_from(View())
    view.set(a)
    return view


def download(arguments, names):
    return {name: arguments[name].get() for name in names}


def run(handler, name, arguments):
    handler.stream.draw = DRAW
    getattr(handler, name)(**arguments)
    return download(arguments, outputs(name))


@functools.cache
def small_shapes(name):
    """Without those that are large for the sake of threads, which take the double long."""
    def size(shape):
        return sum(np.size(value) for value in make(name, np.float32, shape).values())
    return [shape for shape in CASES[name].shapes if size(shape) < 20000]


def set_order(order):
    """Threads of the double run in this order from now on; on a real GPU in any."""
    path = os.environ.get('BRAINSTORM_LIB_CUDA')
    if path:
        ctypes.CDLL(path).double_set_order(ORDERS.index(order))


@pytest.fixture
def order(request, gpu):
    """The order of threads in one test."""
    set_order(request.param)
    yield
    set_order(ORDERS[0])


@pytest.mark.parametrize('order', ORDERS[1:], indirect=True)
@pytest.mark.parametrize('name', CASES)
def test_the_order_of_threads_does_not_matter(name, order):
    handler = open_gpu(np.float32)
    for shape in small_shapes(name):
        arguments = make(name, np.float32, shape)
        found = run(handler, name, upload(handler, arguments))
        check(name, expect_of(name, np.float32, shape), found, np.float32)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name, shape', ALL)
def test_operation(name, shape, dtype):
    arguments = make(name, dtype, shape)
    handler = open_gpu(dtype)
    found = run(handler, name, upload(handler, arguments))
    check(name, expect_of(name, dtype, shape), found, dtype)


@pytest.mark.parametrize('layout', [k for k in LAYOUTS if k != 'packed'])
@pytest.mark.parametrize('name', CASES)
def test_layouts(name, layout):
    """Views that are not packed, every array in the same layout, and each array alone."""
    handler = open_gpu(np.float32)
    for shape in small_shapes(name):
        packed = make(name, np.float32, shape)
        expected = expect_of(name, np.float32, shape)
        arrays = [k for k, v in packed.items() if isinstance(v, np.ndarray)]
        for chosen in [arrays] + [[a] for a in arrays]:
            arguments = upload(handler, packed)
            arguments.update(upload(handler, {k: packed[k] for k in chosen}, LAYOUTS[layout]))
            check(name, expected, run(handler, name, arguments), np.float32)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name, shape, pair', IN_PLACE)
def test_in_place(name, shape, pair, dtype):
    out, other = pair
    handler = open_gpu(dtype)
    arguments = make(name, dtype, shape)
    arguments[out] = arguments[other].copy()
    expected = expect(name, arguments)
    arguments = upload(handler, arguments)
    arguments[out] = arguments[other]
    check(name, expected, run(handler, name, arguments), dtype)


@pytest.mark.parametrize('name', CASES)
def test_debug_handler(name):
    """The checking handler computes the same bits."""
    inner = open_gpu(np.float32)
    handler = DebugHandler(inner)
    for shape in small_shapes(name):
        packed = make(name, np.float32, shape)
        plain = run(inner, name, upload(inner, packed))
        wrapped = {k: handler.create_from_numpy(v) if isinstance(v, np.ndarray) else v
                   for k, v in packed.items()}
        inner.stream.draw = DRAW
        getattr(handler, name)(**wrapped)
        for out, want in plain.items():
            np.testing.assert_array_equal(handler.get_numpy_copy(wrapped[out]), want)


def test_images_without_channels():
    handler = open_gpu(np.float64)
    bias, y = handler.create_from_numpy(np.array([1.0, 2.0])), handler.ones((1, 3, 3, 2))
    x, w = handler.zeros((1, 3, 3, 0)), handler.zeros((2, 1, 1, 0))
    handler.conv2d_forward_batch(x, w, bias, y, 0, (1, 1))
    np.testing.assert_array_equal(y.get(), np.broadcast_to([1.0, 2.0], (1, 3, 3, 2)))
    handler.conv2d_backward_batch(x, w, 0, (1, 1), x, y, handler.zeros((2, 1, 1, 0)), bias)
    np.testing.assert_array_equal(bias.get(), [9.0, 18.0])


def test_arithmetic_in_place_with_overlapping_views():
    a, b = open_gpu(np.float32).create_from_numpy(np.arange(10, dtype=np.float32)), np.arange(10.0)
    a[1:] += a[:-1]
    b[1:] += b[:-1]
    np.testing.assert_array_equal(a.get(), b)
