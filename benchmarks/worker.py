"""One workload in one framework, in a process of its own.

    worker.py FRAMEWORK VARIANT WORKLOAD time

reads numbers of calls from standard input, a line each, and answers with the seconds that one call
took on average. At the end of the input it tells the most memory it has used, in bytes.

    worker.py FRAMEWORK VARIANT WORKLOAD results

tells the results of the first calls without dropout, a list of numbers each, as far as they should
be those of other frameworks.
"""

import dataclasses
import importlib
import itertools
import json
import resource
import sys
import time

import numpy as np

from workloads import CELLS, MINIBATCHES, WORKLOADS


def tell_times(module, variant, work):
    run = getattr(module, work.task)(work, variant)
    minibatches = itertools.cycle(work.minibatches())
    print(json.dumps(module.about()), flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        for x, targets in itertools.islice(minibatches, int(line)):
            result = run(x, targets)
        print((time.perf_counter() - begin) / int(line), flush=True)
        assert np.isfinite(result).all()  # or what was timed is no training
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def tell_results(module, variant, work):
    work = dataclasses.replace(work, drops=(0.0, 0.0, 0.0))
    run = getattr(module, work.task)(work, variant)
    calls = 1 if work.network in CELLS else MINIBATCHES  # peepholes and further biases learn, too
    print(json.dumps([np.ravel(run(*minibatch)).tolist()
                      for minibatch in work.minibatches()[:calls]]))


def main():
    framework, variant, name, what = sys.argv[1:]
    tell = {'time': tell_times, 'results': tell_results}[what]
    tell(importlib.import_module(f'with_{framework}'), variant, WORKLOADS[name])


if __name__ == '__main__':
    main()
