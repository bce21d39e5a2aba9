"""Base classes for users: they name the method that is missing, and are described by themselves."""

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.data_iterators import DataIterator
from brainstorm.handlers.base_handler import Handler
from brainstorm.initializers import Initializer
from brainstorm.layers.base_layer import Layer
from brainstorm.scorers import Scorer
from brainstorm.structure.buffer_structure import BufferStructure
from brainstorm.training import TrainingStepper
from brainstorm.value_modifiers import GradientModifier, ValueModifier

from networks import mlp


class Sevens(Initializer):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def __call__(self, shape):
        return np.full(shape, 7.0 * self.factor)


class Halve(ValueModifier):
    def __call__(self, handler, view):
        handler.mult_st(0.5, view, view)


class ToSign(GradientModifier):
    def __call__(self, handler, parameters, gradients):
        handler.sign_t(parameters, gradients)


@pytest.mark.parametrize('call, text', [
    (lambda: Initializer()((2, 3)), r'Initializer does not define __call__\(shape\)'),
    (lambda: ValueModifier()(None, None), r'ValueModifier does not define __call__\(handler, view'),
    (lambda: GradientModifier()(None, None, None), r'GradientModifier does not define __call__'),
    (lambda: Scorer()(None, None), r'Scorer does not define\s+__call__\(true_labels, predicted'),
    (lambda: bs.Hook()(0, 0, None, None, {}), 'Hook does not define __call__'),
    (lambda: DataIterator({}, None)(), r'DataIterator does not define __call__\(handler\)'),
    (lambda: TrainingStepper().run(), r'TrainingStepper does not define run\(\)'),
    (lambda: Handler().mult_tt(1, 2, 3), 'Handler has no operation mult_tt'),
])
def test_a_missing_method_is_named(call, text):
    with pytest.raises(NotImplementedError, match=text):
        call()


def test_classes_of_users_come_back_from_their_description():
    net = mlp()
    net.initialize(Sevens(2))
    net.set_weight_modifiers({'H': Halve()})
    net.set_gradient_modifiers({'H': ToSign()})
    twin = bs.create_from_description(bs.get_description(net))
    assert (twin.get('H.parameters.W') == 14).all()
    twin.apply_weight_modifiers()
    twin.apply_gradient_modifiers()
    assert (twin.get('H.parameters.W') == 7).all()
    assert (twin.get('H.gradients.W') == 1).all()


@pytest.mark.parametrize('make, type_name', [
    (layers.L1Decay, 'L1Decay'), (layers.L2Decay, 'L2Decay'), (layers.Reverse, 'Reverse')])
def test_layers_without_arguments(make, type_name):
    net = bs.Network.from_layer(layers.Input({'default': ('T', 'B', 2)}) >> make(name='it'))
    assert net.architecture['it'] == {'@type': type_name, '@outgoing_connections': {}}


def test_a_buffer_view_lists_its_children():
    view = mlp().buffer.H.parameters
    W, bias = view
    assert len(view) == 2 and W.shape == (5, 6) and bias.shape == (5,)
    assert {'W', 'bias', 'keys'} <= set(dir(view))


def test_structures_are_keys():
    structure = BufferStructure('T', 'B', 3)
    assert {structure: 1}[BufferStructure('T', 'B', 3)] == 1
    assert structure != BufferStructure('T', 'B', 4) and structure != ('T', 'B', 3)


def test_a_layer_is_shown_with_its_name():
    assert repr(mlp().layers['H']).count("'H'") == 1
    assert issubclass(type(mlp().layers['H']), Layer)


class NoPassLayerImpl(Layer):
    def setup(self, kwargs, in_shapes):
        return {'default': in_shapes['default']}, {}, {}


def test_a_layer_without_passes_names_them():
    net = bs.Network.from_layer(layers.Input({'default': ('T', 'B', 2)})
                                >> bs.structure.construction.ConstructionWrapper.create('NoPass'))
    net.provide_external_data({'default': np.zeros((1, 1, 2))})
    with pytest.raises(NotImplementedError, match='NoPassLayerImpl does not define forward_pass'):
        net.forward_pass()


def test_a_network_is_shown_with_its_layers():
    assert repr(mlp()) == '<Network of 5 layers: H, Output_projection, Input, Output, Loss>'
