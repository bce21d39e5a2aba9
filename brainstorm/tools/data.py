"""Shortcuts for preparing data."""

import numpy as np

__all__ = ['shuffle_data', 'split']


def shuffle_data(*arrays, seed=None):
    """Permute the sequences (dimension 1) of all arrays alike.

    Args:
        arrays: arrays (T, N, ...) of one N; None passes through.
        seed (int | None): makes the order reproducible.

    Returns a list of new arrays.
    """
    order = np.arange(_count_sequences(arrays))
    np.random.RandomState(seed).shuffle(order)
    return [None if array is None else np.asarray(array)[:, order] for array in arrays]


def split(*arrays, ratios=(9, 1)):
    """Cut the sequences (dimension 1) of all arrays into parts.

    Args:
        arrays: arrays (T, N, ...) of one N; None passes through.
        ratios (tuple[float]): relative sizes of the parts.

    Returns one list per part, with the part of every array.
    """
    ratios = np.array(ratios, dtype=np.float64)
    if ratios.ndim != 1 or ratios.size == 0 or not np.all(ratios >= 0) or not ratios.sum() > 0:
        raise ValueError(f"ratios must be numbers from 0 that are not all 0, got {ratios}")
    n = _count_sequences(arrays)
    stops = np.round(np.cumsum(ratios / ratios.sum()) * n).astype(int)
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
