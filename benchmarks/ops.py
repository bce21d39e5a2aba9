"""Speed of single operations and layers, beside the machine's own peaks in the same run.

    python benchmarks/ops.py [--only WORD ...] [--seconds S] [--json FILE]

Products, convolutions and the like are given in GFLOP/s and as a share of what NumPy's product of
two float32 matrices reaches, elementwise operations in GB/s (every array read or written once) and
as a share of what copies by NumPy reach, one in each thread. Layers are timed alone, forward and
backward, without a network.
"""

import argparse
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import brainstorm as bs
from brainstorm import _core
from machine import describe, product_rate

TURNS, PAUSE = 5, 0.3  # threads of NumPy must sleep: those of OpenBLAS spin for 0.13 s
RND = np.random.RandomState(0)


def numbers(*shape):
    return RND.standard_normal(shape).astype(np.float32)


def product(m, n, k, transa=False, transb=False):
    a = numbers(*((k, m) if transa else (m, k)))
    b = numbers(*((n, k) if transb else (k, n)))
    out = numbers(m, n)
    return lambda h: h.dot_mm(a, b, out, transa, transb), 2e-9 * m * n * k


def linear(m, n, k):
    x, w, bias, y = numbers(m, k), numbers(n, k), numbers(n), numbers(m, n)
    return lambda h: h.linear_act(x, w, bias, y, 'rel'), 2e-9 * m * n * k


def _convolution(n, size, channels, filters, kernel, padding):
    out = size + 2 * padding - kernel + 1
    gflop = 2e-9 * n * out ** 2 * filters * kernel ** 2 * channels
    return (numbers(n, size, size, channels), numbers(filters, kernel, kernel, channels),
            numbers(filters), numbers(n, out, out, filters), gflop)


def convolution(*arguments):
    x, w, bias, y, gflop = _convolution(*arguments)
    return (lambda h: h.conv2d_forward_batch(x, w, bias, y, padding=arguments[-1], stride=(1, 1)),
            gflop)


def convolution_backward(*arguments):
    x, w, bias, dy, gflop = _convolution(*arguments)
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(bias)
    return (lambda h: h.conv2d_backward_batch(x, w, arguments[-1], (1, 1), dx, dy, dw, db),
            2 * gflop)


def walk(name, n_arrays, *arguments, size=1 << 20):
    """An operation over n_arrays vectors of 4 MB each."""
    arrays = [numbers(size) for _ in range(n_arrays)]
    return lambda h: getattr(h, name)(*arguments, *arrays), 4e-9 * size * n_arrays


def pooling(n, size, channels):
    out = (size - 3) // 2 + 1
    x, y, argmax = numbers(n, size, size, channels), *[numbers(n, out, out, channels)] * 2
    argmax = argmax.copy()
    return (lambda h: h.maxpool2d_forward_batch(x, (3, 3), y, 0, (2, 2), argmax),
            1e-9 * (x.nbytes + 2 * y.nbytes))


def dropout(size=1 << 20):
    x, mask, y = numbers(size), numbers(size), numbers(size)
    return lambda h: h.dropout(0.5, x, mask, y), 4e-9 * 3 * size


def softmax_ce(rows, classes):
    x, p, loss = numbers(rows, classes), numbers(rows, classes), numbers(rows, 1)
    ids = RND.randint(0, classes, (rows, 1)).astype(np.float32)
    return lambda h: h.softmax_ce(x, ids, p, loss), 8e-9 * rows * classes


GFLOPS = {
    'x W\', 100 x 1200 x 784': lambda: linear(100, 1200, 784),
    'x W\', 100 x 1200 x 1200': lambda: linear(100, 1200, 1200),
    'x W\', 32 x 1200 x 1200': lambda: linear(32, 1200, 1200),
    'x W\', 100 x 10 x 1200': lambda: linear(100, 10, 1200),
    'd W, 100 x 1200 x 1200': lambda: product(100, 1200, 1200),
    'd\' x, 1200 x 1200 x 100': lambda: product(1200, 1200, 100, transa=True),
    'd\' x, 1200 x 784 x 32': lambda: product(1200, 784, 32, transa=True),
    'y R\', 100 x 4000 x 1000': lambda: product(100, 4000, 1000, transb=True),
    'd R, 100 x 1000 x 4000': lambda: product(100, 1000, 4000),
    'd\' y, 4000 x 1000 x 9900': lambda: product(4000, 1000, 9900, transa=True),
    'y R\', 16 x 256 x 64': lambda: product(16, 256, 64, transb=True),
    'square, 1024': lambda: product(1024, 1024, 1024),
    'square, 256': lambda: product(256, 256, 256),
    'convolution 5x5, 100 x 32x32x3 -> 32': lambda: convolution(100, 32, 3, 32, 5, 2),
    'convolution 5x5, 100 x 15x15x32 -> 32': lambda: convolution(100, 15, 32, 32, 5, 2),
    'convolution 5x5, 100 x 7x7x32 -> 64': lambda: convolution(100, 7, 32, 64, 5, 2),
    'convolution 3x3, 32 x 28x28x64 -> 64': lambda: convolution(32, 28, 64, 64, 3, 1),
    'its backward pass, 15x15x32 -> 32': lambda: convolution_backward(100, 15, 32, 32, 5, 2),
    'its backward pass, 28x28x64 -> 64': lambda: convolution_backward(32, 28, 64, 64, 3, 1),
}
GBS = {
    'copy_to': lambda: walk('copy_to', 2), 'add_tt': lambda: walk('add_tt', 3),
    'rel': lambda: walk('rel', 2), 'tanh': lambda: walk('tanh', 2),
    'sigmoid': lambda: walk('sigmoid', 2), 'el': lambda: walk('el', 2),
    'momentum_step': lambda: walk('momentum_step', 3, 0.1, 0.9),
    'adam_step': lambda: walk('adam_step', 4, 0.1, 0.9, 0.99, 1e-8, 0.5, 0.5),
    'dropout': dropout, 'softmax_ce, 10000 x 205': lambda: softmax_ce(10000, 205),
    'max pooling 3x3/2, 100 x 32x32x32': lambda: pooling(100, 32, 32),
}


