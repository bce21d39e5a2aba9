"""Every operation of the engine against its NumPy formula (op_cases.py)."""

import functools
import os
import signal
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest

from brainstorm import _core
from op_cases import CASES, DRAW, KEY

OPERATIONS = {op['name']: op for op in _core.operations}
DTYPES = [np.float32, np.float64]
INSTRUCTION_SETS = _core.info()['instruction_sets']


def kinds(name):
    return dict(OPERATIONS[name]['args'])


def of_kind(name, *wanted):
    return [arg for arg, kind in kinds(name).items() if kind in wanted]


def outputs(name):
    return of_kind(name, 'out', 'inout', 'inout_if')


def arrays(name):
    return of_kind(name, 'in', 'in_if') + outputs(name)


def may_be_none(name):
    return of_kind(name, 'in_if', 'inout_if')


def open_handler(dtype, instruction_set=None):
    stream = _core.RandomStream(KEY)
    stream.draw = DRAW
    before = os.environ.get('BRAINSTORM_CPU')
    if instruction_set:
        os.environ['BRAINSTORM_CPU'] = instruction_set
    try:
        return _core.Handler('cpu', dtype, stream)
    finally:
        if instruction_set:
            del os.environ['BRAINSTORM_CPU']
        if before is not None:
            os.environ['BRAINSTORM_CPU'] = before


