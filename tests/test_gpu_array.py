"""GpuArray against NumPy: views, copies, arithmetic, and memory that is shared with others."""

import copy
import ctypes
import gc
import math
import operator
import pickle

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import _core
from brainstorm.handlers import DebugHandler, NumpyHandler, PyCudaHandler

pytestmark = pytest.mark.usefixtures('gpu')

DTYPES = [np.float32, np.float64]
_handlers: dict = {}


def open_gpu(dtype=np.float32):
    if dtype not in _handlers:
        _handlers[dtype] = PyCudaHandler(dtype)
    return _handlers[dtype]


@pytest.fixture
def handler():
    return open_gpu()


def numbers(*shape, dtype=np.float32):
    size = math.prod(shape)
    return (np.arange(1, size + 1) * 0.5).reshape(shape).astype(dtype)


def pair(*shape, dtype=np.float32, handler=None):
    """The same numbers on the GPU and for NumPy."""
    host = numbers(*shape, dtype=dtype)
    return (handler or open_gpu(dtype)).create_from_numpy(host), host


def same(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_array_equal(found.get(), expected)


# ---- what it tells of itself ----

@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('shape', [(), (1,), (5,), (2, 3), (3, 0, 2), (0,), (1, 2, 1, 3), (2,) * 6])
def test_attributes(shape, dtype):
    a, host = pair(*shape, dtype=dtype)
    for name in ('shape', 'dtype', 'ndim', 'size', 'nbytes', 'itemsize'):
        assert getattr(a, name) == getattr(host, name), name
    if host.size:
        assert [step for step, n in zip(a.strides, shape) if n > 1] == [
            step for step, n in zip(host.strides, shape) if n > 1]
    assert isinstance(a.ptr, int) and a.ptr == a.gpudata
    assert repr(a) == f'GpuArray({host!r})'
    assert type(a) is PyCudaHandler.array_type
    same(a, host)


def test_length(handler):
    assert len(pair(3, 2)[0]) == 3
    with pytest.raises(TypeError, match='without dimensions'):
        len(pair()[0])


def test_it_is_made_by_handlers_only():
    with pytest.raises(TypeError, match='cannot create'):
        _core.GpuArray()


def test_one_number():
    assert float(pair()[0]) == 0.5 and float(pair(1, 1)[0]) == 0.5
    assert bool(pair(1)[0]) is True and not pair(1)[0] * 0
    for question in float, bool:
        with pytest.raises(ValueError, match='size 1'):
            question(pair(2)[0])


def test_pickling_is_refused():
    for question in pickle.dumps, copy.deepcopy:
        with pytest.raises(TypeError, match='cannot pickle .*GpuArray'):
            question(pair(2)[0])


# ---- shapes from users ----

@pytest.mark.parametrize('shape, error, text', [
    (None, TypeError, 'a shape must be an int or a sequence of at most 6 ints, got None'),
    (2.0, TypeError, 'a shape must be .* got 2.0'),
    ('ab', TypeError, "a shape must be .* got 'ab'"),
    ((2, 'x'), TypeError, r"a shape must be .* got \(2, 'x'\)"),
    ((2, None), TypeError, r'a shape must be .* got \(2, None\)'),
    ((2, -1), ValueError, r'must not be negative, got \(2, -1\)'),
    (-3, ValueError, 'must not be negative, got -3'),
    ((1,) * 7, ValueError, 'at most 6 ints'),
    ((2**70,), ValueError, 'a shape must be'),
    ((2**62, 2**62), MemoryError, r'the shape \(\d+, \d+\) is too large for any memory'),
    ((0, 2**62, 2**62), MemoryError, 'is too large for any memory'),
])
def test_shapes_that_are_none(handler, shape, error, text):
    with pytest.raises(error, match=text):
        handler.allocate(shape)


def test_more_than_there_is(handler, double):
    with pytest.raises(MemoryError, match='out of memory'):
        handler.allocate((2**31, 4))


# ---- views ----

def random_key(rnd, shape):
    """A key that fits, as users write it, for some of the first dimensions."""
    def part(n):
        if n and rnd.rand() < 0.4:
            return int(rnd.randint(-n, n))
        ends = [None, *range(-n - 2, n + 3)]
        steps = [None, 1, 2, 3, -1, -2, 2**62]
        return slice(*(values[rnd.randint(len(values))] for values in (ends, ends, steps)))
    n = rnd.randint(len(shape) + 1)
    key = [part(size) for size in shape[:n]]
    if rnd.rand() < 0.3:
        tail = rnd.randint(len(shape) - n + 1)
        key += [...] + [part(size) for size in shape[len(shape) - tail:]]
    return key[0] if len(key) == 1 and rnd.rand() < 0.5 else tuple(key)


@pytest.mark.parametrize('seed', range(60))
def test_views(seed):
    """Views of views show and change the same elements as those of NumPy."""
    rnd = np.random.RandomState(seed)
    shape = tuple(rnd.randint(0, 5, rnd.randint(1, 5)))
    a, host = pair(*shape)
    view, expected = a, host
    for _ in range(3):
        key = random_key(rnd, expected.shape)
        view, expected = view[key], expected[key] if expected.ndim else expected
        expected = np.asarray(expected) if expected.ndim else expected.reshape(())
        same(view, expected)
        if not expected.ndim:
            break
    value = np.asarray(rnd.randn(*expected.shape), np.float32)
    view[...] = value
    if expected.base is not None:
        expected[...] = value
        same(a, host)


@pytest.mark.parametrize('key', [0, -1, slice(None), (Ellipsis, 0), (1, ..., slice(0, 2))])
def test_assignment_of_parts(handler, key):
    for value in 7.0, 3, np.float64(2), np.arange(4.0)[:host_part(key).shape[-1]]:
        a, host = pair(2, 3, 4)
        a[key] = value
        host[key] = value
        same(a, host)


def host_part(key):
    return np.zeros((2, 3, 4))[key]


@pytest.mark.parametrize('key, text', [
    (3, 'index 3 is out of range for dimension 0 of size 3'),
    (-4, 'index -4 is out of range'),
    ((0, 2), 'index 2 is out of range for dimension 1 of size 2'),
    ((0, 0, 0), r'\(0, 0, 0\) does not fit an array of 2 dimensions'),
    ((..., 0, ...), 'does not fit'),
    (1.0, 'integers, slices and ..., not by 1.0'),
    ('a', "not by 'a'"),
    (None, 'not by None'),
    (True, 'not by True'),
    ([0, 1], r'not by \[0, 1\]'),
    (2**70, 'cannot fit'),
])
def test_keys_that_do_not_fit(key, text):
    a, _ = pair(3, 2)
    with pytest.raises(IndexError, match=text):
        a[key]
    with pytest.raises(IndexError, match=text):
        a[key] = 1


def test_elements_cannot_be_deleted():
    with pytest.raises(TypeError, match='cannot be deleted'):
        del pair(3)[0][0]


@pytest.mark.parametrize('shape, key, new', [
    ((2, 3, 4), (), (6, 4)), ((2, 3, 4), (), (2, 12)), ((2, 3, 4), (), 24), ((2, 3, 4), (), -1),
    ((2, 3, 4), (), (3, -1)), ((2, 3, 4), (), (4, 1, 6)), ((1,), (), ()), ((), (), (1, 1)),
    ((4, 3), (slice(None, None, 2),), (2, 1, 3)), ((4, 6), (..., slice(0, 4)), (2, 2, 2, 2)),
    ((3, 1, 2), (..., slice(None, None, -1)), (3, 2)), ((0, 3), (), (3, 0)), ((0, 3), (), (-1, 3)),
    ((1, 4, 1), (), (2, 2)), ((4, 3), (slice(None), 1), (2, 2)),
])
def test_reshape(shape, key, new):
    a, host = pair(*shape)
    view, expected = a[key], (host[key] if key else host).reshape(new)
    assert np.shares_memory(expected, host) or not host.size
    found = view.reshape(new)
    same(found, expected)
    same(view.reshape(*np.atleast_1d(new).astype(int).tolist()), expected)
    found.fill(-1)
    expected[...] = -1
    same(a, host)


@pytest.mark.parametrize('shape, new, error, text', [
    ((2, 3), (4,), ValueError, r'6 elements cannot have the shape \(4,\)'),
    ((2, 3), (-1, 4), ValueError, r'6 elements cannot have the shape \(-1, 4\)'),
    ((2, 3), (-1, -1), ValueError, 'cannot have the shape'),
    ((2, 3), (-2, -3), ValueError, 'cannot have the shape'),
    ((0, 3), (0, -1), ValueError, 'cannot have the shape'),
    ((2, 3), (2**40, 2**40), ValueError, 'cannot have the shape'),
    ((2, 3), (1,) * 7, ValueError, 'at most 6 ints'),
    ((2, 3), 'ab', TypeError, "a shape must be .* got 'ab'"),
    ((2, 3), None, TypeError, r'a shape must be .* got \(None,\)|got None'),
    ((0,), (0, 2**62, 2**62), MemoryError, 'too large'),
])
def test_shapes_that_do_not_fit(shape, new, error, text):
    with pytest.raises(error, match=text):
        pair(*shape)[0].reshape(new)


def test_a_view_that_would_need_a_copy():
    a, host = pair(4, 6)
    for view in a[:, :3], a[:, :4:2], a[::-1]:
        with pytest.raises(ValueError, match=r'shape \(.*\) without a copy: copy\(\) it before'):
            view.reshape((view.size,))
    same(a[::-1].copy().reshape(24), host[::-1].reshape(24))


# ---- copies ----

@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('key', [(), (slice(None, None, -1),), (..., slice(1, None, 2)), (0,)])
def test_copies(key, dtype):
    a, host = pair(3, 4, dtype=dtype)
    part, expected = a[key], host[key]
    for made in part.copy(), +part:
        same(made, expected)
        made.fill(0)
    for to in DTYPES:
        same(part.astype(to), expected.astype(to))
    same(a, host)


def test_numpy_sees_a_copy():
    a, host = pair(2, 3)
    for seen in np.asarray(a), np.array(a), np.array(a, copy=True), np.asarray(a, np.float32):
        np.testing.assert_array_equal(seen, host)
    assert np.asarray(a, np.float64).dtype == np.float64
    assert np.concatenate([a, host]).shape == (4, 3)
    with pytest.raises(ValueError, match='always copied'):
        np.asarray(a, copy=False)


@pytest.mark.parametrize('value', [
    2, -1.5, True, np.float32(3), np.int64(4), np.arange(3.0), np.ones((2, 1)), [[1, 2, 3]] * 2,
    np.arange(6, dtype=np.int8).reshape(3, 2).T, [4, 5, 6]])
def test_set_broadcasts(value):
    for key in (), (slice(None, None, -1),), (..., slice(None, None, -1)):
        a, host = pair(2, 3)
        a[key].set(value)
        host[key] = value
        same(a, host)


def test_set_from_another_array():
    a, host = pair(4, 3)
    b = open_gpu(np.float64).create_from_numpy(2.0 * host)
    a[1:].set(a[:-1])  # they overlap
    host[1:] = host[:-1].copy()
    same(a, host)
    a[:2] = b[2:]  # another dtype, another handler
    host[:2] = b.get()[2:]
    same(a, host)
    a[:, 0] = a[:, 1]
    host[:, 0] = host[:, 1]
    same(a, host)
    other = PyCudaHandler()
    other.create_from_numpy(host)[...] = a
    a[...] = other.create_from_numpy(host + 1)
    same(a, host + 1)


@pytest.mark.parametrize('value, error, text', [
    (np.ones(4), ValueError, 'broadcast'), (np.ones((3, 2)), ValueError, 'broadcast'),
    ('abc', TypeError, "real numbers, it cannot be set from 'abc'"),
    (None, TypeError, 'real numbers, it cannot be set from None'),
    (1j, TypeError, 'real numbers, it cannot be set from 1j'),
    (np.ones(3, complex), TypeError, 'real numbers'), ([1, [2, 3]], ValueError, 'inhomogeneous'),
    ({}, TypeError, 'real numbers'),
    pytest.param(10**400, OverflowError, 'too large', id='large'),
])
def test_values_that_do_not_fit(value, error, text):
    a, host = pair(2, 3)
    with pytest.raises(error, match=text):
        a.set(value)
    with pytest.raises(error, match=text):
        a[...] = value
    same(a, host)


def test_fill():
    a, host = pair(3, 4)
    a[:, 1:3].fill(9)
    host[:, 1:3] = 9
    a[1].fill(np.nan)
    host[1] = np.nan
    a[::2, ::2].fill(np.float64(0.25))
    host[::2, ::2] = 0.25
    same(a, host)
    for value in 'x', [1], None, np.ones(3):
        with pytest.raises(TypeError, match=r'fill\(\) takes a number'):
            a.fill(value)


# ---- arithmetic ----

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv]
IN_PLACE = [operator.iadd, operator.isub, operator.imul, operator.itruediv]
KEYS = [(), (slice(None, None, -1),), (..., slice(1, 3)), (..., slice(None, None, 2))]


