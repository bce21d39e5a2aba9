"""What layers compute, by NumPy formulas: outputs, and internals that are documented.

Deltas and gradients are checked against finite differences in `test_layer_laws.py`; here stand
those of the backward pass that are internals.
"""

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.utils import LayerValidationError
from layer_cases import CASES, random_data

T, B = 3, 2


class Alone:
    """A layer 'L' that is fed with the data; each of its outputs goes into a Loss of its own, so
    the deltas that come back are 1/B everywhere."""

    def __init__(self, type, kwargs, data):
        shapes = {name: ('T', 'B') + value.shape[2:] for name, value in data.items()}
        architecture = {
            'Input': {'@type': 'Input', 'out_shapes': shapes,
                      '@outgoing_connections': {name: ['L.' + name] for name in data}},
            'L': {'@type': type, '@outgoing_connections': {}, **kwargs}}
        for name in bs.Network.from_architecture(architecture).layers['L'].out_shapes:
            architecture['L']['@outgoing_connections'][name] = ['Loss_' + name]
            architecture['Loss_' + name] = {'@type': 'Loss', '@outgoing_connections': {}}
        self.net = bs.Network.from_architecture(architecture)
        self.net.set_handler(NumpyHandler(np.float64))
        self.net.initialize(bs.Gaussian(0.8), seed=2)
        self.net.provide_external_data(data)

    def run(self, backward=False):
        self.net.forward_pass()
        if backward:
            self.net.backward_pass()

    def check(self, expected):
        for name, want in expected.items():
            got = self.net.get('L.' + name)
            assert got.shape == want.shape, name
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, err_msg=name)


def data_of(case):
    rnd = np.random.RandomState(4)
    return {port: random_data(case, port, (T, B) + shape, rnd)
            for port, shape in case['inputs'].items()}


