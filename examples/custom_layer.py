"""A layer of your own, between built-in ones, learns to read handwritten digits.

PRelu is a rectifier that learns the slope of its negative side, one for each channel:

    y = max(x, 0) + slope min(x, 0)

K. He et al., "Delving Deep into Rectifiers", arXiv:1502.01852, 2015.
"""

import os
from collections import OrderedDict

import h5py

import brainstorm as bs
from brainstorm import layers
from brainstorm.layers.base_layer import Layer
from brainstorm.structure.buffer_structure import BufferStructure, StructureTemplate
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.tests.tools import get_test_configurations, run_layer_tests
from brainstorm.utils import flatten_all_but_last

# ---- the layer ----


class PReluLayerImpl(Layer):
    """What is computed, in operations of the handler, so that it runs wherever the network does."""

    expected_inputs = {'default': StructureTemplate('T', 'B', '...')}

    def setup(self, kwargs, in_shapes):
        x = in_shapes['default']
        parameters = OrderedDict(slope=BufferStructure(1, x.feature_shape[-1]))
        internals = OrderedDict(negative=BufferStructure('T', 'B', *x.feature_shape))
        return in_shapes, parameters, internals

    def forward_pass(self, buffers, training_pass=True):
        h = self.handler
        x = flatten_all_but_last(buffers.inputs.default)
        y = flatten_all_but_last(buffers.outputs.default)
        negative = flatten_all_but_last(buffers.internals.negative)
        h.rel(x, y)
        h.subtract_tt(x, y, negative)
        h.mult_add_mv(negative, buffers.parameters.slope, y)

    def backward_pass(self, buffers):
        h = self.handler
        x = flatten_all_but_last(buffers.inputs.default)
        negative = flatten_all_but_last(buffers.internals.negative)
        dy = flatten_all_but_last(buffers.output_deltas.default)
        dx = flatten_all_but_last(buffers.input_deltas.default)
        slope, dslope = buffers.parameters.slope, buffers.gradients.slope

        # dslope += sum of negative dy
        product, total = h.allocate(dy.shape), h.allocate(slope.shape)
        h.mult_tt(negative, dy, product)
        h.sum_t(product, 0, total)
        h.add_tt(total, dslope, dslope)

        # dx += dy where x > 0, slope dy elsewhere
        positive, share = h.allocate(x.shape), h.allocate(dy.shape)
        h.subtract_tt(x, negative, positive)
        h.mult_mv(dy, slope, share)
        h.copy_to_if(dy, share, positive)
        h.add_tt(share, dx, dx)


def PRelu(name=None):
    """What is written in a network: wires a PReluLayerImpl like any other layer."""
    return ConstructionWrapper.create(PReluLayerImpl, name=name)


# ---- does it do what a layer must? ----

for spec in get_test_configurations():
    shapes = {'default': BufferStructure('T', 'B', 3)}
    run_layer_tests(PReluLayerImpl('PRelu', shapes, set(), set()), spec)

# ---- data ----

bs.global_rnd.set_seed(42)

data_file = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'digits.hdf5')
with h5py.File(data_file, 'r') as ds:
    training, validation, test = (
        {name: values[:] for name, values in ds[f'normalized_split/{part}'].items()}
        for part in ('training', 'validation', 'test'))

# ---- network ----

inp, out = bs.tools.get_in_out_layers('classification', (8, 8, 1), 10)
network = bs.Network.from_layer(
    inp >>
    layers.Convolution2D(16, kernel_size=(3, 3), padding=1, activation='linear') >>
    PRelu() >>
    layers.Pooling2D((2, 2), stride=(2, 2)) >>
    layers.FullyConnected(64, activation='linear') >>
    PRelu() >>
    out)
network.output_name = 'Output.outputs.predictions'
network.initialize({'PRelu*': 0.25, 'default': bs.initializers.DenseSqrtFanInOut(), 'fallback': 0})

# ---- training ----

scorers = [bs.scorers.Accuracy()]
trainer = bs.Trainer(bs.training.MomentumStepper(learning_rate=0.5, momentum=0.9))
trainer.train_scorers = scorers
trainer.add_hook(bs.hooks.MonitorScores('validation_data', scorers, name='validation'))
trainer.add_hook(bs.hooks.StopAfterEpoch(10))
trainer.train(network, bs.Minibatches(20, **training), validation_data=bs.Undivided(**validation))

slopes = network.get('PRelu_1.parameters.slope')
print(f'Slopes of PRelu_1: from {slopes.min():.2f} to {slopes.max():.2f}')
accuracy = bs.tools.evaluate(network, bs.Undivided(**test), scorers)['Accuracy']
print(f'Test accuracy: {100 * accuracy:.2f} %')
