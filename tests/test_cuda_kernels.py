"""The kernels whose threads meet, run by a CPU that plays a GPU; and whether bugs that a GPU shows
only now and then are noticed there."""

import ctypes
import subprocess

import numpy as np
import pytest

from cuda_double import CUDA, ORDERS, ROOT, VARIANTS, Double, Failed

THREADS = [32, 64, 256, 1024]


@pytest.fixture(scope='module')
def double(cuda_double):
    double = Double(cuda_double)
    yield double
    double.close()


@pytest.fixture(params=ORDERS)
def gpu(double, request):
    double.set_order(request.param)
    yield double
    double.set_order('ascending')


def matrix(rows, cols, dtype):
    return np.random.RandomState(rows * cols).uniform(-2, 2, (rows, cols)).astype(dtype)


def assert_close(found, wanted):
    tolerance = 1e-5 if found.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * 10)


# ---- against NumPy ----

def check_sum_rows(gpu, variant, rows, cols, blocks, threads):
    a = matrix(rows, cols, VARIANTS[variant])
    _, out = gpu.run('sums', variant, 'sum_rows', [a, np.empty((rows, 1), a.dtype)],
                     [rows, cols], blocks, threads)
    assert_close(out[:, 0], a.astype(float).sum(axis=1))


def check_softmax(gpu, variant, rows, cols, blocks, threads):
    m = matrix(rows, cols, VARIANTS[variant])
    _, out = gpu.run('sums', variant, 'softmax_m', [m, np.empty_like(m)], [rows, cols], blocks,
                     threads)
    p = np.exp(m.astype(float) - m.max(axis=1, keepdims=True))
    assert_close(out, p / p.sum(axis=1, keepdims=True))


