"""Data iterators feed a network with batches.

All data has the shape (T, N, ...): time steps, sequences, features. An item with T = 1 beside
longer ones is *static*: it holds for every step. Wrappers change what another iterator yields.
"""

from brainstorm.data_iterators.sources import DataIterator, Minibatches, Online, Undivided
from brainstorm.data_iterators.wrappers import (
    AddGaussianNoise, AddSaltNPepper, Flip, MultiHot, OneHot, Pad, RandomCrop)

__all__ = [
    'AddGaussianNoise', 'AddSaltNPepper', 'DataIterator', 'Flip', 'Minibatches', 'MultiHot',
    'OneHot', 'Online', 'Pad', 'RandomCrop', 'Undivided',
]
