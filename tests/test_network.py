import copy
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict

import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.handlers.base_handler import Handler
from brainstorm.initializers import Initializer
from brainstorm.layers.base_layer import Layer, get_layer_class_from_typename
from brainstorm.structure.buffer_structure import BufferStructure, StructureTemplate
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.utils import (
    InitializationError, LayerValidationError, NetworkValidationError, ValidationError,
    flatten_time_and_features)
from brainstorm.value_modifiers import GradientModifier, L2Decay, ValueModifier
from networks import classifier, mlp, mlp_predictions, random_batch

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
    ({'default': 'zero'}, TypeError, "not 'zero'"),
    ({'default': None}, TypeError, 'not None'),
    ({'default': 1j}, TypeError, 'not 1j'),
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


# ---- running ----


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_forward_pass_is_the_formula(dtype):
    net = mlp(dtype)
    data = random_batch(time_steps=2)
    net.provide_external_data(data)
    net.forward_pass()
    p = mlp_predictions(net, data['default'].astype(dtype))
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert np.allclose(net.get('Output.outputs.predictions'), p, rtol=tolerance)
    loss = -np.log(np.take_along_axis(p, data['targets'], axis=-1)).sum() / 4
    assert net.get_loss_values() == {'total_loss': pytest.approx(loss, rel=tolerance)}


def test_gradients_are_finite_differences():
    net = mlp()
    net.provide_external_data(random_batch(time_steps=2))
    net.forward_pass()
    net.backward_pass()
    gradients, parameters = net.get('gradients'), net.buffer.parameters
    for i in range(parameters.size):
        losses = []
        for step in (1e-5, -1e-5):
            parameters[i] += step
            net.forward_pass()
            losses.append(net.get_loss_values()['total_loss'])
            parameters[i] -= step
        assert gradients[i] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-8)


@pytest.mark.parametrize('convert', [
    np.asfortranarray, lambda a: a[:, ::-1][:, ::-1], lambda a: a.astype('>f8'),
    lambda a: np.repeat(a, 2, axis=2)[:, :, ::2], lambda a: a.tolist()])
def test_arrays_of_any_make_are_taken(convert):
    net, data = mlp(), random_batch()
    net.provide_external_data({'default': convert(data['default']), 'targets': data['targets']})
    assert np.array_equal(net.get_input('default'), data['default'])


@pytest.mark.parametrize('dtype', ['u1', 'i8', 'f4', '?'])
def test_values_of_any_number_type_are_cast(dtype):
    net = mlp()
    values = np.random.RandomState(0).randint(0, 2, (1, 4, 6)).astype(dtype)
    values.flags.writeable = False
    net.provide_external_data({'default': values, 'targets': np.zeros((1, 4, 1), dtype)})
    assert np.array_equal(net.get_input('default'), values.astype(np.float64))


def test_h5py_datasets_are_taken(tmp_path):
    net, data = mlp(), random_batch()
    with h5py.File(tmp_path / 'x.hdf5', 'w') as file:
        for name, values in data.items():
            file[name] = values
        net.provide_external_data(file)
    assert np.array_equal(net.get_input('default'), data['default'])


def test_static_data_is_repeated_over_the_steps():
    inp = layers.Input({'default': ('T', 'B', 2), 'static': ('T', 'B', 1)})
    merge = layers.Merge()
    inp >> 'inputs_1' - merge
    inp - 'static' >> 'inputs_2' - merge >> layers.Loss()
    net = bs.Network.from_layer(merge)
    net.provide_external_data({'default': np.ones((3, 2, 2)), 'static': [[[1.], [2.]]]})
    net.forward_pass()
    assert net.get('Merge.outputs.default')[:, :, 2].tolist() == [[1, 2]] * 3