def cast(arguments, dtype):
    return {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


def in_float64(arguments):
    return cast(arguments, np.float64)


# Tests of one operation, whose instruction sets and layouts share what follows, come one after the
# other; as many shapes as that has are remembered.
remembered = functools.lru_cache(max(len(case.shapes) for case in CASES.values()))


@remembered
def numbers(name, shape):
    r = np.random.default_rng(zlib.crc32(repr((name, shape)).encode()))
    return CASES[name].arguments(r, *shape)


def make(name, dtype, shape):
    return cast(numbers(name, shape), dtype)


def expect(name, arguments):
    with np.errstate(all='ignore'):
        return CASES[name].expected(in_float64(arguments))


@remembered
def expect_of(name, dtype, shape, left_out=()):
    """What the operation gives for the arguments that `make` makes, of which some are None."""
    return expect(name, {**make(name, dtype, shape), **dict.fromkeys(left_out)})


def check(name, expected, arguments, dtype):
    for out, want in expected.items():
        got = arguments[out]
        finite = want[np.isfinite(want)]
        scale = max(1.0, abs(finite).max()) if finite.size else 1.0
        limit = CASES[name].tolerance * np.finfo(dtype).eps * scale
        with np.errstate(over='ignore'):
            want = want.astype(dtype)
        np.testing.assert_allclose(got, want, rtol=0, atol=limit, err_msg='%s of %s' % (out, name))


def pitched(a):
    """The same numbers as columns of a wider array full of NaN."""
    if a.ndim == 0 or a.ndim == 1:
        return a.copy()
    wide = np.full(a.shape[:-1] + (a.shape[-1] + 3,), np.nan, a.dtype)
    view = wide[..., 1 : 1 + a.shape[-1]]
    view[...] = a
    return view


def gapped(a):
    """Whole first items with a gap between them, like two layers side by side in one buffer."""
    if a.ndim < 2 or a.size == 0:
        return a.copy()
    wide = np.full((a.shape[0], a[0].size + 5), np.nan, a.dtype)
    wide[:, 2:-3] = a.reshape(a.shape[0], -1)
    item = a.itemsize
    inner = np.empty(a.shape[1:], a.dtype).strides
    return np.lib.stride_tricks.as_strided(wide[:, 2:], a.shape, (wide.shape[1] * item,) + inner)


def swapped(a):
    """A view that the engine cannot express."""
    return a.T.copy().T


def reverse(a):
    return a[::-1].copy()[::-1] if a.ndim else a.copy()


LAYOUTS = {
    'packed': np.copy,
    'pitched': pitched,
    'gapped': gapped,
    'swapped': swapped,
    'reverse': reverse,
}


def label(*parts):
    return '-'.join(map(str, parts)).replace(' ', '')


ALL = [
    pytest.param(name, shape, id=label(name, *shape))
    for name, case in CASES.items()
    for shape in case.shapes
]
IN_PLACE = [
    pytest.param(name, shape, pair, id=label(name, *shape, pair[1]))
    for name, case in CASES.items()
    for shape in case.shapes
    for pair in case.in_place
]


def test_every_operation_has_a_case():
    assert set(CASES) == set(OPERATIONS)
    for name, case in CASES.items():
        r = np.random.default_rng(0)
        assert set(case.arguments(r, *case.shapes[0])) == set(kinds(name)), name


@pytest.mark.parametrize('instruction_set', INSTRUCTION_SETS)
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name, shape', ALL)
def test_operation(name, shape, dtype, instruction_set):
    arguments = make(name, dtype, shape)
    getattr(open_handler(dtype, instruction_set), name)(**arguments)
    check(name, expect_of(name, dtype, shape), arguments, dtype)


@pytest.mark.parametrize('instruction_set', INSTRUCTION_SETS)
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('layout', ['packed', 'swapped'])
@pytest.mark.parametrize('name', [name for name in CASES if may_be_none(name)])
def test_arrays_that_are_left_out(name, layout, dtype, instruction_set):
    for shape in CASES[name].shapes:
        arguments = make(name, dtype, shape)
        arguments.update(dict.fromkeys(may_be_none(name)))
        expected = expect_of(name, dtype, shape, tuple(may_be_none(name)))
        assert set(expected) == set(outputs(name)) - set(may_be_none(name))
        for array in set(arrays(name)) - set(may_be_none(name)):
            arguments[array] = LAYOUTS[layout](arguments[array])
        getattr(open_handler(dtype, instruction_set), name)(**arguments)
        check(name, expected, arguments, dtype)


@pytest.mark.parametrize('name', CASES)
def test_no_other_array_may_be_left_out(name):
    for array in set(arrays(name)) - set(may_be_none(name)):
        arguments = make(name, np.float32, CASES[name].shapes[-1])
        with pytest.raises(TypeError, match=f"^{name}: '{array}'"):
            getattr(open_handler(np.float32), name)(**{**arguments, array: None})


@pytest.mark.parametrize('layout', [k for k in LAYOUTS if k != 'packed'])
@pytest.mark.parametrize('name', CASES)
def test_layouts(name, layout):
    """Views that are not packed, every array in the same layout, and each array alone."""
    dtype = np.float32
    handler = open_handler(dtype)
    for shape in CASES[name].shapes:
        packed = make(name, dtype, shape)
        expected = expect_of(name, dtype, shape)
        for chosen in [arrays(name)] + [[a] for a in arrays(name)]:
            arguments = {
                k: LAYOUTS[layout if k in chosen else 'packed'](v) if k in arrays(name) else v
                for k, v in packed.items()
            }
            handler.stream.draw = DRAW
            getattr(handler, name)(**arguments)
            check(name, expected, arguments, dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name, shape, pair', IN_PLACE)
def test_in_place(name, shape, pair, dtype):
    out, other = pair
    arguments = make(name, dtype, shape)
    arguments[out] = arguments[other].copy()
    expected = expect(name, arguments)
    arguments[out] = arguments[other] = pitched(arguments[other])
    getattr(open_handler(dtype), name)(**arguments)
    check(name, expected, {out: arguments[out]} | {k: arguments[k] for k in expected}, dtype)


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0]
SPREADS = [
    name
    for name in CASES
    if name
    not in (
        'generate_probability_mask',
        'fill_gaussian',
        'fill',
        'binarize_v',
        'index_m_by_v',
        'softmax_ce',
        'softmax_ce_deriv',
        'embed',
        'embed_add',
        'maxpool2d_backward_batch',
        'maxpool2d_backward_set',
    )
]


@pytest.mark.parametrize('instruction_set', INSTRUCTION_SETS)
@pytest.mark.parametrize('name', SPREADS)
def test_nan_and_infinity(name, instruction_set):
    """They go the way that they go in NumPy."""
    dtype = np.float32
    handler = open_handler(dtype, instruction_set)
    for shape in CASES[name].shapes:
        arguments = make(name, dtype, shape)
        chosen = [
            k
            for k, v in arguments.items()
            if isinstance(v, np.ndarray)
            and v.size >= len(SPECIAL)
            and kinds(name)[k] != 'out'
            and k not in CASES[name].finite
        ]
        for i, k in enumerate(chosen):
            arguments[k].reshape(-1)[i : i + len(SPECIAL)][:] = np.roll(SPECIAL, i)[
                : max(arguments[k].size - i, 0)
            ]
        expected = expect(name, arguments)
        handler.stream.draw = DRAW
        getattr(handler, name)(**arguments)
        for out, want in expected.items():
            got = arguments[out]
            np.testing.assert_array_equal(
                np.isnan(got), np.isnan(want), err_msg='%s %r' % (name, shape)
            )
            infinite = np.isinf(want)
            np.testing.assert_array_equal(got[infinite], want[infinite])


def test_nan_wins_in_max_pooling():
    handler = open_handler(np.float64)
    x = np.array([1.0, np.nan, 7.0, np.nan]).reshape(1, 2, 2, 1)
    out, argmax = np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1, 1))
    handler.maxpool2d_forward_batch(x, (2, 2), out, 0, (1, 1), argmax)
    assert np.isnan(out) and argmax == 1
    handler.maxpool2d_forward_batch(x * 0 - np.inf, (2, 2), out, 0, (1, 1), argmax)
    assert np.isnan(out[0, 0, 0, 0]) and argmax == 1


def test_max_pooling_of_minus_infinity():
    out, argmax = np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1))
    open_handler(np.float64).maxpool2d_forward_batch(
        np.full((1, 2, 2, 1), -np.inf), (2, 2), out, 0, (1, 1), argmax
    )
    assert out == -np.inf and argmax == 0


