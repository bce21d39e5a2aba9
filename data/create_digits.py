"""Create digits.hdf5: 1,797 images of handwritten digits, 8 x 8 pixels in [0, 1].

normalized_split has 1,200 training, 297 validation and 300 test images in random order. default is
float32 (1, N, 8, 8, 1), targets int64 (1, N, 1). Needs scikit-learn, which ships the images.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, doi 10.24432/C50P49, licence CC BY 4.0. These are the test images of that data set, with
pixels divided by 16.
"""

import numpy as np
from dataset_tools import run, write_items
from sklearn.datasets import load_digits


def create(source, file):
    digits = load_digits()
    order = np.random.RandomState(0).permutation(len(digits.images))
    images = digits.images[order, :, :, np.newaxis].astype(np.uint8)
    labels = digits.target[order].astype(np.int64)
    file.attrs['description'] = __doc__
    for name, start, stop in [('training', 0, 1200), ('validation', 1200, 1497),
                              ('test', 1497, 1797)]:
        write_items(file.create_group(f'normalized_split/{name}'), images[start:stop],
                    labels[start:stop], normalize, np.float32, level=9)


def normalize(images):
    return images.astype(np.float32) / np.float32(16)


if __name__ == '__main__':
    run(create, __doc__, 'digits.hdf5')
