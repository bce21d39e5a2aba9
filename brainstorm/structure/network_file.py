"""Networks as HDF5 files.

A file has the attributes `format`, `info` and optionally `comment`, and two datasets:
`description`, the JSON text of the network's description, and `parameters`, its flat parameters.
A damaged file is noticed by its checksum (`safe_files`). Files without one, such as those of
brainstorm 0.5, load all the same.
"""

import json
import os

import h5py
import numpy as np

from brainstorm.checks import check_filename, check_type
from brainstorm.describable import get_description
from brainstorm.structure.safe_files import is_undamaged, save_hdf5
from brainstorm.utils import ValidationError

__all__ = ['load_network', 'save_network']

FORMAT = 'Network file v1.0'


def save_network(net, filename, comment):
    """Write the network to a file, which is complete or not there."""
    if '\0' in check_type('save_as_hdf5', 'comment', comment, str):
        raise ValueError(f"save_as_hdf5: comment must not contain NUL, got {comment!r}")

    def fill(file):
        if comment:
            file.attrs['comment'] = comment
        # Of fixed length: HDF5 crashes on a damaged reference to text of variable length.
        file['description'] = np.bytes_(json.dumps(get_description(net)))
        file.create_dataset('parameters', data=net.get('parameters'), compression='gzip')

    save_hdf5(check_filename('save_as_hdf5', filename), 'the network', FORMAT, fill)


def load_network(network_class, filename):
    """Build the network that a file describes and set its parameters."""
    filename = check_filename('from_hdf5', filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f"there is no file {filename!r}")
    if not is_undamaged(filename):
        raise ValidationError(f"cannot load a network from {filename!r}: it is damaged, its "
                              "checksum is another")
    try:
        file = h5py.File(filename, 'r')
    except OSError as error:
        raise OSError(f"cannot read {filename!r}: it is damaged or no HDF5 file "
                      f"({error})") from error
    try:
        with file:
            net = network_class.__new_from_description__(
                _read_description(file, network_class))
            _read_parameters(file, net)
            return net
    except Exception as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValidationError(f"cannot load a network from {filename!r}: {reason}") from error


def _read_description(file, network_class):
    found = file.attrs.get('format')
    found = found.decode() if isinstance(found, bytes) else found
    if found != FORMAT:
        raise ValidationError(f"its format is {found!r}, expected {FORMAT!r}")
    description = json.loads(_get_dataset(file, 'description', shape=())[()])
    known = [cls.__name__ for cls in network_class.__mro__]
    if not isinstance(description, dict) or description.get('@type') not in known:
        raise ValidationError(f"its description is not that of a {network_class.__name__}")
    return description


def _read_parameters(file, net):
    flat = net.buffer['parameters']
    dataset = _get_dataset(file, 'parameters', shape=tuple(flat.shape))
    if dataset.dtype.kind != 'f':
        raise ValidationError(f"its parameters are no floating point numbers: {dataset.dtype}")
    net.handler.set_from_numpy(flat, dataset[...].astype(net.handler.dtype))


def _get_dataset(file, name, shape):
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise ValidationError(f"it has no dataset {name!r}")
    if dataset.shape != shape:
        raise ValidationError(f"its dataset {name!r} has the shape {dataset.shape}, "
                              f"expected {shape}")
    return dataset