def close(found, expected):
    assert type(found) is _core.GpuArray and found.shape == expected.shape
    np.testing.assert_allclose(found.get(), expected, rtol=1e-6)


@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('op', OPERATORS)
def test_arithmetic(op, key):
    a, host = pair(3, 4)
    a, host = a[key], host[key]
    for number in 2, -0.5, True, np.float32(3), np.float64(3), np.int32(7), np.array(4.0):
        close(op(a, number), op(host, number))
        close(op(number, a), op(number, host))
    row = np.arange(1.0, host.shape[1] + 1)
    other = np.random.RandomState(1).rand(*host.shape).astype(np.float32) + 1
    for array in row, other, other.astype(np.float64), other.T.copy().T:
        close(op(a, array), op(host, array))
        close(op(array, a), op(array, host))
    b = open_gpu().create_from_numpy(other)
    close(op(a, b), op(host, other))
    close(op(a, a), op(host, host))
    close(op(b[::-1], a), op(other[::-1], host))


@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('op', IN_PLACE + [operator.ipow])
def test_arithmetic_in_place(op, key):
    for value in (2, 0.5, 3.0) if op is operator.ipow else (2, 0.5, np.full(
            np.zeros((3, 4))[key].shape, 1.5), 'self', 'other'):
        a, host = pair(3, 4)
        view, expected = a[key], host[key]
        given = value
        if isinstance(value, str):
            given = view if value == 'self' else open_gpu().create_from_numpy(expected + 1)
            value = expected if value == 'self' else expected + 1
        assert op(view, given) is view
        op(expected, np.float32(value) if isinstance(value, float) else value)
        np.testing.assert_allclose(a.get(), host, rtol=1e-6)


