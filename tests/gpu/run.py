"""Checks everything that needs a GPU, in stages:

    suite        the tests of the GPU's handler, on the GPU that is there
    sanitizer    NVIDIA's compute-sanitizer over trainings: memory, races, barriers, unwritten data
    determinism  two processes that train the same networks have the same bits
    interop      memory that is shared with PyTorch and CuPy, if they are installed
    timing       the time of an update, beside PyTorch if it is installed, and of its kernels

Where a tool or a package is not installed, a stage says so; the end tells how each one went.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from brainstorm.handlers import PyCudaHandler

HERE = Path(__file__).resolve().parent
BENCHMARKS = HERE.parents[1] / 'benchmarks'
SUITE = ['test_gpu_array.py', 'test_cuda_operations.py', 'test_cuda_convolution.py',
         'test_cuda_layers.py', 'test_cuda_training.py', 'test_cuda_uploads.py']
SANITIZERS = {
    # tool: its options. Races and barriers of NVIDIA's own kernels are not ours to mend; memory
    # that they read and write is our business. Calls that fail, of which NVIDIA's libraries make
    # some, are for the handler to notice.
    'memcheck': ['--report-api-errors', 'no'], 'racecheck': ['--kernel-name', 'kns=bs_'],
    'synccheck': ['--kernel-name', 'kns=bs_'], 'initcheck': []}
WORKLOADS = ['cifar10_cnn update, batch 100', 'mnist_pi update, batch 100', 'lstm update']


class Failed(Exception):
    """What went wrong in a stage."""


class Missing(Exception):
    """What a stage needs and is not installed."""


def find(tool, comes_with):
    """The path of a tool of NVIDIA's: on PATH, in a toolkit, or among Python's packages."""
    toolkits = [os.environ.get('CUDA_HOME'), os.environ.get('CUDA_PATH'), '/usr/local/cuda']
    folders = [Path(toolkit, 'bin') for toolkit in toolkits if toolkit]
    packages = find_spec('nvidia')
    for place in packages.submodule_search_locations if packages else ():
        folders += sorted(Path(place).glob('*/bin'))
    found = shutil.which(tool) or shutil.which(tool, path=os.pathsep.join(map(str, folders)))
    if not found:
        raise Missing(f'{tool} is neither on PATH nor in CUDA_HOME; it comes with {comes_with}')
    return found


def python(*arguments, before=(), **variables):
    """What Python prints, which is shown as well. `before` stands in front of its command."""
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get('PYTHONPATH')]))
    process = subprocess.Popen(
        [*before, sys.executable, *map(str, arguments)], cwd=HERE.parent, text=True,
        env={**os.environ, 'PYTHONPATH': path, **variables}, stdout=subprocess.PIPE)
    lines = []
    for line in process.stdout:
        print(line, end='', flush=True)
        lines.append(line)
    if process.wait():
        command = ' '.join(Path(word).name for word in process.args)
        raise Failed(f'{command} ended with {process.returncode}')
    return lines


def pytest(*arguments):
    python('-m', 'pytest', '-rs', *arguments, BRAINSTORM_TEST_GPU='1')


# ---- stages ----

def suite(quick):
    pytest(*SUITE[:1] if quick else SUITE)


def sanitizer(quick):
    found = find('compute-sanitizer',
                 "NVIDIA's toolkit, or pip install nvidia-cuda-sanitizer-api")
    for tool, options in SANITIZERS.items():
        print(f'-- {tool}')
        python(HERE / 'digests.py', *['one layer'] * quick,
               before=[found, '--tool', tool, *options, '--error-exitcode', '9'])


def determinism(quick):
    runs = [python(HERE / 'digests.py', *['one layer'] * quick) for _ in range(2)]
    require_equal_bits(*runs)


def require_equal_bits(first, second):
    """Of two runs of digests.py, and of graphs and single kernels in each of them."""
    differ = [a for a, b in zip(first, second) if a != b]
    if differ or len(first) != len(second):
        raise Failed('two processes have other bits: ' + ''.join(differ))
    for graphs, kernels in zip(first[::2], first[1::2]):
        if graphs.split()[-1] != kernels.split()[-1]:
            raise Failed(f'graphs and single kernels have other bits: {graphs}{kernels}')


def interop(quick):
    pytest('-W', 'default', HERE / 'test_interop.py')  # warnings of other libraries are theirs


def timing(quick):
    workloads = ['tiny update'] if quick else WORKLOADS
    peers = ['--peers', sys.executable] if find_spec('torch') else []
    python(BENCHMARKS / 'steps.py', '--gpu', *peers, '--seconds', 0.01 if quick else 0.3,
           '--only', *workloads)
    profiler = find('nsys', "NVIDIA's toolkit, as Nsight Systems")
    python(BENCHMARKS / 'kernels.py', '--nsys', profiler, '--only', *workloads)


STAGES = {f.__name__: f for f in (suite, sanitizer, determinism, interop, timing)}


def run(name, quick):
    """How a stage went."""
    print(f'\n==== {name}', flush=True)
    begin = time.perf_counter()
    try:
        STAGES[name](quick)
        return f'passed in {time.perf_counter() - begin:.0f} s'
    except Missing as missing:
        return f'incomplete: {missing}'
    except Failed as failed:
        return f'FAILED: {failed}'


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('stages', nargs='*', metavar='STAGE', help='all of them if none is named')
    parser.add_argument('--quick', action='store_true',
                        help='the smallest of everything, to see that the stages run')
    arguments = parser.parse_args()
    for name in arguments.stages:
        if name not in STAGES:
            parser.error(f"there is no stage '{name}': {', '.join(STAGES)}")
    try:
        PyCudaHandler()
    except (ImportError, RuntimeError) as error:
        sys.exit(f'no GPU can be used: {error}')
    python('-m', 'brainstorm')
    ends = {name: run(name, arguments.quick) for name in arguments.stages or STAGES}
    print('\n' + '\n'.join(f'{name:12s} {end}' for name, end in ends.items()))
    sys.exit(any(end.startswith('FAILED') for end in ends.values()))


if __name__ == '__main__':
    main()
