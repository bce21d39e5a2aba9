"""Create HutterPrize.hdf5: the first 100 MB of Wikipedia, to predict the next character.

split has 90,000,000 training, 5,000,000 validation and the last 5,000,000 characters as test; of a
smaller file each of the last two is 5 %. default and targets are int64 (100, N, 1), where a target
is the character behind. Characters are ids: positions in the attribute unique, the bytes that occur
in the text (uint8, ascending).

Each part is read as 100 streams, one behind the other in the text. Sequence 100 k + s holds the
characters 100 k ... 100 k + 99 of stream s, so that in minibatches of 100 sequences, not shuffled,
each sequence goes on where the one at its place in the minibatch before has stopped. The last
character of the text is a target only. A rest that does not fill a minibatch is left out.

Source: M. Hutter, "50,000 Euro Prize for Compressing Human Knowledge", 2006; enwik8 by M. Mahoney.
"""

import zipfile
import zlib

import numpy as np
from dataset_tools import DataError, raw_file, run

ARCHIVE = 'enwik8.zip'
URL = 'https://mattmahoney.net/dc/' + ARCHIVE
CHECKSUM = 'sha256:547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc'
MEMBER = 'enwik8'
HELD_OUT = 5000000  # characters of validation and of test
STREAMS = 100
STEPS = 100
BATCHES_PER_WRITE = 50


def create(source, file):
    text = read_text(source)
    unique = np.unique(text)
    ids = np.zeros(256, np.int64)
    ids[unique] = np.arange(len(unique))
    file.attrs['description'] = __doc__
    file.attrs['unique'] = unique

    held_out = min(HELD_OUT, len(text) // 20)
    n_training = len(text) - 2 * held_out
    for name, start, stop in [('training', 0, n_training),
                              ('validation', n_training, n_training + held_out),
                              ('test', n_training + held_out, len(text))]:
        n_batches = (min(stop, len(text) - 1) - start) // (STREAMS * STEPS)
        if n_batches < 1:
            raise DataError(f"a text of {len(text)} characters leaves less for {name} than the "
                            f"{STREAMS * STEPS + 1} that one minibatch needs")
        n = n_batches * STREAMS * STEPS
        group = file.create_group(f'split/{name}')
        write_characters(group, 'default', text[start:start + n], ids)
        write_characters(group, 'targets', text[start + 1:start + 1 + n], ids)


def read_text(source):
    """The characters of the archived text, uint8 (n,)."""
    with raw_file(ARCHIVE, URL, CHECKSUM, source) as path:
        try:
            with zipfile.ZipFile(path) as archive:
                return np.frombuffer(archive.read(MEMBER), np.uint8)
        except KeyError as error:
            raise DataError(f"{path} has no member {MEMBER}") from error
        except (EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{path} is damaged: {error}") from error


def write_characters(group, name, text, ids):
    """Write the ids of some minibatches' characters, (STEPS, N, 1), a minibatch to a chunk."""
    n_batches = len(text) // (STREAMS * STEPS)
    by_step = text.reshape(STREAMS, n_batches, STEPS).transpose(2, 1, 0)
    item = group.create_dataset(name, (STEPS, n_batches * STREAMS, 1), np.int64,
                                compression='gzip', chunks=(STEPS, STREAMS, 1))
    for start in range(0, n_batches, BATCHES_PER_WRITE):
        block = ids[by_step[:, start:start + BATCHES_PER_WRITE]].reshape(STEPS, -1, 1)
        item[:, start * STREAMS:start * STREAMS + block.shape[1]] = block


if __name__ == '__main__':
    run(create, __doc__, 'HutterPrize.hdf5')
