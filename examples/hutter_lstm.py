"""An LSTM that learns to predict the next character of a text, and then writes one of its own.

Needs HutterPrize.hdf5 from data/create_hutter.py, in the folder BRAINSTORM_DATA_DIR or ../data. On
a text of one million characters it writes words after a few minutes.
"""

import argparse
import os

import h5py
import numpy as np

import brainstorm as bs
from brainstorm import layers
from brainstorm.training.schedules import Linear

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--epochs', type=int, default=10)
parser.add_argument('--characters', type=int, default=500, help="length of the text it writes")
parser.add_argument('--gpu', action='store_true', help="compute on a GPU")
arguments = parser.parse_args()

bs.global_rnd.set_seed(42)

# ---- data ----

data_dir = os.environ.get('BRAINSTORM_DATA_DIR', '../data')
with h5py.File(os.path.join(data_dir, 'HutterPrize.hdf5'), 'r') as ds:
    alphabet = ds.attrs['unique']  # the byte that each id stands for
    training, validation = ({name: values[:] for name, values in ds[f'split/{part}'].items()}
                            for part in ('training', 'validation'))

# ---- network ----

inp, out = bs.tools.get_in_out_layers('classification', (1,), len(alphabet))
network = bs.Network.from_layer(
    inp >>
    layers.Embedding(len(alphabet), 64) >>
    layers.Lstm(128) >>
    out)
if arguments.gpu:
    network.set_handler(bs.handlers.PyCudaHandler())
network.initialize({'Embedding': bs.Gaussian(1.0),
                    'Lstm': {'bf': 1.0},  # remember at first
                    'default': bs.Gaussian(0.05)})

# ---- training ----

# Every update starts from the zero state: a Trainer does not carry the state of one minibatch over
# to the next. So the network learns from contexts of up to 100 characters, in any order.
trainer = bs.Trainer(bs.training.MomentumStepper(learning_rate=0.2, momentum=0.9))
trainer.add_hook(bs.hooks.ProgressBar())
trainer.add_hook(bs.hooks.ModifyStepperAttribute(Linear(0.2, 0.02, arguments.epochs)))
trainer.add_hook(bs.hooks.MonitorLoss('validation_data', name='validation'))
trainer.add_hook(bs.hooks.StopAfterEpoch(arguments.epochs))
trainer.train(network, bs.Minibatches(20, **training),
              validation_data=bs.Minibatches(100, shuffle=False, **validation))

# A loss is the sum over the characters of a sequence, in nats.
bits = np.array(trainer.logs['validation']['total_loss']) / len(validation['default']) / np.log(2)
print('Validation, bits per character:', ' '.join(f'{value:.3f}' for value in bits))

# ---- writing ----


def write(n):
    """n characters, each drawn from what the network predicts after those before."""
    rnd = np.random.RandomState(42)
    context, text = None, [rnd.randint(len(alphabet))]
    for _ in range(n):
        step = np.full((1, 1, 1), text[-1])
        network.provide_external_data({'default': step, 'targets': step})  # targets do not matter
        network.forward_pass(context=context)
        context = network.get_context()
        p = network.get('Output.outputs.predictions')[0, 0].astype(np.float64)
        text.append(rnd.choice(len(alphabet), p=p / p.sum()))
    return bytes(alphabet[text[1:]]).decode('utf-8', errors='replace')


print(write(arguments.characters))
