"""The workloads in brainstorm, on the CPU or (the variant 'brainstorm gpu') on a GPU."""

import numpy as np

import brainstorm as bs
from brainstorm import _core, layers
from workloads import CELLS, LEARNING_RATE, MOMENTUM


def about():
    return {'version': bs.__version__, **_core.info()}


def _cifar10_cnn(work, flow):
    for name, filters in (('Conv1', 32), ('Conv2', 32), ('Conv3', 64)):
        flow = flow >> layers.Convolution2D(filters, kernel_size=(5, 5), padding=2, name=name)
        flow = flow >> layers.Pooling2D(type='max', kernel_size=(3, 3), stride=(2, 2))
    return flow >> layers.FullyConnected(64, name='FC')


def _mnist_pi(work, flow):
    first, second, third = map(layers.Dropout, work.drops)
    return (flow >> first >> layers.FullyConnected(1200) >> second >>
            layers.FullyConnected(1200) >> third)


def _lstm(work, flow):
    return flow >> layers.Lstm(CELLS[work.network])


def _tiny(work, flow):
    return flow >> layers.FullyConnected(16)


NETWORKS = {
    'cifar10_cnn': _cifar10_cnn,
    'mnist_pi': _mnist_pi,
    'lstm': _lstm,
    'small_lstm': _lstm,
    'tiny': _tiny,
}


def network(work, variant='brainstorm'):
    inp, out = bs.tools.get_in_out_layers('classification', work.features, work.classes)
    NETWORKS[work.network](work, inp) >> out
    net = bs.Network.from_layer(out)
    net.initialize(0)
    _set_weights(net, work)
    if variant == 'brainstorm gpu':
        net.set_handler(bs.handlers.PyCudaHandler())
    return net


def _set_weights(net, work):
    """Outputs come before inputs, and each gate of an LSTM has matrices of its own."""
    numbers = np.concatenate([np.moveaxis(w, -1, 0).ravel() for w in work.weights()])
    for layer in net.layers:
        for name, matrix in net.buffer[layer].parameters.items():
            if name[0] in 'WR':
                matrix[...] = numbers[:matrix.size].reshape(matrix.shape)
                numbers = numbers[matrix.size:]


def update(work, variant):
    net = network(work, variant)
    stepper = bs.training.MomentumStepper(LEARNING_RATE, MOMENTUM, scale_learning_rate=False)
    stepper.start(net)
    net._core.is_lean = True  # as a Trainer does, if no hook reads them

    def run(x, targets):
        net.provide_external_data({'default': x, 'targets': targets})
        stepper.run()
        return net.get_loss_values()['total_loss']
    return run


def predict(work, variant):
    net = network(work, variant)

    def run(x, targets):
        net.provide_external_data({'default': x}, all_inputs=False)
        net.forward_pass()
        return np.asarray(net.buffer.Output.outputs.predictions)
    return run