@pytest.mark.parametrize('change, text', [
    ({'default': None}, "default"),
    ({'default': np.zeros((1, 4, 5))}, r"\(1, 4, 5\)"),
    ({'default': np.zeros((1, 3, 6))}, "default|targets"),
    ({'default': np.zeros((2, 4, 6)), 'targets': np.zeros((3, 4, 1))}, "time steps"),
    ({'default': np.zeros((1, 0, 6)), 'targets': np.zeros((1, 0, 1))}, "empty"),
    ({'default': np.zeros((0, 4, 6)), 'targets': np.zeros((0, 4, 1))}, "empty"),
    ({'default': np.full((1, 4, 6), 'x')}, "dtype"),
    ({'default': np.zeros((1, 4, 6), complex)}, "dtype"),
    ({'default': [[[1, 2], [3]]]}, "default|inhomogeneous"),
])
def test_data_that_does_not_fit(change, text):
    net = mlp()
    data = {**random_batch(), **change}
    with pytest.raises((ValueError, TypeError), match=text):
        net.provide_external_data(data)


def test_missing_and_extra_data():
    net, data = mlp(), random_batch()
    net.provide_external_data({**data, 'extra': 'ignored'})
    with pytest.raises(ValueError, match="'targets' is missing"):
        net.provide_external_data({'default': data['default']})
    net.provide_external_data({'default': data['default'] * 2}, all_inputs=False)
    assert np.array_equal(net.get_input('default'), data['default'] * 2)
    assert np.array_equal(net.get_input('targets'), data['targets'])


def test_class_ids_out_of_range_are_an_error():
    net = mlp()
    for wrong in (3, -1, 0.5):
        net.provide_external_data({**random_batch(), 'targets': np.full((1, 4, 1), wrong)})
        with pytest.raises(IndexError, match='Output'):
            net.forward_pass()


def test_losses_by_name():
    inp = layers.Input({'default': ('T', 'B', 2)})
    first, second = layers.Loss(name='first'), layers.Loss(importance=0.5, name='second')
    inp >> first
    inp >> second
    net = bs.Network.from_layer(inp)
    net.provide_external_data({'default': [[[1., 2.], [3., 4.]]]})
    net.forward_pass()
    assert net.get_loss_values() == {'first': 5.0, 'second': 2.5, 'total_loss': 7.5}
    assert sorted(net.loss_layers) == ['first', 'second']


def test_context_continues_sequences():
    net = classifier(layers.Recurrent(4, name='R'), layers.Recurrent(3, name='S'))
    net.initialize(bs.Gaussian(0.5), seed=1)
    whole = random_batch(time_steps=7, batch_size=3)
    net.provide_external_data(whole)
    net.forward_pass()
    expected = net.get('S.outputs.default')[:7]
    net.provide_external_data({name: values[:4] for name, values in whole.items()})
    net.forward_pass()
    context = net.get_context()
    assert context['R']['outputs']['default'].shape == (1, 3, 4)
    assert set(context) == {'R', 'S'}
    net.set_handler(NumpyHandler(np.float64))
    net.provide_external_data({name: values[4:] for name, values in whole.items()})
    net.forward_pass(context=context)
    assert np.allclose(net.get('S.outputs.default')[:3], expected[4:], rtol=1e-12)
    net.forward_pass()
    assert not np.allclose(net.get('S.outputs.default')[:3], expected[4:])


def test_wrong_contexts():
    net = classifier(layers.Recurrent(4, name='R'))
    net.initialize(0.1)
    net.provide_external_data(random_batch(batch_size=3))
    net.forward_pass()
    with pytest.raises(NetworkValidationError, match='Q.outputs.default keeps no state'):
        net.forward_pass(context={'Q': {'outputs': {'default': np.zeros((1, 3, 4))}}})
    context = net.get_context()
    net.provide_external_data(random_batch(batch_size=2))
    with pytest.raises(ValueError, match=r'\(1, 3, 4\)'):
        net.forward_pass(context=context)


