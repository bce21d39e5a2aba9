"""Create CIFAR-10.hdf5: 60,000 colour images of 10 classes, 32 x 32 pixels.

normalized_split has 40,000 training, 10,000 validation and 10,000 test images, normalized_full
50,000 training and 10,000 test images. default is float64 (1, N, 32, 32, 3), targets uint8
(1, N, 1). Each value of a pixel is normalized by its mean and standard deviation over the first
40,000 images; they are the attributes mean and std, (32, 32, 3).

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import numpy as np
from cifar_tools import read_records, write_data_set
from dataset_tools import run

ARCHIVE = 'cifar-10-binary.tar.gz'
URL = 'https://www.cs.toronto.edu/~kriz/' + ARCHIVE
CHECKSUM = 'md5:c32a1d4ab5d03f1284b67883e8d87530'
TRAINING_FILES = [f'data_batch_{i}.bin' for i in range(1, 6)]
TEST_FILE = 'test_batch.bin'


def create(source, file):
    batches = read_records(ARCHIVE, URL, CHECKSUM, source,
                           {name: 10000 for name in [*TRAINING_FILES, TEST_FILE]},
                           label_bytes=1, n_classes=10)
    labels, images = map(np.concatenate, zip(*(batches[name] for name in TRAINING_FILES)))
    write_data_set(file, __doc__, (labels, images), batches[TEST_FILE])


if __name__ == '__main__':
    run(create, __doc__, 'CIFAR-10.hdf5')
