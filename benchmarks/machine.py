"""The machine: its name, and the peak of its arithmetic as NumPy's matrix product reaches it."""

import os
import platform
import time

import numpy as np


def describe():
    return f'{_processor()}, {os.cpu_count()} cores, {platform.platform()}'


def _processor():
    if os.path.exists('/proc/cpuinfo'):
        for line in open('/proc/cpuinfo'):
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor()


_SQUARE = np.random.RandomState(0).rand(1024, 1024).astype(np.float32)


def product_rate(calls=5):
    """GFLOP/s of a product of two 1024 x 1024 float32 matrices."""
    begin = time.perf_counter()
    for _ in range(calls):
        _SQUARE @ _SQUARE
    return calls * 2 * 1.024 ** 3 / (time.perf_counter() - begin)