@pytest.mark.parametrize('dtype, height', [(np.float32, 4096), (np.float64, 4097)])
def test_max_pooling_of_as_many_values_as_argmax_can_tell(dtype, height):
    x, y, argmax = (np.zeros((1, h, w, 1), dtype) for h, w in ((height, 4096), (1, 1), (1, 1)))
    window = (height, 4096)
    x[0, -1, -1] = 5
    handler = open_handler(dtype)
    handler.maxpool2d_forward_batch(x, window, y, 0, (1, 1), argmax)
    assert y == 5 and argmax == height * 4096 - 1
    deltas = np.zeros_like(x)
    handler.maxpool2d_backward_batch(x, window, y, 0, (1, 1), argmax, deltas, np.ones_like(y))
    assert deltas[0, -1, -1] == 1 and deltas.sum() == 1


def test_max_pooling_refuses_images_whose_places_are_no_float32():
    x, y = np.zeros((1, 4097, 2048, 2), np.float32), np.zeros((1, 1, 1, 2), np.float32)
    argmax, window, handler = y.copy(), (4097, 2048), open_handler(np.float32)
    refused = r'images of shape \(4097, 2048, 2\).* more than 16777216 values.* float32'
    with pytest.raises(ValueError, match='maxpool2d_forward_batch: ' + refused):
        handler.maxpool2d_forward_batch(x, window, y, 0, (1, 1), argmax)
    for name in ('maxpool2d_backward_batch', 'maxpool2d_backward_set'):
        with pytest.raises(ValueError, match=f'{name}: {refused}'):
            getattr(handler, name)(x, window, y, 0, (1, 1), argmax, np.zeros_like(x), y.copy())


@pytest.mark.parametrize('name', CASES)
def test_threads_do_not_change_bits(name, threads):
    for shape in CASES[name].shapes:
        results = []
        for n in (1, 2, 3, 8):
            threads(n)
            handler = open_handler(np.float32)
            arguments = make(name, np.float32, shape)
            getattr(handler, name)(**arguments)
            results.append([arguments[out] for out in outputs(name)])
        for other in results[1:]:
            for a, b in zip(results[0], other):
                np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_threads_do_not_change_large_products_and_convolutions(threads):
    r = np.random.default_rng(2)
    a, b = (r.standard_normal(s).astype(np.float32) for s in [(500, 3000), (3000, 600)])
    x, w = (r.standard_normal(s).astype(np.float32) for s in [(37, 16, 16, 8), (24, 5, 5, 8)])
    results = []
    for n in (1, 2, 3, 8):
        threads(n)
        handler = open_handler(np.float32)
        out, y, dw = (
            np.zeros((500, 600), np.float32),
            np.zeros((37, 16, 16, 24), np.float32),
            np.zeros_like(w),
        )
        dx, db = np.zeros_like(x), np.zeros(24, np.float32)
        handler.dot_mm(a, b, out)
        handler.conv2d_forward_batch(x, w, db, y, 2, (1, 1))
        handler.conv2d_backward_batch(x, w, 2, (1, 1), dx, y, dw, db)
        results.append((out, y, dx, dw, db))
    for other in results[1:]:
        for first, second in zip(results[0], other):
            np.testing.assert_array_equal(first, second)


# ---- one-hot matrices ----


def one_hot(r, rows, cols, empty=0.1):
    """One number in each row that is not 0, in some none."""
    x = np.zeros((rows, cols))
    x[np.arange(rows), r.integers(0, cols, rows)] = r.standard_normal(rows)
    x[r.random(rows) < empty] = 0
    return x


