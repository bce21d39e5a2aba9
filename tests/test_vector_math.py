"""The error bounds of csrc/handlers/cpu/vmath.h, in units in the last place."""

import numpy as np
import pytest

from brainstorm import _core

BOUNDS = {'exp': 2, 'sigmoid': 3, 'tanh': 3, 'el': 3}


@pytest.fixture(params=_core.info()['instruction_sets'])
def handler_of(request, monkeypatch):
    monkeypatch.setenv('BRAINSTORM_CPU', request.param)
    return lambda dtype: _core.Handler('cpu', dtype, _core.RandomStream(1))


def inputs(dtype):
    """Numbers of every magnitude, dense where the functions bend and where they saturate."""
    r = np.random.default_rng(0)
    high = 1000 if dtype is np.float64 else 150
    magnitudes = np.exp2(r.uniform(-60, np.log2(high), 100_000))
    edges = np.concatenate([np.linspace(c - 2, c + 2, 2001) for c in (87, 88, 89, 104, 709, 745)])
    x = np.concatenate([magnitudes, r.uniform(0, 20, 200_000), edges, [0.0]])
    return np.concatenate([x, -x]).astype(dtype)


def exact(name, x):
    """In a wider format than the one that is tested."""
    x = x.astype(np.longdouble)
    with np.errstate(all='ignore'):
        if name == 'exp':
            return np.exp(x)
        if name == 'sigmoid':
            return np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))
        if name == 'tanh':
            return np.tanh(x)
        return np.where(x > 0, x, np.expm1(x))


def compute(handler, name, x):
    if name != 'exp':
        y = np.empty_like(x)
        getattr(handler, name)(x, y)
        return y
    # softmax of (x, 0) is exp(x) / (1 + exp(x)) for x <= 0 and has no other use of exp
    pairs = np.stack([x, np.zeros_like(x)], axis=1)
    handler.softmax_m(pairs, pairs)
    return pairs[:, 0] / pairs[:, 1]


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason='needs a long double wider than double'
)
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('name', ['sigmoid', 'tanh', 'el'])
def test_bounds(name, dtype, handler_of):
    x = inputs(dtype)
    want = exact(name, x)
    got = compute(handler_of(dtype), name, x)
    with np.errstate(all='ignore'):
        rounded = want.astype(dtype)
        unit = np.spacing(abs(rounded)).astype(np.longdouble)
    finite = np.isfinite(rounded) & (abs(rounded) >= np.finfo(dtype).tiny)
    assert (got[abs(rounded) < np.finfo(dtype).tiny] == 0).all()  # subnormal: base/subnormal.h
    error = abs(got.astype(np.longdouble) - want)[finite] / unit[finite]
    worst = error.argmax()
    assert error[worst] <= BOUNDS[name], (name, x[finite][worst], got[finite][worst], error[worst])


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason='needs a long double wider than double'
)
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_exp_inside_softmax(dtype, handler_of):
    """exp itself, two roundings of the division by the sum included on each side."""
    x = inputs(dtype)
    x = x[(x <= 0) & (x > (-80 if dtype is np.float32 else -700))]
    want = exact('exp', x)
    got = compute(handler_of(dtype), 'exp', x).astype(np.longdouble)
    assert (abs(got - want) / np.spacing(want.astype(dtype))).max() <= BOUNDS['exp'] + 3


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_special_values(dtype, handler_of):
    handler = handler_of(dtype)
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30], dtype)
    want = {
        'sigmoid': [np.nan, 1, 0, 0.5, 0.5, 1, 0],
        'tanh': [np.nan, 1, -1, 0.0, -0.0, 1, -1],
        'el': [np.nan, np.inf, -1, 0.0, 0.0, 1e30, -1],
        'rel': [np.nan, np.inf, 0, 0.0, 0.0, 1e30, 0],
    }
    for name, values in want.items():
        np.testing.assert_array_equal(
            compute(handler, name, x), np.array(values, dtype), err_msg=name
        )
    assert np.signbit(compute(handler, 'tanh', x))[4]


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_tanh_is_odd(dtype, handler_of):
    handler, x = handler_of(dtype), inputs(dtype)
    np.testing.assert_array_equal(compute(handler, 'tanh', -x), -compute(handler, 'tanh', x))
