"""The double of a GPU is strict: what a GPU would answer with wrong numbers, or later, fails."""

import ctypes
import re
import threading

import numpy as np
import pytest

from cuda_double import CUDA, Array, Double, Failed, KernelArgs

SUMS = ('sums', 'float_int', 'sum_rows')


@pytest.fixture
def gpu(cuda_double):
    gpu = Double(cuda_double)
    before = gpu.live()
    yield gpu
    gpu.library.double_fail_at(0, 0)
    assert gpu.live() == before
    gpu.close()


def sum_rows(gpu, rows=9):
    a = np.ones((rows, 50), np.float32)
    return gpu.run(*SUMS, [a, np.empty((rows, 1), np.float32)], [rows, 50], 4, 64)[1].ravel()


@pytest.fixture
def launch(gpu):
    """Launches sum_rows for one row of 8 numbers at an address."""
    module = gpu.load('sums', 'float_int')
    out = gpu.allocate(4)

    def launch(address, **shape):
        args = KernelArgs()
        args.array[0], args.array[1] = Array(address, 8), Array(out, 1)
        args.size[:2] = 1, 8
        gpu.launch(gpu.function(module, 'sum_rows'), args, **shape)
        return gpu.download(out, (1,), np.float32)[0]
    yield launch
    gpu.free(out)
    gpu.cuModuleUnload(module)


def test_all_functions_are_there(gpu):
    text = (CUDA / 'driver.def').read_text()
    names = re.findall(r'^BS_\w+\((\w+),', text, re.M)
    assert len(names) > 30 and all(hasattr(gpu.library, name) for name in names)


def test_new_memory_is_nan(gpu, launch):
    address = gpu.allocate(32)
    assert np.isnan(gpu.download(address, (8,), np.float32)).all()
    assert np.isnan(launch(address))
    gpu.free(address)


def test_large_new_memory_is_nan_at_its_ends(gpu):
    size = 32 << 20
    address = gpu.allocate(size)
    for place in (address, address + size - 32):
        assert np.isnan(gpu.download(place, (8,), np.float32)).all()
    gpu.free(address)


def test_memory_of_the_cpu_and_freed_memory_are_refused(gpu, launch):
    array = np.ones(8, np.float32)
    with pytest.raises(Failed, match='array 0 of bs_sum_rows: .* is not on the device'):
        launch(array.ctypes.data)
    address = gpu.upload(array)
    assert launch(address) == 8
    gpu.free(address)
    with pytest.raises(Failed, match='not all allocated'):
        launch(address)
    with pytest.raises(Failed, match='was not allocated or is free'):
        gpu.free(address)


def test_copies_stay_inside(gpu):
    address = gpu.allocate(32)
    with pytest.raises(Failed, match='36 bytes at .* are not all allocated'):
        gpu.download(address, (9,), np.float32)
    gpu.free(address)
    with pytest.raises(Failed, match='out of memory'):
        gpu.allocate(1 << 40)


def test_shapes_of_launches(gpu, launch):
    for shape in {'threads': 48}, {'threads': 0}, {'threads': 2048}, {'blocks': 0}:
        with pytest.raises(Failed, match='blocks of'):
            launch(0, **shape)


def test_a_kernel_is_found_in_its_module_only(gpu):
    module = gpu.load('sums', 'float_int')
    with pytest.raises(Failed, match='bs_sgd_step is not in the module sums'):
        gpu.function(module, 'sgd_step')
    gpu.cuModuleUnload(module)
    with pytest.raises(Failed, match='this is no module'):
        gpu.function(module, 'sum_rows')


def test_only_the_engines_own_text_compiles(gpu):
    program = ctypes.c_void_p()
    gpu.nvrtcCreateProgram(ctypes.byref(program), b'void main() {}', b'sums.cu', 0, None, None)
    for option, reason in [(b'--gpu-architecture=sm_90', 'not the text of the module'),
                           (b'--gpu-architecture=sm_80', 'the device does not run this'),
                           (b'--gpu-architecture=compute_100', 'the device does not run this'),
                           (b'--gpu-architecture=sm_91', '--gpu-architecture=sm_91'),
                           (b'--std=c++17', 'an architecture is not given')]:
        with pytest.raises(Failed, match=reason):
            gpu.nvrtcCompileProgram(program, 1, (ctypes.c_char_p * 1)(option))
    gpu.nvrtcDestroyProgram(ctypes.byref(program))


