"""Each stepper against its formula in NumPy."""

import copy
import pickle

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.describable import create_from_description, get_description
from brainstorm.handlers import NumpyHandler
from networks import classifier, mlp, random_batch

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


def rmsprop(p, t, states, g, lr=0.3, decay=0.8, epsilon=0.01, m=0.6):
    s = decay * states['squares'] + (1 - decay) * g * g
    v = m * states['velocity'] - lr * g / (np.sqrt(s) + epsilon)
    return p + v, {'squares': s, 'velocity': v}


def adam(p, t, states, g, lr=0.3, b1=0.8, b2=0.9, epsilon=0.01, weight_decay=0.2):
    m = b1 * states['first_moment'] + (1 - b1) * g
    v = b2 * states['second_moment'] + (1 - b2) * g * g
    p = p - lr * weight_decay * p
    p = p - lr * (m / (1 - b1 ** t)) / (np.sqrt(v / (1 - b2 ** t)) + epsilon)
    return p, {'first_moment': m, 'second_moment': v}


def adagrad(p, t, states, g, lr=0.3, epsilon=0.01):
    s = states['squares'] + g * g
    return p - lr * g / (np.sqrt(s) + epsilon), {'squares': s}


def adadelta(p, t, states, g, lr=0.3, decay=0.8, epsilon=0.01):
    s = decay * states['squares'] + (1 - decay) * g * g
    u = np.sqrt(states['squared_updates'] + epsilon) / np.sqrt(s + epsilon) * g
    d = decay * states['squared_updates'] + (1 - decay) * u * u
    return p - lr * u, {'squares': s, 'squared_updates': d}


ADAPTIVE = {
    'rmsprop': (lambda: bs.training.RmsPropStepper(0.3, 0.8, 0.01, 0.6), rmsprop,
                ('squares', 'velocity')),
    'adam': (lambda: bs.training.AdamStepper(0.3, 0.8, 0.9, 0.01, 0.2), adam,
             ('first_moment', 'second_moment')),
    'adagrad': (lambda: bs.training.AdagradStepper(0.3, 0.01), adagrad, ('squares',)),
    'adadelta': (lambda: bs.training.AdadeltaStepper(0.3, 0.8, 0.01), adadelta,
                 ('squares', 'squared_updates')),
}


@pytest.mark.parametrize('make, formula, names', ADAPTIVE.values(), ids=ADAPTIVE.keys())
def test_adaptive_updates_follow_the_formula(make, formula, names):
    net, judge, stepper = mlp(), mlp(), make()
    assert all(getattr(stepper, name) is None for name in names)
    p = net.get('parameters')
    for attempt in range(2):  # start again: everything is zero again
        stepper.start(net)
        states = {name: np.zeros_like(p) for name in names}
        for t in range(1, STEPS + 1):
            batch = random_batch(seed=t)
            net.provide_external_data(batch)
            stepper.run()
            p, states = formula(p, t, states, gradient(judge, p, batch))
            np.testing.assert_allclose(net.get('parameters'), p, rtol=1e-10, atol=1e-13)
            for name in names:
                np.testing.assert_allclose(getattr(stepper, name), states[name], rtol=1e-10,
                                           atol=1e-13, err_msg=name)