@pytest.mark.parametrize('instruction_set', INSTRUCTION_SETS)
@pytest.mark.parametrize('dtype', DTYPES)
def test_one_hot_rows_are_looked_up(dtype, instruction_set):
    r = np.random.default_rng(8)
    handler = open_handler(dtype, instruction_set)
    x, w = one_hot(r, 130, 70).astype(dtype), r.standard_normal((70, 97)).astype(dtype)
    bias, out = r.standard_normal(97).astype(dtype), np.zeros((130, 97), dtype)
    handler.dot_mm(x, w, out)
    np.testing.assert_allclose(out, x @ w, rtol=1e-6, atol=0)
    handler.dot_add_mm(x, np.asfortranarray(w).T.copy(), out, False, True)
    np.testing.assert_allclose(out, 2 * (x @ w), rtol=1e-6, atol=0)
    handler.linear_act(x, w.T.copy(), bias, out, 'tanh')
    np.testing.assert_allclose(out, np.tanh(x @ w + bias), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('instruction_set', INSTRUCTION_SETS)
@pytest.mark.parametrize('dtype', DTYPES)
def test_one_hot_rows_are_scattered(dtype, instruction_set):
    r = np.random.default_rng(9)
    handler = open_handler(dtype, instruction_set)
    d, x = r.standard_normal((150, 99)).astype(dtype), one_hot(r, 150, 20).astype(dtype)
    out = r.standard_normal((99, 20)).astype(dtype)
    before = out.copy()
    handler.dot_add_mm(d, x, out, True)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(out, before + d.T @ x, rtol=tolerance, atol=tolerance)
    handler.dot_mm(d, x, out, True)
    np.testing.assert_allclose(out, d.T @ x, rtol=tolerance, atol=tolerance)
    v, p = np.ones_like(out), np.ones_like(out)
    handler.dot_momentum_step(0.5, 0.25, d, x, out, v, p, True)
    np.testing.assert_allclose(v, 0.25 - 0.5 * (d.T @ x), rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(p, 1 + v)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_infinity_and_nan_beside_one_hot_rows(bad):
    r = np.random.default_rng(10)
    handler = open_handler(np.float32)
    x, w = one_hot(r, 130, 70).astype(np.float32), r.standard_normal((70, 97)).astype(np.float32)
    d, out = r.standard_normal((130, 99)).astype(np.float32), np.zeros((130, 97), np.float32)
    w[3, 5] = d[100, 7] = bad
    with np.errstate(invalid='ignore'):
        handler.dot_mm(x, w, out)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(x @ w))
        out = np.zeros((99, 70), np.float32)
        handler.dot_mm(d, x, out, True)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(d.T @ x))
        v, p = np.ones_like(out), np.ones_like(out)
        handler.dot_momentum_step(1.0, 0.0, d, x, out, v, p, True)
        finite = np.isfinite(d.T @ x)  # where the update is made once
        np.testing.assert_allclose(v[finite], -(d.T @ x)[finite], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(p[finite], 1 + v[finite])
        x[5, 9] = bad  # in the one-hot matrix itself, and on top of another number
        out = np.zeros((130, 97), np.float32)
        handler.dot_mm(x, np.ones_like(w), out)
        np.testing.assert_array_equal(np.isfinite(out), np.isfinite(x @ np.ones_like(w)))


def test_threads_do_not_change_products_with_one_hot_rows(threads):
    r = np.random.default_rng(11)
    x, w, d = one_hot(r, 3000, 70), r.standard_normal((70, 600)), r.standard_normal((3000, 500))
    x, w, d = (a.astype(np.float32) for a in (x, w, d))
    results = []
    for n in (1, 2, 3, 8):
        threads(n)
        out, dw = np.zeros((3000, 600), np.float32), np.zeros((500, 70), np.float32)
        handler = open_handler(np.float32)
        handler.dot_mm(x, w, out)
        handler.dot_mm(d, x, dw, True)
        results.append((out, dw))
    for other in results[1:]:
        for first, second in zip(results[0], other):
            np.testing.assert_array_equal(first, second)


# ---- nothing to do ----


@pytest.mark.parametrize('shape, filters', [((0, 3, 4, 33), 3), ((2, 5, 5, 4), 0)])
def test_convolutions_without_images_or_filters(shape, filters):
    handler = open_handler(np.float32)
    x, w = np.ones(shape, np.float32), np.ones((filters, 3, 3, shape[3]), np.float32)
    dy = np.ones((shape[0], shape[1] - 2, shape[2] - 2, filters), np.float32)
    dx, dw, db = np.ones_like(x), np.ones_like(w), np.ones(filters, np.float32)
    handler.conv2d_backward_batch(x, w, 0, (1, 1), dx, dy, dw, db)
    assert (dx == 1).all() and (dw == 0).all() and (db == 0).all()


def test_max_pooling_without_channels():
    handler = open_handler(np.float32)
    x, y = np.ones((16, 4, 4, 0), np.float32), np.ones((16, 2, 2, 0), np.float32)
    handler.maxpool2d_forward_batch(x, (2, 2), y, 0, (2, 2), y.copy())
    handler.maxpool2d_backward_batch(x, (2, 2), y, 0, (2, 2), y.copy(), x, y.copy())


@pytest.mark.parametrize('steps, sequences', [(0, 2), (2, 0)])
def test_an_lstm_wants_a_step_and_a_sequence(steps, sequences):
    arguments = make('lstm_backward_steps', np.float32, (2, 2, 3, 'tanh'))
    for name, a in arguments.items():
        if name == 'c_before':
            arguments[name] = a[:sequences]
        elif isinstance(a, np.ndarray) and a.ndim == 3:
            arguments[name] = a[:steps + (name == 'dca'), :sequences].copy()
    with pytest.raises(ValueError, match='lstm_backward_steps'):
        open_handler(np.float32).lstm_backward_steps(**arguments)


# ---- numbers that are too small ----


def test_subnormal_numbers_count_as_0_inside_only():
    tiny = np.finfo(np.float32).tiny
    small, out = np.full(100000, tiny / 4, np.float32), np.ones(100000, np.float32)
    handler = open_handler(np.float32)
    handler.mult_st(1.0, small, out)  # operands
    assert (out == 0).all()
    handler.mult_st(0.25, np.full_like(small, tiny), out)  # results
    assert (out == 0).all()
    assert np.all(small > 0) and np.float32(tiny) / 4 > 0  # NumPy in this thread keeps them


PRODUCTS = """
import sys
import numpy as np
import test_operations as t

assert t._core.info()['blas'] == sys.argv[1]
for name in ('dot_mm', 'dot_add_mm', 'linear_act'):
    for shape in t.CASES[name].shapes:
        for dtype in t.DTYPES:
            for instruction_set in t.INSTRUCTION_SETS:
                arguments = t.make(name, dtype, shape)
                expected = t.expect(name, arguments)
                getattr(t.open_handler(dtype, instruction_set), name)(**arguments)
                t.check(name, expected, arguments, dtype)
t.test_threads_do_not_change_large_products_and_convolutions(t._core.set_num_threads)
"""


def run_child(code, *arguments, **environment):
    """Runs code in a process of its own, where this folder is importable."""
    folders = [os.path.dirname(os.path.abspath(__file__))] + [p for p in sys.path if p]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(folders), **environment)
    subprocess.run([sys.executable, '-c', code, *arguments], env=environment, check=True,
                   timeout=300)


