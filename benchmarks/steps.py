"""Time of one update of some networks, beside the machine's own matrix product in the same run.

    python benchmarks/steps.py [--repeats N]

Each row: median and range in milliseconds of `stepper.run()`, and the number of such updates per
product of two 1024 x 1024 float32 matrices (NumPy), so that runs on different machines compare.
Where PyTorch can be imported, a row shows its update of an LSTM of the same size.
"""

import argparse
import importlib.util
import statistics
import time

import numpy as np

import brainstorm as bs
from brainstorm import _core, layers


def cifar10_cnn():
    inp, out = bs.tools.get_in_out_layers('classification', (32, 32, 3), 10)
    flow = inp
    for name, filters in (('Conv1', 32), ('Conv2', 32), ('Conv3', 64)):
        flow = flow >> layers.Convolution2D(filters, kernel_size=(5, 5), padding=2, name=name)
        flow = flow >> layers.Pooling2D(type='max', kernel_size=(3, 3), stride=(2, 2))
    flow >> layers.FullyConnected(64, name='FC') >> out
    return bs.Network.from_layer(out), (32, 32, 3)


def mnist_pi():
    inp, out = bs.tools.get_in_out_layers('classification', 784, 10)
    (inp >> layers.Dropout(0.2) >> layers.FullyConnected(1200) >> layers.Dropout() >>
     layers.FullyConnected(1200) >> layers.Dropout() >> out)
    return bs.Network.from_layer(out), (784,)


def tiny():
    inp, out = bs.tools.get_in_out_layers('classification', 10, 3)
    inp >> layers.FullyConnected(16) >> out
    return bs.Network.from_layer(out), (10,)


def lstm():
    inp, out = bs.tools.get_in_out_layers('classification', 205, 205)
    inp >> layers.Lstm(1000) >> out
    return bs.Network.from_layer(out), (205,)


WORK = [('cifar10_cnn, batch 100', cifar10_cnn, 1, 100, 1),
        ('mnist_pi, batch 100', mnist_pi, 1, 100, 1), ('mnist_pi, batch 1', mnist_pi, 1, 1, 1),
        ('10-16-3, batch 1', tiny, 1, 1, 1000), ('lstm, T 100, batch 100', lstm, 100, 100, 1)]


def batch(shape, time_steps, batch_size):
    rnd = np.random.RandomState(0)
    return {'default': rnd.randn(time_steps, batch_size, *shape),
            'targets': rnd.randint(0, 3, (time_steps, batch_size, 1))}


def update(make, time_steps, batch_size):
    """What updates a network that holds a batch of random data."""
    net, shape = make()
    net.initialize(bs.Gaussian(0.05), seed=1)
    net.provide_external_data(batch(shape, time_steps, batch_size))
    stepper = bs.training.MomentumStepper(learning_rate=0.01, momentum=0.9)
    stepper.start(net)
    return stepper.run


def torch_lstm_update(time_steps, batch_size):
    """The same for `lstm` in PyTorch; its cells have no peepholes."""
    import torch
    hidden, projection = torch.nn.LSTM(205, 1000), torch.nn.Linear(1000, 205)
    optimizer = torch.optim.SGD([*hidden.parameters(), *projection.parameters()], lr=0.001,
                                momentum=0.9)
    data = batch((205,), time_steps, batch_size)
    x, targets = torch.tensor(data['default'], dtype=torch.float32), torch.tensor(data['targets'])

    def run():
        optimizer.zero_grad()
        predictions = projection(hidden(x)[0]).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(predictions, targets.flatten(), reduction='sum')
        (loss / batch_size).backward()
        optimizer.step()
    return run


def seconds(work, times):
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begin) / times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=15)
    repeats = parser.parse_args().repeats
    square = np.random.RandomState(0).rand(1024, 1024).astype(np.float32)
    rows = [(name, update(make, time_steps, batch_size), times)
            for name, make, time_steps, batch_size, times in WORK]
    others = [('product', lambda: square @ square, 3)]
    if importlib.util.find_spec('torch'):
        others.append(('lstm by PyTorch', torch_lstm_update(100, 100), 1))
    taken = {name: [] for name, *_ in rows + others}
    for _ in range(repeats + 1):  # interleaved; the first round warms up
        for name, work, times in rows:
            taken[name].append(seconds(work, times))
        for name, work, times in others:
            taken[name].append(seconds(work, times))
            time.sleep(0.2)  # until the threads of other libraries have stopped spinning
    product = statistics.median(taken.pop('product')[1:])
    print(_core.info())
    print(f'product of 1024 x 1024: {1e3 * product:.2f} ms, {2 * 1.024 ** 3 / product:.0f} GFLOP/s')
    for name, (_, *column) in taken.items():
        median = statistics.median(column)
        print(f'{name:24s} {1e3 * median:9.4f} ms  ({1e3 * min(column):.4f} .. '
              f'{1e3 * max(column):.4f})  {product / median:8.3f} per product')


if __name__ == '__main__':
    main()
