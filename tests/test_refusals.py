"""What the engine refuses and what it says: arguments of layers, operations and its objects."""

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import _core, layers
from brainstorm.handlers import NumpyHandler
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.utils import LayerValidationError, NetworkValidationError

from networks import mlp


def build(layer, shape=('T', 'B', 4, 4, 2)):
    return bs.Network.from_layer(layers.Input({'default': shape}) >> layer)


@pytest.mark.parametrize('layer, text', [
    (lambda: layers.Dropout(1.0), r'drop_prob must lie in \[0, 1\), got 1'),
    (lambda: layers.Dropout(-0.5), r'drop_prob must lie in \[0, 1\), got -0.5'),
    (lambda: layers.BatchNorm(decay=1.5), r'decay must lie in \[0, 1\], got 1.5'),
    (lambda: layers.BatchNorm(epsilon=0), r'epsilon must be positive, got 0'),
    (lambda: layers.LayerNorm(epsilon=-1), r'epsilon must be positive, got -1'),
    (lambda: layers.LstmOpt(2**45), r'too large for any memory'),
    (lambda: layers.Pooling2D((2, 2, 2)), r"kernel_size.*a positive int or a pair of them"),
    (lambda: layers.Pooling2D((2, 0)), r"kernel_size.*a positive int or a pair of them"),
    (lambda: layers.DeltasScaling('much'), r"factor must be a finite number, got 'much'"),
    (lambda: layers.DeltasScaling(10**400), r"factor must be a finite number, got 1000"),
    (lambda: layers.FullyConnected((2, 'x')), r"size.*got \(2, 'x'\)"),
    (lambda: ConstructionWrapper.create('NoOp', size=3), r"argument 'size'; there are: none"),
    (lambda: ConstructionWrapper.create('Dropout', prob=3), r"'prob'; there are: drop_prob"),
    (lambda: 'nope' - layers.Highway(), r"there is no input 'nope'; there are: H, T, x"),
    (lambda: layers.FullyConnected((2, 2**70)), r"size.*got \(2, 1180591620717411303424\)"),
])
def test_arguments_of_layers(layer, text):
    with pytest.raises(LayerValidationError, match=text):
        build(layer())


@pytest.mark.parametrize('out_shapes, text', [
    ({}, 'out_shapes is empty'),
    (5, 'out_shapes.*a dict of name: shape, got 5'),
    ({'a b': ('T', 'B', 1)}, "names must be identifiers, got 'a b'"),
    ({'default': 5}, 'default'),
    ({'default': 'TB'}, 'default'),
])
def test_arguments_of_the_input_layer(out_shapes, text):
    with pytest.raises(LayerValidationError, match=text):
        bs.Network.from_architecture({'Input': {'@type': 'Input', 'out_shapes': out_shapes}})


def test_merged_inputs_agree_in_all_dimensions_but_the_last():
    inp = layers.Input({'a': ('T', 'B', 3, 2), 'b': ('T', 'B', 4, 2)})
    merge = layers.Merge()
    inp - 'a' >> 'inputs_1' - merge
    inp - 'b' >> 'inputs_2' - merge
    with pytest.raises(LayerValidationError, match=r'inputs_1 .*3.* and inputs_2 .*4.* must agree'):
        bs.Network.from_layer(merge)


@pytest.mark.parametrize('name, arrays, text', [
    ('merge_tt', [(), (2, 1), (2, 3)], 'at least one dimension'),
    ('merge_tt', [(2, 1), (2, 1, 1), (2, 2)], '2 dimensions'),
    ('reverse_steps', [(3,), (3, 1, 1), (3,)], r"'x'.*\(T, B, ...\)"),
    ('softmax_ce', [(), (), (1,), (1,)], 'at least one dimension'),
])
def test_shapes_of_operations(name, arrays, text):
    handler = NumpyHandler(np.float64)
    with pytest.raises(ValueError, match=text):
        getattr(handler, name)(*(np.zeros(shape) for shape in arrays))


def specs():
    return {'default': (('T', 'B', 3), 0, False)}


@pytest.mark.parametrize('arguments, error, text', [
    (('NoType', 'a', specs(), {}), LayerValidationError, "no layer type 'NoType'"),
    (('FullyConnected', 'a', {5: specs()['default']}, {}), TypeError, 'must be strings'),
    (('FullyConnected', 'a', {'default': 5}, {}), TypeError, 'is_backward_only'),
    (('FullyConnected', 'a', {'default': (('T', 'B', 3), 2, False)}, {}), LayerValidationError,
     'context_size must be 0 or'),
    (('FullyConnected', 'a', {'default': (('B', 3), 1, False)}, {}), LayerValidationError,
     'context_size must be 0 or'),
    (('FullyConnected', 'a', specs(), {5: 5}), TypeError, 'names of arguments must be strings'),
])
def test_layers_of_the_engine(arguments, error, text):
    with pytest.raises(error, match=text):
        _core.Layer(*arguments)