def total(x):
    """The sum over all features, (T, B, 1)."""
    return x.reshape(T, B, -1).sum(axis=2, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_likelihood(y, t):
    return t * np.log(np.clip(y, 1e-6, 1)) + (1 - t) * np.log(np.clip(1 - y, 1e-6, 1))


def mask(d, net):
    m = d['mask']
    per_step = m.ndim < d['default'].ndim
    return {'outputs.default': d['default'] * (m.reshape(T, B, 1, 1, 1) if per_step else m)}


def layer_norm(d, net, epsilon):
    x, (gamma, beta) = d['default'], net.buffer.L.parameters
    sigma = np.sqrt(x.var(axis=-1, keepdims=True) + epsilon)
    x_hat = (x - x.mean(axis=-1, keepdims=True)) / sigma
    return {'outputs.default': gamma * x_hat + beta, 'internals.sigma_b': sigma,
            'internals.x_hat': x_hat}


def embedding(d, net):
    return {'outputs.default': net.get('L.parameters.W')[d['default'][..., 0]]}


def global_max(d, net):
    x = d['default'].reshape(T, B, -1, d['default'].shape[-1])
    place = x.argmax(axis=2) * x.shape[-1] + np.arange(x.shape[-1])
    return {'outputs.default': x.max(axis=2), 'internals.argmax': place}


def binomial_cross_entropy(d, net):
    cee = log_likelihood(d['default'], d['targets'])
    return {'internals.cee': cee, 'outputs.default': -total(cee)}


def sigmoid_ce(d, net):
    y = sigmoid(d['default'])
    return {'outputs.predictions': y, 'outputs.loss': -log_likelihood(y, d['targets'])}


def squared_difference(d, net):
    diff = d['inputs_1'] - d['inputs_2']
    return {'internals.diff': diff, 'outputs.default': diff ** 2}


FORWARD = {
    'global_pooling2d': global_max,
    'global_pooling2d_avg': lambda d, net: {'outputs.default': d['default'].mean(axis=(2, 3))},
    'layer_norm': lambda d, net: layer_norm(d, net, 0.01),
    'layer_norm_images': lambda d, net: layer_norm(d, net, 1e-5),
    'embedding': embedding, 'embedding_images': embedding,
    'highway': lambda d, net: {'outputs.default': d['T'] * d['H'] + (1 - d['T']) * d['x']},
    'mask': mask, 'mask_full': mask, 'mask_images': mask, 'mask_images_rows': mask,
    'mask_images_full': mask,
    'deltas_scaling': lambda d, net: {'outputs.default': d['default']},
    'sigmoid_ce': sigmoid_ce, 'sigmoid_ce_images': sigmoid_ce,
    'squared_difference': squared_difference,
    'binomial_cross_entropy': binomial_cross_entropy,
    'binomial_cross_entropy_images': binomial_cross_entropy,
    'l1_decay_images': lambda d, net: {'internals.tmp': abs(d['default']),
                                       'outputs.loss': total(abs(d['default']))},
    'l2_decay_images': lambda d, net: {'internals.tmp': d['default'] ** 2 / 2,
                                       'outputs.loss': total(d['default'] ** 2 / 2)},
}
BACKWARD = {
    'sigmoid_ce': lambda d: {'internals.dcee': (sigmoid(d['default']) - d['targets']) / B},
    'binomial_cross_entropy_images': lambda d: {
        'internals.ceed': (d['default'] - d['targets']) / np.clip(
            d['default'] - d['default'] ** 2, 1e-6, 1) / B},
    'l1_decay_images': lambda d: {'internals.tmp': np.sign(d['default']) / B},
    'l2_decay_images': lambda d: {'internals.tmp': d['default'] / B,
                                  'internals.dsq_activations': d['default'] / B},
}


@pytest.mark.parametrize('name', FORWARD)
def test_forward(name):
    data = data_of(CASES[name])
    alone = Alone(CASES[name]['type'], CASES[name]['kwargs'], data)
    alone.run()
    alone.check(FORWARD[name](data, alone.net))


@pytest.mark.parametrize('name', BACKWARD)
def test_internals_of_backward(name):
    data = data_of(CASES[name])
    alone = Alone(CASES[name]['type'], CASES[name]['kwargs'], data)
    alone.run(backward=True)
    alone.check(BACKWARD[name](data))


@pytest.mark.parametrize('y', [0.0, 1.0])
def test_probabilities_of_0_and_1_are_clipped(y):
    data = {'default': np.full((1, 1, 1), y), 'targets': np.full((1, 1, 1), 1 - y)}
    alone = Alone('BinomialCrossEntropy', {}, data)
    alone.run(backward=True)
    assert alone.net.get('L.outputs.default') == pytest.approx(-np.log(1e-6))
    assert alone.net.get('L.internals.ceed') == pytest.approx((2 * y - 1) * 1e6)


def test_deltas_of_an_embedding_add_up_at_each_row_used():
    alone = Alone('Embedding', {'vocab_size': 4, 'size': 2}, {'default': [[[2], [0]], [[2], [2]]]
                                                              * np.ones((2, 2, 1))})
    alone.run(backward=True)
    np.testing.assert_array_equal(alone.net.get('L.gradients.W'),
                                  [[0.5, 0.5], [0, 0], [1.5, 1.5], [0, 0]])


@pytest.mark.parametrize('wrong', [4, -1, 0.5, np.nan])
@pytest.mark.parametrize('type, kwargs, port', [
    ('SoftmaxCE', {}, 'targets'), ('Embedding', {'vocab_size': 4, 'size': 2}, 'default')])
def test_ids_out_of_range_name_the_layer(type, kwargs, port, wrong):
    data = {'default': np.zeros((T, B, 4)), port: np.zeros((T, B, 1))}
    data[port][1, 0] = wrong
    with pytest.raises(IndexError,
                       match=r"layer 'L': \w+: id \S+ in row 2 is out of range \[0, 4\)"):
        Alone(type, kwargs, data).run()


def shapes(**kwargs):
    return {name: ('T', 'B') + shape for name, shape in kwargs.items()}


@pytest.mark.parametrize('layer, in_shapes, text', [
    (layers.Mask(), shapes(default=(4, 5), mask=(5,)),
     r"'mask' has shape \('T', 'B', 5\), expected \('T', 'B', 4, 5\).*last dimension of 1"),
    (layers.Mask(), shapes(default=(4, 5), mask=(1, 1)), r"'mask' has shape \('T', 'B', 1, 1\)"),
    (layers.Highway(), shapes(H=(4,), T=(1,), x=(4,)), r"'T' has shape.*expected \('T', 'B', 4\)"),
    (layers.Highway(), shapes(H=(5,), T=(4,), x=(4,)), r"'H' has shape.*expected \('T', 'B', 4\)"),
    (layers.SigmoidCE(), shapes(default=(4,), targets=(1,)), "'targets'.*that of 'default'"),
    (layers.SquaredDifference(), shapes(inputs_1=(4,), inputs_2=(1,)), "'inputs_2' has shape"),
    (layers.BinomialCrossEntropy(), shapes(default=(4,), targets=(1,)), "'targets' has shape"),
    (layers.Embedding(3, 2), shapes(default=(2,)), 'one id each'),
    (layers.Embedding(0, 2), shapes(default=(1,)), 'vocab_size must be a positive int, got 0'),
    (layers.LayerNorm(epsilon=0), shapes(default=(2,)), 'epsilon must be positive, got 0'),
    (layers.Elementwise('\ud800'), shapes(default=(2,)), r"activation must be .* '\\ud800'"),
    (layers.GlobalPooling2D('min'), shapes(default=(2, 2, 1)), "type must be one of: max avg"),
    (layers.GlobalPooling2D(), shapes(default=(2, 2)), r'expected \(T B H W C\)'),
    (layers.DeltasScaling(np.inf), shapes(default=(2,)), 'factor must be a finite number'),
])
def test_what_does_not_fit_is_refused(layer, in_shapes, text):
    inp = layers.Input(in_shapes)
    for port in in_shapes:
        inp - port >> port - layer
    with pytest.raises(LayerValidationError, match="layer '.*': .*" + text):
        bs.Network.from_layer(layer)


@pytest.mark.parametrize('make, message', [
    (lambda inp: inp >> layers.Embedding(2 ** 24 + 1, 1), 'vocab_size is 16777217'),
    (lambda inp: inp - 'many' >> layers.SoftmaxCE(), 'number of classes is 16777217')])
def test_ids_that_float32_cannot_tell_apart(make, message):
    inp = layers.Input({'default': ('T', 'B', 1), 'many': ('T', 'B', 2 ** 24 + 1)})
    layer = make(inp)
    if layer.layer.layer_type == 'SoftmaxCE':
        inp >> 'targets' - layer
    with pytest.raises(LayerValidationError, match=message):
        bs.Network.from_layer(layer)
