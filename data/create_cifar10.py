"""Create CIFAR-10.hdf5: 60,000 colour images of 10 classes, 32 x 32 pixels.

normalized_split has 40,000 training, 10,000 validation and 10,000 test images, normalized_full
50,000 training and 10,000 test images. default is float64 (1, N, 32, 32, 3), targets uint8
(1, N, 1). Each value of a pixel is normalized by its mean and standard deviation over the first
40,000 images; they are the attributes mean and std, (32, 32, 3).

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import tarfile
import zlib

import numpy as np
from dataset_tools import DataError, raw_file, run, write_items

ARCHIVE = 'cifar-10-binary.tar.gz'
URL = 'https://www.cs.toronto.edu/~kriz/' + ARCHIVE
CHECKSUM = 'md5:c32a1d4ab5d03f1284b67883e8d87530'
TRAINING_FILES = [f'data_batch_{i}.bin' for i in range(1, 6)]
TEST_FILE = 'test_batch.bin'


def create(source, file):
    batches = read_batches(source)
    records = np.concatenate([batches[name] for name in TRAINING_FILES])
    labels, images = split_records(records)
    test_labels, test_images = split_records(batches[TEST_FILE])
    mean, std = mean_and_std(images[:40000])

    def normalize(some_images):
        return (some_images - mean) / std

    file.attrs['description'] = __doc__
    file.attrs['mean'], file.attrs['std'] = mean, std
    for name, some_images, some_labels in [
            ('normalized_split/training', images[:40000], labels[:40000]),
            ('normalized_split/validation', images[40000:], labels[40000:]),
            ('normalized_split/test', test_images, test_labels),
            ('normalized_full/training', images, labels),
            ('normalized_full/test', test_images, test_labels)]:
        write_items(file.create_group(name), some_images, some_labels, normalize, np.float64)


def read_batches(source):
    """The records of all batches by the name of their file, uint8 (10000, 3073)."""
    batches = {}
    with raw_file(ARCHIVE, URL, CHECKSUM, source) as path:
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = member.name.rpartition('/')[2]
                    if member.isfile() and name in TRAINING_FILES + [TEST_FILE]:
                        content = archive.extractfile(member).read()
                        batches[name] = np.frombuffer(content, np.uint8)
        except (EOFError, tarfile.TarError, zlib.error) as error:
            raise DataError(f"{path} is damaged: {error}") from error
    for name in TRAINING_FILES + [TEST_FILE]:
        if name not in batches:
            raise DataError(f"{path} has no member {name}")
        if batches[name].size != 10000 * 3073 or batches[name][::3073].max() > 9:
            raise DataError(f"{name} in {path} does not hold 10,000 records of a label from 0 to 9 "
                            "and 3,072 bytes")
        batches[name] = batches[name].reshape(10000, 3073)
    return batches


def split_records(records):
    """Labels (N,) and images (N, 32, 32, 3) of records: a label, then a plane for each colour."""
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return records[:, 0], np.ascontiguousarray(images)


def mean_and_std(images):
    """Mean and standard deviation over the images, (32, 32, 3), from exact sums of integers."""
    n = len(images)
    total = np.zeros(images.shape[1:], np.int64)
    squares = np.zeros(images.shape[1:], np.int64)
    for start in range(0, n, 5000):
        block = images[start:start + 5000].astype(np.int64)
        total += block.sum(axis=0)
        squares += (block * block).sum(axis=0)
    return total / n, np.sqrt((n * squares - total * total) / n**2)


if __name__ == '__main__':
    run(create, __doc__, 'CIFAR-10.hdf5')
