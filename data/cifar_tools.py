"""What create_cifar10.py and create_cifar100.py share: records of 32 x 32 colour images."""

import tarfile
import zlib

import numpy as np
from dataset_tools import DataError, raw_file, write_items

PIXEL_BYTES = 3 * 32 * 32
STATISTICS = 40000  # training images that mean and standard deviation are taken over


def read_records(archive_name, url, checksum, source, files, label_bytes, n_classes):
    """Labels (N,) and images (N, 32, 32, 3), uint8, by name of file in the archive.

    Args:
        archive_name (str), url (str), checksum (str), source (str | None): see raw_file.
        files (dict[str, int]): numbers of records by name of file.
        label_bytes (int): bytes in front of the pixels of a record; the last one is the label.
        n_classes (int): labels are below.
    """
    size = label_bytes + PIXEL_BYTES
    contents = {}
    with raw_file(archive_name, url, checksum, source) as path:
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = member.name.rpartition('/')[2]
                    if member.isfile() and name in files:
                        content = archive.extractfile(member).read()
                        contents[name] = np.frombuffer(content, np.uint8)
        except (EOFError, tarfile.TarError, zlib.error) as error:
            raise DataError(f"{path} is damaged: {error}") from error
    for name, n in files.items():
        if name not in contents:
            raise DataError(f"{path} has no member {name}")
        values = contents[name]
        if values.size != n * size or values[label_bytes - 1::size].max() >= n_classes:
            raise DataError(f"{name} in {path} does not hold {n:,} records of a label from 0 to "
                            f"{n_classes - 1} and 3,072 bytes")
    return {name: _split(values.reshape(-1, size), label_bytes)
            for name, values in contents.items()}


def write_data_set(file, description, training, test):
    """Write both splits of (labels, images), normalized by the first 40,000 training images."""
    (labels, images), (test_labels, test_images) = training, test
    mean, std = _mean_and_std(images[:STATISTICS])

    def normalize(some_images):
        return (some_images - mean) / std

    file.attrs['description'] = description
    file.attrs['mean'], file.attrs['std'] = mean, std
    for name, some_images, some_labels in [
            ('normalized_split/training', images[:STATISTICS], labels[:STATISTICS]),
            ('normalized_split/validation', images[STATISTICS:], labels[STATISTICS:]),
            ('normalized_split/test', test_images, test_labels),
            ('normalized_full/training', images, labels),
            ('normalized_full/test', test_images, test_labels)]:
        write_items(file.create_group(name), some_images, some_labels, normalize, np.float64)


def _split(records, label_bytes):
    """Labels and images of records: labels, then a plane for each colour."""
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return records[:, label_bytes - 1], np.ascontiguousarray(images)


def _mean_and_std(images):
    """Mean and standard deviation over the images, (32, 32, 3), from exact sums of integers."""
    n = len(images)
    total = np.zeros(images.shape[1:], np.int64)
    squares = np.zeros(images.shape[1:], np.int64)
    for start in range(0, n, 5000):
        block = images[start:start + 5000].astype(np.int64)
        total += block.sum(axis=0)
        squares += (block * block).sum(axis=0)
    return total / n, np.sqrt((n * squares - total * total) / n**2)