def test_dropout_follows_the_seed_of_the_network():
    net = classifier(layers.Dropout(name='D'))
    net.initialize(0.1)
    net.provide_external_data(random_batch(batch_size=50))

    def mask():
        net.forward_pass(training_pass=True)
        return net.get('D.internals.mask')
    net.rnd.set_seed(3)
    first, second = mask(), mask()
    assert set(np.unique(first)) == {0.0, 1.0}
    assert not np.array_equal(first, second)
    net.rnd.set_seed(3)
    assert np.array_equal(mask(), first)
    net.rnd = net.rnd.create_random_state(3)
    assert np.array_equal(mask(), first)


def test_handlers_written_in_python_are_refused():
    class Mine(Handler):
        pass
    net = mlp()
    for handler in (Mine(), None, NumpyHandler):
        with pytest.raises(TypeError, match='handler'):
            net.set_handler(handler)
    assert net.handler.dtype == np.float64


def test_a_second_thread_is_refused_or_waits_for_nothing():
    net = classifier(ConstructionWrapper.create(WaitLayerImpl, name='W'))
    net.initialize(0.1)
    net.provide_external_data(random_batch())
    errors = []

    def intrude():
        try:
            net.forward_pass()
        except RuntimeError as error:
            errors.append(str(error))
    WaitLayerImpl.during_forward = lambda: (lambda t: (t.start(), t.join()))(
        threading.Thread(target=intrude))
    net.forward_pass()
    WaitLayerImpl.during_forward = net.forward_pass
    with pytest.raises(RuntimeError):
        net.forward_pass()
    assert len(errors) == 1


# ---- layers in Python ----


class WaitLayerImpl(Layer):
    during_forward = None

    def setup(self, kwargs, in_shapes):
        return in_shapes, OrderedDict(), OrderedDict()

    def forward_pass(self, buffers, training_pass=True):
        self.handler.copy_to(buffers.inputs.default, buffers.outputs.default)
        type(self).during_forward()


class ScaledSquareLayerImpl(Layer):
    """y = factor * s * x**2 with a parameter s for every feature."""

    expected_inputs = {'default': StructureTemplate('T', 'B', '...')}
    expected_kwargs = {'factor'}

    def setup(self, kwargs, in_shapes):
        self.factor = kwargs.get('factor', 1.0)
        size = in_shapes['default'].feature_size
        return in_shapes, OrderedDict(s=BufferStructure(1, size)), OrderedDict(
            square=BufferStructure('T', 'B', *in_shapes['default'].feature_shape))

    def forward_pass(self, buffers, training_pass=True):
        x = flatten_time_and_features(buffers.inputs.default)
        y = flatten_time_and_features(buffers.outputs.default)
        square = flatten_time_and_features(buffers.internals.square)
        self.handler.mult_tt(x, x, square)
        self.handler.mult_mv(square, buffers.parameters.s, y)
        self.handler.mult_st(self.factor, y, y)

    def backward_pass(self, buffers):
        h = self.handler
        x = flatten_time_and_features(buffers.inputs.default)
        dx = flatten_time_and_features(buffers.input_deltas.default)
        dy = flatten_time_and_features(buffers.output_deltas.default)
        square = flatten_time_and_features(buffers.internals.square)
        scaled, total = h.allocate(x.shape), h.allocate(buffers.parameters.s.shape)
        h.mult_tt(square, dy, scaled)
        h.sum_t(scaled, 0, total)
        h.mult_add_st(self.factor, total, buffers.gradients.s)
        h.mult_tt(x, dy, scaled)
        h.mult_mv(scaled, buffers.parameters.s, scaled)
        h.mult_add_st(2 * self.factor, scaled, dx)


def square_net():
    square = ConstructionWrapper.create(ScaledSquareLayerImpl, name='S', factor=0.7)
    net = classifier(layers.FullyConnected((2, 2), 'tanh', name='H'), square)
    net.initialize(bs.Gaussian(0.7), seed=1)
    net.provide_external_data(random_batch(time_steps=2))
    return net


