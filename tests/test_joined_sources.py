"""Several sources wired into one port: features of any rank, joined along the last dimension."""

from collections import OrderedDict

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.handlers import NumpyHandler
from brainstorm.layers.base_layer import Layer
from brainstorm.structure.buffer_structure import BufferStructure
from brainstorm.utils import (
    NetworkValidationError, flatten_all_but_last, flatten_time_and_features)


class FlatSquareLayerImpl(Layer):
    """y = x**2, by the helpers that flatten without a copy; keeps its views."""

    def setup(self, kwargs, in_shapes):
        shape = in_shapes['default'].shape
        return in_shapes, OrderedDict(), OrderedDict(
            kept=BufferStructure(*shape), dkept=BufferStructure(*shape, is_backward_only=True))

    def forward_pass(self, buffers, training_pass=True):
        self.views = [buffers.inputs.default, buffers.outputs.default]
        x, y = map(flatten_time_and_features, self.views)
        assert all(np.shares_memory(flatten_all_but_last(view), view) for view in self.views)
        self.handler.mult_tt(x, x, y)
        self.handler.copy_to(x, flatten_time_and_features(buffers.internals.kept))

    def backward_pass(self, buffers):
        x, dy, dx, kept, dkept = map(flatten_time_and_features, (
            buffers.inputs.default, buffers.output_deltas.default, buffers.input_deltas.default,
            buffers.internals.kept, buffers.internals.dkept))
        np.testing.assert_array_equal(x, kept)
        self.handler.add_tt(dx, dkept, dx)
        self.handler.mult_tt(x, dy, kept)
        self.handler.mult_add_st(2, kept, dx)


def build(layers):
    net = bs.Network.from_architecture(layers)
    net.set_handler(NumpyHandler(np.float64))
    net.initialize(bs.Gaussian(0.5), seed=2)
    return net


def layer(type, *targets, **kwargs):
    wires = kwargs.pop('wires', {'default': list(targets)})
    return dict({'@type': type, '@outgoing_connections': wires}, **kwargs)


IMAGES = {'a': ('T', 'B', 2, 3, 2), 'b': ('T', 'B', 2, 3, 4), 'c': ('T', 'B', 2, 3, 1)}


def images(seed=0, T=2, B=3):
    rnd = np.random.RandomState(seed)
    return {name: rnd.randn(T, B, *shape[2:]) for name, shape in IMAGES.items()}


def test_sources_are_joined_in_the_order_of_their_paths():
    net = build({'Input': layer('Input', wires={name: ['Out'] for name in 'cba'},
                                out_shapes=IMAGES),
                 'Out': layer('NoOp', 'Loss'), 'Loss': layer('Loss')})
    data = images()
    net.provide_external_data(data)
    net.forward_pass()
    expected = np.concatenate([data['a'], data['b'], data['c']], axis=-1)
    np.testing.assert_array_equal(net.get('Out.outputs.default'), expected)
    np.testing.assert_array_equal(net.get('Input.outputs.b'), data['b'])
    assert np.shares_memory(net.buffer.Input.outputs.b, net.buffer.Out.inputs.default)


def test_each_consumer_sees_its_own_sources_side_by_side():
    net = build({'Input': layer('Input', wires={'a': ['Left'], 'b': ['Right'],
                                                'c': ['Left', 'Right']}, out_shapes=IMAGES),
                 'Left': layer('NoOp', 'Sum_left'), 'Right': layer('NoOp', 'Sum_right'),
                 'Sum_left': layer('Loss'), 'Sum_right': layer('Loss', importance=2.0)})
    data = images()
    net.provide_external_data(data)
    net.forward_pass()
    net.backward_pass()
    np.testing.assert_array_equal(net.get('Left.inputs.default'),
                                  np.concatenate([data['a'], data['c']], axis=-1))
    np.testing.assert_array_equal(net.get('Right.inputs.default'),
                                  np.concatenate([data['c'], data['b']], axis=-1))
    for name, factor in ('a', 1), ('b', 2), ('c', 3):
        np.testing.assert_allclose(net.get('Input.output_deltas.' + name), factor / 3)


def python_layer_net():
    return build({
        'Input': layer('Input', wires={'a': ['Hid'], 'b': ['Out'], 'c': []}, out_shapes=IMAGES),
        'Hid': layer('FlatSquare', wires={'default': ['Out'], '..internals.kept': ['Wide']}),
        'Out': layer('FlatSquare', 'Wide'), 'Wide': layer('NoOp', 'Loss'),
        'Loss': layer('Loss')})