@pytest.mark.parametrize('transa', [False, True])
def test_products_of_every_number_of_rows(transa):
    """Register tiles of all heights, as they are and turned, and a last one that is lower."""
    r = np.random.default_rng(0)
    for dtype in DTYPES:
        for instruction_set in INSTRUCTION_SETS:
            handler = open_handler(dtype, instruction_set)
            for m, k in [*((m, 45) for m in range(3, 35)), (51, 45), (101, 45), (251, 1100)]:
                a, b = r.standard_normal((m, k)).astype(dtype), r.standard_normal((k, 70))
                b, out = b.astype(dtype), np.full((m + 1, 75), np.nan, dtype)
                handler.dot_mm(a.T.copy() if transa else a, b, out[:m, :70], transa)
                np.testing.assert_allclose(out[:m, :70], a @ b, rtol=0,
                                           atol=10 * k * np.finfo(dtype).eps)
                assert np.isnan(out[m]).all() and np.isnan(out[:, 70:]).all()


def test_products_without_blas():
    run_child(PRODUCTS, 'none', BRAINSTORM_BLAS='none')


def private_blas():
    path = os.path.join(os.path.dirname(_core.__file__), 'libbrainstorm_blas.so')
    if not os.path.exists(path):
        pytest.skip('the package was built without a BLAS')
    return path


def test_products_by_a_blas_of_choice():
    run_child(PRODUCTS, private_blas(), BRAINSTORM_BLAS=private_blas())


def test_threads_from_the_environment():
    code = 'from brainstorm import _core; assert _core.num_threads() == %d'
    run_child(code % 3, BRAINSTORM_NUM_THREADS='3')
    run_child(code % 256, BRAINSTORM_NUM_THREADS='256')


def test_same_bits_with_a_forced_blas_kernel():
    code = (
        'import test_operations as t; '
        't.test_threads_do_not_change_large_products_and_convolutions(t._core.set_num_threads)'
    )
    run_child(code, OPENBLAS_CORETYPE='Haswell', BRAINSTORM_BLAS=private_blas())


# ---- the numbers of 0.5 ----


def reference_operations(handler):
    """The calls that made data/cases/handler_operations.npz with 0.5, in the same order."""
    r = np.random.RandomState(6)
    a, b = r.randn(4, 5), r.randn(4, 5)
    v, c = r.randn(1, 5), r.randn(4, 1)
    z, out = np.zeros((4, 5)), {}

    def op(name, *args, **kw):
        result = np.array(args[-1], dtype=float)
        getattr(handler, name)(*args[:-1], result, **kw)
        out[name + str(len(out))] = result

    for name in ('abs_t', 'sign_t', 'tanh', 'sigmoid', 'rel', 'el'):
        op(name, a, z)
    op('sqrt_t', abs(a), z), op('log_t', abs(a), z)
    op('add_tt', a, b, z), op('subtract_tt', a, b, z), op('mult_tt', a, b, z)
    op('divide_tt', a, b, z), op('mult_add_tt', a, b, b), op('modulo_tt', a, b, z)
    op('add_st', 2.5, a, z), op('mult_st', 2.5, a, z), op('mult_add_st', 2.5, a, b)
    for w in (v, c):
        (
            op('add_mv', a, w, z),
            op('mult_mv', a, w, z),
            op('divide_mv', a, w, z),
            op('subtract_mv', a, w, z),
        )
    op('mult_mv', a, b, z)
    (
        op('dot_mm', a, b, np.zeros((4, 4)), transb=True),
        op('dot_mm', a, b, np.zeros((5, 5)), transa=True),
    )
    op('dot_add_mm', a, b.T, np.ones((4, 4)))
    op('sum_t', a, 0, np.zeros((1, 5))), op('sum_t', a, 1, np.zeros((4, 1)))
    op('sum_t', a, 0, np.zeros(5)), op('sum_t', a, None, np.zeros(()))
    op('clip_t', a, -0.3, 0.4, z), op('softmax_m', a, z)
    ids = np.array([[1.0], [0.0], [4.0], [2.0]])
    op('binarize_v', ids, z), op('index_m_by_v', a, ids, np.zeros((4, 1)))
    op('broadcast_t', c, 1, z), op('merge_tt', a, b[:, :2], np.zeros((4, 7)))
    cond = (r.rand(4, 5) > 0.5) * 1.0
    copied, added, filled = b.copy(), b.copy(), b.copy()
    (
        handler.copy_to_if(a, copied, cond),
        handler.add_into_if(a, added, cond),
        handler.fill_if(filled, 3.0, cond),
    )
    out.update(
        copy_to_if=copied,
        add_into_if=added,
        fill_if=filled,
        split_a=np.ones((4, 3)),
        split_b=np.ones((4, 2)),
    )
    handler.split_add_tt(a, out['split_a'], out['split_b'])
    for name in ('tanh', 'sigmoid', 'rel', 'el'):
        y, dx = np.zeros((4, 5)), np.zeros((4, 5))
        getattr(handler, name)(a, y)
        getattr(handler, name + '_deriv')(a, y, b, dx)
        out[name + '_deriv'] = dx
    with np.errstate(all='ignore'):
        out['finite'] = np.array(
            [handler.is_fully_finite(a), handler.is_fully_finite(a / 0.0)], dtype=float
        )
    return out