def layer(name, shape, time_steps, batch_size, **options):
    """Forward and backward pass of a layer alone, as (call, unit None)."""
    net_in = bs.layers.Input({'default': ('T', 'B') + shape})
    wiring = net_in >> getattr(bs.layers, name)(**options)
    net = bs.Network.from_layer(wiring)
    net.initialize({'default': bs.Gaussian(0.05), 'Clockwork*': {'timing': 2}}
                   if name.startswith('Clockwork') else bs.Gaussian(0.05), seed=1)
    net.provide_external_data({'default': numbers(time_steps, batch_size, *shape)})

    def run(h):
        net.forward_pass(training_pass=True)
        net.backward_pass()
    return run, None


LAYERS = {
    'FullyConnected 1200 -> 1200, batch 100':
        lambda: layer('FullyConnected', (1200,), 1, 100, size=1200),
    'Recurrent 256 -> 256, T 50, batch 32': lambda: layer('Recurrent', (256,), 50, 32, size=256),
    'Lstm 256 -> 256, T 50, batch 32': lambda: layer('Lstm', (256,), 50, 32, size=256),
    'LstmOpt 256 -> 256, T 50, batch 32': lambda: layer('LstmOpt', (256,), 50, 32, size=256),
    'Gru 256 -> 256, T 50, batch 32': lambda: layer('Gru', (256,), 50, 32, size=256),
    'Clockwork 256 -> 256, T 50, batch 32': lambda: layer('Clockwork', (256,), 50, 32, size=256),
    'BatchNorm 28x28x64, batch 32': lambda: layer('BatchNorm', (28, 28, 64), 1, 32),
    'LayerNorm 1200, batch 1000': lambda: layer('LayerNorm', (1200,), 1, 1000),
    'Dropout 1200, batch 1000': lambda: layer('Dropout', (1200,), 1, 1000),
    'Pooling2D max 28x28x64, batch 32':
        lambda: layer('Pooling2D', (28, 28, 64), 1, 32, kernel_size=(2, 2), stride=(2, 2)),
    'Pooling2D avg 28x28x64, batch 32':
        lambda: layer('Pooling2D', (28, 28, 64), 1, 32, kernel_size=(2, 2), type='avg',
                      stride=(2, 2)),
}


def copy_rate(threads, size=1 << 20):
    """GB/s of copies in `threads` threads, reads and writes counted."""
    arrays = [(numbers(size), numbers(size)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        def copy(pair):
            for _ in range(10):
                np.copyto(*pair)
        list(pool.map(copy, arrays))
        begin = time.perf_counter()
        list(pool.map(copy, arrays))
        return threads * 10 * 8e-9 * size / (time.perf_counter() - begin)


def rate(call, unit, handler, turn_seconds):
    """(unit per second or None, seconds of a call): medians over turns."""
    call(handler)
    begin = time.perf_counter()
    call(handler)
    calls = max(1, round(turn_seconds / (time.perf_counter() - begin)))
    times = []
    for _ in range(TURNS):
        begin = time.perf_counter()
        for _ in range(calls):
            call(handler)
        times.append((time.perf_counter() - begin) / calls)
    seconds = statistics.median(times)
    return unit and unit / seconds, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', metavar='WORD', default=[''],
                        help='rows whose name has one of these words')
    parser.add_argument('--seconds', type=float, default=0.05, help='length of a turn')
    parser.add_argument('--json', metavar='FILE', help='where to write all figures')
    arguments = parser.parse_args()
    handler = bs.handlers.NumpyHandler()
    threads = _core.info()['threads']
    rows = []
    print(describe(), _core.info())
    for kind, cases in (('GFLOP/s', GFLOPS), ('GB/s', GBS), ('ms', LAYERS)):
        for name, make in cases.items():
            if not any(word in name for word in arguments.only):
                continue
            peak = {'GFLOP/s': product_rate, 'GB/s': lambda: copy_rate(threads),
                    'ms': lambda: None}[kind]()
            time.sleep(PAUSE)
            reached, seconds = rate(*make(), handler, arguments.seconds)
            rows.append({'name': name, 'unit': kind, 'rate': reached, 'peak': peak,
                         'seconds': seconds})
            share = f'{reached:8.1f} {kind:8s} {reached / peak:5.0%} of {peak:.0f}' if peak else ''
            print(f'{name:42s} {1e3 * seconds:9.4f} ms {share}', flush=True)
    if arguments.json:
        report = {'machine': describe(), 'engine': _core.info(), 'rows': rows}
        Path(arguments.json).write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
