"""Shortcuts for preparing data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from brainstorm.checks import check_array, check_number

__all__ = ['shuffle_data', 'split']


def shuffle_data(*arrays: ArrayLike | None, seed: int | None = None) -> list[Any]:
    """Permute the sequences (dimension 1) of all arrays alike.

    Args:
        arrays: arrays (T, N, ...) of one N; None passes through.
        seed (int | None): makes the order reproducible.

    Returns a list of new arrays.
    """
    order = np.arange(_count_sequences(arrays))
    if seed is not None:
        check_number('shuffle_data', 'seed', seed, 0, 2**32 - 1, integer=True)
    np.random.RandomState(seed).shuffle(order)
    return [None if array is None else np.asarray(array)[:, order] for array in arrays]


def split(*arrays: ArrayLike | None, ratios: Sequence[float] = (9, 1)) -> list[list[Any]]:
    """Cut the sequences (dimension 1) of all arrays into parts.

    Args:
        arrays: arrays (T, N, ...) of one N; None passes through.
        ratios (tuple[float]): relative sizes of the parts.

    Returns one list per part, with the part of every array.
    """
    shares = check_array('split', 'ratios', ratios)
    if shares.ndim != 1 or shares.size == 0 or not np.all(shares >= 0) or not shares.sum() > 0:
        raise ValueError(f"ratios must be numbers from 0 that are not all 0, got {shares}")
    n = _count_sequences(arrays)
    stops = np.round(np.cumsum(shares / shares.sum()) * n).astype(int)
    starts = [0] + list(stops[:-1])
    return [[None if array is None else np.asarray(array)[:, start:stop] for array in arrays]
            for start, stop in zip(starts, stops)]


def _count_sequences(arrays):
    shapes = [np.shape(array) for array in arrays if array is not None]
    counts = {shape[1:2] for shape in shapes}
    if len(counts) != 1 or counts == {()}:
        raise ValueError("all arrays must have the same number of sequences (dimension 1), "
                         f"got the shapes {shapes}")
    return counts.pop()[0]
