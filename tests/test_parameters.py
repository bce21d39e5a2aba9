"""Initializing and modifying the parameters of a network by patterns."""

import copy
import json
from fractions import Fraction

import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.initializers import Initializer
from brainstorm.utils import InitializationError, NetworkValidationError
from brainstorm.value_modifiers import GradientModifier, L2Decay, ValueModifier
from networks import classifier, mlp, random_batch

PARAMETERS = ['H.W', 'H.bias', 'Output_projection.W', 'Output_projection.bias']


def mlp_values(net):
    """The first value of every parameter, as most tests fill them with one number."""
    return [net.get(path.replace('.', '.parameters.')).flat[0] for path in PARAMETERS]


# ---- initialize ----


@pytest.mark.parametrize('references, expected', [
    (3, [3, 3, 3, 3]),
    ({'default': 3}, [3, 3, 3, 3]),
    ({'H': 1, 'default': 3}, [1, 1, 3, 3]),
    ({'*': {'W': 1, 'bias': 2}}, [1, 2, 1, 2]),
    ({'H': {'W': 1}, 'default': 3}, [1, 3, 3, 3]),
    ({'H': {'W': 1, 'default': 2}, 'default': 3}, [1, 2, 3, 3]),
    ({'*': {'b*': 1, 'default': 2}}, [2, 1, 2, 1]),
    ({'H': {'W': 1, 'default': 2}, '*': {'bias': 4}, 'Out*': {'W': 5}}, [1, 4, 5, 4]),
    ({'Out*_proj*': 1, 'default': {'W': 2, 'default': 3}}, [2, 3, 1, 1]),
    ({'*': {'W': 1}, 'H': {'bias': 2}, 'default': 3}, [1, 2, 1, 3]),
])
def test_patterns(references, expected):
    net = mlp()
    net.initialize(references)
    assert mlp_values(net) == expected


@pytest.mark.parametrize('references, expected', [
    ({'default': bs.DenseSqrtFanIn(), 'fallback': 4}, 4),
    ({'H': bs.DenseSqrtFanIn(), 'default': 1, 'fallback': 4}, 4),
    ({'H': {'default': bs.DenseSqrtFanIn(), 'fallback': 5}, 'default': 1, 'fallback': 4}, 5),
    ({'H': {'bias': bs.DenseSqrtFanIn(), 'W': 0, 'fallback': 5}, 'default': 1}, 5),
])
def test_fallbacks_replace_initializers_that_fail(references, expected):
    net = mlp()
    net.initialize(references)
    assert net.get('H.parameters.bias').tolist() == [expected] * 5


def test_values_may_be_numbers_arrays_and_keywords():
    net = mlp()
    net.initialize({'H': {'W': np.arange(30).reshape(5, 6), 'bias': [1, 2, 3, 4, 5]}},
                   Output_projection=np.float32(0.5))
    assert net.get('H.parameters.W').tolist() == np.arange(30).reshape(5, 6).tolist()
    assert net.get('H.parameters.bias').tolist() == [1, 2, 3, 4, 5]
    assert mlp_values(net)[2:] == [0.5, 0.5]
    json.dumps(bs.get_description(net))


@pytest.mark.parametrize('value, kept', [
    (np.float32(0.5), 0.5), (np.longdouble(0.5), 0.5), (np.int8(2), 2), (np.bool_(True), True),
    (np.array(0.5), 0.5), (Fraction(1, 2), 0.5)])
def test_numbers_of_any_make_are_kept_as_those_of_python(value, kept):
    net = mlp()
    net.initialize(value)
    assert mlp_values(net) == [kept] * 4
    assert type(net.initializers['default']) is type(kept)


def test_whatever_converts_to_an_array_is_one(tmp_path):
    net = mlp()
    with h5py.File(tmp_path / 'x.hdf5', 'w') as file:
        file['W'] = np.arange(30).reshape(5, 6)
        net.initialize({'H': {'W': file['W'], 'bias': range(5)}, 'default': 0})
    assert net.get('H.parameters.W').tolist() == np.arange(30).reshape(5, 6).tolist()
    assert net.get('H.parameters.bias').tolist() == [0, 1, 2, 3, 4]


