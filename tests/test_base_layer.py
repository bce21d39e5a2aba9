"""Layers written in Python, in networks."""

import copy
import sys
import threading
import traceback
from collections import OrderedDict

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import DebugHandler, NumpyHandler
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


SHAPE = BufferStructure('T', 'B', 6)
BACK = BufferStructure('T', 'B', 6, is_backward_only=True)


def returning(*shapes):
    """Attributes of a layer whose setup returns this."""
    result = shapes if len(shapes) > 1 else shapes[0]
    return {'setup': lambda self, kwargs, in_shapes: result}


@pytest.mark.parametrize('attributes, kwargs, text', [
    ({}, {'size': 3}, "unknown argument 'size'"),
    ({'expected_inputs': {'other': StructureTemplate('...')}}, {}, "no input 'default'"),
    ({'expected_inputs': {'default': StructureTemplate('T', 'B', 9)}}, {}, r"\('T', 'B', 6\)"),
    ({'setup': lambda self, kwargs, in_shapes: in_shapes}, {}, 'setup must return'),
    ({'setup': lambda self, kwargs, in_shapes: ({'y': (1, 2)}, {}, {})}, {}, 'BufferStructure'),
    (returning(None), {}, 'X: setup must return .*, got None'),
    (returning({}, {}), {}, 'X: setup must return'),
    (returning(None, {}, {}), {}, 'X: shapes must be mappings .*, got None'),
    (returning([SHAPE], {}, {}), {}, r"X: shapes must be mappings .*, got \["),
    (returning({'y': SHAPE.shape}, {}, {}), {}, 'X: shapes must be mappings'),
    (returning({'a.b': SHAPE}, {}, {}), {}, "X: .* must be an identifier, got 'a.b'"),
    (returning({'': SHAPE}, {}, {}), {}, "X: .* must be an identifier, got ''"),
    (returning({}, {1: SHAPE}, {}), {}, 'X: .* must be an identifier, got 1'),
    (returning({}, {}, {'@type': SHAPE}), {}, "X: .* must be an identifier, got '@type'"),
    (returning({}, {'W': SHAPE}, {}), {}, "'X'.*'W' must be of constant size"),
    (returning({'y': BACK}, {}, {}), {}, "'X'.* output 'y' cannot be backward only"),
    (returning({}, {'W': BufferStructure(2, is_backward_only=True)}, {}), {},
     "'X'.* parameter 'W' cannot be backward only"),
    (returning({'y': BufferStructure('T', 'B', 1, 2, 3, 4, 5)}, {}, {}), {},
     "'X'.* 'y' has 5 feature dimensions"),
    (returning({'y': BufferStructure('T', 'B', 2 ** 70)}, {}, {}), {}, r"'X'.*outputs\['y'\]"),
    (returning({f'y{i}': SHAPE for i in range(65)}, {}, {}), {}, "'X'.* more than 64 outputs"),
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


def waiting_net():
    net = classifier(ConstructionWrapper.create(WaitLayerImpl, name='W'))
    net.initialize(0.1)
    net.provide_external_data(random_batch())
    return net


class OwnError(Exception):
    def __init__(self, number):
        self.number = number


class OldError(OwnError):
    """An exception as before Python 3.11."""

    @property
    def add_note(self):
        raise AttributeError('add_note')


def fail(error):
    raise error


@pytest.mark.parametrize('method, part', [
    ('setup', 'setup'), ('forward_pass', 'forward pass'), ('backward_pass', 'backward pass')])
@pytest.mark.parametrize('error', [OwnError(3), OldError(3), ZeroDivisionError('oh'),
                                   KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_errors_in_a_layer_in_python_come_out_and_name_it(method, part, error):
    cls = type('FailsLayerImpl', (ScaledSquareLayerImpl,), {method: lambda *args: fail(error)})
    with pytest.raises(type(error)) as caught:
        net = classifier(ConstructionWrapper.create(cls, name='Faulty'))
        net.initialize(0.1)
        net.provide_external_data(random_batch())
        net.forward_pass()
        net.backward_pass()
    assert caught.value is error
    assert 'fail' in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    text = ''.join(traceback.format_exception(error))
    assert f"in the {part} of layer 'Faulty'" in text


def test_an_error_that_follows_another_keeps_it_and_names_the_layer():
    class FollowsLayerImpl(ScaledSquareLayerImpl):
        def forward_pass(self, buffers, training_pass=True):
            try:
                fail(KeyError('first'))
            except KeyError:
                fail(OldError(1))
    net = classifier(ConstructionWrapper.create(FollowsLayerImpl, name='Faulty'))
    with pytest.raises(OldError) as caught:
        net.forward_pass()
    text = ''.join(traceback.format_exception(caught.value))
    assert text.index("forward pass of layer 'Faulty'") < text.index("KeyError: 'first'")


def test_a_network_goes_on_after_an_error_in_a_layer():
    net = waiting_net()
    WaitLayerImpl.during_forward = lambda: fail(ZeroDivisionError('oh'))
    with pytest.raises(ZeroDivisionError, match='oh'):
        net.forward_pass()
    WaitLayerImpl.during_forward = lambda: None
    net.forward_pass()


def test_nan_of_a_layer_reaches_the_loss_or_the_debug_handler():
    class NanLayerImpl(ScaledSquareLayerImpl):
        def forward_pass(self, buffers, training_pass=True):
            super().forward_pass(buffers, training_pass)
            buffers.outputs.default[0, 0, 0] = np.nan
    net = classifier(ConstructionWrapper.create(NanLayerImpl, name='Nan'))
    net.initialize(bs.Gaussian(0.1), seed=1)
    net.provide_external_data(random_batch())
    net.forward_pass()
    assert np.isnan(net.get_loss_values()['total_loss'])
    net.backward_pass()
    assert np.isnan(net.get('gradients')).any()
    net.set_handler(DebugHandler(net.handler))
    net.provide_external_data(random_batch())
    with pytest.raises(ValueError, match="layer 'Output_projection'.*NaN"):
        net.forward_pass()


def test_an_update_whose_backward_pass_fails_changes_no_parameter():
    """Not even those of the layers that were through, with many weights."""
    class MoodyLayerImpl(ScaledSquareLayerImpl):
        fails = False

        def backward_pass(self, buffers):
            if self.fails:
                raise ZeroDivisionError('not today')
            super().backward_pass(buffers)
    net = classifier(layers.FullyConnected(6000),
                     ConstructionWrapper.create(MoodyLayerImpl, name='M'))
    net.initialize(bs.Gaussian(0.5), seed=1)
    stepper = bs.training.MomentumStepper(0.1, 0.9)
    stepper.start(net)
    net.provide_external_data(random_batch())
    stepper.run()
    before = net.get('parameters')
    MoodyLayerImpl.fails = True
    with pytest.raises(ZeroDivisionError, match='not today'):
        stepper.run()
    np.testing.assert_array_equal(net.get('parameters'), before)
    MoodyLayerImpl.fails = False
    stepper.run()
    assert (net.get('parameters') != before).any()


def test_views_that_a_layer_keeps_may_be_used_after_the_pass():
    class KeepsLayerImpl(ScaledSquareLayerImpl):
        kept = []

        def forward_pass(self, buffers, training_pass=True):
            super().forward_pass(buffers, training_pass)
            self.kept += [buffers, *buffers.inputs, *buffers.outputs, *buffers.parameters]
    net = classifier(ConstructionWrapper.create(KeepsLayerImpl, name='K'))
    net.initialize(bs.Gaussian(0.1), seed=1)
    net.provide_external_data(random_batch())
    net.forward_pass()
    view, *leaves = KeepsLayerImpl.kept
    expected = [leaf.copy() for leaf in leaves]
    net.provide_external_data(random_batch(time_steps=60, batch_size=70))
    net.set_handler(NumpyHandler(np.float32))
    net.forward_pass()
    assert view.outputs.default.shape == (60, 70, 6)
    del net
    for leaf, numbers in zip(leaves, expected):
        np.testing.assert_array_equal(leaf, numbers)
        leaf[...] = 1


@pytest.mark.parametrize('enter', [
    lambda net: net.forward_pass(), lambda net: net.backward_pass(),
    lambda net: net.provide_external_data(random_batch()),
    lambda net: net.set_handler(NumpyHandler(np.float64)),
], ids=['forward_pass', 'backward_pass', 'provide_external_data', 'set_handler'])
def test_a_layer_cannot_enter_its_own_network(enter):
    net = waiting_net()
    WaitLayerImpl.during_forward = lambda: enter(net)
    with pytest.raises(RuntimeError, match='the network is busy') as caught:
        net.forward_pass()
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["in the forward pass of layer 'W'"]
    WaitLayerImpl.during_forward = lambda: None
    net.forward_pass()


def test_nobody_else_enters_a_network_that_is_running():
    net = waiting_net()
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