def test_reference_numbers():
    path = os.path.join(os.path.dirname(__file__), 'data', 'cases', 'handler_operations.npz')
    got = reference_operations(open_handler(np.float64))
    with np.load(path) as reference:
        assert set(reference.files) == set(got)
        for key in reference.files:
            np.testing.assert_allclose(
                got[key], reference[key], rtol=1e-12, atol=1e-13, err_msg=key
            )


# ---- arguments ----


def test_other_dtypes_are_computed_in_the_handlers_dtype():
    handler = open_handler(np.float32)
    out = np.zeros(3)
    handler.add_st(0.1, np.array([1, 2, 3]), out)
    np.testing.assert_array_equal(out, (np.float32([1, 2, 3]) + np.float32(0.1)).astype(np.float64))
    small = np.zeros(3, np.int16)
    handler.mult_st(2, [1.0, 2.0, 3.0], small)
    assert small.tolist() == [2, 4, 6]


def test_many_dimensions():
    handler = open_handler(np.float64)
    a = np.arange(2.0**9).reshape((2,) * 9)
    out = np.zeros_like(a)
    handler.add_tt(a, a, out)
    np.testing.assert_array_equal(out, 2 * a)
    handler.mult_st(3, a.T, out.T)
    np.testing.assert_array_equal(out, 3 * a)


def test_sizes_of_zero():
    handler = open_handler(np.float32)
    empty, total = np.zeros((0, 5), np.float32), np.ones(1, np.float32)
    handler.add_tt(empty, empty, np.zeros((0, 5), np.float32))
    handler.sum_t(empty, None, total)
    assert total == 0
    columns = np.ones(5, np.float32)
    handler.sum_t(empty, 0, columns)
    assert not columns.any()
    assert handler.is_fully_finite(a=empty)


def test_is_fully_finite():
    handler = open_handler(np.float32)
    a = np.zeros((300, 301), np.float32)
    assert handler.is_fully_finite(a) is True
    for bad in (np.nan, np.inf, -np.inf):
        a[299, 300] = bad
        assert handler.is_fully_finite(a) is False
        assert handler.is_fully_finite(a[:, :300]) is True


@pytest.mark.parametrize('name', CASES)
def test_wrong_shapes(name):
    handler = open_handler(np.float32)
    shape = CASES[name].shapes[-1]
    for k in arrays(name):
        if len(arrays(name)) == 1:
            continue
        arguments = make(name, np.float32, shape)
        arguments[k] = (
            np.zeros(tuple(np.array(arguments[k].shape) + 1), np.float32)
            if arguments[k].ndim
            else np.zeros(2, np.float32)
        )
        with pytest.raises(ValueError, match=name):
            getattr(handler, name)(**arguments)


@pytest.mark.parametrize('name', CASES)
def test_read_only_outputs(name):
    for out in outputs(name):
        arguments = make(name, np.float32, CASES[name].shapes[-1])
        arguments[out].flags.writeable = False
        with pytest.raises(ValueError, match="%s: '%s' is read-only" % (name, out)):
            getattr(open_handler(np.float32), name)(**arguments)


@pytest.mark.parametrize('name', CASES)
def test_outputs_must_be_arrays(name):
    for out in outputs(name):
        arguments = make(name, np.float32, CASES[name].shapes[-1])
        arguments[out] = arguments[out].tolist()
        with pytest.raises(TypeError, match=out):
            getattr(open_handler(np.float32), name)(**arguments)


def overlapping_arguments(name, out, other):
    """Arguments in which the two share memory without being the same view; None if too small."""
    arguments = make(name, np.float32, CASES[name].shapes[-1])
    a, b = arguments[out], arguments[other]
    if min(a.size, b.size) < 2:
        return None
    memory = np.zeros(a.size + b.size, np.float32)
    arguments[out] = memory[: a.size].reshape(a.shape)
    arguments[other] = memory[a.size - 1 : a.size - 1 + b.size].reshape(b.shape)
    return arguments


