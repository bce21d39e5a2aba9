"""Layers written in Python, in networks."""

import copy
import sys
import threading
from collections import OrderedDict

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.layers.base_layer import Layer, get_layer_class_from_typename
from brainstorm.structure.buffer_structure import BufferStructure, StructureTemplate
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.utils import LayerValidationError, flatten_time_and_features
from networks import classifier, finite_differences, random_batch


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
    np.testing.assert_allclose(net.get('gradients'), finite_differences(net), atol=1e-8)


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


BACKWARD_ONLY = {'y': BufferStructure(3, is_backward_only=True)}


def declares(*structures):
    """A `setup` that returns these outputs, parameters and internals."""
    return lambda self, kwargs, in_shapes: structures


@pytest.mark.parametrize('attributes, kwargs, text', [
    ({}, {'size': 3}, "unknown argument 'size'"),
    ({'expected_inputs': {'other': StructureTemplate('...')}}, {}, "no input 'default'"),
    ({'expected_inputs': {'default': StructureTemplate('T', 'B', 9)}}, {}, r"\('T', 'B', 6\)"),
    ({'setup': lambda self, kwargs, in_shapes: in_shapes}, {}, 'setup must return'),
    ({'setup': lambda self, kwargs, in_shapes: ({'y': (1, 2)}, {}, {})}, {}, 'BufferStructure'),
    ({'setup': declares(BACKWARD_ONLY, {}, {})}, {}, "'X': .*output 'y' is backward only"),
    ({'setup': declares({}, BACKWARD_ONLY, {})}, {}, "'X': .*parameter 'y' is backward only"),
    ({'computes_no_input_deltas_for': 'default'}, {}, "must be a list of .* got 'default'"),
    ({'computes_no_input_deltas_for': ['x']}, {}, "_deltas_for has 'x'; the inputs are default"),
    ({'computes_no_gradients_for': ['default']}, {}, "'default'; the parameters are s"),
    ({'takes_no_output_deltas_from': ['loss']}, {}, "'loss'; the outputs are default"),
    ({'takes_no_output_deltas_from': None}, {}, 'must be a list of names of outputs, got None'),
])
def test_layers_in_python_are_checked(attributes, kwargs, text):
    cls = type('WrongLayerImpl', (ScaledSquareLayerImpl,), attributes)
    with pytest.raises(LayerValidationError, match=text):
        classifier(ConstructionWrapper.create(cls, name='X', **kwargs))


@pytest.mark.parametrize('partner', [
    BufferStructure('T', 'B', 1, is_backward_only=True), BufferStructure('T', 'B', 6),
    BufferStructure('B', 6, is_backward_only=True)])
def test_what_flows_back_into_an_internal_needs_a_partner_that_fits(partner):
    internals = {'x': BufferStructure('T', 'B', 6), 'dx': partner}
    wrong = type('WrongLayerImpl', (ScaledSquareLayerImpl,), {
        'setup': lambda self, kwargs, in_shapes: (in_shapes, {}, internals)})
    layer = ConstructionWrapper.create(wrong, name='X') - '..internals.x'
    inp = layers.Input({'default': ('T', 'B', 6)})
    inp >> layer >> layers.Loss()
    with pytest.raises(KeyError, match="'x' of layer 'X' .* no partner 'dx', backward only and of"):
        bs.Network.from_layer(inp)


@pytest.mark.skipif(sys.version_info < (3, 11), reason='exceptions carry no notes')
def test_errors_in_setup_name_the_layer():
    cls = type('WrongLayerImpl', (ScaledSquareLayerImpl,), {'setup': lambda *args: 1 / 0})
    with pytest.raises(ZeroDivisionError) as caught:
        classifier(ConstructionWrapper.create(cls, name='X'))
    assert caught.value.__notes__ == ["in the setup of layer 'X'"]


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


def test_nobody_else_enters_a_network_that_is_running():
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
