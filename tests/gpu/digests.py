"""Trains small networks on the GPU and prints lines: name, dtype, way, digest of all bits.

    digests.py [NAME ...]

The ways are graphs of kernels, as usual, and every kernel by itself. Bits depend on the GPU alone,
so all runs print the same, and both ways have one digest.
"""

import hashlib
import sys

import numpy as np

from brainstorm.handlers import DebugHandler, PyCudaHandler
from trainings import TASKS, train

SIZES = 3 * (None,) + 3 * (200,)  # of minibatches: a small one, and one that fills more blocks
WAYS = {'graphs': PyCudaHandler, 'kernels': lambda dtype: DebugHandler(PyCudaHandler(dtype))}


def digest(arrays):
    return hashlib.sha256(b''.join(array.tobytes() for array in arrays)).hexdigest()


for name in sys.argv[1:] or TASKS:
    for dtype in np.float32, np.float64:
        for way, handler in WAYS.items():
            bits = digest(train(name, handler(dtype), sizes=SIZES))
            print(f'{name}, {dtype.__name__}, {way}: {bits}')