def test_seeds_go_to_layers_and_parameters_sorted_by_name():
    net = mlp()
    net.initialize(bs.Gaussian(1.0), seed=5)
    seeds = np.random.RandomState(5).randint(0, 1000000000, 4)
    expected = [np.random.RandomState(seed).randn(*net.get(path.replace('.', '.parameters.')).shape)
                for seed, path in zip(seeds, sorted(PARAMETERS))]
    for path, value in zip(sorted(PARAMETERS), expected):
        assert np.array_equal(net.get(path.replace('.', '.parameters.')), value)


def test_initializing_takes_the_networks_own_seed():
    net = mlp()
    net.rnd.set_seed(8)
    net.initialize(bs.Gaussian())
    first = net.get('parameters')
    net.initialize(bs.Gaussian())
    assert not np.array_equal(net.get('parameters'), first)
    net.rnd.set_seed(8)
    net.initialize(bs.Gaussian())
    assert np.array_equal(net.get('parameters'), first)


def test_the_callers_dict_stays_as_it_is():
    references = {'H': {'W': [[1] * 6] * 5, 'bias': 0}, 'default': np.float64(2)}
    before = copy.deepcopy(references)
    mlp().initialize(references, seed=1)
    assert references == before


@pytest.mark.parametrize('references, error, text', [
    ({'Hidden': 1, 'default': 0}, NetworkValidationError,
     "'Hidden' matches no layer; there are Input, H, Output_projection, Output, Loss"),
    ({'H': {'w': 1}, 'default': 0}, NetworkValidationError, "'H.w' matches no parameter; "
                                                            "there are W, bias"),
    ({'*': {'R': 1}, 'default': 0}, NetworkValidationError, "'*.R' matches no parameter"),
    ({'H': 1}, NetworkValidationError, 'no initializer for Output_projection.W'),
    ({}, NetworkValidationError, 'no initializer for H.W'),
    ({'H': 1, '*': 2}, NetworkValidationError, "H.W has several initializers, by the patterns "
                                               "'H', '*'"),
    ({'H': {'fallback': 1}, '*': {'fallback': 2, 'default': 1}}, NetworkValidationError,
     'several fallbacks'),
    ({'default': 1, 'fallback': {'W': 1}}, NetworkValidationError, "'fallback' takes a value"),
    ({5: 1}, TypeError, 'a pattern must be a string, got 5'),
    ({'H': {5: 1}}, TypeError, 'a pattern must be a string, got 5'),
    ({'default': 'zero'}, TypeError, "got 'zero'"),
    ({'default': None}, TypeError, 'got None'),
    ({'default': 1j}, TypeError, 'got 1j'),
    ({'H': {'bias': [1, 2]}, 'default': 0}, InitializationError, 'H.bias: .*(2,).*(5,)'),
    ({'default': bs.DenseSqrtFanIn()}, InitializationError, 'H.bias: DenseSqrtFanIn needs 2'),
])
def test_wrong_references(references, error, text):
    net = mlp()
    before = net.get('parameters')
    with pytest.raises(error) as caught:
        net.initialize(references)
    if '.*' in text:
        assert all(part in str(caught.value) for part in text.split('.*'))
    else:
        assert text in str(caught.value)
    assert np.array_equal(net.get('parameters'), before)


def test_the_same_pattern_twice():
    with pytest.raises(TypeError, match='given twice.*default'):
        mlp().initialize({'default': 1}, default=2)


def test_errors_of_the_users_initializer_name_the_parameter():
    class Broken(Initializer):
        def __call__(self, shape):
            raise ZeroDivisionError('oh')
    with pytest.raises(ZeroDivisionError, match='H.W: oh'):
        mlp().initialize(Broken())


# ---- modifiers ----


class Note(ValueModifier):
    """Writes down in which order and with which seed it is applied."""

    applied = []

    def __init__(self, text):
        super().__init__()
        self.text = text

    def __call__(self, handler, view):
        Note.applied.append((self.text, view.shape, self.rnd.get_seed()))


@pytest.fixture
def applied():
    Note.applied = []
    return Note.applied


def test_all_matching_modifiers_apply_in_order(applied):
    net = mlp()
    net.set_weight_modifiers({'H': {'b*': [Note('a'), Note('b')]}, '*': {'bias': Note('c')},
                              'default': Note('d')})
    net.apply_weight_modifiers()
    assert [(text, shape) for text, shape, _ in applied] == [
        ('d', (5, 6)), ('a', (5,)), ('b', (5,)), ('c', (5,)), ('d', (3, 5)), ('c', (3,))]