def test_a_layer_in_python_computes_and_differentiates():
    net = square_net()
    net.forward_pass()
    x = net.get('S.inputs.default')
    expected = 0.7 * net.get('S.parameters.s').reshape(2, 2) * x ** 2
    assert np.allclose(net.get('S.outputs.default'), expected, rtol=1e-12)
    net.backward_pass()
    gradients, parameters = net.get('gradients'), net.buffer.parameters
    for i in range(parameters.size):
        losses = []
        for step in (1e-5, -1e-5):
            parameters[i] += step
            net.forward_pass()
            losses.append(net.get_loss_values()['total_loss'])
            parameters[i] -= step
        assert gradients[i] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-8)


def test_layers_in_python_and_built_in_ones_look_alike():
    net = square_net()
    for name in ('H', 'S'):
        layer = net.layers[name]
        assert layer.name == name
        assert layer.in_shapes['default'].buffer_type == 2
        assert layer.out_shapes['default'].shape == ('T', 'B', 2, 2)
        assert layer.handler is net.handler
        assert [c.end_layer for c in layer.incoming] == [name]
        assert [c.start_layer for c in layer.outgoing] == [name]
    assert net.layers['S'].kwargs == {'factor': 0.7}
    assert net.layers['S'].parameter_shapes['s'].shape == (1, 4)
    assert list(net.layers['S'].internal_shapes) == ['square']
    handler = NumpyHandler(np.float32)
    net.set_handler(handler)
    assert net.layers['S'].handler is net.layers['H'].handler is handler


def test_networks_with_layers_in_python_copy_and_save(tmp_path):
    net = square_net()
    net.forward_pass()
    net.save_as_hdf5(tmp_path / 'net.hdf5')
    for other in (copy.deepcopy(net), bs.Network.from_hdf5(tmp_path / 'net.hdf5')):
        other.provide_external_data(random_batch(time_steps=2))
        other.forward_pass()
        assert other.get_loss_values() == net.get_loss_values()


def test_a_class_defined_again_takes_the_place_of_the_first():
    first = type('AgainLayerImpl', (Layer,), {})
    assert get_layer_class_from_typename('AgainLayerImpl') is first
    second = type('AgainLayerImpl', (Layer,), {})
    assert get_layer_class_from_typename('AgainLayerImpl') is second
    with pytest.raises(TypeError, match="'AgianLayerImpl'; there are AgainLayerImpl"):
        get_layer_class_from_typename('AgianLayerImpl')


@pytest.mark.parametrize('attributes, kwargs, text', [
    ({}, {'size': 3}, "unknown argument 'size'"),
    ({'expected_inputs': {'other': StructureTemplate('...')}}, {}, "no input 'default'"),
    ({'expected_inputs': {'default': StructureTemplate('T', 'B', 9)}}, {}, r"\('T', 'B', 6\)"),
    ({'setup': lambda self, kwargs, in_shapes: in_shapes}, {}, 'setup must return'),
    ({'setup': lambda self, kwargs, in_shapes: ({'y': (1, 2)}, {}, {})}, {}, 'BufferStructure'),
])
def test_layers_in_python_are_checked(attributes, kwargs, text):
    cls = type('WrongLayerImpl', (Layer,), attributes)
    with pytest.raises(LayerValidationError, match=text):
        classifier(ConstructionWrapper.create(cls, name='X', **kwargs))


def test_errors_in_a_layer_in_python_come_out_of_the_pass():
    net = classifier(ConstructionWrapper.create(WaitLayerImpl, name='W'))
    net.initialize(0.1)
    net.provide_external_data(random_batch())

    def fail():
        raise ZeroDivisionError('oh')
    WaitLayerImpl.during_forward = fail
    with pytest.raises(ZeroDivisionError, match='oh'):
        net.forward_pass()
    WaitLayerImpl.during_forward = lambda: None
    net.forward_pass()


