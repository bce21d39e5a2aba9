"""What a hidden layer makes of images, taken out of the network for another method.

A network learns the handwritten digits of digits.hdf5. Then the outputs of its hidden layer are
features: with them the simplest of all classifiers, the nearest mean of a class, is about as good
as the network itself.
"""

import os
import tempfile

import h5py
import numpy as np

import brainstorm as bs
from brainstorm import layers

bs.global_rnd.set_seed(42)

# ---- data ----

data_file = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'digits.hdf5')
with h5py.File(data_file, 'r') as ds:
    training, test = ({name: values[:] for name, values in ds[f'normalized_split/{part}'].items()}
                      for part in ('training', 'test'))

# ---- network ----

inp, out = bs.tools.get_in_out_layers('classification', (8, 8, 1), 10)
network = bs.Network.from_layer(
    inp >>
    layers.Convolution2D(16, kernel_size=(3, 3), padding=1) >>
    layers.Pooling2D((2, 2), stride=(2, 2)) >>
    layers.FullyConnected(64, name='Hidden') >>
    out)
network.initialize(bs.DenseSqrtFanInOut(), fallback=0)

trainer = bs.Trainer(bs.training.AdamStepper(), verbose=False)
trainer.add_hook(bs.hooks.StopAfterEpoch(20))
trainer.train(network, bs.Minibatches(20, **training))

# ---- features ----


def features_of(images, file_name):
    """Outputs of the hidden layer (N, 64), by way of a file, as for data larger than memory."""
    bs.tools.extract_and_save(network, bs.Minibatches(100, shuffle=False, default=images),
                              ['Hidden.outputs.default'], file_name)
    with h5py.File(file_name, 'r') as file:
        return file['Hidden.outputs.default'][0]


def accuracy(vectors, test_vectors):
    """Percentage of test images whose nearest mean is that of their class."""
    classes = training['targets'][0, :, 0]
    means = np.stack([vectors[classes == c].mean(axis=0) for c in range(10)])
    distances = np.linalg.norm(test_vectors[:, None] - means[None], axis=2)
    return 100 * np.mean(distances.argmin(axis=1) == test['targets'][0, :, 0])


with tempfile.TemporaryDirectory() as folder:
    features, test_features = (features_of(part['default'], os.path.join(folder, 'features.hdf5'))
                               for part in (training, test))

pixels, test_pixels = (part['default'].reshape(-1, 64) for part in (training, test))
print('Accuracy of the nearest mean')
print(f'of pixels:   {accuracy(pixels, test_pixels):.1f} %')
print(f'of features: {accuracy(features, test_features):.1f} %')