def test_in_place_with_an_overlapping_view():
    a, host = pair(400)
    a[1:] += a[:-1]
    host[1:] += host[:-1]
    same(a, host)
    a[:-1] *= a[::-1][:-1]
    host[:-1] *= host[::-1][:-1]
    same(a, host)


def test_powers_and_signs():
    a, host = pair(2, 3)
    for exponent in 2, 0.5, 3, -1, 0, 1.5, np.float64(2), np.int64(3):
        close(a ** exponent, host ** exponent)
    close(-a, -host)
    close(abs(-a), host)


def test_the_dtype_of_results_is_that_of_the_handler():
    a = open_gpu().create_from_numpy(numbers(3, dtype=np.float64))
    assert a.dtype == np.float64 and (a + 1).dtype == np.float32
    a += 1
    assert a.dtype == np.float64
    np.testing.assert_array_equal(a.get(), numbers(3) + 1)


@pytest.mark.parametrize('make', [
    lambda a: a + pair(3, 2)[0], lambda a: pair(6)[0] - a, lambda a: a * np.ones((3, 2)),
    lambda a: np.ones(2) / a, lambda a: operator.iadd(a, pair(3)[0])])
def test_shapes_that_do_not_agree(make):
    with pytest.raises(ValueError, match='shapes|broadcast'):
        make(pair(2, 3)[0])


