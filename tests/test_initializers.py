import copy
import pickle

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.initializers import Initializer, evaluate_initializer
from brainstorm.utils import InitializationError

SHAPE = (4, 6)


def fresh(seed=11):
    return np.random.RandomState(seed)


@pytest.mark.parametrize('initializer, expected', [
    (lambda: bs.Gaussian(0.2, 0.5), lambda r: r.randn(*SHAPE) * 0.2 + 0.5),
    (lambda: bs.Uniform(0.3), lambda r: 0.6 * r.rand(*SHAPE) - 0.3),
    (lambda: bs.Uniform(-0.1, 0.4), lambda r: 0.5 * r.rand(*SHAPE) - 0.1),
    (lambda: bs.DenseSqrtFanIn(), lambda r: 6**0.5 * (2 * r.rand(*SHAPE) - 1) / 6**0.5),
    (lambda: bs.DenseSqrtFanIn('sigmoid'),
     lambda r: 4 * 3**0.5 * (2 * r.rand(*SHAPE) - 1) / 6**0.5),
    (lambda: bs.DenseSqrtFanIn(0.7), lambda r: 0.7 * (2 * r.rand(*SHAPE) - 1) / 6**0.5),
    (lambda: bs.DenseSqrtFanInOut('tanh'),
     lambda r: 6**0.5 * (2 * r.rand(*SHAPE) - 1) / 10**0.5),
    (lambda: bs.DenseSqrtFanInOut('linear'), lambda r: (2 * r.rand(*SHAPE) - 1) / 10**0.5),
    (lambda: bs.Identity(0.9, 0.1, enforce_square=False),
     lambda r: 0.9 * np.eye(*SHAPE) + 0.1 * r.randn(*SHAPE)),
], ids=str)
def test_formulas(initializer, expected):
    values = evaluate_initializer(initializer(), SHAPE, seed=11)
    assert np.allclose(values, expected(fresh()), rtol=1e-12)


def test_fan_in_counts_all_dimensions_but_the_first():
    shape = (2, 3, 3, 5)
    values = evaluate_initializer(bs.DenseSqrtFanIn('linear'), shape, seed=1)
    assert np.allclose(values, (2 * fresh(1).rand(*shape) - 1) / np.sqrt(45))


def test_echo_state_has_its_spectral_radius():
    values = evaluate_initializer(bs.EchoState(0.7), (5, 5), seed=1)
    assert np.max(np.abs(np.linalg.eigvals(values))) == pytest.approx(0.7)
    start = fresh(1).uniform(-0.5, 0.5, (5, 5))
    assert np.allclose(values / values[0, 0], start / start[0, 0])


@pytest.mark.parametrize('shape', [(3, 5), (5, 3), (4, 4)])
def test_orthogonal_rows_or_columns(shape):
    values = evaluate_initializer(bs.Orthogonal(2.0), shape, seed=1)
    small = values @ values.T if shape[0] <= shape[1] else values.T @ values
    assert np.allclose(small, 4 * np.eye(min(shape)))


@pytest.mark.parametrize('initializer, scale', [
    (bs.RandomWalk(), np.exp(1 / 16)),
    (bs.RandomWalk('rel'), np.sqrt(2) * np.exp(1.2 / (8 - 2.4))),
    (bs.RandomWalk(scale=3.0), 3.0),
])
def test_random_walk(initializer, scale):
    values = evaluate_initializer(initializer, (8, 8), seed=1)
    assert np.allclose(values, scale * fresh(1).randn(8, 8) / 8)


def test_sparse_initializers_count_columns_and_rows():
    values = evaluate_initializer(bs.SparseInputs(1.0, 3), (6, 4), seed=1)
    assert np.array_equal((values != 0).sum(axis=0), [3] * 4)
    values = evaluate_initializer(bs.SparseOutputs(1.0, 3), (6, 4), seed=1)
    assert np.array_equal((values != 0).sum(axis=1), [3] * 6)


def test_lstm_opt_blocks():
    initializer = bs.LstmOptInit(1.0, bs.Gaussian(), 3, bs.Gaussian(2.0))
    values = evaluate_initializer(initializer, (8, 3), seed=1)
    seeds = [s for s in fresh(1).randint(0, 1000000000, 4)]
    assert np.array_equal(values[:2], np.full((2, 3), 1.0))
    assert np.allclose(values[2:4], fresh(seeds[1]).randn(2, 3) * 0.1)
    assert np.array_equal(values[4:6], np.full((2, 3), 3.0))
    assert np.allclose(values[6:], fresh(seeds[3]).randn(2, 3) * 2)


