"""One workload in one framework, in a process of its own: worker.py FRAMEWORK VARIANT WORKLOAD

Reads numbers of calls from standard input, a line each, and answers with the seconds that one call
took on average. At the end of the input it tells the most memory it has used, in bytes.
"""

import importlib
import json
import resource
import sys
import time

from workloads import WORKLOADS


def main():
    framework, variant, name = sys.argv[1:]
    module, work = importlib.import_module(f'with_{framework}'), WORKLOADS[name]
    x, targets = work.data()
    run = getattr(module, work.task)(work, variant)
    print(json.dumps(module.about()), flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        for _ in range(int(line)):
            run(x, targets)
        print((time.perf_counter() - begin) / int(line), flush=True)
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == '__main__':
    main()
