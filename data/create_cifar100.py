"""Create CIFAR-100.hdf5: 60,000 colour images of 100 classes, 32 x 32 pixels.

normalized_split has 40,000 training, 10,000 validation and 10,000 test images, normalized_full
50,000 training and 10,000 test images. default is float64 (1, N, 32, 32, 3), targets uint8
(1, N, 1), the fine labels. Each value of a pixel is normalized by its mean and standard deviation
over the first 40,000 images; they are the attributes mean and std, (32, 32, 3).

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from cifar_tools import read_records, write_data_set
from dataset_tools import run

ARCHIVE = 'cifar-100-binary.tar.gz'
URL = 'https://www.cs.toronto.edu/~kriz/' + ARCHIVE
CHECKSUM = 'md5:03b5dce01913d631647c71ecec9e9cb8'


def create(source, file):
    parts = read_records(ARCHIVE, URL, CHECKSUM, source, {'train.bin': 50000, 'test.bin': 10000},
                         label_bytes=2, n_classes=100)
    write_data_set(file, __doc__, parts['train.bin'], parts['test.bin'])


if __name__ == '__main__':
    run(create, __doc__, 'CIFAR-100.hdf5')
