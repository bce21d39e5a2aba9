"""Learn to read handwritten digits in seconds. The data, `digits.hdf5`, is beside this script."""

import os

import h5py

import brainstorm as bs

bs.global_rnd.set_seed(42)

data_file = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'digits.hdf5')
with h5py.File(data_file, 'r') as ds:
    training, validation, test = (
        {name: values[:] for name, values in ds[f'normalized_split/{part}'].items()}
        for part in ('training', 'validation', 'test'))

network = bs.tools.create_net_from_spec('classification', (8, 8, 1), 10, 'C16:3p1 P2s2 F64 D')

scorers = [bs.scorers.Accuracy()]
trainer = bs.Trainer(bs.training.MomentumStepper(learning_rate=0.5, momentum=0.9))
trainer.train_scorers = scorers
trainer.add_hook(bs.hooks.MonitorScores('validation_data', scorers, name='validation'))
trainer.add_hook(bs.hooks.StopAfterEpoch(30))
trainer.train(network, bs.Minibatches(20, **training), validation_data=bs.Undivided(**validation))

accuracy = bs.tools.evaluate(network, bs.Undivided(**test), scorers)['Accuracy']
print(f'Test accuracy: {100 * accuracy:.2f} %')
