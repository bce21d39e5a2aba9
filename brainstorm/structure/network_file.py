"""Networks as HDF5 files.

A file has the attributes `format`, `info` and optionally `comment`, and two datasets:
`description`, the JSON text of the network's description, and `parameters`, its flat parameters.
Behind what HDF5 reads stands a checksum, since the HDF5 library itself may crash on damaged files.
Files without one, such as those of brainstorm 0.5, load all the same.
"""

import hashlib
import io
import json
import os
import secrets

import h5py
import numpy as np

from brainstorm import __version__
from brainstorm.describable import get_description
from brainstorm.utils import ValidationError, check_type

__all__ = ['load_network', 'save_network']

FORMAT = 'Network file v1.0'
CHECKSUM = b'\nbrainstorm sha256 '


def save_network(net, filename, comment):
    """Write the network to a file beside it, then rename that: a torn file is never seen."""
    filename = os.path.realpath(os.fsdecode(filename))
    if os.path.exists(filename) and not os.path.isfile(filename):
        raise OSError(f"cannot save the network to {filename!r}: that is no regular file")
    if '\0' in check_type('save_as_hdf5', 'comment', comment, str):
        raise ValueError(f"save_as_hdf5: comment must not contain NUL, got {comment!r}")
    content = _to_bytes(net, comment)
    partial = os.path.join(os.path.dirname(filename), f'.{secrets.token_hex(8)}.part')
    try:
        with open(partial, 'wb') as file:
            file.write(content)
            file.write(CHECKSUM + hashlib.sha256(content).digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, filename)
    except OSError as error:
        raise OSError(f"cannot save the network to {filename!r}: {error}") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def load_network(network_class, filename):
    """Build the network that a file describes and set its parameters."""
    filename = os.fsdecode(filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f"there is no file {filename!r}")
    if not _is_undamaged(filename):
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


def _to_bytes(net, comment):
    """The content of the file. HDF5 writes to memory, for on a full disk it may crash."""
    content = io.BytesIO()
    with h5py.File(content, 'w') as file:
        file.attrs['format'] = FORMAT
        file.attrs['info'] = f'Created with brainstorm {__version__}'
        if comment:
            file.attrs['comment'] = comment
        # Of fixed length: HDF5 crashes on a damaged reference to text of variable length.
        file['description'] = np.bytes_(json.dumps(get_description(net)))
        file.create_dataset('parameters', data=net.get('parameters'), compression='gzip')
    return content.getbuffer()


def _is_undamaged(filename):
    """Whether the checksum is that of the content, or there is none."""
    size = os.path.getsize(filename) - len(CHECKSUM) - hashlib.sha256().digest_size
    digest = hashlib.sha256()
    with open(filename, 'rb') as file:
        file.seek(max(size, 0))
        trailer = file.read()
        if CHECKSUM not in trailer:
            return True
        file.seek(0)
        while size > 0:
            block = file.read(min(size, 1 << 20))
            digest.update(block)
            size -= len(block)
    return trailer == CHECKSUM + digest.digest()


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
