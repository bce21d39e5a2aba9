import copy

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.handlers import NumpyHandler
from brainstorm.value_modifiers import L1Decay, L2Decay

HANDLER = NumpyHandler(np.float64)


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape)


def test_clip_values():
    view = values(3, 4)
    expected = np.clip(view, -0.4, 0.5)
    bs.ClipValues(-0.4, 0.5)(HANDLER, view)
    assert np.array_equal(view, expected)


@pytest.mark.parametrize('shape', [(4, 6), (4, 2, 2, 3), (1, 8)])
def test_constrain_l2_norm_scales_large_rows_only(shape):
    view = values(*shape)
    view[0] *= 1e-3
    before = view.copy()
    bs.ConstrainL2Norm(0.5)(HANDLER, view)
    for row, old in zip(view.reshape(len(view), -1), before.reshape(len(view), -1)):
        norm = np.sqrt(np.sum(old ** 2))
        assert np.allclose(row, old * min(1, 0.5 / norm), rtol=1e-12)
    assert np.array_equal(view[0], before[0])


def test_constrain_l2_norm_leaves_biases_and_zeros():
    bias, zeros = 10 + values(4), np.zeros((3, 2))
    before = bias.copy()
    for limit in (0, 0.5):
        bs.ConstrainL2Norm(limit)(HANDLER, bias)
        bs.ConstrainL2Norm(limit)(HANDLER, zeros)
    assert np.array_equal(bias, before)
    assert np.array_equal(zeros, np.zeros((3, 2)))


def test_nan_survives_constrain_l2_norm():
    view = np.array([[1.0, np.nan], [3.0, 4.0]])
    bs.ConstrainL2Norm(1)(HANDLER, view)
    assert np.isnan(view[0]).any()
    assert np.allclose(view[1], [0.6, 0.8])


def test_freeze_values_remembers_the_first_ones():
    freeze, view = bs.FreezeValues(), values(3, 4)
    first = view.copy()
    freeze(HANDLER, view)
    view += 1
    freeze(HANDLER, view)
    assert np.array_equal(view, first)


def test_freeze_values_that_are_given():
    view = values(2, 2)
    bs.FreezeValues([[1, 2], [3, 4]])(HANDLER, view)
    assert np.array_equal(view, [[1, 2], [3, 4]])


def test_mask_values():
    view, mask = values(3, 4), np.eye(3, 4)
    expected = view * mask
    bs.MaskValues(mask.astype(bool))(HANDLER, view)
    assert np.array_equal(view, expected)


@pytest.mark.parametrize('modifier', [bs.MaskValues(np.ones((2, 2))),
                                      bs.FreezeValues(np.ones((2, 2)))])
def test_other_shapes_are_named(modifier):
    with pytest.raises(ValueError, match=r'\(2, 2\).*\(3, 4\)'):
        modifier(HANDLER, values(3, 4))


@pytest.mark.parametrize('modifier, expected', [
    (L1Decay(0.3), lambda p, g: g + 0.3 * np.sign(p)),
    (L2Decay(0.3), lambda p, g: g + 0.3 * p)])
def test_decay(modifier, expected):
    parameters, gradients = values(3, 4), values(3, 4, seed=1)
    parameters[0, 0] = 0
    wanted, before = expected(parameters, gradients), parameters.copy()
    modifier(HANDLER, parameters, gradients)
    assert np.allclose(gradients, wanted, rtol=1e-12)
    assert np.array_equal(parameters, before)


def test_copies_draw_no_seed():
    modifier = bs.ClipValues()
    bs.global_rnd.set_seed(1)
    other = copy.deepcopy(modifier)
    assert other.rnd.get_seed() == modifier.rnd.get_seed()
    twin = np.random.RandomState(1)
    assert bs.global_rnd.randint(100000) == twin.randint(100000)


@pytest.mark.parametrize('make, error', [
    (lambda: bs.ClipValues(1, -1), ValueError),
    (lambda: bs.ClipValues('a'), TypeError),
    (lambda: bs.ConstrainL2Norm(-1), ValueError),
    (lambda: bs.ConstrainL2Norm(None), TypeError),
    (lambda: L1Decay([1, 2]), TypeError),
    (lambda: L2Decay(float('nan')), ValueError),
    (lambda: bs.MaskValues('x'), TypeError),
])
def test_wrong_arguments_fail_at_construction(make, error):
    with pytest.raises(error):
        make()
