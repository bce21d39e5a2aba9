"""What the create_*.py scripts share: getting raw files and writing HDF5 data sets.

A data set of images has the groups `normalized_split/{training,validation,test}` and
`normalized_full/{training,test}`, one of texts `split/{training,validation,test}`; each has the
items `default` and `targets` of shape (T, N, ...).
"""

import argparse
import hashlib
import os
import secrets
import tempfile
import urllib.request
from contextlib import contextmanager

import h5py

DOWNLOAD_BLOCK = 1 << 20  # bytes
ROWS_PER_CHUNK = 100  # about one minibatch
ROWS_PER_WRITE = 5000


class DataError(Exception):
    """A raw file is missing, damaged or not what it should be."""


def run(create, description, file_name):
    """Run a script: parse its arguments, call `create(source, file)`, report errors.

    Args:
        create (Callable): gets the folder or file that --from names, or None, and the open
            h5py.File to fill.
        description (str): the help text.
        file_name (str): name of the data set.
    """
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--from', dest='source', metavar='PATH',
                        help="folder with the raw files, or the archive; default: download them")
    parser.add_argument('--out', metavar='FOLDER',
                        default=os.environ.get('BRAINSTORM_DATA_DIR', '.'),
                        help="folder of the data set; default: BRAINSTORM_DATA_DIR or the current "
                             "folder")
    arguments = parser.parse_args()
    target = os.path.join(arguments.out, file_name)
    try:
        with _complete_or_absent(target) as partial, h5py.File(partial, 'w') as file:
            create(arguments.source, file)
    except (DataError, OSError, RuntimeError) as error:
        parser.exit(1, f"{target} was not written: {error}\n")
    print(f"{target} is ready")


@contextmanager
def raw_file(name, url, checksum, source):
    """Within, the path of a raw file.

    Args:
        name (str): name of the file.
        url (str), checksum (str): where to download it, and what it must have, 'md5:...' or
            'sha256:...'.
        source (str | None): the file itself or a folder with it; None: download it.
    """
    if source is not None:
        path = os.path.join(source, name) if os.path.isdir(source) else source
        if not os.path.isfile(path):
            raise DataError(f"there is no file {path}")
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        _download(url, path, checksum)
        yield path


def write_items(group, images, targets, normalize, dtype, level=4):
    """Write the items of a group, block by block.

    Args:
        images (numpy.ndarray): uint8, (N, height, width, channels).
        targets (numpy.ndarray): (N,).
        normalize (Callable): from a block of images to numbers.
        dtype: of the written images.
        level (int): of the compression by gzip, 0 to 9.
    """
    rows = min(ROWS_PER_CHUNK, len(images))
    default = group.create_dataset('default', (1,) + images.shape, dtype, compression='gzip',
                                   compression_opts=level, chunks=(1, rows) + images.shape[1:])
    for start in range(0, len(images), ROWS_PER_WRITE):
        block = images[start:start + ROWS_PER_WRITE]
        default[0, start:start + len(block)] = normalize(block)
    group.create_dataset('targets', data=targets.reshape(1, -1, 1), compression='gzip')


def _download(url, path, checksum):
    from tqdm import tqdm
    algorithm = checksum.partition(':')[0]
    content = hashlib.new(algorithm)
    try:
        with urllib.request.urlopen(url, timeout=60) as response, open(path, 'wb') as file:
            length = response.headers.get('Content-Length')
            with tqdm(total=int(length) if length else None, unit='B', unit_scale=True,
                      desc=os.path.basename(path)) as bar:
                while block := response.read(DOWNLOAD_BLOCK):
                    content.update(block)
                    file.write(block)
                    bar.update(len(block))
    except OSError as error:
        raise DataError(f"cannot download {url}: {error}; with the file at hand use --from") \
            from error
    received = f'{algorithm}:{content.hexdigest()}'
    if received != checksum:
        raise DataError(f"{url} gave a file with the checksum {received}, expected {checksum}")


@contextmanager
def _complete_or_absent(target):
    """A path beside the target to write to, renamed at the end unless something was raised."""
    os.makedirs(os.path.dirname(target) or '.', exist_ok=True)
    partial = f'{target}.{secrets.token_hex(4)}.part'
    try:
        yield partial
        os.replace(partial, target)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