# ---- copies ----


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_a_network(duplicate):
    net = classifier(layers.FullyConnected(5, name='H'), layers.Dropout(name='D'))
    net.initialize({'*': {'W': bs.Gaussian(), 'bias': 0}}, seed=1)
    net.set_weight_modifiers(H=bs.ClipValues(-0.1, 0.1))
    net.set_gradient_modifiers(H=bs.ClipValues(0, 0))
    net.output_name = 'Output.outputs.predictions'
    net.provide_external_data(random_batch())
    net.forward_pass(training_pass=True)
    other = duplicate(net)
    assert bs.get_description(other) == bs.get_description(net)
    assert np.array_equal(other.get('parameters'), net.get('parameters'))
    for one in (net, other):
        one.provide_external_data(random_batch(batch_size=40))
        one.forward_pass(training_pass=True)
        one.backward_pass()
    assert np.array_equal(other.get('D.internals.mask'), net.get('D.internals.mask'))
    assert (other.get('H.gradients.W') == 0).all()
    other.buffer.parameters[...] = 0
    assert net.get('parameters').any()


def test_networks_are_freed():
    net = mlp()
    net.set_gradient_modifiers(bs.ClipValues())
    net.provide_external_data(random_batch())
    net.forward_pass()
    net.backward_pass()
    leaf = net.buffer.H.outputs.default
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    assert np.isfinite(leaf).all()


# ---- files ----


def saved(tmp_path, **attributes):
    net = mlp()
    net.save_as_hdf5(tmp_path / 'net.hdf5', **attributes)
    return net, tmp_path / 'net.hdf5'


def test_what_is_in_a_file(tmp_path):
    net, path = saved(tmp_path, comment='hello')
    with h5py.File(path, 'r') as file:
        assert file.attrs['format'] == 'Network file v1.0'
        assert file.attrs['info'] == f'Created with brainstorm {bs.__version__}'
        assert file.attrs['comment'] == 'hello'
        assert file['parameters'].compression == 'gzip'
        assert np.array_equal(file['parameters'], net.get('parameters'))
        text = file['description'][()]
        assert isinstance(text, bytes)
        assert json.loads(text) == bs.get_description(net)
    assert os.listdir(tmp_path) == ['net.hdf5']


def test_everything_comes_back(tmp_path):
    net = mlp(np.float32)
    net.initialize({'H': {'W': bs.Uniform(0.3), 'bias': [1, 2, 3, 4, 5]}, 'default': 0.5,
                    'fallback': bs.Gaussian()})
    net.set_weight_modifiers(H={'W': [bs.MaskValues(np.eye(5, 6)), bs.FreezeValues()]})
    net.set_gradient_modifiers(L2Decay(0.1))
    net.apply_weight_modifiers()
    net.output_name = 'H.outputs.default'
    net.save_as_hdf5(tmp_path / 'net.hdf5')
    other = bs.Network.from_hdf5(tmp_path / 'net.hdf5')
    assert bs.get_description(other) == bs.get_description(net)
    assert np.array_equal(other.get('parameters'), net.get('parameters'))
    assert other.handler.dtype == np.float32


def test_a_network_that_was_never_initialized(tmp_path):
    net = classifier()
    net.save_as_hdf5(tmp_path / 'net.hdf5')
    assert not bs.Network.from_hdf5(tmp_path / 'net.hdf5').get('parameters').any()


def test_a_handler_that_cannot_be_opened_is_replaced(tmp_path):
    net, path = saved(tmp_path)
    description = dict(bs.get_description(net),
                       handler={'@type': 'PyCudaHandler', 'dtype': 'float64'})
    rewrite(path, description)
    with pytest.warns(UserWarning, match='PyCudaHandler cannot be opened.*NumpyHandler'):
        other = bs.Network.from_hdf5(path)
    assert isinstance(other.handler, NumpyHandler)
    assert other.handler.dtype == np.float64


def rewrite(path, description):
    with h5py.File(path, 'a') as file:
        del file['description']
        file['description'] = description if isinstance(description, str) \
            else json.dumps(description)


