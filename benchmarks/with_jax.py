"""The workloads in JAX, compiled as a whole. Its LSTM has no peepholes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from workloads import CELLS, LEARNING_RATE, MOMENTUM


def about():
    return {'version': jax.__version__, 'devices': [str(d) for d in jax.devices()]}


def _linear(params, x):
    return x @ params['W'] + params['b']


def _dropout(key, rate, x):
    if key is None:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def _keys(key, n):
    return [None] * n if key is None else jax.random.split(key, n)


def _cifar10_cnn(params, x, key):
    for conv in params[:3]:
        x = lax.conv_general_dilated(x, conv['W'], (1, 1), ((2, 2), (2, 2)),
                                     dimension_numbers=('NHWC', 'HWIO', 'NHWC')) + conv['b']
        x = lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1),
                              'VALID')
    x = jax.nn.relu(_linear(params[3], x.reshape(x.shape[0], -1)))
    return _linear(params[4], x)


def _mnist_pi(params, x, key):
    keys = _keys(key, 3)
    x = _dropout(keys[0], 0.2, x)
    for layer, k in zip(params[:2], keys[1:]):
        x = _dropout(k, 0.5, jax.nn.relu(_linear(layer, x)))
    return _linear(params[2], x)


def _tiny(params, x, key):
    return _linear(params[1], jax.nn.relu(_linear(params[0], x)))


def _lstm(params, x, key):
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


NETWORKS = {
    'cifar10_cnn': (_cifar10_cnn, [(5, 5, 3, 32), (5, 5, 32, 32), (5, 5, 32, 64), (576, 64),
                                   (64, 10)]),
    'mnist_pi': (_mnist_pi, [(784, 1200), (1200, 1200), (1200, 10)]),
    'tiny': (_tiny, [(10, 16), (16, 3)]),
    'lstm': (_lstm, [(205, 4 * CELLS['lstm']), (CELLS['lstm'], 4 * CELLS['lstm']),
                     (CELLS['lstm'], 205)]),
    'small_lstm': (_lstm, [(64, 4 * CELLS['small_lstm']),
                           (CELLS['small_lstm'], 4 * CELLS['small_lstm']),
                           (CELLS['small_lstm'], 64)]),
}


def _network(work):
    """logits(params, x, key) of (T*B, classes), and parameters."""
    apply, shapes = NETWORKS[work.network]
    rnd = np.random.RandomState(1)
    params = [{'W': jnp.asarray(0.05 * rnd.randn(*shape), jnp.float32),
               'b': jnp.zeros(shape[-1])} for shape in shapes]

    def logits(params, x, key):
        return apply(params, x if work.time_steps > 1 else x[0], key).reshape(-1, work.classes)
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
