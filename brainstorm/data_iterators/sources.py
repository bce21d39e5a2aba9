"""Iterators over data that is at hand: whole, in minibatches, or one sequence at a time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from brainstorm.checks import check_flag, check_number
from brainstorm.handlers.base_handler import Handler
from brainstorm.randomness import Seedable
from brainstorm.utils import IteratorValidationError

__all__ = ['DataIterator', 'Minibatches', 'Online', 'Undivided']


class DataIterator(Seedable):
    """Base class of data iterators.

    An iterator is called with the handler of the network and yields one dict of arrays per batch,
    a new dict each time. It draws its random numbers from `self.rnd`.

    Attributes:
        data_shapes (dict[str, tuple[int]]): shape (T, N, ...) of all data that it yields, by name.
        length (int | None): number of batches.
    """

    def __init__(self, data_shapes: dict[str, tuple[int, ...]], length: int | None):
        super().__init__()
        self.data_shapes = data_shapes
        self.length = length

    def __call__(self, handler: Handler | None = None) -> Iterator[dict[str, Any]]:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(handler)")


class _NamedData(DataIterator):
    """Base class of iterators over data that is at hand by name.

    Attributes:
        data (dict): arrays or h5py datasets of shape (T, N, ...).
    """

    def __init__(self, named_data):
        self.data, shapes = _check_data(named_data)
        super().__init__(shapes, None)

    def _require_open_files(self):
        for name, values in self.data.items():
            if isinstance(values, h5py.Dataset) and not values:
                raise IteratorValidationError(f"{name!r} is a dataset in an HDF5 file that has "
                                              "been closed")

    def __getstate__(self):
        for name, values in self.data.items():
            if isinstance(values, h5py.Dataset):
                raise TypeError(
                    f"{type(self).__name__} cannot be copied or pickled: {name!r} is a dataset in "
                    "an open HDF5 file. Give it arrays (dataset[...]), or make it anew from the "
                    "file where it is needed")
        return vars(self)


class Undivided(_NamedData):
    """Yields all data as one batch.

    Over h5py datasets it cannot be pickled or copied (TypeError): they are tied to an open file.

    Args:
        named_data: arrays or h5py datasets of shape (T, N, ...) by name.
    """

    def __init__(self, **named_data: Any):
        super().__init__(named_data)
        self.length = 1

    def __call__(self, handler=None):
        self._require_open_files()
        yield {name: values[:] for name, values in self.data.items()}


class Minibatches(_NamedData):
    """Yields batches of `batch_size` sequences, the last of which may be smaller.

    Each batch is cut to the longest of its sequences, but to one step at least. Arrays are yielded
    as views. h5py datasets are read batch by batch: while one batch is used, a thread reads the
    next, so that data larger than memory trains without waiting. Over them it cannot be pickled or
    copied (TypeError): they are tied to an open file.

    Args:
        batch_size (int): sequences per batch, default 1.
        shuffle (bool): yield the batches in random order. What is in a batch stays together.
        cut_according_to (str | list[int] | None): what gives the length of a sequence: the name
            of an item, whose last step with a non-zero feature ends the sequence, or the N
            lengths. None, or a name that is not in the data: nothing is cut.
        named_data: arrays or h5py datasets of shape (T, N, ...) by name.

    Raises:
        IteratorValidationError: the items do not fit each other or the lengths.
    """

    def __init__(self, batch_size: int = 1, shuffle: bool = True,
                 cut_according_to: str | Sequence[int] | None = 'mask', **named_data: Any):
        super().__init__(named_data)
        owner = type(self).__name__
        self.batch_size = check_number(owner, 'batch_size', batch_size, 1, integer=True)
        self.shuffle = check_flag(owner, 'shuffle', shuffle)
        self._time_steps = max(shape[0] for shape in self.data_shapes.values())
        self._sequences = next(iter(self.data_shapes.values()))[1]
        self.length = -(-self._sequences // self.batch_size)
        self.cut_according_to = self._check_cut(cut_according_to)

    def __call__(self, handler=None):
        self._require_open_files()
        order = np.arange(self.length)
        if self.shuffle:
            self.rnd.shuffle(order)
        if any(isinstance(values, h5py.Dataset) for values in self.data.values()):
            yield from _read_ahead(self._read, order)
        else:
            yield from map(self._read, order)

    def _read(self, i):
        """Batch number i, cut to its longest sequence."""
        chosen = slice(i * self.batch_size, (i + 1) * self.batch_size)
        steps = self._longest(chosen)
        return {name: values[:, chosen] if values.shape[0] == 1 else values[:steps, chosen]
                for name, values in self.data.items()}

    def _longest(self, chosen):
        """Number of steps of the longest of the chosen sequences."""
        cut = self.cut_according_to
        if cut is None or isinstance(cut, str) and cut not in self.data:
            return self._time_steps
        if not isinstance(cut, str):
            return max(1, max(cut[chosen]))
        values = np.asarray(self.data[cut][:, chosen])
        if values.shape[0] == 1:
            return self._time_steps
        used = np.flatnonzero(values.reshape(values.shape[0], -1).any(axis=1))
        return used[-1] + 1 if used.size else 1

    def _check_cut(self, cut):
        if cut is None or isinstance(cut, str):
            return cut
        if not isinstance(cut, Iterable):
            raise IteratorValidationError(
                f"cut_according_to must be a name, a list of lengths or None, got {cut!r}")
        lengths = list(cut)
        if len(lengths) != self._sequences:
            raise IteratorValidationError(f"cut_according_to has {len(lengths)} lengths "
                                          f"for {self._sequences} sequences")
        try:
            return [check_number('cut_according_to', f'length {i}', length, 0, self._time_steps,
                                 integer=True)
                    for i, length in enumerate(lengths)]
        except (TypeError, ValueError) as error:
            raise IteratorValidationError(str(error)) from None


class Online(Minibatches):
    """Yields one sequence at a time, cut to its length.

    Args:
        shuffle (bool): yield the sequences in random order.
        cut_according_to (str | list[int] | None): as for `Minibatches`.
        named_data: arrays or h5py datasets of shape (T, N, ...) by name.
    """

    def __init__(self, shuffle: bool = True, cut_according_to: str | Sequence[int] | None = 'mask',
                 **named_data: Any):
        super().__init__(1, shuffle, cut_according_to, **named_data)


def _read_ahead(read, numbers):
    """Yield read(i) for each number; while one is used, a thread reads the next."""
    from concurrent.futures import ThreadPoolExecutor  # at its first use: it takes a while
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix='reader') as reader:
        waiting = None
        for i in numbers:
            ready, waiting = waiting, reader.submit(read, i)
            if ready is not None:
                yield ready.result()
        if waiting is not None:
            yield waiting.result()


def _check_data(named_data):
    """The data by name, lists made arrays, and its shapes, checked to fit each other."""
    if not named_data:
        raise IteratorValidationError("a data iterator needs at least one item of data")
    data = {name: _check_item(name, values) for name, values in named_data.items()}
    shapes = {name: tuple(values.shape) for name, values in data.items()}
    if len({shape[1] for shape in shapes.values()}) > 1:
        raise IteratorValidationError(
            f"all items must have the same number of sequences (dimension 1), got {shapes}")
    if len({shape[0] for shape in shapes.values()} - {1}) > 1:
        raise IteratorValidationError(
            f"all items must have the same number of time steps (dimension 0) or 1, got {shapes}")
    return data, shapes


def _check_item(name, values):
    if not (hasattr(values, 'shape') and hasattr(values, 'dtype')):
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise IteratorValidationError(f"{name!r} is no array: {error}") from None
    if np.dtype(values.dtype).kind not in 'biuf':
        raise IteratorValidationError(
            f"{name!r} must hold numbers or bools, got the dtype {values.dtype}")
    if len(values.shape) < 3 or 0 in values.shape:
        raise IteratorValidationError(
            f"{name!r} must have the shape (time steps, sequences, features...) "
            f"without empty dimensions, got {tuple(values.shape)}")
    return values