def test_weight_decay_leaves_parameters_without_gradient_alone():
    net = classifier(layers.BatchNorm(name='N'), layers.Clockwork(4, name='C'))
    net.initialize({'C': {'timing': 2}, 'default': 0.5}, seed=1)
    net.provide_external_data(random_batch(time_steps=3))
    stepper = bs.training.AdamStepper(0.0, weight_decay=0.5)
    stepper.start(net)
    stepper.learning_rate = 1e-3
    stepper.run()
    assert (net.get('C.parameters.timing') == 2).all()
    assert (net.get('C.parameters.R') != 0.5).all()
    mean, std = (net.get('N.inputs.default').reshape(-1, 6).mean(0),
                 np.sqrt(net.get('N.inputs.default').reshape(-1, 6).var(0) + 1e-5))
    np.testing.assert_allclose(net.get('N.parameters.mu'), 0.45 - 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(net.get('N.parameters.sigma'), 0.45 + 0.1 * std, rtol=1e-12)


@pytest.mark.parametrize('training', [True, False])
def test_a_forward_stepper_changes_nothing(training):
    net = classifier(layers.Dropout(0.5, name='D'))
    net.initialize(bs.Gaussian(), seed=1)
    net.provide_external_data(random_batch())
    before = net.get('parameters')
    stepper = bs.training.ForwardStepper(use_training_pass=training)
    with pytest.raises(RuntimeError, match='start'):
        stepper.run()
    stepper.start(net)
    assert stepper.run() is None
    np.testing.assert_array_equal(net.get('parameters'), before)
    assert (net.get('D.outputs.default') == 0).any() == training
    again = create_from_description(get_description(stepper))
    assert again.use_training_pass is training


@pytest.mark.parametrize('make, message', [
    (lambda: bs.training.RmsPropStepper(decay=1.5), 'RmsPropStepper: decay must be a number from'),
    (lambda: bs.training.AdamStepper(beta2=1.0), 'AdamStepper: beta2 must be a number from 0 to'),
    (lambda: bs.training.AdamStepper(epsilon=-1), 'AdamStepper: epsilon must be a number from 0'),
    (lambda: bs.training.AdadeltaStepper(decay=-0.1), 'AdadeltaStepper: decay must be'),
])
def test_bad_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


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


@pytest.mark.parametrize('first, second', [('A', 'B'), ('B', 'A'), ('P', 'Q')])
@pytest.mark.parametrize('batch_size', [1, 20])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_the_backward_pass_updates_to_the_same_bits(dtype, batch_size, first, second):
    """Without a look at the gradients, momentum updates a matrix as soon as its gradient is there;
    a modifier that leaves them alone wants to see all of them before. Parameters lie in the order
    of names, that of the output layer, also called O..., among them."""
    nets = [classifier(layers.FullyConnected(340, name=first),
                       layers.FullyConnected(70, name=second), shape=(50,), classes=250,
                       dtype=dtype) for _ in range(2)]
    steppers = [bs.training.MomentumStepper(0.1, 0.9) for _ in nets]
    nets[1].set_gradient_modifiers(bs.value_modifiers.ClipValues(-np.inf, np.inf))
    for net, stepper in zip(nets, steppers):
        net.initialize(bs.Gaussian(0.1), seed=1)
        stepper.start(net)
        for seed in range(4):
            net.provide_external_data(random_batch((50,), 250, batch_size=batch_size, seed=seed))
            stepper.run()
    for buffer in ('parameters', 'gradients', f'{first}.outputs.default',
                   f'{second}.output_deltas.default'):
        np.testing.assert_array_equal(nets[0].get(buffer), nets[1].get(buffer), err_msg=buffer)
    np.testing.assert_array_equal(steppers[0].velocity, steppers[1].velocity)


def test_wrong_targets_change_no_parameter():
    net, stepper = classifier(layers.FullyConnected(6000)), bs.training.MomentumStepper(0.1, 0.9)
    net.initialize(bs.Gaussian(0.1), seed=1)
    stepper.start(net)
    net.provide_external_data(random_batch())
    for _ in range(2):
        stepper.run()
    before = [net.get('parameters'), stepper.velocity.copy()]
    net.provide_external_data(dict(random_batch(), targets=np.full((1, 4, 1), 3)))
    with pytest.raises(IndexError, match='softmax_ce'):
        stepper.run()
    np.testing.assert_array_equal([net.get('parameters'), stepper.velocity], before)


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
    with pytest.raises(TypeError, match='scale_learning_rate must be True or False, got 3'):
        bs.training.MomentumStepper(scale_learning_rate=3)


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))],
                         ids=['deepcopy', 'pickle'])
@pytest.mark.parametrize('make', [lambda: bs.training.MomentumStepper(0.3, 0.9),
                                  bs.training.AdamStepper])
def test_copies_go_on_alike(make, duplicate):
    net, stepper = mlp(), make()
    stepper.start(net)
    net.provide_external_data(random_batch())
    stepper.run()
    other = duplicate(stepper)
    for s in (stepper, other):
        s.net.provide_external_data(random_batch(seed=8))
        s.run()
    np.testing.assert_array_equal(other.net.get('parameters'), net.get('parameters'))


@pytest.mark.parametrize('make', [case[0] for case in [*CASES.values(), *ADAPTIVE.values()]],
                         ids=[*CASES, *ADAPTIVE])
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