def test_parameters_without_a_match_are_left_alone(applied):
    net = mlp()
    net.set_weight_modifiers(H={'bias': Note('a')})
    assert net.weight_modifiers.keys() == {'H'}
    net.apply_weight_modifiers()
    assert len(applied) == 1
    net.set_weight_modifiers()
    assert net.weight_modifiers == {}


def test_each_match_has_its_own_copy_with_a_new_seed_each_time(applied):
    net = mlp()
    modifier = Note('a')
    net.set_constraints(modifier)
    copies = [m for by_name in net.weight_modifiers.values() for ms in by_name.values() for m in ms]
    assert len({id(m) for m in copies + [modifier]}) == 5
    net.rnd.set_seed(3)
    twin = np.random.RandomState(3)
    net.apply_weight_modifiers()
    net.apply_weight_modifiers()
    assert [seed for _, _, seed in applied] == list(twin.randint(0, 1000000000, 8))


def test_modifiers_reach_parameters_without_gradient():
    net = classifier(layers.BatchNorm(name='BN'))
    net.initialize(0.5)
    net.set_weight_modifiers(bs.ClipValues(-0.1, 0.1))
    net.apply_weight_modifiers()
    assert net.get('BN.parameters.mu').tolist() == [0.1] * 6


def test_gradient_modifiers_end_every_backward_pass():
    net = mlp()
    data = random_batch()
    net.provide_external_data(data)
    net.forward_pass()
    net.backward_pass()
    plain, parameters = net.get('gradients'), net.get('parameters')
    net.set_gradient_modifiers([L2Decay(0.1), bs.ClipValues(-0.05, 0.05)])
    net.backward_pass()
    expected = np.clip(plain + 0.1 * parameters, -0.05, 0.05)
    assert np.allclose(net.get('gradients'), expected, rtol=1e-12)
    net.set_gradient_modifiers()
    net.backward_pass()
    assert np.array_equal(net.get('gradients'), plain)


def test_gradient_modifiers_act_inside_the_stepper():
    net, stepper = mlp(), bs.training.SgdStepper(0.5)
    net.set_gradient_modifiers(bs.ClipValues(-1e-3, 1e-3))
    stepper.start(net)
    net.provide_external_data(random_batch())
    before = net.get('parameters')
    stepper.run()
    assert np.abs(net.get('parameters') - before).max() == pytest.approx(0.5e-3)


def test_errors_of_a_gradient_modifier_come_out():
    class Broken(GradientModifier):
        def __call__(self, handler, parameters, gradients):
            raise ZeroDivisionError('oh')
    net, stepper = mlp(), bs.training.SgdStepper(0.5)
    net.set_gradient_modifiers(Broken())
    stepper.start(net)
    net.provide_external_data(random_batch())
    with pytest.raises(ZeroDivisionError, match='oh'):
        stepper.run()
    net.set_gradient_modifiers()
    stepper.run()


@pytest.mark.parametrize('set_modifiers, error, text', [
    (lambda n: n.set_weight_modifiers(fallback=bs.ClipValues()), NetworkValidationError,
     "'fallback' has no meaning"),
    (lambda n: n.set_weight_modifiers(H={'fallback': bs.ClipValues()}), NetworkValidationError,
     "'fallback' has no meaning"),
    (lambda n: n.set_weight_modifiers(Hid=bs.ClipValues()), NetworkValidationError,
     "'Hid' matches no layer"),
    (lambda n: n.set_weight_modifiers(H=L2Decay(1)), TypeError, 'expected a ValueModifier'),
    (lambda n: n.set_weight_modifiers(H=3), TypeError, "'H': expected a ValueModifier"),
    (lambda n: n.set_gradient_modifiers(H=[bs.ClipValues(), None]), TypeError, 'got None'),
])
def test_wrong_modifiers(set_modifiers, error, text):
    net = mlp()
    net.set_weight_modifiers(bs.ClipValues())
    with pytest.raises(error, match=text):
        set_modifiers(net)
    assert len(net.weight_modifiers) == 2


@pytest.mark.parametrize('kind', ['weight', 'gradient'])
def test_a_modifier_that_fails_names_the_parameter(kind):
    net = mlp()
    getattr(net, f'set_{kind}_modifiers')({'H': {'W': bs.MaskValues(np.ones((2, 2)))}})
    with pytest.raises(ValueError, match=r'H\.W: MaskValues has values of the shape \(2, 2\), but '
                       r'the parameter has \(5, 6\)'):
        getattr(net, f'apply_{kind}_modifiers')()