@pytest.mark.parametrize('make', [
    lambda a: a + 'x', lambda a: [1, 2, 3] * a, lambda a: a - None, lambda a: a / {},
    lambda a: a ** a, lambda a: 2 ** a, lambda a: a ** np.ones(3), lambda a: pow(a, 2, 3),
    lambda a: a ** 1j, lambda a: a + 1j, lambda a: a @ a, lambda a: a % 2])
def test_operands_that_are_none(make):
    with pytest.raises(TypeError):
        make(pair(3)[0])


def test_empty_arrays():
    a, host = pair(0, 3)
    for made in a + 1, 2 * a, a * a, a ** 2, a ** 3, -a, a.copy(), a[:, ::-1] + a:
        same(made, host)
    a += 1
    a[...] = 5
    a.fill(3)
    with pytest.raises(ValueError, match='broadcast'):
        a[...] = np.ones(4)
    handler = open_gpu()
    same(handler.EMPTY, np.zeros(0, np.float32))


# ---- life ----

def test_views_outlive_their_handler_and_network(double):
    gc.collect()
    before = double.live()
    handler = PyCudaHandler()
    view = handler.create_from_numpy(numbers(4, 3))[1:, ::2]
    net = bs.tools.create_net_from_spec('classification', 4, 2, 'F3')
    net.set_handler(handler)
    net.initialize(1.0)
    parameters = net.buffer.parameters
    assert type(parameters) is _core.GpuArray
    del handler, net
    gc.collect()
    np.testing.assert_array_equal((view + 1).get(), numbers(4, 3)[1:, ::2] + 1)
    assert (parameters * 2).get().sum() == 2 * parameters.size
    del view, parameters
    gc.collect()
    assert double.live() == before


def test_arrays_of_another_handler_of_the_same_gpu():
    first, second, wide = PyCudaHandler(), PyCudaHandler(), open_gpu(np.float64)
    a, b = first.create_from_numpy(numbers(3)), second.create_from_numpy(numbers(3) * 2)
    c = wide.create_from_numpy(numbers(3) * 4)
    same(a + b, numbers(3) * 3)
    same(a - c, numbers(3) * -3)
    assert (c + a).dtype == np.float64
    out = second.zeros((3,))
    first.add_tt(a, c, out)
    same(out, numbers(3) * 5)
    a += b
    same(a, numbers(3) * 3)


def test_arrays_of_a_debug_handler():
    handler = DebugHandler(open_gpu())
    a = handler.create_from_numpy(numbers(3))
    handler.add_tt(a, a, a)
    np.testing.assert_array_equal(handler.get_numpy_copy(a), numbers(3) * 2)


# ---- __cuda_array_interface__ ----

class Foreign:
    """An array of another library: what it says of its memory."""

    def __init__(self, **interface):
        self.__cuda_array_interface__ = interface


def described(a, **changes):
    """A foreign array on the memory of a."""
    interface = {'shape': a.shape, 'typestr': a.dtype.str, 'data': (a.ptr, False), 'version': 3,
                 **changes}
    return Foreign(**{key: value for key, value in interface.items() if value != 'none'})


def test_interface():
    a, host = pair(4, 6)
    view, expected = a[::-2, 1:3], host[::-2, 1:3]
    assert view.__cuda_array_interface__ == {
        'shape': (2, 2), 'typestr': '<f4', 'strides': expected.strides, 'version': 3, 'stream': 1,
        'data': (a.ptr + 3 * 24 + 4, False)}
    assert pair(2, dtype=np.float64)[0].__cuda_array_interface__['typestr'] == '<f8'
    assert pair(0, 3)[0].__cuda_array_interface__['data'] == (0, False)


@pytest.mark.parametrize('key', [(), (slice(None, None, -2),), (..., slice(1, 3)), (1, 2), (2,)])
def test_create_from_shares_memory(handler, key):
    a, host = pair(4, 6)
    for foreign in a[key], described(a[key], strides=a[key].strides):
        found = handler.create_from(foreign)
        same(found, host[key])
        found += 1
        host[key] += 1
        same(a, host)


