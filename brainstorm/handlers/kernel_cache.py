"""Compiled kernels are kept on disk, for the next process.

The folder is that of the environment variable BRAINSTORM_CACHE_DIR, else `brainstorm/kernels` in
XDG_CACHE_HOME or ~/.cache. Where it cannot be written, kernels are compiled in each process.
"""

import hashlib
import os
import tempfile

__all__ = ['keep', 'recall']

_MAGIC = b'BSK1'


def keep(key: str, data: bytes) -> None:
    """Keep data under a key. Other processes see all of it or nothing."""
    try:
        os.makedirs(_folder(), mode=0o700, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=_folder())
        try:
            with os.fdopen(handle, 'wb') as file:
                file.write(_MAGIC + hashlib.sha256(data).digest() + data)
            os.replace(draft, _path(key))
        except BaseException:
            os.unlink(draft)
            raise
    except OSError:
        pass  # a read-only home or a full disk


def recall(key: str) -> bytes | None:
    """What was kept under a key; None if there is nothing, or something spoilt."""
    try:
        with open(_path(key), 'rb') as file:
            content = file.read()
    except OSError:
        return None
    head = len(_MAGIC) + hashlib.sha256().digest_size
    data = content[head:]
    return data if content[:head] == _MAGIC + hashlib.sha256(data).digest() else None


def _folder():
    chosen = os.environ.get('BRAINSTORM_CACHE_DIR')
    if chosen:
        return chosen
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return os.path.join(cache, 'brainstorm', 'kernels')


def _path(key):
    return os.path.join(_folder(), hashlib.sha256(key.encode()).hexdigest() + '.cubin')
