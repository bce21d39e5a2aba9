"""What is timed: networks, batch sizes, weights and data, the same for brainstorm and its peers.

An update takes a minibatch as NumPy arrays (float32 data, int64 class ids), runs forward, backward
and a momentum step, and gives the loss as a Python float. A prediction takes the data alone and
gives the class probabilities as a NumPy array.
"""

from dataclasses import dataclass

import numpy as np

LEARNING_RATE, MOMENTUM = 0.001, 0.9
MINIBATCHES = 4
CELLS = {'lstm': 1000, 'small_lstm': 64}


def _lstm_shapes(cells, letters):
    return [(letters, 4 * cells), (cells, 4 * cells), (cells, letters)]


# Of the weights, layer by layer: inputs, then outputs. The gates of an LSTM are z, i, f, o.
SHAPES = {
    'cifar10_cnn': [(5, 5, 3, 32), (5, 5, 32, 32), (5, 5, 32, 64), (3, 3, 64, 64), (64, 10)],
    'mnist_pi': [(784, 1200), (1200, 1200), (1200, 10)],
    'lstm': _lstm_shapes(CELLS['lstm'], 205),
    'small_lstm': _lstm_shapes(CELLS['small_lstm'], 64),
    'tiny': [(10, 16), (16, 3)],
}


@dataclass(frozen=True)
class Workload:
    network: str      # a key of NETWORKS of each framework's module
    task: str         # 'update' or 'predict'
    time_steps: int
    batch_size: int
    features: tuple   # of a step
    classes: int
    one_hot: bool = False
    drops: tuple = (0.2, 0.5, 0.5)  # probabilities of the dropout layers, where there are any

    @property
    def name(self):
        steps = f'T {self.time_steps}, ' if self.time_steps > 1 else ''
        return f'{self.network} {self.task}, {steps}batch {self.batch_size}'

    @property
    def has_images(self):
        return len(self.features) == 3

    def weights(self):
        """The weights to begin with. All other parameters begin at 0."""
        rnd = np.random.RandomState(1)
        return [(rnd.randn(*shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)
                for shape in SHAPES[self.network]]

    def minibatches(self):
        """[(x, ids)]: x (T, B, ...) of float32, normal numbers or one-hot, ids (T, B, 1)."""
        rnd = np.random.RandomState(0)
        return [self._minibatch(rnd) for _ in range(MINIBATCHES)]

    def _minibatch(self, rnd):
        rows = self.time_steps, self.batch_size
        if self.one_hot:
            x = np.eye(*self.features, dtype=np.float32)[rnd.randint(0, self.features[0], rows)]
        else:
            x = rnd.randn(*rows, *self.features).astype(np.float32)
        return x, rnd.randint(0, self.classes, rows + (1,))


def _both(network, batch_sizes, *rest, **more):
    return [Workload(network, task, 1, size, *rest, **more)
            for task in ('update', 'predict') for size in batch_sizes]


WORKLOADS = {w.name: w for w in [
    *_both('cifar10_cnn', (1, 32, 100), (32, 32, 3), 10),
    *_both('mnist_pi', (1, 32, 100), (784,), 10),
    Workload('lstm', 'update', 100, 100, (205,), 205, one_hot=True),
    Workload('small_lstm', 'update', 50, 16, (64,), 64, one_hot=True),
    Workload('tiny', 'update', 1, 1, (10,), 3),
    Workload('tiny', 'predict', 1, 1, (10,), 3),
]}