def test_create_from_keeps_the_owner(double):
    gc.collect()
    before = double.live()
    handler = PyCudaHandler()
    owner = described(a := handler.create_from_numpy(numbers(2, 3)))
    owner.memory = a
    found = handler.create_from(owner)[0]
    del owner, a
    same(found, numbers(2, 3)[0])
    del handler, found
    gc.collect()
    assert double.live() == before


def test_create_from_without_strides(handler):
    a, host = pair(2, 3)
    for strides in None, 'none':
        same(handler.create_from(described(a, strides=strides)), host)
    same(handler.create_from(described(a, shape=(0, 2), data=(0, False))), host[:0, :2])
    same(handler.create_from(described(a, shape=(0, 2), data=(None, False))), host[:0, :2])
    same(handler.create_from(described(a, shape=[1, 1], strides=(2**60, -8))), host[:1, :1])
    same(handler.create_from(described(a, strides=(0, 4))), host[[0, 0]])
    same(handler.create_from(described(a, shape=5)), host.ravel()[:5])


def test_memory_that_is_read_only(handler):
    a, host = pair(2, 3)
    fixed = handler.create_from(described(a, data=(a.ptr, True)))
    for write in (lambda: fixed.fill(1), lambda: fixed[0].set(1), lambda: operator.iadd(fixed, 1),
                  lambda: operator.ipow(fixed, 3), lambda: handler.fill(fixed.reshape(6), 1)):
        with pytest.raises(ValueError, match='read-only'):
            write()
    close(fixed + 1, host + 1)
    assert fixed.__cuda_array_interface__['data'] == (a.ptr, True)
    same(handler.create_from(fixed), host)
    with pytest.raises(BufferError, match='read-only'):
        fixed.__dlpack__()
    fixed.copy().fill(1)
    same(a, host)


@pytest.mark.parametrize('changes, error, text', [
    ({'typestr': '<f2'}, TypeError, "float32 or float64, not '<f2'"),
    ({'typestr': '>f4'}, TypeError, "not '>f4'"),
    ({'typestr': '<i4'}, TypeError, "not '<i4'"),
    ({'typestr': 4}, TypeError, 'not 4'),
    ({'typestr': 'none'}, ValueError, "has no 'typestr'"),
    ({'shape': 'none'}, ValueError, "has no 'shape'"),
    ({'data': 'none'}, ValueError, "has no 'data'"),
    ({'shape': (-1, 3)}, ValueError, r'shape \(-1, 3\), a size must not be negative'),
    ({'shape': None}, TypeError, "'shape' of __cuda_array_interface__ must be"),
    ({'shape': (1.5,)}, TypeError, "'shape' of __cuda_array_interface__ must be"),
    ({'shape': (1,) * 7}, ValueError, 'at most 6 ints'),
    ({'shape': (2**40, 2**40)}, MemoryError, 'too large'),
    ({'shape': (2**40, 2**40), 'strides': (0, 0)}, MemoryError, 'too large'),
    ({'shape': (2**61,)}, MemoryError, 'too large'),
    ({'strides': (12, 3)}, ValueError, 'must be 2 multiples of 4 bytes'),
    ({'strides': (4,)}, ValueError, r'must be 2 multiples of 4 bytes, got \(4,\)'),
    ({'strides': 'ab'}, TypeError, "'strides' of __cuda_array_interface__ must be"),
    ({'strides': (2**63 - 4, 4)}, ValueError, 'cannot lie in memory'),
    ({'strides': (-2**62, 4)}, ValueError, 'cannot lie in memory'),
    ({'data': None}, TypeError, r"'data' .* must be a tuple \(address, read-only\), got None"),
    ({'data': (1,)}, TypeError, "'data' .* must be a tuple"),
    ({'data': ('x', False)}, ValueError, "at no address: .'x', False."),
    ({'data': (-4, False)}, ValueError, 'at no address'),
    ({'data': (2**70, False)}, ValueError, 'at no address'),
    ({'data': (0, False)}, ValueError, 'cannot lie in memory'),
    ({'data': (4097, False)}, ValueError, 'cannot lie in memory'),
    ({'data': (2**64 - 8, False)}, ValueError, 'cannot lie in memory'),
    ({'mask': object()}, TypeError, 'mask'),
    ({'stream': 0}, ValueError, "'stream' of __cuda_array_interface__ is no stream: 0"),
    ({'stream': 'x'}, ValueError, "is no stream: 'x'"),
])
def test_interfaces_that_make_no_sense(handler, changes, error, text):
    a, _ = pair(2, 3)
    with pytest.raises(error, match=text):
        handler.create_from(described(a, **changes))


def test_memory_of_the_host_is_refused(handler):
    host = np.ones((2, 3), np.float32)
    a = described(pair(2, 3)[0], data=(host.ctypes.data, False))
    with pytest.raises(ValueError, match=f'the address {host.ctypes.data:#x}, which is in no '
                       'memory of a GPU, this handler is for GPU 0: create_from_numpy copies'):
        handler.create_from(a)


