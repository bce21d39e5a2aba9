"""Permutation invariant MNIST: a large fully connected network with dropout.

Needs MNIST.hdf5 from data/create_mnist.py, in the folder BRAINSTORM_DATA_DIR or ../data. Reaches a
test accuracy above 98.3 % within 20 epochs.
"""

import argparse
import os

import h5py

import brainstorm as bs
from brainstorm.initializers import DenseSqrtFanIn
from brainstorm.training.schedules import Linear

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--epochs', type=int, default=20)
parser.add_argument('--gpu', action='store_true', help="compute on a GPU")
arguments = parser.parse_args()

bs.global_rnd.set_seed(42)

# ---- data ----

data_dir = os.environ.get('BRAINSTORM_DATA_DIR', '../data')
with h5py.File(os.path.join(data_dir, 'MNIST.hdf5'), 'r') as ds:
    training, validation, test = (
        {name: values[:] for name, values in ds[f'normalized_split/{part}'].items()}
        for part in ('training', 'validation', 'test'))

# ---- network ----

inp, fc = bs.tools.get_in_out_layers('classification', (28, 28, 1), 10)
network = bs.Network.from_layer(
    inp >>
    bs.layers.Dropout(drop_prob=0.2) >>
    bs.layers.FullyConnected(1200, name='Hid1', activation='rel') >>
    bs.layers.Dropout(drop_prob=0.5) >>
    bs.layers.FullyConnected(1200, name='Hid2', activation='rel') >>
    bs.layers.Dropout(drop_prob=0.5) >>
    fc)
if arguments.gpu:
    network.set_handler(bs.handlers.PyCudaHandler())
network.initialize({'Hid*': {'W': DenseSqrtFanIn(), 'bias': 0},
                    'Output_projection': {'W': DenseSqrtFanIn('linear'), 'bias': 0}})

# ---- training ----

scorers = [bs.scorers.Accuracy(out_name='Output.outputs.predictions')]
trainer = bs.Trainer(bs.training.MomentumStepper(learning_rate=0.4, momentum=0.9))
trainer.train_scorers = scorers
trainer.add_hook(bs.hooks.ProgressBar())
trainer.add_hook(bs.hooks.ModifyStepperAttribute(Linear(0.4, 0.01, arguments.epochs)))
trainer.add_hook(bs.hooks.MonitorScores('validation_data', scorers, name='validation'))
trainer.add_hook(bs.hooks.SaveBestNetwork('validation.Accuracy', filename='mnist_pi_best.hdf5',
                                          name='best weights', criterion='max'))
trainer.add_hook(bs.hooks.StopAfterEpoch(arguments.epochs))
trainer.train(network, bs.Minibatches(50, **training),
              validation_data=bs.Minibatches(100, shuffle=False, **validation))

best = bs.Network.from_hdf5('mnist_pi_best.hdf5')
accuracy = bs.tools.evaluate(best, bs.Minibatches(100, shuffle=False, **test), scorers)['Accuracy']
print(f'Test accuracy: {100 * accuracy:.2f} %')
