"""Buffers of a network over data that comes batch by batch.

Batches (T, B, ...) are joined along the sequences, dimension 1. Shorter ones are padded with zeros
to the longest; the context row of a (+1) buffer stays last. The network itself never holds more
than one batch.
"""

from collections.abc import Mapping

import numpy as np

from brainstorm.checks import check_number, check_type
from brainstorm.scorers import find_output_name
from brainstorm.structure.buffer_views import current_name
from brainstorm.utils import list_names

__all__ = ['JoinedDataset', 'get_context_size', 'join', 'predict', 'run_batches']

_LEAST_BATCH = 100


def predict(net, x, batch_size, out_name, data_name):
    """The output of a network for all of x; see `Network.predict`."""
    path = check_type('predict', 'out_name', out_name, str) or find_output_name(net)
    context_size = get_context_size(net, path)
    batches = x(handler=net.handler) if callable(x) else _cut(net, x, batch_size, data_name)
    joined = join([batch[path] for batch in run_batches(net, batches, [path])], context_size)
    return joined[:len(joined) - context_size]


def run_batches(net, batches, paths):
    """Run the network forward over each batch of data.

    Inputs that are not in the data, like targets, are zero.

    Yields {path: numpy copy (T, B, ...)}, (1, B, ...) of a buffer without time.
    """
    empty = True
    for data in batches:
        empty = False
        net.provide_external_data({**_zeros(net, data), **data})
        net.forward_pass()
        yield {path: _with_time(net, path) for path in paths}
    if empty:
        raise ValueError("there is no data to run the network on: no batch came")


def get_context_size(net, path):
    """How many rows of a buffer stand behind the last step: 0 or 1.

    Raises:
        KeyError: there is no such buffer.
        ValueError: a forward pass does not fill it for each sequence.
    """
    net.get(path)  # raises for what is no buffer
    structure = _get_structure(net, path)
    if structure is None or structure.is_backward_only or not structure.scales_with_batch_size:
        raise ValueError(f"{path!r} cannot be extracted: a forward pass fills inputs, outputs and "
                         "internals, and only those whose shape has 'B' belong to a sequence")
    is_input = path.split('.')[1] == 'inputs'
    return 0 if is_input else structure.context_size


def join(batches, context_size):
    """One array (T, N, ...) of a list of batches."""
    steps = max(batch.shape[0] for batch in batches)
    sequences = sum(batch.shape[1] for batch in batches)
    joined = np.zeros((steps, sequences) + batches[0].shape[2:], batches[0].dtype)
    start = 0
    for batch in batches:
        _place(batch, joined, start, context_size)
        start += batch.shape[1]
    return joined


class JoinedDataset:
    """A dataset (T, N, ...) of an HDF5 file that grows with every batch.

    Args:
        file (h5py.File): an open file.
        name (str): name of the dataset, which is made for the first batch.
        context_size (int): see `get_context_size`.
    """

    def __init__(self, file, name, context_size):
        self._file = file
        self._name = name
        self._context_size = context_size

    def append(self, batch):
        """Add the sequences of a batch behind the others."""
        if self._name not in self._file:
            self._file.create_dataset(self._name, data=batch, chunks=True,
                                      maxshape=(None, None) + batch.shape[2:])
            return
        dataset = self._file[self._name]
        steps, start = dataset.shape[:2]
        if batch.shape[0] > steps:
            self._lengthen(dataset, batch.shape[0])
        dataset.resize(start + batch.shape[1], axis=1)
        _place(batch, dataset, start, self._context_size)

    def _lengthen(self, dataset, steps):
        end = dataset.shape[0]
        context = dataset[end - self._context_size:]
        dataset[end - self._context_size:] = 0
        dataset.resize(steps, axis=0)
        dataset[steps - self._context_size:] = context


def _place(batch, target, start, context_size):
    """Copy a batch to the sequences of the target from `start` on."""
    stop = start + batch.shape[1]
    steps = batch.shape[0] - context_size
    target[:steps, start:stop] = batch[:steps]
    target[target.shape[0] - context_size:, start:stop] = batch[steps:]


def _zeros(net, data):
    """Zeros for the inputs of a network that a batch of data lacks; one step stands for all."""
    inputs = net.layers['Input'].out_shapes
    sequences = next((np.shape(data[name])[1] for name in inputs if name in data), 1)
    zeros = {}
    for name, structure in inputs.items():
        if name not in data:
            lead = (1, sequences) if structure.scales_with_batch_size else ()
            zeros[name] = np.zeros(lead + structure.feature_shape)
    return zeros


def _with_time(net, path):
    array = net.get(path)
    return array if _get_structure(net, path).scales_with_time else array[np.newaxis]


def _get_structure(net, path):
    """The BufferStructure of an input, output or internal; None of any other buffer."""
    layer_name, *rest = path.split('.')
    layer = net.layers.get(layer_name)
    if layer is None or len(rest) != 2:
        return None
    view, name = rest
    structures = {'inputs': layer.in_shapes, 'outputs': layer.out_shapes,
                  'internals': layer.internal_shapes}.get(view, {})
    return structures.get(current_name(name, structures))


def _cut(net, x, batch_size, data_name):
    """Batches of an array or of a dict of arrays, in order."""
    data = x if isinstance(x, Mapping) else {data_name: x}
    data = {name: values if hasattr(values, 'shape') else np.asarray(values)
            for name, values in data.items()}
    _check_names(net, data)
    counts = {values.shape[1:2] for values in data.values()}
    if len(counts) != 1 or counts == {()}:
        raise ValueError("predict: all data must be of the shape (T, N, ...) with one number N of "
                         f"sequences, got {({name: v.shape for name, v in data.items()})}")
    size = max(net.batch_size, _LEAST_BATCH) if batch_size is None \
        else check_number('predict', 'batch_size', batch_size, 1, integer=True)
    for start in range(0, counts.pop()[0], size):
        yield {name: values[:, start:start + size] for name, values in data.items()}


def _check_names(net, data):
    inputs = net.layers['Input'].out_shapes
    for name in data:
        if name not in inputs:
            raise ValueError(f"predict: the network has no input {name!r}; "
                             + list_names('there are', name, inputs))
