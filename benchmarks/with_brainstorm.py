"""The workloads in brainstorm."""

import brainstorm as bs
from brainstorm import _core, layers
from workloads import CELLS, LEARNING_RATE, MOMENTUM


def about():
    return {'version': bs.__version__, **_core.info()}


def _cifar10_cnn(flow):
    for name, filters in (('Conv1', 32), ('Conv2', 32), ('Conv3', 64)):
        flow = flow >> layers.Convolution2D(filters, kernel_size=(5, 5), padding=2, name=name)
        flow = flow >> layers.Pooling2D(type='max', kernel_size=(3, 3), stride=(2, 2))
    return flow >> layers.FullyConnected(64, name='FC')


def _mnist_pi(flow):
    return (flow >> layers.Dropout(0.2) >> layers.FullyConnected(1200) >> layers.Dropout() >>
            layers.FullyConnected(1200) >> layers.Dropout())


NETWORKS = {
    'cifar10_cnn': _cifar10_cnn,
    'mnist_pi': _mnist_pi,
    'lstm': lambda flow: flow >> layers.Lstm(CELLS['lstm']),
    'small_lstm': lambda flow: flow >> layers.Lstm(CELLS['small_lstm']),
    'tiny': lambda flow: flow >> layers.FullyConnected(16),
}


def _network(work):
    inp, out = bs.tools.get_in_out_layers('classification', work.features, work.classes)
    NETWORKS[work.network](inp) >> out
    net = bs.Network.from_layer(out)
    net.initialize(bs.Gaussian(0.05), seed=1)
    return net


def update(work, variant):
    net = _network(work)
    stepper = bs.training.MomentumStepper(LEARNING_RATE, MOMENTUM)
    stepper.start(net)
    net._core.skip_input_deltas = True  # as a Trainer does, if no hook reads them

    def run(x, targets):
        net.provide_external_data({'default': x, 'targets': targets})
        stepper.run()
        return net.get_loss_values()['total_loss']
    return run


def predict(work, variant):
    net = _network(work)

    def run(x, targets):
        net.provide_external_data({'default': x}, all_inputs=False)
        net.forward_pass()
        return net.buffer.Output.outputs.predictions
    return run