@pytest.mark.parametrize('name', CASES)
def test_partial_overlap(name):
    for out in outputs(name):
        for other in arrays(name):
            arguments = overlapping_arguments(name, out, other) if other != out else None
            if arguments:
                with pytest.raises(ValueError, match=name):
                    getattr(open_handler(np.float32), name)(**arguments)


def test_overlap_behind_a_copy():
    handler = open_handler(np.float32)
    a = np.arange(9, dtype=np.float32).reshape(3, 3)
    with pytest.raises(ValueError, match='overlaps'):
        handler.copy_to(a, a.T)
    a = np.arange(8, dtype=np.float32)
    handler.copy_to(a[::2], a[1::2])
    assert a.tolist() == [0, 0, 2, 2, 4, 4, 6, 6]


def test_in_place_is_refused_where_it_cannot_work():
    handler = open_handler(np.float32)
    a = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match='same array'):
        handler.dot_mm(a, a, a)


@pytest.mark.parametrize('wrong', [12, -1, 1.5, np.nan, np.inf, 1e30])
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize(
    'name', ['binarize_v', 'index_m_by_v', 'softmax_ce', 'softmax_ce_deriv', 'embed', 'embed_add']
)
def test_ids_out_of_range(name, dtype, wrong):
    handler = open_handler(dtype)
    shape = {'softmax_ce': ((9,), 10), 'softmax_ce_deriv': ((9,), 10), 'embed': (9, 10, 5)}
    arguments = make(name, dtype, shape.get(name.removesuffix('_add'), (9, 10)))
    ids = next(arguments[k] for k in ('v', 'targets', 'ids') if k in arguments)
    ids[3] = ids[7] = wrong
    with pytest.raises(IndexError, match=r'row 3 is out of range \[0, 10\)'):
        getattr(handler, name)(**arguments)
    ids[3] = ids[7] = 9
    expected = expect(name, arguments)
    getattr(handler, name)(**arguments)  # the handler works on
    check(name, expected, arguments, dtype)


def test_argmax_out_of_range():
    handler = open_handler(np.float32)
    for wrong in (16, -2, 0.5, np.nan, 3):  # 3 is another window's
        arguments = make('maxpool2d_backward_batch', np.float32, ((2, 4, 4, 1), (2, 2), (2, 2), 0))
        arguments['argmax'][1, 1, 1, 0] = wrong
        with pytest.raises(IndexError, match='image 1'):
            handler.maxpool2d_backward_batch(**arguments)


@pytest.mark.parametrize(
    'call, error',
    [
        (lambda h, a: h.add_tt(a, a), TypeError),
        (lambda h, a: h.add_tt(a, a, a, a), TypeError),
        (lambda h, a: h.add_tt(a, a, a, out=a), TypeError),
        (lambda h, a: h.add_tt(a, b=a, oux=a), TypeError),
        (lambda h, a: h.add_st('x', a, a), TypeError),
        (lambda h, a: h.add_tt(a * 1j, a, a), TypeError),
        (lambda h, a: h.sum_t(a, 2, a), ValueError),
        (lambda h, a: h.sum_t(a, -1, a), ValueError),
        (lambda h, a: h.broadcast_t(a, 7, a), ValueError),
        (lambda h, a: h.linear_act(a, a, a, a, 'relu'), ValueError),
        (lambda h, a: h.avgpool2d_forward_batch(a, (2,), a, 0, (1, 1)), ValueError),
        (lambda h, a: h.avgpool2d_forward_batch(a, 2, a, 0, (1, 1)), TypeError),
    ],
)
def test_wrong_calls(call, error):
    with pytest.raises(error):
        call(open_handler(np.float32), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    'window, stride, padding',
    [((0, 2), (1, 1), 0), ((2, 2), (0, 1), 0), ((2, 2), (1, -1), 0), ((2, 2), (1, 1), -1)],
)
def test_wrong_windows(window, stride, padding):
    handler = open_handler(np.float32)
    a = np.zeros((1, 4, 4, 1), np.float32)
    with pytest.raises(ValueError, match='window|stride|padding'):
        handler.avgpool2d_forward_batch(a, window, a.copy(), padding, stride)


# ---- handlers ----


def test_handler_attributes():
    stream = _core.RandomStream(5)
    handler = _core.Handler('cpu', 'float64', stream)
    assert handler.name == 'cpu' and handler.dtype is np.float64 and handler.stream is stream
    handler.stream = other = _core.RandomStream(6)
    assert handler.stream is other
    with pytest.raises(TypeError):
        handler.stream = 5
    for args, error in [
        (('gpu?', np.float32, stream), KeyError),
        (('cpu', np.int32, stream), TypeError),
        (('cpu', np.float32, 1), TypeError),
    ]:
        with pytest.raises(error):
            _core.Handler(*args)


def test_handler_without_init():
    class Lazy(_core.Handler):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match='__init__'):
        Lazy().fill(np.zeros(3), 1)


