"""Files that are complete or not there.

A file is written beside its final name, flushed to the disk and then renamed, so that an old file
of that name stays until the new one is complete. The HDF5 library may crash where a write fails and
on damaged files. So it writes to memory, or through a `_Disk` that keeps the failure from it; and
behind what HDF5 reads of a file that was written at once stands a checksum.
"""

import hashlib
import io
import os
import secrets
from contextlib import contextmanager

import h5py

from brainstorm import __version__

__all__ = ['is_undamaged', 'replacing', 'save_hdf5', 'streaming_hdf5']

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
        raise OSError(f"cannot save {what} to {filename!r}: {error.strerror or error}") from error
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
    content = io.BytesIO()
    with h5py.File(content, 'w') as file:
        _mark(file, file_format)
        fill(file)
    with replacing(filename, what) as partial, open(partial, 'wb') as file:
        file.write(content.getbuffer())
        file.write(CHECKSUM + hashlib.sha256(content.getbuffer()).digest())


@contextmanager
def streaming_hdf5(filename, what, file_format):
    """Gives (h5py.File, check): a file of any size to write piece by piece.

    Call `check` after each piece: it raises OSError if the piece could not be written. For the
    arguments see `save_hdf5`.
    """
    with replacing(filename, what) as partial, open(partial, 'wb+', buffering=0) as raw:
        disk = _Disk(raw)
        with h5py.File(disk, 'w') as file:
            _mark(file, file_format)
            yield file, disk.check
        disk.check()


class _Disk:
    """A file of which HDF5 believes that every write succeeds; `check` tells whether it did.

    After a failure nothing more is written.
    """

    def __init__(self, raw):
        self._raw = raw
        self._error = None
        self.seek = raw.seek
        self.tell = raw.tell
        self.read = raw.read
        self.readinto = raw.readinto

    def write(self, data):
        self._attempt(self._write_all, data)
        return len(data)

    def truncate(self, size):
        self._attempt(self._raw.truncate, size)
        return size

    def flush(self):
        self._attempt(self._raw.flush)

    def check(self):
        """Raise the first failure, if there was one."""
        if self._error is not None:
            raise self._error

    def _write_all(self, data):
        rest = memoryview(data)
        while rest:  # a disk that is nearly full takes a part
            rest = rest[self._raw.write(rest):]

    def _attempt(self, operation, *arguments):
        if self._error is None:
            try:
                operation(*arguments)
            except OSError as error:
                self._error = error


def _mark(file, file_format):
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
