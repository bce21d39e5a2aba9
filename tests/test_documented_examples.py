"""The examples of the documentation of version 0.5 run as they were printed.

Left out are those that could never run: missing commas are put in, and names of parameters that no
built-in layer has (HX, HR, b and an internal H) belong to a layer of this file.
"""

import json
from collections import OrderedDict

import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm import Network, layers, tools
from brainstorm.data_iterators import Minibatches
from brainstorm.initializers import EchoState, Gaussian, SparseInputs, SparseOutputs, Uniform
from brainstorm.layers.base_layer import Layer
from brainstorm.structure.buffer_structure import BufferStructure, StructureTemplate
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.utils import InitializationError, LayerValidationError
from brainstorm.value_modifiers import ClipValues, ConstrainL2Norm, FreezeValues, MaskValues


class RnnLayerImpl(Layer):
    """H = HX x + b, output HR H: a layer with the names that the examples speak of."""

    expected_inputs = {'default': StructureTemplate('T', 'B', 'F')}
    expected_kwargs = {'size'}

    def setup(self, kwargs, in_shapes):
        n, n_in = kwargs['size'], in_shapes['default'].feature_size
        shape = BufferStructure('T', 'B', n)
        parameters = OrderedDict(HX=BufferStructure(n, n_in), HR=BufferStructure(n, n),
                                 b=BufferStructure(n))
        return OrderedDict(default=shape), parameters, OrderedDict(H=shape)

    def forward_pass(self, buffers, training_pass=True):
        T, B, _ = buffers.inputs.default.shape
        x, H, y = (view.reshape(T * B, -1) for view in (
            buffers.inputs.default, buffers.internals.H, buffers.outputs.default))
        self.handler.dot_mm(x, buffers.parameters.HX, H, transb=True)
        self.handler.add_mv(H, buffers.parameters.b.reshape(1, -1), H)
        self.handler.dot_mm(H, buffers.parameters.HR, y, transb=True)


def Rnn(size, name=None):
    return ConstructionWrapper.create(RnnLayerImpl, name=name, size=size)


def chain(*hidden, features=4):
    """A network of layers in a row, fed with `default`."""
    current = layers.Input({'default': ('T', 'B', features)})
    for layer in hidden:
        current = current >> layer
    return Network.from_layer(current)


@pytest.fixture
def rnn_net():
    net = chain(Rnn(5, name='RnnLayer'), layers.FullyConnected(3, name='ForwardLayer'))
    net.initialize(Gaussian(2.0), seed=1)
    return net


# ---- walkthrough ----

def write_images(path, n=200):
    rnd = np.random.RandomState(1)
    with h5py.File(path, 'w') as f:
        for part in ('training', 'validation'):
            group = f.create_group(f'normalized_split/{part}')
            group['default'] = rnd.randn(1, n, 32, 32, 3).astype(np.float32)
            group['targets'] = rnd.randint(0, 10, (1, n, 1))


