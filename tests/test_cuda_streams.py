"""Streams and memory of the double of a GPU: they do things late, and notice who did not wait."""

import ctypes
import gc

import numpy as np
import pytest

from cuda_double import Double, Failed


@pytest.fixture(params=['late', 'in a hurry'])
def gpu(cuda_double, request):
    gc.collect()  # what other tests have left
    gpu = Double(cuda_double)
    before = gpu.live()
    gpu.is_late = request.param == 'late'
    gpu.library.double_hurry(int(not gpu.is_late))
    yield gpu
    gpu.library.double_hurry(0)
    assert gpu.live() == before
    gpu.close()


@pytest.fixture
def stream(gpu):
    stream = gpu.stream()
    yield stream
    gpu.cuStreamDestroy_v2(stream)


@pytest.fixture
def numbers(gpu):
    """Pinned memory with 1, 2, 3, 4."""
    array, address = gpu.pinned(4)
    array[:] = 1, 2, 3, 4
    yield array
    gpu.cuCtxSynchronize()
    gpu.cuMemFreeHost(address)


@pytest.fixture
def place(gpu):
    address = gpu.upload(np.zeros(4, np.float32))
    yield address
    gpu.free(address)


def test_an_upload_is_there_for_who_waits(gpu, stream, numbers, place):
    gpu.upload(numbers, place, stream)
    event = gpu.event(stream)
    gpu.cuStreamWaitEvent(None, event, 0)
    gpu.cuEventDestroy_v2(event)
    np.testing.assert_array_equal(gpu.download(place, 4, np.float32), [1, 2, 3, 4])


def test_an_upload_is_not_there_for_who_does_not(gpu, stream, numbers, place):
    gpu.upload(numbers, place, stream)
    found = gpu.download(place, 4, np.float32)
    gpu.cuStreamSynchronize(stream)
    np.testing.assert_array_equal(found, [0, 0, 0, 0] if gpu.is_late else [1, 2, 3, 4])


def test_the_default_stream_does_nothing_before_somebody_waits(gpu, stream, numbers, place):
    """A stream in a hurry overtakes it."""
    gpu.upload(numbers, place)
    gpu.cuMemsetD8Async(ctypes.c_ulonglong(place), 0, ctypes.c_size_t(16), stream)
    gpu.cuCtxSynchronize()
    found = gpu.download(place, 4, np.float32)
    np.testing.assert_array_equal(found, [0, 0, 0, 0] if gpu.is_late else [1, 2, 3, 4])


def test_an_event_is_that_of_its_last_record_before_the_wait(gpu, stream, numbers, place):
    event = gpu.event(stream)
    gpu.cuStreamWaitEvent(None, event, 0)
    gpu.upload(numbers, place, stream)
    gpu.cuEventRecord(event, stream)
    found = gpu.download(place, 4, np.float32)
    np.testing.assert_array_equal(found, [0, 0, 0, 0] if gpu.is_late else [1, 2, 3, 4])
    gpu.cuEventSynchronize(event)
    np.testing.assert_array_equal(gpu.download(place, 4, np.float32), [1, 2, 3, 4])
    gpu.cuEventDestroy_v2(event)


def test_pinned_memory_that_is_overwritten_too_early_is_noticed(gpu, numbers, place):
    gpu.upload(numbers, place)
    numbers[2] = 7
    with pytest.raises(Failed, match='pinned memory was written before a copy from there was done'):
        gpu.cuStreamSynchronize(None)


def test_pinned_memory_that_is_freed_too_early_is_noticed(gpu, place):
    array, address = gpu.pinned(4)
    gpu.upload(array, place)
    gpu.cuMemFreeHost(address)
    with pytest.raises(Failed, match='pinned memory was freed before a copy was done'):
        gpu.cuStreamSynchronize(None)
    with pytest.raises(Failed, match='is no pinned memory'):
        gpu.cuMemFreeHost(address)


# ---- pools ----

class PoolProps(ctypes.Structure):
    """CUmemPoolProps"""
    _fields_ = [('allocation', ctypes.c_int), ('handles', ctypes.c_int),
                ('location', ctypes.c_int * 2), ('security', ctypes.c_void_p),
                ('reserved', ctypes.c_ubyte * 64)]


@pytest.fixture
def pool(gpu):
    pool = ctypes.c_void_p()
    gpu.cuMemPoolCreate(ctypes.byref(pool), ctypes.byref(PoolProps(1, 0, (1, 0))))
    gpu.cuMemPoolSetAttribute(pool, 4, ctypes.byref(ctypes.c_uint64(1 << 40)))
    before = gpu.library.double_pooled_bytes()
    gpu.kept = lambda: gpu.library.double_pooled_bytes() - before
    yield pool
    gpu.cuMemPoolDestroy(pool)
    assert gpu.kept() == 0


def take(gpu, pool, stream=None, size=16):
    address = ctypes.c_ulonglong()
    gpu.cuMemAllocFromPoolAsync(ctypes.byref(address), ctypes.c_size_t(size), pool, stream)
    return address.value


def give_back(gpu, address, stream=None):
    gpu.cuMemFreeAsync(ctypes.c_ulonglong(address), stream)


def test_memory_of_a_pool_is_kept(gpu, pool):
    for _ in range(2):
        give_back(gpu, take(gpu, pool))
        assert gpu.kept() == 16
    gpu.cuMemPoolTrimTo(pool, ctypes.c_size_t(0))
    assert gpu.kept() == 0


def test_memory_is_freed_in_the_order_of_its_stream(gpu, pool, numbers):
    address = gpu.upload(numbers, take(gpu, pool))
    out, pinned = gpu.pinned(4)
    gpu.download(address, array=out)
    give_back(gpu, address)
    gpu.cuStreamSynchronize(None)
    np.testing.assert_array_equal(out, [1, 2, 3, 4])
    gpu.cuMemFreeHost(pinned)


def test_memory_that_is_given_back_is_not_used_any_more(gpu, pool, numbers):
    address = take(gpu, pool)
    give_back(gpu, address)
    with pytest.raises(Failed, match='not all allocated'):
        gpu.upload(numbers, address)
    with pytest.raises(Failed, match='was not allocated or is free'):
        give_back(gpu, address)


def test_another_stream_that_still_works_on_it_is_noticed(gpu, pool, stream, numbers, place):
    address = take(gpu, pool)
    event = gpu.event()
    gpu.cuStreamWaitEvent(stream, event, 0)
    gpu.upload(numbers, address, stream)
    give_back(gpu, address)
    gpu.cuStreamSynchronize(None)
    with pytest.raises(Failed, match='memory was freed before work on it was done'):
        gpu.cuStreamSynchronize(stream)
    gpu.cuEventDestroy_v2(event)


def test_who_writes_before_the_memory_is_there_has_written_nothing(gpu, pool, stream, numbers):
    address = gpu.upload(numbers, take(gpu, pool), stream)
    gpu.cuStreamSynchronize(stream)
    assert np.isnan(gpu.download(address, 4, np.float32)).all()
    give_back(gpu, address)


def test_memory_goes_back_to_where_it_is_from(gpu, pool):
    pooled, plain = take(gpu, pool), gpu.allocate(16)
    with pytest.raises(Failed, match='memory of a pool is freed as if it were none'):
        gpu.free(pooled)
    with pytest.raises(Failed, match='memory of no pool is freed as if it were of one'):
        give_back(gpu, plain)
    gpu.free(plain)
    give_back(gpu, pooled)
