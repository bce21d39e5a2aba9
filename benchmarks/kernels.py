"""Tells what a GPU does in an update: how long its kernels run, and whose they are.

    python benchmarks/kernels.py [--nsys PROGRAM] [--only WORD ...]

Nsight Systems (nsys, of NVIDIA's toolkit) watches worker.py. For each workload there is a line of
milliseconds on the GPU in an update, and of the share of our kernels and of the libraries'; then
the kernels that take most of it.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from workloads import WORKLOADS

HERE = Path(__file__).parent
CALLS = [5, 50]  # of updates: to warm up, and to count among them
LONGEST = 6      # kernels that get a line


def kernels(nsys, name):
    """[(milliseconds in an update, kernel)] of a workload."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, 'report')
        subprocess.run(
            [nsys, 'profile', '--trace=cuda', '--cuda-graph-trace=node', f'--output={report}',
             sys.executable, HERE / 'worker.py', 'brainstorm', 'brainstorm gpu', name, 'time'],
            input=''.join(f'{n}\n' for n in CALLS), text=True, check=True, capture_output=True)
        table = subprocess.run(
            [nsys, 'stats', '--report', 'cuda_gpu_kern_sum', '--format', 'csv',
             f'{report}.nsys-rep'], text=True, check=True, capture_output=True).stdout
    lines = table.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith('Time'))
    rows = csv.DictReader(line for line in lines[head:] if line)
    return [(float(row['Total Time (ns)']) / 1e6 / sum(CALLS), row['Name']) for row in rows]


def is_ours(kernel):
    return kernel.startswith('bs_')


def describe(name, found):
    """Lines of text."""
    total = sum(time for time, _ in found)
    ours = sum(time for time, kernel in found if is_ours(kernel))
    yield (f'{name}: {total:.4f} ms on the GPU in an update; '
           f'our kernels {ours / total:.0%}, those of libraries {1 - ours / total:.0%}')
    for time, kernel in sorted(found, reverse=True)[:LONGEST]:
        yield f'    {time:.4f} ms  {kernel[:80]}'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--nsys', default='nsys', metavar='PROGRAM')
    parser.add_argument('--only', nargs='+', metavar='WORD', default=[' update'],
                        help='workloads whose name has one of these words')
    arguments = parser.parse_args()
    for name in WORKLOADS:
        if any(word in name for word in arguments.only):
            print(*describe(name, kernels(arguments.nsys, name)), sep='\n', flush=True)


if __name__ == '__main__':
    main()