def check_sum_columns(gpu, variant, rows, cols, rows_of_part, product, add, blocks):
    x = matrix(rows, cols, VARIANTS[variant])
    y = matrix(cols, rows, x.dtype).T.copy() if product else None
    parts = -(-rows // rows_of_part)
    before = matrix(parts, cols, x.dtype)
    *_, out = gpu.run('sums', variant, 'sum_columns', [x, y, before],
                      [rows, cols, rows_of_part, parts, add], blocks, 256)
    terms = x.astype(float) * (y if product else 1)
    sums = [terms[k:k + rows_of_part].sum(axis=0) for k in range(0, rows, rows_of_part)]
    assert_close(out, np.array(sums) + add * before)


@pytest.mark.parametrize('check', [check_sum_rows, check_softmax])
@pytest.mark.parametrize('variant', VARIANTS)
def test_kernels_with_a_block_for_each_row(gpu, variant, check):
    for rows, cols, blocks in [(1, 1, 1), (3, 7, 3), (5, 100, 2), (7, 1, 9), (2, 1030, 1)]:
        for threads in THREADS:
            check(gpu, variant, rows, cols, blocks, threads)


@pytest.mark.parametrize('variant', VARIANTS)
def test_sum_columns(gpu, variant):
    for rows, cols, rows_of_part, blocks in [(1, 1, 1, 1), (3, 7, 3, 2), (70, 65, 70, 2),
                                             (33, 33, 8, 3), (9, 100, 5, 1)]:
        for product, add in [(False, 0), (True, 1)]:
            check_sum_columns(gpu, variant, rows, cols, rows_of_part, product, add, blocks)


# ---- planted bugs ----

# what is wrong: (kernel, text that stands once in sums.cu, what replaces it, what is noticed)
BUGS = {
    'a barrier is missing before a read': (
        'softmax_m', 'SYNC();\n    v = warp_sum(', 'v = warp_sum(', 'wrong numbers'),
    'a barrier is missing before a write': (
        'softmax_m', 'SYNC(); /* nobody writes warps before all have read it */', '',
        'wrong numbers'),
    'shared memory is too small': (
        'sum_columns', 'SHARED(real, part_sum, WIDTH * HEIGHT)',
        'SHARED(real, part_sum, WIDTH * (HEIGHT - 1))', 'past the end of 896 bytes of shared'),
    'some threads skip a barrier': (
        'sum_columns', 'SYNC();\n        if (y == 0', 'if (col < SIZE(1))\n            SYNC();\n'
        '        if (y == 0', 'meet in different lines'),
    'some threads leave before a barrier': (
        'sum_columns', 'part_sum[threadIdx.x] = sum;', 'part_sum[threadIdx.x] = sum;\n'
        'if (col >= SIZE(1)) return;', 'not all threads of the block reach'),
    'some lanes skip an exchange': (
        'sum_rows', 'v = warp_sum(lane < n ? warps[lane] : 0);',
        'if (lane < n) v = warp_sum(warps[lane]);', 'without all lanes'),
    'a row is read past its end': (
        'sum_rows', 'EACH_COL (col, SIZE(1))', 'EACH_COL (col, SIZE(1) + 1)', 'wrong numbers'),
    'memory is written past its end': (
        'sum_rows', 'AT(1, row, 0) = sum;', 'AT(1, row, 0) = AT(1, row + 1, 0) = sum;',
        'written past its end'),
    'threads that are alone meet': (
        'find_not_finite', 'AT_EACH_PLACE(find_not_finite, ',
        'AT_EACH_PLACE(find_not_finite, SYNC(); ', 'is ALONE, but line'),
}


def check_find_not_finite(gpu):
    _, flag = gpu.run('sums', 'float_int', 'find_not_finite',
                      [np.ones((1, 40), np.float32), np.zeros((1, 1), np.int32)], [1, 40])
    assert flag == 0


CHECKS = {
    'sum_rows': lambda gpu: check_sum_rows(gpu, 'float_int', 5, 100, 2, 256),
    'sum_columns': lambda gpu: check_sum_columns(gpu, 'float_int', 33, 33, 33, False, 0, 1),
    'softmax_m': lambda gpu: check_softmax(gpu, 'float_int', 5, 100, 2, 256),
    'find_not_finite': check_find_not_finite,
}


def what_is_noticed(gpu, kernel):
    """In all orders, one line."""
    noticed = []
    for order in ORDERS:
        gpu.set_order(order)
        try:
            CHECKS[kernel](gpu)
        except Failed as failure:
            noticed.append(failure.args[1])
        except AssertionError:
            noticed.append('wrong numbers')
    gpu.set_order('ascending')
    return '; '.join(noticed)


@pytest.mark.parametrize('bug', BUGS)
def test_planted_bugs_are_noticed(double, cc, cuda_double, tmp_path, bug):
    kernel, old, new, expected = BUGS[bug]
    text = (CUDA / 'kernels' / 'sums.cu').read_text()
    assert text.count(old) == 1
    source, library = tmp_path / 'sums.cu', tmp_path / 'sums.so'
    source.write_text(text.replace(old, new))
    subprocess.run([cc, '-std=c11', '-O1', '-fPIC', '-shared', '-x', 'c', '-DVARIANT=float_int',
                    '-I', ROOT / 'csrc', '-include', ROOT / 'tests' / 'cuda' / 'on_cpu.h',
                    '-include', CUDA / 'kernels' / 'common.cu', source, '-x', 'none', '-o', library,
                    cuda_double, f'-Wl,-rpath,{cuda_double.parent}'], check=True)
    mutant = ctypes.CDLL(str(library))[f'bs_{kernel}_float_int']
    name = f'bs_{kernel}'.encode()
    assert what_is_noticed(double, kernel) == ''
    original = double.library.double_replace_kernel(name, b'float_int', mutant)
    try:
        assert expected in what_is_noticed(double, kernel)
    finally:
        double.library.double_replace_kernel(name, b'float_int', ctypes.c_void_p(original))
    assert what_is_noticed(double, kernel) == ''