@pytest.mark.parametrize('description', [
    'no json', '[1]', '{}', '{"@type": "Network"}', '{"@type": "Gaussian"}', '[' * 100000,
    {'architecture': {'Input': {'@type': 'os.system'}}},
    {'architecture': 5},
    {'handler': {'@type': 'Network'}}, {'handler': 5}, {'handler': {'@type': 'Unknown'}},
    {'initializers': {'H': {'@type': 'ClipValues'}}}, {'initializers': {'Nobody': 1}},
    {'initializers': {'default': {'@type': 'Gaussian', '__init__': 1}}},
    {'weight_modifiers': {'H': {'W': [1]}}}, {'weight_modifiers': 5},
    {'gradient_modifiers': {'H': {'W': [{'@type': 'SaveBestNetwork', 'log_name': 'x'}]}}},
])
def test_hostile_descriptions_are_refused(tmp_path, description):
    net, path = saved(tmp_path)
    if isinstance(description, dict):
        description = {**bs.get_description(net), **description}
    rewrite(path, description)
    with pytest.raises(ValidationError, match='net.hdf5'):
        bs.Network.from_hdf5(path)


def test_a_huge_layer_in_a_file_is_no_crash(tmp_path):
    net, path = saved(tmp_path)
    description = bs.get_description(net)
    description['architecture']['H']['size'] = 10 ** 13
    rewrite(path, description)
    with pytest.raises(ValidationError, match='net.hdf5'):
        bs.Network.from_hdf5(path)


@pytest.mark.parametrize('parameters', [None, np.zeros(3), np.zeros((48, 1)), np.zeros(53, int),
                                        np.full(53, b'x')])
def test_wrong_parameters_in_a_file(tmp_path, parameters):
    _, path = saved(tmp_path)
    with h5py.File(path, 'a') as file:
        del file['parameters']
        if parameters is not None:
            file['parameters'] = parameters
    with pytest.raises(ValidationError, match="net.hdf5.*parameters"):
        bs.Network.from_hdf5(path)


def test_other_formats_are_named(tmp_path):
    _, path = saved(tmp_path)
    with h5py.File(path, 'a') as file:
        file.attrs['format'] = np.bytes_(b'Network file v1.0')
    bs.Network.from_hdf5(path)
    with h5py.File(path, 'a') as file:
        file.attrs['format'] = 'Logs file v1.0'
    with pytest.raises(ValidationError, match="'Logs file v1.0', expected 'Network file v1.0'"):
        bs.Network.from_hdf5(path)


def test_truncated_and_foreign_files(tmp_path):
    _, path = saved(tmp_path)
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises((OSError, ValidationError), match='net.hdf5'):
            bs.Network.from_hdf5(path)
    with pytest.raises(FileNotFoundError, match='nothing.hdf5'):
        bs.Network.from_hdf5(tmp_path / 'nothing.hdf5')
    with pytest.raises(OSError, match='folder'):
        (tmp_path / 'folder').mkdir()
        bs.Network.from_hdf5(tmp_path / 'folder')


FULL_DISK = """
import resource, signal, sys
import brainstorm as bs
net = bs.tools.create_net_from_spec('classification', 300, 300, 'F300')
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
try:
    net.save_as_hdf5(sys.argv[1])
except OSError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file_intact(tmp_path):
    _, path = saved(tmp_path)
    before = path.read_bytes()
    result = subprocess.run([sys.executable, '-c', FULL_DISK, str(path)], capture_output=True,
                            text=True)
    assert 'cannot save the network to' in result.stdout and 'net.hdf5' in result.stdout
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['net.hdf5']


def test_nothing_is_left_where_saving_fails(tmp_path, monkeypatch):
    net, path = saved(tmp_path)
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError, match='net.hdf5.*No space left'):
        net.save_as_hdf5(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['net.hdf5']
    with pytest.raises(OSError, match='absent'):
        net.save_as_hdf5(tmp_path / 'absent' / 'net.hdf5')