def test_a_layer_in_python_may_flatten_what_it_gets():
    net, data = python_layer_net(), images()
    net.provide_external_data(data)
    net.forward_pass()
    a, b = data['a'], data['b']
    expected = np.concatenate([a, a ** 4, b ** 2], axis=-1)
    np.testing.assert_allclose(net.get('Wide.inputs.default'), expected, rtol=1e-12)
    assert np.isclose(net.get_loss_values()['total_loss'], expected.sum() / 3)
    net.backward_pass()
    np.testing.assert_allclose(net.get('Input.output_deltas.a'), (1 + 4 * a ** 3) / 3, rtol=1e-12)
    np.testing.assert_allclose(net.get('Input.output_deltas.b'), 2 * b / 3, rtol=1e-12)


def test_views_that_a_layer_keeps_stay_readable():
    net = python_layer_net()
    net.provide_external_data(images())
    net.forward_pass()
    kept = [view for name in ('Hid', 'Out') for view in net.layers[name].views]
    net.provide_external_data(images(T=40, B=50))
    net.forward_pass()
    net.backward_pass()
    del net
    assert [view.copy().shape[:2] for view in kept] == [(2, 3)] * 4


def test_joined_shapes_agree_in_all_dimensions_but_the_last():
    shapes = dict(IMAGES, b=('T', 'B', 3, 2, 4))
    with pytest.raises(NetworkValidationError, match="input 'default' of layer 'Out' has several "
                       r"sources that do not fit: Input.outputs.b is \('T', 'B', 3, 2, 4\)"):
        build({'Input': layer('Input', wires={'a': ['Out'], 'b': ['Out']}, out_shapes=shapes),
               'Out': layer('NoOp')})


def test_parameters_are_not_joined():
    with pytest.raises(NetworkValidationError, match="input 'default' of layer 'Loss': "
                       'parameters cannot be joined with other sources'):
        build({'Input': layer('Input', 'A', out_shapes={'default': ('T', 'B', 2)}),
               'A': layer('FullyConnected', 'B', size=2, wires={
                   'default': ['B'], '..parameters.W': ['Loss']}),
               'B': layer('FullyConnected', size=2, wires={'..parameters.W': ['Loss']}),
               'Loss': layer('Loss')})


class CumulativeSumLayerImpl(Layer):
    """y[t] = x[t] + y[t-1], for features of any rank."""

    def setup(self, kwargs, in_shapes):
        shape = in_shapes['default'].shape
        return OrderedDict(default=BufferStructure(*shape, context_size=1)), {}, {}

    def forward_pass(self, buffers, training_pass=True):
        x, y = buffers.inputs.default, buffers.outputs.default
        for t in range(x.shape[0]):
            self.handler.add_tt(x[t], y[t - 1], y[t])

    def backward_pass(self, buffers):
        dx, dy = buffers.input_deltas.default, buffers.output_deltas.default
        total = self.handler.zeros(dx.shape[1:])
        for t in reversed(range(dx.shape[0])):
            self.handler.add_tt(dy[t], total, total)
            self.handler.add_tt(total, dx[t], dx[t])


def test_a_joined_output_keeps_its_context():
    net = build({
        'Input': layer('Input', wires={'a': ['Sum'], 'b': ['Out'], 'c': []}, out_shapes=IMAGES),
        'Sum': layer('CumulativeSum', 'Out'), 'Out': layer('NoOp', 'Loss'), 'Loss': layer('Loss')})
    data, state = images(T=3), np.random.RandomState(1).randn(1, 3, 2, 3, 2)
    net.provide_external_data(data)
    for start, context in (0, None), (state, {'Sum': {'outputs': {'default': state}}}):
        net.forward_pass(context=context)
        expected = start + np.cumsum(data['a'], axis=0)
        np.testing.assert_allclose(net.get('Sum.outputs.default')[:3], expected, rtol=1e-12)
        np.testing.assert_allclose(net.get('Out.outputs.default')[..., 4:], expected, rtol=1e-12)
        np.testing.assert_allclose(net.get_context()['Sum']['outputs']['default'], expected[-1:])
    net.backward_pass()
    for t in range(3):
        np.testing.assert_allclose(net.get('Input.output_deltas.a')[t], (3 - t) / 3)
