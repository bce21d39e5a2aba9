"""Bidirectional: a layer and its mirror image."""

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.utils import LayerValidationError
from networks import finite_differences


def bidirectional_net(layer, mask=False):
    shapes = {'default': ('T', 'B', 3), 'targets': ('T', 'B', 8)}
    if mask:
        shapes['mask'] = ('T', 'B', 1)
    inp, both, error = layers.Input(shapes), layers.Bidirectional(layer), layers.SquaredError()
    if mask:
        inp - 'mask' >> 'mask' - both
    inp >> both >> error
    inp - 'targets' >> 'targets' - error
    net = bs.Network.from_layer(error - 'loss' >> layers.Loss())
    net.set_handler(NumpyHandler(np.float64))
    net.initialize(bs.Gaussian(0.6), seed=4)
    return net


def one_way(layer, parameters, x):
    """Outputs of the layer alone, with the given parameters."""
    inp = layers.Input({'default': ('T', 'B', 3)})
    net = bs.Network.from_layer(inp >> layer >> layers.Loss())
    net.set_handler(NumpyHandler(np.float64))
    name = list(net.layers)[1]
    for leaf, value in zip(net.buffer[name].parameters, parameters):
        leaf[...] = value
    net.provide_external_data({'default': x})
    net.forward_pass()
    return net.get(f'{name}.outputs.default')[:len(x)]


MAKE = [lambda: layers.Lstm(4), lambda: layers.Gru(4), lambda: layers.Recurrent(4)]


@pytest.mark.parametrize('make', MAKE)
def test_the_second_half_has_seen_the_future(make):
    net, rnd = bidirectional_net(make()), np.random.RandomState(0)
    x = rnd.randn(5, 2, 3)
    net.provide_external_data({'default': x, 'targets': rnd.randn(5, 2, 8)})
    net.forward_pass()
    y, name = net.get('SquaredError.inputs.default'), make().layer.name
    forward = one_way(make(), list(net.buffer[name + '_forward'].parameters), x)
    backward = one_way(make(), list(net.buffer[name + '_backward'].parameters), x[::-1])
    np.testing.assert_array_equal(y, np.concatenate([forward, backward[::-1]], axis=2))


def test_sequences_are_reversed_by_their_length():
    net, rnd = bidirectional_net(layers.Lstm(4), mask=True), np.random.RandomState(1)
    lengths, T = [4, 2, 0], 5
    x = rnd.randn(T, 3, 3)
    mask = (np.arange(T)[:, None] < lengths)[..., None]
    net.provide_external_data({'default': x, 'targets': np.zeros((T, 3, 8)), 'mask': mask})
    net.forward_pass()
    y = net.get('SquaredError.inputs.default')
    parameters = list(net.buffer.Lstm_backward.parameters)
    for b, n in enumerate(lengths[:2]):
        alone = one_way(layers.Lstm(4), parameters, x[:n, b:b + 1][::-1])
        np.testing.assert_allclose(y[:n, b:b + 1, 4:], alone[::-1], rtol=1e-12)


def test_gradients_are_finite_differences():
    net, rnd = bidirectional_net(layers.Gru(4), mask=True), np.random.RandomState(2)
    mask = (np.arange(4)[:, None] < [4, 2])[..., None]
    net.provide_external_data({'default': rnd.randn(4, 2, 3), 'targets': rnd.randn(4, 2, 8),
                               'mask': mask})
    net.forward_pass()
    net.backward_pass()
    gradients = net.get('gradients')
    np.testing.assert_allclose(gradients, finite_differences(net), rtol=1e-5, atol=1e-8)


def test_two_of_them_and_their_names():
    inp = layers.Input({'default': ('T', 'B', 3)})
    end = inp >> layers.Bidirectional(layers.Lstm(2)) >> layers.Bidirectional(layers.Lstm(2))
    net = bs.Network.from_layer(end >> layers.Loss())
    assert set(net.layers) == {'Input', 'Loss'} | {
        f'Lstm_{part}_{i}' for part in ('forward', 'backward', 'reversed_input', 'reverse')
        for i in (1, 2)}
    assert net.layers['Lstm_forward_2'].in_shapes['default'].shape == ('T', 'B', 4)


def test_what_it_refuses():
    inp, wired = layers.Input({'default': ('T', 'B', 3)}), layers.Lstm(2)
    inp >> wired
    with pytest.raises(LayerValidationError, match='Lstm: a layer that is wired already'):
        layers.Bidirectional(wired)
    both = layers.Bidirectional(layers.Lstm(2))
    assert repr(both) == "<Bidirectional 'Lstm' of type Lstm>"
    for wrong in (None, layers.Lstm, both):
        with pytest.raises(TypeError, match='Bidirectional takes a single layer.*, not <?'):
            layers.Bidirectional(wrong)
    with pytest.raises(ValueError, match="only the output 'default', not 'loss'"):
        both - 'loss'
    with pytest.raises(ValueError, match="inputs 'default' and 'mask', not 'targets'"):
        'targets' - both
