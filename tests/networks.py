"""Small networks and data that several test files use."""

import numpy as np

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler


def random_batch(shape=(6,), classes=3, time_steps=1, batch_size=4, seed=3):
    """Random data (T, B, *shape) and class ids (T, B, 1)."""
    rnd = np.random.RandomState(seed)
    return {'default': rnd.randn(time_steps, batch_size, *shape),
            'targets': rnd.randint(0, classes, (time_steps, batch_size, 1))}


def classifier(*hidden, shape=(6,), classes=3, dtype=np.float64):
    """A network of the hidden layers between an Input and a softmax."""
    inp, out = bs.tools.get_in_out_layers('classification', shape, classes)
    current = inp
    for layer in hidden:
        current = current >> layer
    net = bs.Network.from_layer(current >> out)
    net.set_handler(NumpyHandler(dtype))
    return net


def mlp(dtype=np.float64, seed=1):
    """6 inputs, 5 tanh units called H, 3 classes, initialized."""
    net = classifier(layers.FullyConnected(5, activation='tanh', name='H'), dtype=dtype)
    net.initialize(bs.Gaussian(0.5), seed=seed)
    return net


def mlp_predictions(net, x):
    """What the softmax of `mlp` should give, by numpy."""
    W, bias = net.get('H.parameters.W'), net.get('H.parameters.bias')
    V, c = net.get('Output_projection.parameters.W'), net.get('Output_projection.parameters.bias')
    z = np.tanh(x @ W.T + bias) @ V.T + c
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def finite_differences(net, step=1e-5):
    """The gradients of the loss by all parameters, from two forward passes for each."""
    parameters = net.buffer.parameters
    slopes = np.empty(parameters.size)
    for i in range(parameters.size):
        losses = []
        for change in (step, -step):
            parameters[i] += change
            net.forward_pass()
            losses.append(net.get_loss_values()['total_loss'])
            parameters[i] -= change
        slopes[i] = (losses[0] - losses[1]) / (2 * step)
    return slopes