WALKTHROUGH = """
from __future__ import division, print_function, unicode_literals

import os

import h5py

import brainstorm as bs
from brainstorm.data_iterators import Minibatches
from brainstorm.handlers import PyCudaHandler
from brainstorm.initializers import Gaussian

bs.global_rnd.set_seed(42)

data_dir = os.environ.get('BRAINSTORM_DATA_DIR', '../data')
data_file = os.path.join(data_dir, 'CIFAR-10.hdf5')
ds = h5py.File(data_file, 'r')['normalized_split']

getter_tr = Minibatches(100, default=ds['training']['default'][:],
                        targets=ds['training']['targets'][:])
getter_va = Minibatches(100, default=ds['validation']['default'][:],
                        targets=ds['validation']['targets'][:])

inp, fc = bs.tools.get_in_out_layers('classification', (32, 32, 3), 10)

(inp >>
    bs.layers.Convolution2D(32, kernel_size=(5, 5), padding=2, name='Conv1') >>
    bs.layers.Pooling2D(type="max", kernel_size=(3, 3), stride=(2, 2)) >>
    bs.layers.Convolution2D(32, kernel_size=(5, 5), padding=2, name='Conv2') >>
    bs.layers.Pooling2D(type="max", kernel_size=(3, 3), stride=(2, 2)) >>
    bs.layers.Convolution2D(64, kernel_size=(5, 5), padding=2, name='Conv3') >>
    bs.layers.Pooling2D(type="max", kernel_size=(3, 3), stride=(2, 2)) >>
    bs.layers.FullyConnected(64, name='FC') >>
    fc)

network = bs.Network.from_layer(fc)

network.set_handler(PyCudaHandler())

network.initialize({'Conv*': {'W': Gaussian(0.01), 'bias': 0},
                    'FC': {'W': Gaussian(0.1), 'bias': 0},
                    'Output_projection': {'W': Gaussian(0.1), 'bias': 0}})

trainer = bs.Trainer(bs.training.MomentumStepper(learning_rate=0.01, momentum=0.9))
trainer.add_hook(bs.hooks.ProgressBar())

scorers = [bs.scorers.Accuracy(out_name='Output.outputs.probabilities')]
trainer.train_scorers = scorers
trainer.add_hook(bs.hooks.MonitorScores('valid_getter', scorers, name='validation'))

trainer.add_hook(bs.hooks.SaveBestNetwork('validation.Accuracy',
                                          filename='cifar10_cnn_best.hdf5',
                                          name='best weights',
                                          criterion='max'))

trainer.add_hook(bs.hooks.StopAfterEpoch(20))

trainer.train(network, getter_tr, valid_getter=getter_va)

print("Best validation accuracy:", max(trainer.logs["validation"]["Accuracy"]))
"""


