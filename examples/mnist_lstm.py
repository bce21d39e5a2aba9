"""An LSTM reads handwritten digits row by row, from top to bottom, and then says what it has seen.

Needs MNIST.hdf5 from data/create_mnist.py, in the folder BRAINSTORM_DATA_DIR or ../data. Reaches a
test accuracy of about 98 % within 5 epochs.
"""

import argparse
import os

import h5py
import numpy as np

import brainstorm as bs
from brainstorm import layers

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--epochs', type=int, default=5)
parser.add_argument('--gpu', action='store_true', help="compute on a GPU")
arguments = parser.parse_args()

bs.global_rnd.set_seed(42)

# ---- data ----


def as_sequences(group):
    """Images (1, N, 28, 28, 1) as sequences of rows (28, N, 28); only the last step counts."""
    rows = group['default'][0, :, :, :, 0].swapaxes(0, 1)
    mask = np.zeros((*rows.shape[:2], 1))
    mask[-1] = 1
    return {'default': rows, 'targets': group['targets'][:], 'mask': mask}


data_dir = os.environ.get('BRAINSTORM_DATA_DIR', '../data')
with h5py.File(os.path.join(data_dir, 'MNIST.hdf5'), 'r') as ds:
    training, validation, test = (as_sequences(ds[f'normalized_split/{part}'])
                                  for part in ('training', 'validation', 'test'))

# ---- network ----

inp, out = bs.tools.get_in_out_layers('classification', 28, 10, mask_name='mask')
network = bs.Network.from_layer(inp >> layers.Lstm(100) >> out)
if arguments.gpu:
    network.set_handler(bs.handlers.PyCudaHandler())
network.initialize({'Lstm': {'bf': 1.0}, 'default': bs.Gaussian(0.1)})

# ---- training ----

scorers = [bs.scorers.Accuracy(mask_name='mask', out_name='Output.outputs.predictions')]
trainer = bs.Trainer(bs.training.AdamStepper(learning_rate=0.002))
trainer.train_scorers = scorers
trainer.add_hook(bs.hooks.ProgressBar())
trainer.add_hook(bs.hooks.MonitorScores('validation_data', scorers, name='validation'))
trainer.add_hook(bs.hooks.StopAfterEpoch(arguments.epochs))
# the targets have one step, which holds for all of them
trainer.train(network, bs.Minibatches(50, **training),
              validation_data=bs.Minibatches(100, shuffle=False, **validation))

accuracy = bs.tools.evaluate(network, bs.Minibatches(100, shuffle=False, **test),
                             scorers)['Accuracy']
print(f'Test accuracy: {100 * accuracy:.2f} %')
