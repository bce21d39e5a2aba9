"""A network learns a function of two variables from noisy samples."""

import numpy as np

import brainstorm as bs
from brainstorm import layers

bs.global_rnd.set_seed(42)
rnd = np.random.RandomState(42)

# ---- data ----


def samples(n, noise):
    x = rnd.uniform(-2, 2, (1, n, 2))
    y = np.sin(2 * x[..., :1]) * np.cos(x[..., 1:])
    return {'default': x, 'targets': y + noise * rnd.randn(1, n, 1)}


training, validation, test = samples(2000, 0.05), samples(500, 0.05), samples(500, 0.0)

# ---- network ----

inp, out = bs.tools.get_in_out_layers('regression', 2, 1)
network = bs.Network.from_layer(
    inp >>
    layers.FullyConnected(50, activation='tanh') >>
    layers.FullyConnected(50, activation='tanh') >>
    out)
network.output_name = 'Output.outputs.predictions'
network.initialize(bs.DenseSqrtFanInOut('tanh'), fallback=0)

# ---- training ----

trainer = bs.Trainer(bs.training.AdamStepper(learning_rate=0.003), verbose=False)
trainer.add_hook(bs.hooks.MonitorLoss('validation_data', name='validation'))
trainer.add_hook(bs.hooks.SaveBestNetwork('validation.total_loss', criterion='min', name='best'))
trainer.add_hook(bs.hooks.EarlyStopper('validation.total_loss', patience=20))
trainer.add_hook(bs.hooks.StopAfterEpoch(200))
trainer.train(network, bs.Minibatches(50, **training), validation_data=bs.Undivided(**validation))
network.buffer.parameters[...] = trainer.hooks['best'].load_best_network()

network.provide_external_data(test)
network.forward_pass()
error = network.get('Output.outputs.predictions') - test['targets']
print(f'{trainer.current_epoch_nr} epochs')
print(f'Root mean squared error without noise: {np.sqrt((error ** 2).mean()):.3f}')
