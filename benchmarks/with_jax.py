"""The workloads in JAX, compiled as a whole. Its LSTM has no peepholes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from workloads import LEARNING_RATE, MOMENTUM


def about():
    return {'version': jax.__version__, 'devices': [str(d) for d in jax.devices()]}


def _linear(params, x):
    """Of the last dimensions of x, as many as the weights have for their inputs."""
    return jnp.tensordot(x, params['W'], params['W'].ndim - 1) + params['b']


def _dropout(key, rate, x):
    if key is None:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def _keys(key, n):
    return [None] * n if key is None else jax.random.split(key, n)


def _cifar10_cnn(work, params, x, key):
    for conv in params[:3]:
        x = lax.conv_general_dilated(x, conv['W'], (1, 1), ((2, 2), (2, 2)),
                                     dimension_numbers=('NHWC', 'HWIO', 'NHWC')) + conv['b']
        x = lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1),
                              'VALID')
    return _linear(params[4], jax.nn.relu(_linear(params[3], x)))


def _mnist_pi(work, params, x, key):
    keys = _keys(key, 3)
    x = _dropout(keys[0], work.drops[0], x)
    for layer, k, rate in zip(params[:2], keys[1:], work.drops[1:]):
        x = _dropout(k, rate, jax.nn.relu(_linear(layer, x)))
    return _linear(params[2], x)


def _tiny(work, params, x, key):
    return _linear(params[1], jax.nn.relu(_linear(params[0], x)))


def _lstm(work, params, x, key):
    gates, recurrent, projection = params
    from_x = _linear(gates, x)

    def step(state, now):
        y, c = state
        z, i, f, o = jnp.split(now + y @ recurrent['W'], 4, axis=-1)
        c = jax.nn.sigmoid(i) * jnp.tanh(z) + jax.nn.sigmoid(f) * c
        y = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (y, c), y
    zero = jnp.zeros((x.shape[1], recurrent['W'].shape[0]))
    return _linear(projection, lax.scan(step, (zero, zero), from_x)[1])


NETWORKS = {'cifar10_cnn': _cifar10_cnn, 'mnist_pi': _mnist_pi, 'tiny': _tiny, 'lstm': _lstm,
            'small_lstm': _lstm}


def _network(work):
    """logits(params, x, key) of (T*B, classes), and parameters."""
    params = [{'W': jnp.asarray(w), 'b': jnp.zeros(w.shape[-1])} for w in work.weights()]

    def logits(params, x, key):
        out = NETWORKS[work.network](work, params, x if work.time_steps > 1 else x[0], key)
        return out.reshape(-1, work.classes)
    return logits, params


def update(work, variant):
    logits, params = _network(work)

    def loss_of(params, x, ids, key):
        chances = jax.nn.log_softmax(logits(params, x, key))
        return -jnp.take_along_axis(chances, ids.reshape(-1, 1), axis=1).sum() / work.batch_size

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, velocity, key, x, ids):
        key, now = jax.random.split(key)
        loss, grads = jax.value_and_grad(loss_of)(params, x, ids, now)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v - LEARNING_RATE * g, velocity, grads)
        return jax.tree.map(jnp.add, params, velocity), velocity, key, loss

    state = [params, jax.tree.map(jnp.zeros_like, params), jax.random.key(0)]

    def run(x, targets):
        *state[:], loss = step(*state, x, targets)
        return float(loss)
    return run


def predict(work, variant):
    logits, params = _network(work)
    step = jax.jit(lambda params, x: jax.nn.softmax(logits(params, x, None)))
    return lambda x, targets: np.asarray(step(params, x))