def test_any_call_can_be_made_to_fail(gpu):
    before = gpu.library.double_calls()
    assert (sum_rows(gpu) == 50).all()
    calls = gpu.library.double_calls() - before
    assert calls > 5
    for n in range(1, calls + 1):
        gpu.library.double_fail_at(n, 700)
        with pytest.raises(Failed, match=r'700, .a test wants call \d+ to fail'):
            sum_rows(gpu)
        gpu.library.double_fail_at(0, 0)
    assert (sum_rows(gpu) == 50).all()


def test_a_thread_needs_a_context(gpu):
    failures = []

    def without():
        try:
            gpu.allocate(4)
        except Failed as failure:
            failures.append(failure.args)
    thread = threading.Thread(target=without)
    thread.start()
    thread.join()
    assert failures == [(201, 'this thread has no context')]


def test_several_threads_launch(gpu):
    results = []

    def work():
        gpu.cuCtxSetCurrent(gpu.context)
        results.extend((sum_rows(gpu) == 50).all() for _ in range(20))
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 60 and all(results)


# ---- products ----

@pytest.fixture
def blas(gpu):
    handle = ctypes.c_void_p()
    gpu.cublasCreate_v2(ctypes.byref(handle))
    yield handle
    gpu.cublasDestroy_v2(handle)


def gemm(gpu, blas, a, b, c, turned=(False, False), alpha=1.0, beta=0.0):
    """alpha op(a) op(b) + beta c by cuBLAS, whose matrices are the transposed ones of NumPy."""
    real, name = {np.dtype('f4'): (ctypes.c_float, 'cublasSgemm_v2'),
                  np.dtype('f8'): (ctypes.c_double, 'cublasDgemm_v2')}[a.dtype]
    places = [gpu.upload(x) for x in (b, a, c)]
    at = [ctypes.c_void_p(place) for place in places]
    try:
        getattr(gpu, name)(
            blas, int(turned[1]), int(turned[0]), c.shape[1], c.shape[0],
            a.shape[0] if turned[0] else a.shape[1], ctypes.byref(real(alpha)), at[0], b.shape[1],
            at[1], a.shape[1], ctypes.byref(real(beta)), at[2], c.shape[1])
        return gpu.download(places[2], c.shape, c.dtype)
    finally:
        for place in places:
            gpu.free(place)


@pytest.mark.parametrize('dtype, tolerance', [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize('turned', [(False, False), (True, False), (False, True), (True, True)])
def test_products(gpu, blas, turned, dtype, tolerance):
    rnd = np.random.RandomState(1)
    a, b, c = (rnd.randn(*shape).astype(dtype) for shape in ((3, 5), (5, 4), (3, 4)))
    given = [x.T.copy() if turn else x for x, turn in zip((a, b), turned)]
    np.testing.assert_allclose(gemm(gpu, blas, *given, c, turned, 2.0, 0.5), 2 * a @ b + c / 2,
                               rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gemm(gpu, blas, *given, np.full_like(c, np.nan), turned), a @ b,
                               rtol=tolerance, atol=tolerance)


def test_tf32_is_less_precise(gpu, blas):
    x = np.full((1, 1), 1 + 2.0 ** -12, np.float32)
    gpu.cublasSetMathMode(blas, 3)
    assert gemm(gpu, blas, x, x, x) == 1
    gpu.cublasSetMathMode(blas, 2)
    assert gemm(gpu, blas, x, x, x) > 1


def test_pitches_of_products(gpu, blas):
    place = ctypes.c_void_p()
    one = ctypes.byref(ctypes.c_float(1))
    with pytest.raises(Failed, match=r'7, .a product: .* pitches 2, 3 and 3'):
        gpu.cublasSgemm_v2(blas, 0, 0, 3, 3, 3, one, place, 2, place, 3, one, place, 3)