def test_walkthrough(tmp_path, monkeypatch, capsys):
    write_images(tmp_path / 'CIFAR-10.hdf5')
    monkeypatch.setenv('BRAINSTORM_DATA_DIR', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    gpu, script = 'network.set_handler(PyCudaHandler())', WALKTHROUGH
    try:
        bs.handlers.PyCudaHandler()
    except (ImportError, RuntimeError):  # "not needed if we do not have a GPU"
        script = script.replace(gpu, '')
    names = {}
    exec(compile(script, 'cifar10_cnn.py', 'exec'), names)
    names['ds'].file.close()
    assert 'Best validation accuracy: ' in capsys.readouterr().out
    assert len(names['trainer'].logs['validation']['Accuracy']) == 21
    best = Network.from_hdf5('cifar10_cnn_best.hdf5')
    assert list(best.layers) == list(names['network'].layers)


# ---- data format ----

def test_targets_of_two_columns_are_no_classes():
    inp = layers.Input({'my_inputs': ('T', 'B', 50),
                        'my_targets': ('T', 'B', 2)})
    hid = layers.FullyConnected(100, name='Hidden')
    out = layers.SoftmaxCE(name='Output')
    loss = layers.Loss()
    inp - 'my_inputs' >> hid >> out
    inp - 'my_targets' >> 'targets' - out - 'loss' >> loss
    with pytest.raises(LayerValidationError, match=r"Output.*targets.*\('T', 'B', 2\)"):
        Network.from_layer(loss)


def test_file_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File('demo.hdf5', 'w') as f:
        f['training/input_data'] = np.random.randn(7, 100, 15)
        f['training/targets'] = np.random.randn(7, 100, 2)
        f['training/static_data'] = np.random.randn(1, 100, 4)

    ds = h5py.File('demo.hdf5', 'r')

    online_train_iter = bs.Online(**ds['training'])
    minibatch_train_iter = bs.Minibatches(100, **ds['training'])

    for iterator, batches, size in ((online_train_iter, 100, 1), (minibatch_train_iter, 1, 100)):
        all_data = list(iterator(handler=bs.handlers.default_handler))
        assert len(all_data) == batches
        for data in all_data:
            assert {name: values.shape for name, values in data.items()} == {
                'input_data': (7, size, 15), 'targets': (7, size, 2), 'static_data': (1, size, 4)}

    inp = layers.Input({'input_data': ('T', 'B', 15), 'targets': ('T', 'B', 2),
                        'static_data': ('T', 'B', 4)})
    hid, out, loss = layers.Recurrent(5), layers.SquaredError(), layers.Loss()
    inp - 'input_data' >> hid >> layers.FullyConnected(2, 'linear') >> out - 'loss' >> loss
    inp - 'static_data' >> hid
    inp - 'targets' >> 'targets' - out
    net = Network.from_layer(loss)
    net.initialize(Gaussian())
    trainer = bs.Trainer(bs.training.SgdStepper(0.01), verbose=False)
    trainer.add_hook(bs.hooks.StopAfterEpoch(2))
    trainer.train(net, online_train_iter)
    static = net.get_input('static_data')
    assert static.shape == (7, 1, 4) and np.array_equal(static, np.repeat(static[:1], 7, axis=0))
    ds.close()


# ---- network ----

def test_three_equivalent_ways_to_initialize():
    net = chain(layers.FullyConnected(5, name='RegularLayer'), layers.Lstm(3, name='LstmLayer'))

    def numbers():
        return net.get('parameters')

    bs.global_rnd.set_seed(1)
    net.initialize(Gaussian(), seed=3)
    first = numbers()
    net.initialize(default=Gaussian(), seed=3)
    assert np.array_equal(numbers(), first)

    net.initialize({'RegularLayer': Uniform(),
                    'LstmLayer': Gaussian()}, seed=4)
    assert abs(net.get('RegularLayer.parameters.W')).max() <= 0.1
    assert abs(net.get('LstmLayer.parameters.Rz')).max() > 0.1
    net.initialize(RegularLayer=Uniform(),
                   LstmLayer=Uniform(), seed=4)
    assert abs(numbers()).max() <= 0.1


def test_initialize_with_scalars_lists_and_initializers(rnn_net):
    net = rnn_net
    net.initialize(default=0,
                   RnnLayer={'b': [1, 2, 3, 4, 5]},
                   ForwardLayer=bs.Gaussian())
    assert net.get('RnnLayer.parameters.b').tolist() == [1, 2, 3, 4, 5]
    assert not net.get('RnnLayer.parameters.HX').any()
    assert net.get('ForwardLayer.parameters.W').all()

    net.initialize({'default': bs.Gaussian()}, seed=1234)
    parameters = net.get('parameters')
    net.initialize({'default': bs.Gaussian()}, seed=1234)
    assert np.array_equal(net.get('parameters'), parameters)


@pytest.mark.parametrize('patterns, zeros, ones', [
    ({'layer_a': 1, 'default': 0}, ['layer_b.parameters.bias'], ['layer_a.parameters.W']),
    ({'layer_*': 1}, [], ['layer_a.parameters.W', 'layer_b.parameters.bias']),
    ({'l*r_*b': 1, 'default': 0}, ['layer_a.parameters.W'], ['layer_b.parameters.W']),
    ({'layer_*': {'W': 1, 'bias': 0}}, ['layer_b.parameters.bias'], ['layer_a.parameters.W']),
    ({'layer_*': {'W*': 1, 'b*': 0}}, ['layer_b.parameters.bias'], ['layer_a.parameters.W']),
    ({'layer_*': {'W': 1, 'default': 0}}, ['layer_b.parameters.bias'], ['layer_a.parameters.W']),
    ({'layer_*': {'default': EchoState(), 'fallback': 1}}, [], ['layer_a.parameters.bias']),
    ({'default': EchoState(), 'fallback': 1}, [], ['layer_a.parameters.bias']),
])
def test_patterns(patterns, zeros, ones):
    net = chain(layers.FullyConnected(4, name='layer_a'), layers.FullyConnected(4, name='layer_b'))
    net.initialize(patterns)
    assert all((net.get(path) == 0).all() for path in zeros)
    assert all((net.get(path) == 1).all() for path in ones)


def test_gradient_modifiers():
    net = chain(layers.FullyConnected(3, name='FullyConnectedLayer'), layers.FullyConnected(2))
    MASK = np.ones((3, 4))
    net.set_gradient_modifiers(
        default=bs.value_modifiers.ClipValues(-1, 1),
        FullyConnectedLayer={'W': [bs.value_modifiers.ClipValues(),
                                   bs.value_modifiers.MaskValues(MASK)]}
    )
    for name, parameter, count in (('FullyConnectedLayer', 'W', 2), ('FullyConnected', 'W', 1),
                                   ('FullyConnectedLayer', 'bias', 1)):
        assert len(net.gradient_modifiers[name][parameter]) == count


def test_weight_modifiers():
    net = chain(layers.FullyConnected(3, name='FullyConnectedLayer'), layers.FullyConnected(2))
    net.initialize(Gaussian(3.0), seed=1)
    my_mask = np.eye(3, 4)
    net.set_weight_modifiers(
        default=bs.ClipValues(-1, 1),
        FullyConnectedLayer={'W': [bs.ConstrainL2Norm(1), bs.MaskValues(my_mask)]}
    )
    net.apply_weight_modifiers()
    assert abs(net.get('parameters')).max() == 1
    assert not net.get('FullyConnectedLayer.parameters.W')[my_mask == 0].any()


def test_modifiers_of_single_weights(rnn_net):
    net = rnn_net
    before = net.get('RnnLayer.parameters.HR')
    M = np.eye(5)
    for modify, expected in (
            (lambda: net.set_weight_modifiers(RnnLayer={'HR': ClipValues()}), before.clip(-1, 1)),
            (lambda: net.set_weight_modifiers(RnnLayer={'HR': MaskValues(M)}), before * M),
            (lambda: net.set_constraints(RnnLayer={'HR': FreezeValues()}), before)):
        net.buffer.RnnLayer.parameters.HR[...] = before
        modify()
        net.apply_weight_modifiers()
        assert np.array_equal(net.get('RnnLayer.parameters.HR'), expected)
    net.set_weight_modifiers(RnnLayer={'HX': ConstrainL2Norm(1)})
    net.apply_weight_modifiers()
    norms = np.sqrt((net.get('RnnLayer.parameters.HX') ** 2).sum(axis=1))
    assert norms.max() == pytest.approx(1, abs=1e-6)


def test_running_and_looking_inside():
    inp, out = tools.get_in_out_layers('classification', 4, 3, outlayer_name='OutputLayer')
    net = Network.from_layer(inp >> layers.Lstm(5) >> out)
    net.initialize(Gaussian())
    my_data = {'default': np.random.randn(6, 2, 4), 'targets': np.zeros((6, 2, 1))}

    net.provide_external_data(my_data)
    net.forward_pass()
    net.backward_pass()

    parameters = net.get('parameters')
    outputs = net.get('OutputLayer.outputs.probabilities')
    forget_gates = net.get('Lstm.internals.Fb')
    assert parameters.shape == net.get('gradients').shape
    assert np.allclose(outputs.sum(axis=-1), 1)
    assert forget_gates.shape == (7, 2, 5)
    assert np.array_equal(net.get_inputs('default'), my_data['default'].astype(np.float32))
    for path in ('Lstm.parameters.Wz', 'Lstm.gradients.Wz', 'Lstm.inputs.default',
                 'Lstm.outputs.default', 'Lstm.input_deltas.default', 'Lstm.output_deltas.default'):
        assert np.array_equal(net.get(path), net.buffer[path])


def test_loading_and_saving(tmp_path, rnn_net):
    net, filename = rnn_net, tmp_path / 'net.hdf5'
    net.save_as_hdf5(filename)
    net = Network.from_hdf5(filename)
    assert np.array_equal(net.get('parameters'), rnn_net.get('parameters'))


def test_going_on_with_a_context():
    net = chain(layers.Recurrent(5))
    net.initialize(Gaussian(1.0), seed=1)
    x = np.random.RandomState(0).randn(6, 2, 4)
    net.provide_external_data({'default': x})
    net.forward_pass()
    whole = net.get('Recurrent.outputs.default')[:6]
    halves = []
    context = None
    for half in (x[:3], x[3:]):
        net.provide_external_data({'default': half})
        net.forward_pass(context=context)
        context = net.get_context()
        halves.append(net.get('Recurrent.outputs.default')[:3])
    assert np.allclose(np.concatenate(halves), whole, atol=1e-6)


def test_a_network_on_the_gpu(rnn_net):
    from brainstorm.handlers import PyCudaHandler
    try:
        handler = PyCudaHandler()
    except (ImportError, RuntimeError) as error:
        assert 'libcuda was not found' in str(error) or 'cuInit failed' in str(error)
        return
    rnn_net.set_handler(handler)


# ---- tools ----

def test_in_and_out_layers():
    inp, out = tools.get_in_out_layers('classification', 784, 10)
    net = Network.from_layer(inp >> layers.FullyConnected(1000) >> out)
    assert net.get('FullyConnected.parameters.W').shape == (1000, 784)


def test_nets_from_specs():
    net = tools.create_net_from_spec(
        'classification', 784, 10,
        'D.2 F1200 D F1200 D')
    assert net.get('FullyConnected_2.parameters.W').shape == (1200, 1200)
    spec = 'C32:5p2 P3s2 C32:5p2 P3s2 C64:5p2 P3s2 F64'
    with pytest.raises(LayerValidationError, match='Pooling2D_2'):
        tools.create_net_from_spec('classification', (3, 32, 32), 10, spec)
    net = tools.create_net_from_spec('classification', (32, 32, 3), 10, spec)
    assert net.get('FullyConnected.parameters.W').shape == (64, 3 * 3 * 64)


def test_extract_and_save(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from brainstorm.tools import extract_and_save
    inp, out = tools.get_in_out_layers('classification', 4, 3)
    network = Network.from_layer(inp >> Rnn(5, name='Hid1') >> out)
    network.initialize(Gaussian(), seed=1)
    x_test, targets = np.random.randn(1, 250, 4), np.zeros((1, 250, 1))
    getter = Minibatches(100, default=x_test, targets=targets)
    extract_and_save(network,
                     getter,
                     ['Output.outputs.predictions',
                      'Hid1.internals.H'],
                     'network_features.hdf5')
    with h5py.File('network_features.hdf5', 'r') as f:
        assert f['Output.outputs.predictions'].shape == (1, 250, 3)
        assert f['Hid1.internals.H'].shape == (1, 250, 5)


# ---- initializers ----

def test_echo_state():
    net = chain(layers.Recurrent(6))
    net.initialize(default=Gaussian(),
                   Recurrent={'R': EchoState(0.77)})
    radius = abs(np.linalg.eigvals(net.get('Recurrent.parameters.R'))).max()
    assert radius == pytest.approx(0.77, rel=1e-5)


@pytest.mark.parametrize('sparse, axis', [(SparseInputs, 0), (SparseOutputs, 1)])
def test_sparse(sparse, axis):
    net = chain(layers.FullyConnected(20), features=20)
    with pytest.raises(InitializationError, match='bias'):  # of one dimension
        net.initialize(FullyConnected=sparse(Gaussian(), connections=10))
    net.initialize(FullyConnected=sparse(Gaussian(), connections=10), fallback=0)
    used = net.get('FullyConnected.parameters.W') != 0
    assert (used.sum(axis=axis) == 10).all()


# ---- hooks ----

def test_all_hooks_of_the_examples_together(tmp_path, monkeypatch):
    from brainstorm.hooks import StopAfterThresholdReached
    monkeypatch.chdir(tmp_path)
    bs.global_rnd.set_seed(1)
    x = np.random.RandomState(0).randn(1, 60, 4)
    data = {'default': x, 'targets': (x[..., :1] > 0).astype(int)}
    network = tools.create_net_from_spec('classification', 4, 2, 'F10')
    trainer = bs.Trainer(bs.training.MomentumStepper(0.3, 0.9), verbose=False)

    scorer = bs.scorers.Accuracy()
    trainer.add_hook(bs.hooks.MonitorScores('valid_getter', [scorer],
                                            name='validation'))
    trainer.add_hook(bs.hooks.EarlyStopper('validation.Accuracy',
                                           patience=10,
                                           criterion='max'))
    trainer.add_hook(bs.hooks.EarlyStopper('validation.total_loss',
                                           patience=5,
                                           criterion='min', name='loss stopper'))
    trainer.add_hook(bs.hooks.SaveBestNetwork('validation.Accuracy',
                                              filename='best_acc.h5',
                                              criterion='max'))
    trainer.add_hook(bs.hooks.SaveBestNetwork('validation.total_loss',
                                              filename='best_loss.h5',
                                              criterion='min', name='best loss'))
    trainer.add_hook(StopAfterThresholdReached('validation.Accuracy',
                                               threshold=0.97,
                                               criterion='max'))
    trainer.add_hook(StopAfterThresholdReached('validation.total_loss',
                                               threshold=0.2,
                                               criterion='min', name='small loss'))
    trainer.add_hook(bs.hooks.StopAfterEpoch(100))
    trainer.train(network, Minibatches(10, **data), valid_getter=Minibatches(60, **data))

    logs = trainer.logs['validation']
    assert logs['Accuracy'][-1] >= 0.97 or logs['total_loss'][-1] <= 0.2
    for filename in ('best_acc.h5', 'best_loss.h5'):
        assert Network.from_hdf5(filename).output_name == network.output_name


# ---- internals ----

ARCHITECTURE = {
    'Input': {
        '@type': 'Input',
        '@outgoing_connections': {
            'default': ['hidden_layer'],
            'targets': ['output_layer.targets']
        },
        'out_shapes': {
            'default': ('T', 'B', 784),
            'targets': ('T', 'B', 1)
        }
    },
    'hidden_layer': {
        '@type': 'FullyConnected',
        '@outgoing_connections': {
            'default': ['output_projection']
        },
        'activation': 'rel',
        'size': 100
    },
    'output_projection': {
        '@type': 'FullyConnected',
        '@outgoing_connections': {
            'default': ['output_layer']
        },
        'activation': 'linear',
        'size': (10,)
    },
    'output_layer': {
        '@type': 'SoftmaxCE',
        '@outgoing_connections': {
            'loss': ['loss_layer']
        },
    },
    'loss_layer': {
        '@outgoing_connections': {},
        '@type': 'Loss',
        'importance': 1.0
    }
}


@pytest.mark.parametrize('architecture', [ARCHITECTURE, json.loads(json.dumps(ARCHITECTURE))],
                         ids=['as printed', 'by way of JSON'])
def test_architecture(architecture):
    net = Network.from_architecture(architecture)
    assert list(net.layers) == ['Input', 'hidden_layer', 'output_projection', 'output_layer',
                                'loss_layer']
    assert net.get('output_projection.parameters.W').shape == (10, 100)


def test_descriptions():
    network = tools.create_net_from_spec('classification', 4, 2, 'F3')
    description = json.loads(json.dumps(bs.get_description(network)))
    again = bs.create_from_description(description)
    assert bs.get_description(again) == bs.get_description(network)
