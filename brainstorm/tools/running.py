"""Networks run over the data of an iterator: losses, scores and buffers."""

from collections.abc import Sequence

import numpy as np

from brainstorm.checks import check_filename, check_interface, check_names, check_type
from brainstorm.data_iterators import DataIterator
from brainstorm.scorers import ScoreKeeper, Scorer
from brainstorm.structure.extraction import (
    JoinedDataset, get_context_size, join, run_batches)
from brainstorm.structure.network import Network
from brainstorm.structure.safe_files import streaming_hdf5
from brainstorm.utils import FileName

__all__ = ['evaluate', 'extract', 'extract_and_save']


def evaluate(network: Network, iter: DataIterator, scorers: Sequence[Scorer] = (),
             out_name: str | None = '', targets_name: str | None = 'targets',
             mask_name: str | None = None) -> dict[str, float]:
    """The losses and scores of a network on the data of an iterator.

    Args:
        network (Network): what to evaluate.
        iter (DataIterator): gives the data.
        scorers (list[Scorer]): what to score. The names that a scorer has itself come first.
        out_name (str): path of the output to score; empty: the output of the network.
        targets_name (str): name of the targets in the data.
        mask_name (str | None): name of a mask in the data.

    Returns:
        OrderedDict: losses averaged over all sequences, then scores by name.
    """
    check_type('evaluate', 'network', network, Network)
    check_interface('evaluate', 'iter', iter, DataIterator, '__call__')
    keeper = ScoreKeeper(network, scorers, out_name, targets_name, mask_name)
    for data in iter(handler=network.handler):
        network.provide_external_data(data)
        network.forward_pass()
        keeper.add_batch()
    return keeper.get_results()


def extract(network: Network, iter: DataIterator,
            buffer_names: str | Sequence[str]) -> dict[str, np.ndarray]:
    """Buffers of a network for all data of an iterator.

    Args:
        network (Network): runs forward, batch by batch.
        iter (DataIterator): gives the data; inputs that it lacks, like targets, are zero.
        buffer_names (list[str]): paths of inputs, outputs or internals, 'LAYER.VIEW.NAME'.

    Returns:
        dict[str, numpy.ndarray]: by path, of shape (T, N, ...): the sequences in the order in
        which the iterator yields them. Shorter batches are padded with zeros to the longest; the
        last row of a buffer with context is that of its context.

    Raises:
        KeyError: there is no such buffer.
        ValueError: a forward pass does not fill the buffer for each sequence.
    """
    contexts = _get_contexts(network, iter, buffer_names)
    batches = list(run_batches(network, iter(handler=network.handler), contexts))
    return {path: join([batch[path] for batch in batches], context)
            for path, context in contexts.items()}


def extract_and_save(network: Network, iter: DataIterator, buffer_names: str | Sequence[str],
                     file_name: FileName) -> None:
    """Save buffers of a network for all data of an iterator to an HDF5 file.

    As `extract`, but the batches go to the file one by one: the result may be larger than memory.
    The file has a dataset for each path, named by it, and the attribute `format` = 'Buffers file
    v1.0'. An old file of that name stays until the new one is complete.

    Args:
        network, iter, buffer_names: see `extract`.
        file_name (str | PathLike): its folder must exist.

    Raises:
        OSError: the file cannot be written; the message names it.

    Example:
        >>> extract_and_save(net, Minibatches(100, default=x_test),
        ...                  ['Output.outputs.predictions', 'Hid1.outputs.default'],
        ...                  'features.hdf5')
    """
    check_filename('extract_and_save', file_name)
    contexts = _get_contexts(network, iter, buffer_names)
    with streaming_hdf5(file_name, 'the buffers', 'Buffers file v1.0') as (file, check):
        datasets = {path: JoinedDataset(file, path, context)
                    for path, context in contexts.items()}
        for batch in run_batches(network, iter(handler=network.handler), contexts):
            for path, values in batch.items():
                datasets[path].append(values)
            check()


def _get_contexts(network, iter, buffer_names):
    """The context sizes of all named buffers, once the arguments are found to fit."""
    check_type('extract', 'network', network, Network)
    check_interface('extract', 'iter', iter, DataIterator, '__call__')
    return {path: get_context_size(network, path)
            for path in check_names('extract', 'buffer_names', buffer_names)}
