"""Times whole training steps and predictions, beside PyTorch and JAX in one interleaved run.

    python benchmarks/steps.py [--peers PYTHON] [--gpu] [--only WORD ...] [--turns N]
                               [--seconds S] [--json FILE]

Every workload of workloads.py runs in each framework, in a process of its own that waits while
another one is timed; the frameworks take turns, so that slow phases of the machine meet all of
them. A row shows the median and the range over the turns and the ratio to the best peer. PYTHON is
an interpreter that has torch and jax; without it brainstorm is timed alone. Before anything is
timed, all frameworks must give the same losses or probabilities from the same weights. One more
row, in each turn: NumPy's product of two float32 matrices, the peak that this machine reaches.
With --gpu, brainstorm and PyTorch compute on a GPU, in float32 that is not rounded to TF32.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from machine import describe, product_rate
from workloads import WORKLOADS

HERE = Path(__file__).parent
PAUSE = 0.3  # seconds: threads of the one before must sleep: those of OpenBLAS spin for 0.13 s
OURS = [('brainstorm', 'brainstorm')]
PEERS = [('torch', 'torch'), ('torch', 'torch channels_last'), ('jax', 'jax')]
OURS_ON_GPU = [('brainstorm', 'brainstorm gpu')]
PEERS_ON_GPU = [('torch', 'torch gpu')]
IMAGES_ONLY = 'torch channels_last'


def command(python, framework, variant, name, what):
    return [python, str(HERE / 'worker.py'), framework, variant, name, what]


class Worker:
    """A workload in a framework, which `about` describes."""

    def __init__(self, python, framework, variant, name):
        self.variant, self.times = variant, []
        self.process = subprocess.Popen(command(python, framework, variant, name, 'time'),
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.about = json.loads(self.process.stdout.readline())

    def seconds(self, calls):
        print(calls, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def warm_up(self, turn_seconds):
        """Decides how many calls a turn has."""
        self.seconds(2)
        self.calls = max(1, round(turn_seconds / self.seconds(2)))

    def take_turn(self):
        time.sleep(PAUSE)
        self.times.append(self.seconds(self.calls))

    def close(self):
        """The most memory that the process has used, in bytes."""
        self.process.stdin.close()
        memory = int(self.process.stdout.read())
        self.process.wait()
        return memory


def check_agreement(name, wanted, tolerance):
    """The same results in all frameworks, but for rounding."""
    ours, *theirs = [json.loads(subprocess.check_output(command(*worker, name, 'results')))
                     for worker in wanted]
    for (_, _, variant), results in zip(wanted[1:], theirs):
        np.testing.assert_allclose(results, ours, rtol=tolerance, atol=tolerance / 10,
                                   err_msg=f'{name}: brainstorm and {variant} differ')


def measure(name, how, peaks):
    """`how` is the command line's arguments.

    Returns [{'workload', 'framework', 'median', 'low', 'high', 'memory', 'about'}].
    """
    ours, theirs = (OURS_ON_GPU, PEERS_ON_GPU) if how.gpu else (OURS, PEERS)
    wanted = [(sys.executable, *framework) for framework in ours]
    wanted += [(how.peers, framework, variant) for framework, variant in theirs
               if how.peers and (variant != IMAGES_ONLY or WORKLOADS[name].has_images)]
    if how.peers:
        check_agreement(name, wanted, 1e-4 if how.gpu else 1e-5)
    workers = [Worker(*worker, name) for worker in wanted]
    for w in workers:
        w.warm_up(how.seconds)
    for _ in range(how.turns):
        time.sleep(PAUSE)
        peaks.append(product_rate())
        for w in workers:
            w.take_turn()
    rows = [{'workload': name, 'framework': w.variant, 'median': statistics.median(w.times),
             'low': min(w.times), 'high': max(w.times), 'about': w.about} for w in workers]
    for row, w in zip(rows, workers):
        row['memory'] = w.close()
    return rows


def is_ours(row):
    return row['framework'].startswith('brainstorm')


def table(rows):
    """Lines of text: a row per workload and framework, ratios against the best peer."""
    yield (f'{"workload":34s} {"framework":20s} {"ms":>10s}   {"range":>21s} {"MB":>6s}  '
           'ours / best peer')
    for row in rows:
        peers = [r['median'] for r in rows
                 if r['workload'] == row['workload'] and not is_ours(r)]
        ratio = ''
        if is_ours(row) and peers:
            ratio = f'{row["median"] / min(peers):.2f}'
        span = f'{1e3 * row["low"]:.4f} .. {1e3 * row["high"]:.4f}'
        yield (f'{row["workload"]:34s} {row["framework"]:20s} {1e3 * row["median"]:10.4f}   '
               f'{span:>21s} {row["memory"] / 1e6:6.0f}  {ratio}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--peers', metavar='PYTHON', help='an interpreter with torch and jax')
    parser.add_argument('--gpu', action='store_true', help='all of them compute on a GPU')
    parser.add_argument('--only', nargs='+', metavar='WORD', default=[''],
                        help='workloads whose name has one of these words')
    parser.add_argument('--turns', type=int, default=7, help='of each framework')
    parser.add_argument('--seconds', type=float, default=0.3, help='length of a turn')
    parser.add_argument('--json', metavar='FILE', help='where to write all figures')
    arguments = parser.parse_args()
    peaks, rows = [], []
    for name in WORKLOADS:
        if any(word in name for word in arguments.only):
            rows += measure(name, arguments, peaks)
    peak = statistics.median(peaks)
    print(f'{describe()}; product of 1024 x 1024 by NumPy {peak:.0f} GFLOP/s '
          f'({min(peaks):.0f} .. {max(peaks):.0f})')
    print(*table(rows), sep='\n')
    if arguments.json:
        report = {'machine': describe(), 'python': platform.python_version(),
                  'numpy': np.__version__, 'product': peaks, 'rows': rows}
        Path(arguments.json).write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