def test_streams_of_others(handler, double):
    a, host = pair(2, 3)
    stream = ctypes.c_void_p()
    double.cuStreamCreate(ctypes.byref(stream), 1)
    for number in None, 1, 2, stream.value:
        same(handler.create_from(described(a, stream=number)), host)
    double.cuStreamDestroy_v2(stream)
    with pytest.raises(RuntimeError, match='cuStreamSynchronize failed: this is no stream'):
        handler.create_from(described(a, stream=stream.value))


@pytest.mark.parametrize('value, text', [
    (np.ones(3), r'device \(1, 0\) of DLPack.*create_from_numpy'),
    (np.float32(1), 'create_from_numpy'), ([1, 2], 'not list: create_from_numpy'),
    (None, 'not NoneType'), (Foreign, 'not type')])
def test_create_from_takes_arrays_of_the_gpu(handler, value, text):
    with pytest.raises((TypeError, ValueError), match=text):
        handler.create_from(value)


def test_an_interface_that_is_no_dict(handler):
    foreign = Foreign()
    foreign.__cuda_array_interface__ = 5
    with pytest.raises(TypeError, match='must be a dict, got 5'):
        handler.create_from(foreign)


def test_an_interface_that_raises(handler):
    class Raises:
        @property
        def __cuda_array_interface__(self):
            raise RuntimeError('needs a gradient')
    with pytest.raises(RuntimeError, match='needs a gradient'):
        handler.create_from(Raises())


def test_create_from_belongs_to_gpus():
    assert not hasattr(NumpyHandler, 'create_from')
    with pytest.raises(TypeError, match='those of NumPy'):
        NumpyHandler().wrap_array(pair(2)[0])


# ---- DLPack ----

class Tensor(ctypes.Structure):
    _fields_ = [('data', ctypes.c_void_p), ('device', ctypes.c_int32), ('id', ctypes.c_int32),
                ('ndim', ctypes.c_int32), ('code', ctypes.c_uint8), ('bits', ctypes.c_uint8),
                ('lanes', ctypes.c_uint16), ('shape', ctypes.POINTER(ctypes.c_int64)),
                ('strides', ctypes.POINTER(ctypes.c_int64)), ('byte_offset', ctypes.c_uint64)]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    name, used = b'dltensor', b'used_dltensor'
    _fields_ = [('tensor', Tensor), ('context', ctypes.c_void_p), ('deleter', DELETER)]


class Versioned(ctypes.Structure):
    name, used = b'dltensor_versioned', b'used_dltensor_versioned'
    _fields_ = [('major', ctypes.c_uint32), ('minor', ctypes.c_uint32),
                ('context', ctypes.c_void_p), ('deleter', DELETER), ('flags', ctypes.c_uint64),
                ('tensor', Tensor)]


api = ctypes.pythonapi
api.PyCapsule_GetPointer.restype = ctypes.c_void_p
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_GetName.restype = ctypes.c_char_p
api.PyCapsule_GetName.argtypes = [ctypes.py_object]
api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_New.restype = ctypes.py_object
api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def content(capsule, kind):
    assert api.PyCapsule_GetName(capsule) == kind.name
    return kind.from_address(api.PyCapsule_GetPointer(capsule, kind.name))


VERSIONS = [(Managed, {}), (Managed, {'max_version': (0, 8)}), (Versioned, {'max_version': (1, 0)}),
            (Versioned, {'max_version': (1, 3)})]


@pytest.mark.parametrize('kind, arguments', VERSIONS)
def test_capsules(kind, arguments):
    a, host = pair(4, 6, dtype=np.float64)
    view, expected = a[1:, ::-2], host[1:, ::-2]
    capsule = view.__dlpack__(**arguments)
    t = content(capsule, kind).tensor
    assert (t.device, t.id) == view.__dlpack_device__() == (2, 0)
    assert (t.code, t.bits, t.lanes, t.ndim) == (2, 64, 1, 2)
    assert tuple(t.shape[:2]) == expected.shape
    assert tuple(8 * step for step in t.strides[:2]) == expected.strides
    assert t.data + t.byte_offset == view.ptr
    if kind is Versioned:
        assert (content(capsule, kind).major, content(capsule, kind).flags) == (1, 0)


@pytest.mark.parametrize('kind, arguments', VERSIONS)
@pytest.mark.parametrize('is_taken', [True, False])
def test_the_memory_of_a_capsule_is_freed_once(double, kind, arguments, is_taken):
    gc.collect()
    before = double.live()
    handler = PyCudaHandler()
    capsule = handler.create_from_numpy(numbers(3)).__dlpack__(**arguments)
    del handler
    assert double.live() != before
    found = content(capsule, kind)
    np.testing.assert_array_equal(double.download(found.tensor.data, (3,), np.float32), numbers(3))
    if is_taken:
        api.PyCapsule_SetName(capsule, kind.used)
        deleter, at = found.deleter, ctypes.addressof(found)
        del capsule
        assert double.live() != before
        deleter(at)
    else:
        del capsule
    assert double.live() == before


