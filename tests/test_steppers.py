"""Each stepper against its formula in NumPy."""

import copy
import pickle

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.describable import create_from_description, get_description
from brainstorm.handlers import NumpyHandler
from networks import mlp, random_batch

STEPS = 5


def gradient(net, parameters, batch):
    """Gradient of the loss at the given parameters, by a second network."""
    net.buffer.parameters[...] = parameters
    net.provide_external_data(batch)
    net.forward_pass(training_pass=True)
    net.backward_pass()
    return net.get('gradients')


def sgd(p, v, g, lr=0.3):
    v = -lr * g(p)
    return p + v, v


def momentum(p, v, g, lr=0.3, m=0.6, scaled=True):
    v = m * v - lr * ((1 - m) if scaled else 1) * g(p)
    return p + v, v


def nesterov(p, v, g, lr=0.3, m=0.6, scaled=True):
    lr = lr * ((1 - m) if scaled else 1)
    v = m * v
    p = p + v
    g = g(p)
    return p - lr * g, v - lr * g


CASES = {
    'sgd': (lambda: bs.training.SgdStepper(0.3), sgd, 'update'),
    'momentum': (lambda: bs.training.MomentumStepper(0.3, 0.6), momentum, 'velocity'),
    'momentum_unscaled': (lambda: bs.training.MomentumStepper(0.3, 0.6, False),
                          lambda p, v, g: momentum(p, v, g, scaled=False), 'velocity'),
    'nesterov': (lambda: bs.training.NesterovStepper(0.3, 0.6), nesterov, 'velocity'),
    'nesterov_unscaled': (lambda: bs.training.NesterovStepper(0.3, 0.6, False),
                          lambda p, v, g: nesterov(p, v, g, scaled=False), 'velocity'),
}


@pytest.mark.parametrize('make, formula, attribute', CASES.values(), ids=CASES.keys())
def test_updates_follow_the_formula(make, formula, attribute):
    net, judge, stepper = mlp(), mlp(), make()
    p = net.get('parameters')
    v = np.zeros_like(p)
    stepper.start(net)
    np.testing.assert_array_equal(getattr(stepper, attribute), 0)
    for seed in range(STEPS):
        batch = random_batch(seed=seed)
        net.provide_external_data(batch)
        assert stepper.run() is None
        p, v = formula(p, v, lambda q: gradient(judge, q, batch))
        np.testing.assert_allclose(net.get('parameters'), p, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(getattr(stepper, attribute), v, rtol=1e-12, atol=1e-14)


def test_attributes_may_change_between_updates():
    net, stepper = mlp(), bs.training.SgdStepper(0.3)
    stepper.start(net)
    net.provide_external_data(random_batch())
    stepper.learning_rate = 0.0
    before = net.get('parameters')
    stepper.run()
    np.testing.assert_array_equal(net.get('parameters'), before)
    assert stepper.learning_rate == 0.0


def test_start_again_sets_the_velocity_to_zero():
    net, stepper = mlp(), bs.training.MomentumStepper(0.3, 0.9)
    stepper.start(net)
    net.provide_external_data(random_batch())
    stepper.run()
    assert stepper.velocity.any()
    stepper.start(net)
    assert not stepper.velocity.any()


def test_another_handler_needs_another_start():
    net, stepper = mlp(), bs.training.SgdStepper()
    stepper.start(net)
    net.set_handler(NumpyHandler(np.float32))
    net.provide_external_data(random_batch())
    with pytest.raises(RuntimeError, match='handler has changed'):
        stepper.run()
    stepper.start(net)
    stepper.run()


def test_run_before_start():
    with pytest.raises(RuntimeError, match='start'):
        bs.training.SgdStepper().run()


@pytest.mark.parametrize('value, error', [('fast', TypeError), (None, TypeError),
                                          (True, TypeError), (float('nan'), ValueError),
                                          (float('inf'), ValueError)])
def test_bad_learning_rate(value, error):
    with pytest.raises(error, match='learning_rate'):
        bs.training.SgdStepper(learning_rate=value)
    stepper = bs.training.MomentumStepper()
    with pytest.raises(error, match='learning_rate'):
        stepper.learning_rate = value
    assert stepper.learning_rate == 0.1


def test_bad_flag():
    with pytest.raises(ValueError, match='scale_learning_rate must be true or false, got 3'):
        bs.training.MomentumStepper(scale_learning_rate=3)


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))],
                         ids=['deepcopy', 'pickle'])
def test_copies_go_on_alike(duplicate):
    net, stepper = mlp(), bs.training.MomentumStepper(0.3, 0.9)
    stepper.start(net)
    net.provide_external_data(random_batch())
    stepper.run()
    other = duplicate(stepper)
    for s in (stepper, other):
        s.net.provide_external_data(random_batch(seed=8))
        s.run()
    np.testing.assert_array_equal(other.net.get('parameters'), net.get('parameters'))
    np.testing.assert_array_equal(other.velocity, stepper.velocity)


@pytest.mark.parametrize('make', [case[0] for case in CASES.values()], ids=CASES.keys())
def test_description_round_trip(make):
    description = get_description(make())
    again = create_from_description(description)
    assert get_description(again) == description
    assert again.learning_rate == 0.3


def test_steppers_show_their_options():
    assert repr(bs.training.SgdStepper(0.3)) == 'SgdStepper(learning_rate=0.3)'
    assert repr(bs.training.MomentumStepper(0.3, 0.6)) == \
        'MomentumStepper(learning_rate=0.3, momentum=0.6, scale_learning_rate=True)'


def test_gradient_modifiers_act_between_backward_and_update():
    net, stepper = mlp(), bs.training.SgdStepper(1.0)
    net.set_gradient_modifiers(bs.value_modifiers.ClipValues(-1e-3, 1e-3))
    stepper.start(net)
    net.provide_external_data(random_batch())
    before = net.get('parameters')
    stepper.run()
    np.testing.assert_allclose(net.get('parameters'), before - net.get('gradients'), rtol=1e-12)
    assert np.abs(net.get('gradients')).max() <= 1e-3


def test_steppers_start_with_networks_only():
    stepper = bs.training.SgdStepper()
    with pytest.raises(TypeError, match='SgdStepper: net must be a Network, got 5'):
        stepper.start(5)
    assert stepper.net is None
    with pytest.raises(TypeError, match='TrainingStepper: net must be a Network, got 5'):
        bs.training.TrainingStepper().start(5)
