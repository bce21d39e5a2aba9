import numpy as np
import pytest

from brainstorm import layers
from brainstorm.layers.base_layer import Layer
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.utils import LayerValidationError


def wires(*wrappers):
    """All wires between the wrapped layers, by their names."""
    return sorted((w.layer.name, out, other.name, inp)
                  for w in wrappers for out, other, inp in w.layer.outgoing)


def layer(name):
    return ConstructionWrapper.create('NoOp', name=name)


def test_arrows_chain_default_ports():
    a, b, c = layer('a'), layer('b'), layer('c')
    assert (a >> b) is b
    a >> c
    b >> c
    assert wires(a, b, c) == [('a', 'default', 'b', 'default'), ('a', 'default', 'c', 'default'),
                              ('b', 'default', 'c', 'default')]


def test_named_ports_on_both_sides():
    a, out, loss = layer('a'), layer('out'), layer('loss')
    a - 'labels' >> 'targets' - out - 'loss' >> loss
    assert wires(a, out, loss) == [('a', 'labels', 'out', 'targets'),
                                   ('out', 'loss', 'loss', 'default')]


def test_in_place_arrows():
    a, b, c = layer('a'), layer('b'), layer('c')
    current = a
    current >>= b
    current >>= c
    assert wires(a, b, c) == [('a', 'default', 'b', 'default'), ('b', 'default', 'c', 'default')]


def test_choosing_a_port_leaves_the_wrapper_alone():
    a = layer('a')
    a - 'x'
    'y' - a
    assert (a.input_name, a.output_name) == ('default', 'default')


def test_wiring_twice_changes_nothing():
    a, b = layer('a'), layer('b')
    a >> b
    a >> b
    assert len(wires(a, b)) == 1


def test_parameters_and_internals_can_be_wired():
    a, b = layer('a'), layer('b')
    a - '..parameters.W' >> b
    a - '..internals.Ha' >> b
    assert [wire[1] for wire in wires(a)] == ['..internals.Ha', '..parameters.W']


@pytest.mark.parametrize('name', ['..gradients.W', '..parameters', 'a.b', '', '1', 'a b'])
def test_names_that_are_no_outputs(name):
    with pytest.raises(ValueError, match='no name of an output'):
        layer('a') - name


def test_names_that_are_no_inputs():
    with pytest.raises(ValueError, match='no name of an input'):
        '..parameters.W' - layer('a')


@pytest.mark.parametrize('wire', [lambda a: a >> 'b', lambda a: a >> None, lambda a: a - 3,
                                  lambda a: 3 - a, lambda a: a - layer('b')])
def test_only_layers_and_names_are_wired(wire):
    with pytest.raises(TypeError):
        wire(layer('a'))


def test_layers_are_called_like_their_type():
    assert layers.FullyConnected(3).layer.name == 'FullyConnected'
    assert layers.FullyConnected(3, name='Hid').layer.name == 'Hid'


@pytest.mark.parametrize('name', ['two words', '1st', 'a.b', '', 'default', 'fallback', 7])
def test_bad_layer_names(name):
    with pytest.raises(LayerValidationError, match=repr(name)):
        layers.NoOp(name=name)


def test_only_a_loss_may_not_be_called_total_loss():
    with pytest.raises(LayerValidationError, match='total_loss'):
        layers.Loss(name='total_loss')
    assert layers.NoOp(name='total_loss').layer.name == 'total_loss'


def test_a_class_stands_for_its_type():
    class DoubleLayerImpl(Layer):
        pass
    assert ConstructionWrapper.create(DoubleLayerImpl).layer.layer_type == 'Double'

    class Double(Layer):
        pass
    with pytest.raises(TypeError, match="must end in 'LayerImpl'"):
        ConstructionWrapper.create(Double)
    with pytest.raises(TypeError, match='a layer type is'):
        ConstructionWrapper.create(5)


def test_arguments_become_plain():
    kwargs = layers.FullyConnected(np.int64(5)).layer.kwargs
    assert type(kwargs['size']) is int
    kwargs = layers.Input({'default': ('T', 'B', np.int32(3))}).layer.kwargs
    assert kwargs == {'out_shapes': {'default': ('T', 'B', 3)}}
    with pytest.raises(TypeError, match='FullyConnected: size cannot be part of an architecture'):
        layers.FullyConnected(object())