@pytest.mark.parametrize('initializer, shape', [
    (bs.DenseSqrtFanIn(), (5,)), (bs.DenseSqrtFanInOut(), (5,)),
    (bs.EchoState(), (5,)), (bs.EchoState(), (4, 5)), (bs.EchoState(), (4, 4, 4)),
    (bs.Identity(), (4, 5)), (bs.Identity(), (4,)), (bs.Orthogonal(), (4,)),
    (bs.Orthogonal(), (2, 2, 2)), (bs.RandomWalk(), (4, 5)), (bs.RandomWalk(), (4,)),
    (bs.LstmOptInit(), (5, 4)), (bs.SparseInputs(1, 5), (4, 9)), (bs.SparseInputs(1, 2), (9,)),
    (bs.SparseOutputs(1, 5), (9, 4)), (bs.ArrayInitializer([1, 2, 3]), (2,)),
])
def test_unfit_shapes_call_for_the_fallback(initializer, shape):
    with pytest.raises(InitializationError):
        evaluate_initializer(initializer, shape)
    assert np.array_equal(evaluate_initializer(initializer, shape, fallback=0.5),
                          np.full(shape, 0.5))


def test_the_fallback_gets_the_seed_and_is_not_replaced():
    values = evaluate_initializer(bs.DenseSqrtFanIn(), (3,), fallback=bs.Gaussian(1.0), seed=2)
    assert np.array_equal(values, fresh(2).randn(3))
    with pytest.raises(InitializationError):
        evaluate_initializer(bs.EchoState(), (3,), fallback=bs.DenseSqrtFanIn())


def test_numbers_arrays_and_the_seed():
    assert np.array_equal(evaluate_initializer(3, (2, 2)), np.full((2, 2), 3.0))
    array = np.arange(4.0).reshape(2, 2)
    values = evaluate_initializer(bs.ArrayInitializer(array), (2, 2))
    values[0, 0] = 9
    assert array[0, 0] == 0
    gaussian = bs.Gaussian()
    assert np.array_equal(evaluate_initializer(gaussian, (3,), seed=1),
                          evaluate_initializer(gaussian, (3,), seed=1))
    assert not np.array_equal(gaussian((3,)), gaussian((3,)))


def test_an_initializer_of_the_user_that_returns_another_shape():
    class Wrong(Initializer):
        def __call__(self, shape):
            return np.zeros((9, 9))
    with pytest.raises(InitializationError, match=r'\(9, 9\).*\(2, 3\)'):
        evaluate_initializer(Wrong(), (2, 3))


@pytest.mark.parametrize('make, error, text', [
    (lambda: bs.Gaussian('a'), TypeError, 'std must be a number'),
    (lambda: bs.Gaussian(-1), ValueError, 'std'),
    (lambda: bs.Gaussian(float('nan')), ValueError, 'nan'),
    (lambda: bs.Uniform(0.4, 0.1), ValueError, 'low must be below high'),
    (lambda: bs.Uniform(-0.1), ValueError, 'low must be below high'),
    (lambda: bs.DenseSqrtFanIn('el'), ValueError, 'rel, tanh, sigmoid, linear'),
    (lambda: bs.DenseSqrtFanInOut('tahn'), ValueError, 'must be one of tanh'),
    (lambda: bs.DenseSqrtFanIn(None), TypeError, 'scale'),
    (lambda: bs.RandomWalk('tanh'), ValueError, 'one of linear, rel'),
    (lambda: bs.SparseInputs('x'), TypeError, 'Initializer'),
    (lambda: bs.SparseInputs(1, -2), ValueError, 'connections'),
    (lambda: bs.SparseInputs(1, 2.5), TypeError, 'connections'),
    (lambda: bs.LstmOptInit({}), TypeError, 'Initializer'),
    (lambda: bs.ArrayInitializer('abc'), TypeError, 'array of real numbers'),
])
def test_wrong_arguments_fail_at_construction(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_draw_the_same_numbers(duplicate):
    initializer = bs.Gaussian()
    other = duplicate(initializer)
    assert np.array_equal(other((3,)), initializer((3,)))
