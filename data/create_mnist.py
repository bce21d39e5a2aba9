"""Create MNIST.hdf5: 70,000 images of handwritten digits, 28 x 28 pixels in [0, 1].

normalized_split has 50,000 training, 10,000 validation and 10,000 test images, normalized_full
60,000 training and 10,000 test images. default is float32 (1, N, 28, 28, 1), targets int64
(1, N, 1).

Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits".
"""

import gzip
import zlib

import numpy as np
from dataset_tools import DataError, raw_file, run, write_items

URL = 'https://ossci-datasets.s3.amazonaws.com/mnist/'
CHECKSUMS = {
    'train-images-idx3-ubyte.gz': 'md5:f68b3c2dcbeaaa9fbdd348bbdeb94873',
    'train-labels-idx1-ubyte.gz': 'md5:d53e105ee54ea40749a09fcbcd1e9432',
    't10k-images-idx3-ubyte.gz': 'md5:9fb629c4189551a2d022fa330f9573f3',
    't10k-labels-idx1-ubyte.gz': 'md5:ec29112dd5afa0611ce80d1b7f02629c',
}


def create(source, file):
    images = read_idx('train-images-idx3-ubyte.gz', source, (60000, 28, 28))
    labels = read_idx('train-labels-idx1-ubyte.gz', source, (60000,))
    test_images = read_idx('t10k-images-idx3-ubyte.gz', source, (10000, 28, 28))
    test_labels = read_idx('t10k-labels-idx1-ubyte.gz', source, (10000,))
    file.attrs['description'] = __doc__
    for name, some_images, some_labels in [
            ('normalized_split/training', images[:50000], labels[:50000]),
            ('normalized_split/validation', images[50000:], labels[50000:]),
            ('normalized_split/test', test_images, test_labels),
            ('normalized_full/training', images, labels),
            ('normalized_full/test', test_images, test_labels)]:
        write_items(file.create_group(name), some_images[..., np.newaxis],
                    some_labels.astype(np.int64), normalize, np.float32)


def normalize(images):
    return images.astype(np.float32) / np.float32(255)


def read_idx(name, source, shape):
    """The uint8 array of an idx file: magic number, dimensions, bytes, all numbers big-endian."""
    with raw_file(name, URL + name, CHECKSUMS[name], source) as path:
        try:
            with gzip.open(path) as file:
                content = file.read()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path} is damaged: {error}") from error
    header = np.array([0x800 + len(shape), *shape], dtype='>u4').tobytes()
    if not content.startswith(header) or len(content) != len(header) + np.prod(shape):
        raise DataError(f"{path} is not the idx file of {shape} bytes that it should be")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


if __name__ == '__main__':
    run(create, __doc__, 'MNIST.hdf5')