def test_a_layer_of_the_engine_has_so_many_leaves():
    layer = _core.Layer('FullyConnected', 'a', specs(), {'size': 2})
    for leaf in -1, 99:
        with pytest.raises(IndexError, match=f'there is no leaf {leaf}'):
            layer.forward(NumpyHandler(), 1, 1, {leaf: np.zeros((1, 1, 3))}, False)
        with pytest.raises(IndexError, match=f'there is no leaf {leaf}'):
            mlp()._core.leaf(leaf)


@pytest.mark.parametrize('make', [
    lambda: (_core.Layer('NoOp', 'a', specs(), {}), ('NoOp', 'a', specs(), {})),
    lambda: (_core.Stepper('Sgd'), ('Sgd',)),
    lambda: (_core.Handler('cpu', np.float32, _core.RandomStream()),
             ('cpu', np.float32, _core.RandomStream())),
    lambda: (mlp()._core, ([], [], NumpyHandler(), _core.RandomStream())),
])
def test_objects_of_the_engine_are_made_once(make):
    made, arguments = make()
    with pytest.raises(RuntimeError, match='once|already'):
        made.__init__(*arguments)


def test_objects_of_the_engine_need_their_kind():
    net, stepper = mlp()._core, _core.Stepper('Sgd')
    for handler, stream in (None, _core.RandomStream()), (NumpyHandler(), None):
        with pytest.raises(TypeError, match='needs a _core.Handler and a _core.RandomStream'):
            _core.Network([], [], handler, stream)
    with pytest.raises(TypeError, match='stream must be a _core.RandomStream'):
        net.stream = None
    with pytest.raises(TypeError, match='start needs a _core.Network, got 5'):
        stepper.start(5)
    with pytest.raises(TypeError, match='the engine runs on handlers of its own, got 5'):
        net.set_handler(5)
    with pytest.raises(AttributeError, match='stream cannot be deleted'):
        del net.handler.stream
    with pytest.raises(AttributeError, match='draw cannot be deleted'):
        del net.stream.draw


def test_options_of_steppers():
    stepper = _core.Stepper('Sgd')
    with pytest.raises(KeyError, match="there is no stepper 'Best'"):
        _core.Stepper('Best')
    with pytest.raises(TypeError, match="SgdStepper has no option 'speed'"):
        _core.Stepper('Sgd', speed=1)
    with pytest.raises(TypeError, match="learning_rate must be a number, got 'fast'"):
        stepper.set_option('learning_rate', 'fast')
    with pytest.raises(KeyError, match="SgdStepper has no option 'speed'"):
        stepper.get_option('speed')
    with pytest.raises(TypeError, match='the name of an option must be a string, got 5'):
        stepper.get_option(5)
    with pytest.raises(ValueError, match='updates must be a count'):
        stepper.updates = -1
    with pytest.raises(RuntimeError, match=r'start\(net\) must come before run\(\)'):
        stepper.run()


@pytest.mark.parametrize('layer', [layers.Pooling2D((4097, 4096), name='P'),
                                   layers.GlobalPooling2D(name='P')])
def test_images_too_large_for_max_pooling(layer):
    net = build(layer, ('T', 'B', 4097, 4096, 1))
    net.provide_external_data({'default': np.zeros((1, 1, 4097, 4096, 1), np.float32)})
    with pytest.raises(ValueError, match=r"'P'.*shape \(4097, 4096, 1\)"):
        net.forward_pass()


def test_data_of_a_network():
    net = mlp()
    for data in [1], (1,), 5:
        with pytest.raises(TypeError, match='data must be a dict of name: array'):
            net.provide_external_data(data)


@pytest.mark.parametrize('wrong, text', [
    ({'out': {5: (('T', 'B', 3), 0, False)}}, 'the names of its outputs must be identifiers'),
    ({'out': 5}, 'outputs must be a dict of name: spec'),
    ({'no_deltas': ['nothing']}, "has no input or parameter 'nothing'"),
])
def test_factories_of_layers(wrong, text):
    def factory(in_specs):
        made = {'layer': object(), 'no_deltas': (), 'no_gradients': (), 'out': in_specs,
                'parameters': {}, 'internals': {}, 'forward': print, 'backward': print, **wrong}
        return tuple(made.values())

    input_layer = ('Input', 'Input', {'out_shapes': {'default': ('T', 'B', 3)}})
    with pytest.raises((LayerValidationError, NetworkValidationError), match=text):
        _core.Network([input_layer, ('Own', factory, {})],
                      [('Input', 'default', 'Own', 'default')], NumpyHandler(),
                      _core.RandomStream())