def test_arguments_of_dlpack(double):
    a, host = pair(2, 3)
    for stream in None, 1, 2, -1, 2**40:
        assert content(a.__dlpack__(stream=stream), Managed).tensor.data == a.ptr
    same_place = a.__dlpack__(dl_device=(2, 0), copy=False)
    assert content(same_place, Managed).tensor.data == a.ptr
    copied = content(capsule := a.__dlpack__(max_version=(1, 0), copy=True), Versioned)
    assert copied.tensor.data != a.ptr and copied.flags == 2
    np.testing.assert_array_equal(double.download(copied.tensor.data, (2, 3), np.float32), host)
    del capsule
    assert not content(pair(0, 2)[0].__dlpack__(), Managed).tensor.data
    assert content(pair()[0].__dlpack__(), Managed).tensor.ndim == 0


def test_to_numpy_by_dlpack():
    a, host = pair(2, 3)
    np.testing.assert_array_equal(np.from_dlpack(a, device='cpu'), host)
    with pytest.raises(BufferError, match='without a copy'):
        np.from_dlpack(a, device='cpu', copy=False)


@pytest.mark.parametrize('arguments, error, text', [
    ({'stream': 0}, ValueError, 'stream must be -1, 1, 2 or a stream, got 0'),
    ({'stream': -2}, ValueError, 'got -2'), ({'stream': 'x'}, TypeError, 'integer'),
    ({'max_version': 1}, TypeError, r'max_version must be a tuple \(major, minor\), got 1'),
    ({'max_version': (1,)}, TypeError, 'max_version must be a tuple'),
    ({'dl_device': 2}, TypeError, r'dl_device must be a tuple \(type, number\), got 2'),
    ({'dl_device': (2, 1)}, BufferError, r'lives on GPU 0, .* device \(2, 1\)'),
    ({'dl_device': (8, 0)}, BufferError, r'device \(8, 0\)'),
])
def test_arguments_of_dlpack_that_make_no_sense(arguments, error, text):
    with pytest.raises(error, match=text):
        pair(2)[0].__dlpack__(**arguments)


class Producer:
    """Exports memory of the double by DLPack, with changes, and counts what is deleted."""

    def __init__(self, a, kind, place=(2, 0), shape=None, strides=None, takes_version=True,
                 deletes=True, **changes):
        self.place, self.takes_version, self.deleted, self.asked = place, takes_version, 0, None
        shape = a.shape if shape is None else shape
        self.content = kind()
        t = self.content.tensor
        t.data, t.device, t.id, t.ndim = a.ptr, 2, 0, len(shape)
        t.code, t.bits, t.lanes = 2, 8 * a.itemsize, 1
        t.shape = (ctypes.c_int64 * len(shape))(*shape)
        if strides is not None:
            t.strides = (ctypes.c_int64 * len(strides))(*strides)
        if kind is Versioned:
            self.content.major = 1
        if deletes:
            self.content.deleter = DELETER(self.delete)
        for name, value in changes.items():
            setattr(self.content if hasattr(self.content, name) else t, name, value)

    def delete(self, at):
        assert at == ctypes.addressof(self.content)
        self.deleted += 1

    def __dlpack_device__(self):
        return self.place

    def __dlpack__(self, stream=None, **arguments):
        if arguments and not self.takes_version:
            raise TypeError('unexpected keyword argument')
        self.asked = {'stream': stream, **arguments}
        return api.PyCapsule_New(ctypes.addressof(self.content), self.content.name, None)


@pytest.mark.parametrize('kind', [Managed, Versioned])
@pytest.mark.parametrize('dtype', DTYPES)
def test_create_from_dlpack(handler, kind, dtype):
    a, host = pair(2, 3, dtype=dtype)
    producer = Producer(a, kind)
    found = handler.create_from(producer)
    same(found, host)
    assert producer.asked == {'stream': 1, 'max_version': (1, 0)}
    found[0] = 7
    host[0] = 7
    same(a, host)
    view = found[1:]
    del found
    assert producer.deleted == 0
    same(view, host[1:])
    del view
    assert producer.deleted == 1


@pytest.mark.parametrize('kind', [Managed, Versioned])
def test_what_producers_may_do(handler, kind):
    a, host = pair(4, 6)
    old = Producer(a, kind, takes_version=False)
    same(handler.create_from(old), host)
    assert old.asked == {'stream': 1}
    same(handler.create_from(Producer(a, kind, shape=(2, 3), strides=(12, -2), byte_offset=20)),
         host[::2, 5::-2])
    same(handler.create_from(Producer(a, kind, deletes=False)), host)
    same(handler.create_from(Producer(a, kind, shape=(0, 3), data=None)), host[:0, :3])
    same(handler.create_from(Producer(a, kind, shape=())), host[0, 0].reshape(()))
    if kind is Versioned:
        fixed = handler.create_from(Producer(a, kind, flags=1))
        with pytest.raises(ValueError, match='read-only'):
            fixed.fill(0)
        again = content(capsule := fixed.__dlpack__(max_version=(1, 0)), Versioned)
        assert again.flags == 1
        del capsule


