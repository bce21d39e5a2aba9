"""A training loop of your own, in place of a Trainer: every step of it is a line.

Learns to read the handwritten digits of digits.hdf5.
"""

import os

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
network = bs.Network.from_layer(inp >> layers.FullyConnected(100) >> out)
network.initialize(bs.DenseSqrtFanInOut(), fallback=0)


def error_rate(data):
    """Percentage of images whose class is not the most probable one."""
    network.provide_external_data(data)
    network.forward_pass()
    chosen = network.get('Output.outputs.predictions').argmax(axis=2)
    return 100 * np.mean(chosen != data['targets'][..., 0])


# ---- training ----

stepper = bs.training.MomentumStepper(learning_rate=0.5, momentum=0.9)
stepper.start(network)
minibatches = bs.Minibatches(20, **training)

for epoch in range(1, 11):
    losses = []
    for batch in minibatches(network.handler):
        network.provide_external_data(batch)
        stepper.run()  # forward pass, backward pass, update
        losses.append(network.get_loss_values()['total_loss'])
    stepper.learning_rate *= 0.8
    print(f'Epoch {epoch}: loss {np.mean(losses):.4f}, '
          f'largest gradient {np.abs(network.get("gradients")).max():.2g}')

print(f'Test error: {error_rate(test):.2f} %')