def test_streams():
    stream = _core.RandomStream(2**64 - 1)
    handler = _core.Handler('cpu', np.float32, stream)
    first, second = np.zeros((2, 50), np.float32)
    handler.generate_probability_mask(first, 0.5)
    handler.generate_probability_mask(second, 0.5)
    assert stream.draw == 2 and (first != second).any()
    stream.draw = 0
    handler.generate_probability_mask(second, 0.5)
    np.testing.assert_array_equal(first, second)
    stream.restart(3)
    assert (stream.key, stream.draw) == (3, 0)
    for wrong in (-1, 2**64):
        with pytest.raises(OverflowError):
            stream.restart(wrong)


def test_unknown_instruction_set():
    with pytest.raises(RuntimeError, match='base'):
        open_handler(np.float32, 'abacus')


def test_instruction_sets_agree():
    """Sums are made in the same order, so only fused multiply-adds and library maths may differ."""
    a = np.random.default_rng(1).standard_normal((40, 50)).astype(np.float32)
    results = []
    for name in INSTRUCTION_SETS:
        out = np.zeros_like(a)
        open_handler(np.float32, name).tanh(a, out)
        results.append(out)
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=3e-7)


def test_one_handler_in_many_threads():
    handler = open_handler(np.float32)
    a = np.random.default_rng(0).standard_normal((200, 300)).astype(np.float32)
    want = a @ a.T
    bad = []

    def work():
        for _ in range(20):
            out = np.zeros((200, 200), np.float32)
            handler.dot_mm(a, a, out, transb=True)
            if abs(out - want).max() > 1e-3:
                bad.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not bad


needs_fork = pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')


def check_in_child(check):
    """check() is true in a child of this process, within a minute."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(60)
            os._exit(0 if check() else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0


@needs_fork
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_fork(threads):
    threads(2)
    a = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    out = np.zeros_like(a)
    handler = open_handler(np.float32)
    handler.dot_mm(a, a, out)

    def check():
        again = np.zeros_like(a)
        handler.dot_mm(a, a, again)
        return (again == out).all()

    check_in_child(check)


@needs_fork
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_fork_in_the_middle_of_a_job(threads):
    """The child, which has none of the parent's workers, computes what the parent would."""
    threads(2)
    a = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    handler, expected, ends = open_handler(np.float32), np.zeros_like(a), threading.Event()
    handler.dot_mm(a, a, expected)
    rounds = 0

    def work():
        nonlocal rounds
        other, out = open_handler(np.float32), np.zeros_like(a)
        while not ends.is_set():
            other.dot_mm(a, a, out)
            rounds += 1

    def check():
        outs = [np.zeros_like(a) for _ in range(3)]
        for out in outs:
            handler.dot_mm(a, a, out)
        return all((out == expected).all() for out in outs)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(40):
            check_in_child(check)
    finally:
        ends.set()
        worker.join()
    assert rounds > 1


def test_number_of_threads(threads):
    threads(3)
    assert _core.num_threads() == 3 and _core.info()['threads'] == 3
    for wrong in (0, -1, 257, 2**70):
        with pytest.raises(ValueError):
            threads(wrong)
    for wrong in (1.5, 'x', None):
        with pytest.raises(TypeError):
            threads(wrong)


@pytest.mark.parametrize('name', CASES)
def test_memory_runs_out(name):
    """The n-th allocation fails, for n = 1, 2, ... until success: MemoryError each time."""
    shape = CASES[name].shapes[-1]
    for n in range(1, 50):
        handler = open_handler(np.float32)
        arguments = make(name, np.float32, shape)
        expected = expect(name, arguments)
        _core.fail_allocation(n)
        try:
            getattr(handler, name)(**arguments)
        except MemoryError:
            continue
        finally:
            _core.fail_allocation(0)
        check(name, expected, arguments, np.float32)
        return
    pytest.fail('still no success')


def test_handlers_free_their_memory():
    handler = open_handler(np.float32)
    a = np.ones((400, 5000), np.float32)
    del handler
    before = _core.live_allocation_count()
    for _ in range(3):
        handler = open_handler(np.float32)
        handler.sum_t(a, 0, np.zeros(5000, np.float32))
        handler.dot_mm(a, a, np.zeros((400, 400), np.float32), transb=True)
        del handler
    assert _core.live_allocation_count() == before


@pytest.mark.parametrize('probability', [-0.1, 1.5, float('nan')])
def test_a_probability_lies_between_0_and_1(probability):
    h = open_handler(np.float32)
    with pytest.raises(ValueError, match=r"'probability' must lie in \[0, 1\], got"):
        h.generate_probability_mask(np.zeros(3, np.float32), probability)


@pytest.mark.parametrize('dtype', ['M8[s]', 'O', 'U3', 'c8'])
def test_arrays_hold_real_numbers(dtype):
    h = open_handler(np.float32)
    with pytest.raises(TypeError, match="fill: 'mem' has dtype .* operations take real numbers"):
        h.fill(np.zeros(3, dtype), 2.0)