@pytest.mark.parametrize('kind', [Managed, Versioned])
@pytest.mark.parametrize('place, error, text', [
    ((1, 0), ValueError, r'device \(1, 0\) of DLPack.*create_from_numpy'),
    ((2, 1), ValueError, r'device \(2, 1\) of DLPack, this handler is for \(2, 0\)'),
    (None, TypeError, r'__dlpack_device__\(\) must be a tuple \(type, number\), got None'),
])
def test_places_that_are_not_this_gpu(handler, kind, place, error, text):
    producer = Producer(pair(2)[0], kind, place)
    with pytest.raises(error, match=text):
        handler.create_from(producer)
    assert producer.asked is None


@pytest.mark.parametrize('kind, changes, error, text', [(kind, *case) for case in [
    ({'device': 10}, ValueError, r'device \(10, 0\)'),
    ({'code': 0}, TypeError, 'type 0 of DLPack with 32 bits and 1 lanes'),
    ({'bits': 16}, TypeError, '16 bits'), ({'lanes': 4}, TypeError, '4 lanes'),
    ({'ndim': 7}, ValueError, '7 dimensions'), ({'ndim': -1}, ValueError, '-1 dimensions'),
    ({'shape': (-1,)}, ValueError, 'negative'), ({'shape': (2**60, 2**60)}, MemoryError, 'large'),
    ({'strides': (2**62, 1)}, ValueError, 'cannot lie in memory'),
    ({'byte_offset': 2}, ValueError, 'cannot lie in memory'),
    ({'byte_offset': 2**63}, ValueError, 'cannot lie in memory'),
    ({'data': None}, ValueError, 'cannot lie in memory')] for kind in (Managed, Versioned)] + [
    (Versioned, {'major': 2}, BufferError, 'version 2.0 of DLPack, expected 1')])
def test_capsules_that_make_no_sense(handler, kind, changes, error, text):
    producer = Producer(pair(2, 3)[0], kind, **changes)
    with pytest.raises(error, match=text):
        handler.create_from(producer)
    assert producer.deleted == 1


def test_dlpack_is_asked_where_an_interface_names_no_stream(handler):
    """As that of PyTorch, whose tensors may still be computed on a stream of its own."""
    a, host = pair(2, 3)
    for stream, asked in ('none', {'stream': 1, 'max_version': (1, 0)}), (1, None):
        producer = Producer(a, Versioned)
        producer.__cuda_array_interface__ = described(a, stream=stream).__cuda_array_interface__
        same(handler.create_from(producer), host)
        assert producer.asked == asked


@pytest.fixture
def two(double):
    """Handlers of two GPUs."""
    double.library.double_plug(2)
    yield PyCudaHandler(), PyCudaHandler(device=1)
    gc.collect()
    double.library.double_plug(1)


def test_memory_of_another_gpu_is_refused(two):
    for handler, other in (two, two[::-1]):
        a = other.ones((2, 3))
        mine, its = handler.device, other.device
        net = bs.tools.create_net_from_spec('classification', 3, 2, 'F4')
        net.set_handler(handler)
        for array in (a, described(a), Producer(a, Managed, (2, mine), id=mine),
                      Producer(a, Versioned, (2, mine), id=mine)):
            with pytest.raises(ValueError, match=f'the array lives on GPU {its}, this handler is '
                                                 f'for GPU {mine}'):
                handler.create_from(array)
        with pytest.raises(ValueError, match=f'lives on GPU {its}'):
            net.provide_external_data({'default': described(a, shape=(1, 2, 3))}, all_inputs=False)


@pytest.mark.parametrize('wrap', [lambda handler: handler, DebugHandler])
def test_memory_of_others_as_data_of_a_network(handler, wrap):
    a = handler.create_from_numpy(numbers(1, 2, 3))
    net = bs.tools.create_net_from_spec('regression', 3, 2, 'F4')
    net.set_handler(wrap(handler))
    net.provide_external_data({'default': described(a), 'targets': np.zeros((1, 2, 2))})
    gc.collect()
    same(a, net.get('Input.outputs.default'))


def test_pinned_memory_of_the_host_is_refused(double, handler):
    at = ctypes.c_void_p()
    double.cuMemHostAlloc(ctypes.byref(at), ctypes.c_size_t(24), 0)
    with pytest.raises(ValueError, match='which is in no memory of a GPU'):
        handler.create_from(described(handler.ones((2, 3)), data=(at.value, False)))
    double.cuMemFreeHost(at)


def test_two_gpus_work_side_by_side(two):
    """Numbers go from one to the other by way of the host."""
    first, second = two
    a, b = first.ones((2, 3)), second.create_from_numpy(numbers(2, 3))
    assert (a.__dlpack_device__(), b.__dlpack_device__()) == ((2, 0), (2, 1))
    same(b + b, 2 * numbers(2, 3))
    same(second.create_from(b), numbers(2, 3))
    a.set(b)
    same(a + a, 2 * numbers(2, 3))


def test_something_else_than_a_capsule(handler):
    class Wrong:
        def __dlpack_device__(self):
            return 2, 0

        def __dlpack__(self, **arguments):
            return 'capsule'
    with pytest.raises(TypeError, match="gave 'capsule', which is no capsule of DLPack"):
        handler.create_from(Wrong())
