"""Files that are complete or not there.

A file is written beside its final name, flushed to the disk and then renamed, so that an old file
of that name stays until the new one is complete. Behind what HDF5 reads of a file that was written
at once stands a checksum, since the HDF5 library itself may crash on damaged files.
"""

import hashlib
import io
import os
import secrets
from contextlib import contextmanager

import h5py

from brainstorm import __version__

__all__ = ['is_undamaged', 'mark_hdf5', 'replacing', 'save_hdf5']

CHECKSUM = b'\nbrainstorm sha256 '


@contextmanager
def replacing(filename, what):
    """Gives the path of a file to write, which takes the place of `filename` at the end.

    Args:
        filename (str | bytes | PathLike): its folder must exist.
        what (str): what is saved, for the message.

    Raises:
        OSError: it cannot be written, or names what is no regular file. An old file stays.
    """
    filename = os.path.realpath(os.fsdecode(filename))
    if os.path.exists(filename) and not os.path.isfile(filename):
        raise OSError(f"cannot save {what} to {filename!r}: that is no regular file")
    partial = os.path.join(os.path.dirname(filename), f'.{secrets.token_hex(8)}.part')
    try:
        yield partial
        with open(partial, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(partial, filename)
    except OSError as error:
        raise OSError(f"cannot save {what} to {filename!r}: {error}") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def save_hdf5(filename, what, file_format, fill):
    """Save an HDF5 file whose content fits into memory, with a checksum behind it.

    Args:
        filename, what: see `replacing`.
        file_format (str): its attribute `format`.
        fill (Callable): called with the open h5py.File, puts the content in.
    """
    content = io.BytesIO()  # HDF5 writes to memory, for on a full disk it may crash
    with h5py.File(content, 'w') as file:
        mark_hdf5(file, file_format)
        fill(file)
    with replacing(filename, what) as partial, open(partial, 'wb') as file:
        file.write(content.getbuffer())
        file.write(CHECKSUM + hashlib.sha256(content.getbuffer()).digest())


def mark_hdf5(file, file_format):
    """Set the attributes that every file of brainstorm has."""
    file.attrs['format'] = file_format
    file.attrs['info'] = f'Created with brainstorm {__version__}'


def is_undamaged(filename):
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
