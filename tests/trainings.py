"""Small trainings that tests of the GPU compare: what is trained, on which data, what comes out."""

import numpy as np

import brainstorm as bs
from brainstorm import layers


def images(flow):
    return (flow >> layers.Convolution2D(4, kernel_size=(3, 3), padding=1)
            >> layers.Pooling2D(type='max', kernel_size=(2, 2), stride=(2, 2))
            >> layers.Dropout(0.3) >> layers.BatchNorm() >> layers.FullyConnected(12))


def letters(flow):
    return flow >> layers.Lstm(7) >> layers.Gru(6) >> layers.LstmOpt(5)


def sounds(flow):
    return (flow >> layers.Recurrent(6) >> layers.Reverse() >> layers.LayerNorm()
            >> layers.Recurrent(5, activation='rel'))


TASKS = {
    # name: (layers, shape of a step, time steps, sequences)
    'images': (images, (8, 8, 3), 1, 10),
    'letters': (letters, (6,), 7, 4),
    'sounds': (sounds, (5,), 6, 3),
    'clocks': (lambda flow: flow >> layers.Clockwork(5) >> layers.ClockworkLstm(4), (6,), 7, 4),
    'one layer': (lambda flow: flow >> layers.FullyConnected(9), (5,), 1, 3),
}


def network(task, handler):
    build, features, T, B = TASKS[task]
    inp, out = bs.tools.get_in_out_layers('classification', features, 5)
    build(inp) >> out
    net = bs.Network.from_layer(out)
    net.set_handler(handler)
    clocks = {name: {'timing': 2} for name in net.layers if name.startswith('Clockwork')}
    net.initialize({'default': bs.Gaussian(0.3), **clocks}, seed=1)
    net.rnd.set_seed(5)
    return net


def minibatch(task, seed, B=None):
    _, features, T, size = TASKS[task]
    r = np.random.RandomState(seed)
    B = B or size
    return {'default': r.randn(T, B, *features), 'targets': r.randint(0, 5, (T, B, 1))}


def train(task, handler, stepper=None, sizes=(None,) * 6, looks=False):
    """The losses, and all parameters after some updates. Without `looks` the only loss is that of
    the last one, and nobody waits for those before."""
    net = network(task, handler)
    stepper = stepper or bs.training.MomentumStepper(0.1, 0.9)
    stepper.start(net)
    losses = []
    for i, B in enumerate(sizes):
        net.provide_external_data(minibatch(task, i % 3, B))
        stepper.run()
        if looks or i == len(sizes) - 1:
            losses.append(net.get_loss_values()['total_loss'])
    return np.array(losses), net.get('parameters')
