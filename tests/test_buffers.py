import copy

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.structure.buffer_structure import BufferStructure, StructureTemplate
from brainstorm.structure.buffer_views import BufferView
from brainstorm.utils import StructureValidationError
from networks import classifier, random_batch

# ---- structures ----


def test_time_sized_structure():
    structure = BufferStructure('T', 'B', 3, 4, context_size=1, is_backward_only=True)
    assert structure.shape == ('T', 'B', 3, 4)
    assert structure.feature_shape == (3, 4)
    assert (structure.buffer_type, structure.feature_size, structure.nr_dims) == (2, 12, 4)
    assert structure.scales_with_time and structure.scales_with_batch_size
    assert structure.spec == (('T', 'B', 3, 4), 1, True)


@pytest.mark.parametrize('shape, buffer_type', [(('B', 5), 1), ((5, 7), 0), ((5,), 0)])
def test_other_sizes(shape, buffer_type):
    structure = BufferStructure(*shape)
    assert structure.buffer_type == buffer_type
    assert structure.scales_with_batch_size == (buffer_type == 1)
    assert not structure.scales_with_time


def test_structures_are_equal_by_shape():
    assert BufferStructure('T', 'B', 3) == BufferStructure('T', 'B', 3, context_size=1)
    assert BufferStructure('T', 'B', 3) != BufferStructure('B', 3)
    assert BufferStructure(('T', 'B', 3)) == BufferStructure('T', 'B', 3)


def test_structures_as_nodes_of_a_layout():
    structure = BufferStructure('T', 'B', 3, context_size=1, is_backward_only=True)
    node = structure.to_json(2)
    assert node == {'@type': 'array', '@index': 2, '@shape': ('T', 'B', 3), '@context_size': 1,
                    '@is_backward_only': True}
    assert BufferStructure.from_layout(node).spec == structure.spec
    assert BufferStructure(3).to_json(0) == {'@type': 'array', '@index': 0, '@shape': (3,)}


@pytest.mark.parametrize('shape', [(), ('T', 'B'), ('T', 3), ('B', 'T', 3), (3, 'B'), (0,),
                                   ('T', 'B', -1), ('T', 'B', 2.5), ('T', 'B', 'F'), (True,)])
def test_shapes_that_make_no_sense(shape):
    with pytest.raises(StructureValidationError):
        BufferStructure(*shape)


def test_only_time_sized_buffers_have_context():
    for shape, context in ((('B', 3), 1), (('T', 'B', 3), 2), (('T', 'B', 3), -1)):
        with pytest.raises(StructureValidationError, match='context_size'):
            BufferStructure(*shape, context_size=context)


@pytest.mark.parametrize('template, matching, others', [
    (('T', 'B', '...'), [('T', 'B', 1), ('T', 'B', 2, 3)], [('B', 1), (3,)]),
    (('T', 'B', 'F'), [('T', 'B', 7)], [('T', 'B', 7, 1), ('B', 7)]),
    (('T', 'B', 3), [('T', 'B', 3)], [('T', 'B', 4)]),
    (('T', 'B', 'F', 2), [('T', 'B', 9, 2)], [('T', 'B', 9, 3), ('T', 'B', 2)]),
    (('T', 'B', 2, '...'), [('T', 'B', 2), ('T', 'B', 2, 5)], [('T', 'B', 5, 2)]),
    (('B', '...'), [('B', 2)], [('T', 'B', 2), (2,)]),
    (('...',), [(2,), ('B', 2), ('T', 'B', 2, 2)], []),
])
def test_templates(template, matching, others):
    template = StructureTemplate(*template)
    assert [shape for shape in matching if not template.matches(BufferStructure(*shape))] == []
    assert [shape for shape in others if template.matches(BufferStructure(*shape))] == []


@pytest.mark.parametrize('shape', [('T', '...'), ('T', 'B', '...', 3), ('T', 'B', -1)])
def test_templates_that_make_no_sense(shape):
    with pytest.raises(StructureValidationError):
        StructureTemplate(*shape)


# ---- views ----

TREE = {'a': {'x': 1, 'y': 2}, 'keys': 3, 'out': {'predictions': 4}}


@pytest.fixture
def view():
    return BufferView(TREE, lambda leaf: leaf * 10)


def test_ways_to_a_leaf(view):
    assert view.a.x == view['a.x'] == view['a']['x'] == view[0][0] == 10
    assert view.a[-1] == 20
    assert view['keys'] == 30


def test_a_view_is_a_collection(view):
    assert view.keys() == ['a', 'keys', 'out']
    x, y = view.a
    assert (x, y) == (10, 20)
    assert view.a.items() == [('x', 10), ('y', 20)]
    assert view.a.values() == [10, 20]
    assert len(view) == 3
    assert 'a' in view and 'a.x' in view
    assert 'b' not in view and 'a.z' not in view and 'a.x.y' not in view


def test_the_old_name_of_predictions(view):
    assert view.out.probabilities == view['out.probabilities'] == 40
    assert 'out.probabilities' in view
    assert view.out.keys() == ['predictions']
    own = BufferView({'probabilities': 1, 'predictions': 2}, lambda leaf: leaf)
    assert own.probabilities == 1


def test_missing_names_are_reported_with_the_choices(view):
    with pytest.raises(KeyError, match="no buffer 'a.z'.*x, y"):
        view['a.z']
    with pytest.raises(KeyError, match='beyond an array'):
        view['a.x.y']
    with pytest.raises(AttributeError, match='a, keys, out'):
        view.b
    with pytest.raises(IndexError):
        view[3]
    with pytest.raises(TypeError, match=r'by a string or its position, got slice\(0, 2, None\)'):
        view[0:2]
    with pytest.raises(TypeError, match='by a string, got 5'):
        5 in view


def test_names_that_begin_with_an_underscore():
    view = BufferView({'_h': {'_W': 1}, '__x': 2}, lambda leaf: leaf)
    assert view._h._W == view['_h._W'] == 1
    assert view['__x'] == 2
    with pytest.raises(AttributeError):
        view.__x
    assert copy.copy(view).keys() == ['_h', '__x']


# ---- buffers of a network ----


@pytest.fixture
def net():
    net = classifier(layers.Recurrent(4, name='R'), shape=(2, 3))
    net.initialize(bs.Gaussian(), seed=1)
    net.provide_external_data(random_batch((2, 3), time_steps=5, batch_size=2))
    net.forward_pass()
    net.backward_pass()
    return net


def test_the_tree_of_a_network(net):
    assert net.buffer.keys() == ['parameters', 'gradients', *net.layers]
    assert net.buffer.R.keys() == ['inputs', 'outputs', 'parameters', 'internals',
                                   'input_deltas', 'output_deltas', 'gradients']
    assert net.buffer.R.parameters.keys() == ['W', 'R', 'bias']
    assert net.buffer.R.internals.keys() == ['Ha', 'dHa', 'dHb']
    assert net.buffer.Output.inputs.keys() == ['default', 'targets']


def test_leaves_are_the_memory_of_the_network(net):
    net.buffer.R.parameters.W[...] = 7
    assert (net.get('R.parameters.W') == 7).all()
    assert (net.buffer.parameters == 7).sum() == 4 * 6
    copy = net.get('R.parameters.W')
    copy[...] = 0
    assert (net.buffer.R.parameters.W == 7).all()


def test_inputs_alias_outputs(net):
    assert np.shares_memory(net.buffer.R.inputs.default, net.buffer.Input.outputs.default)
    assert np.shares_memory(net.buffer.R.output_deltas.default,
                            net.buffer.Output_projection.input_deltas.default)


def test_context_slots(net):
    assert net.buffer.R.outputs.default.shape == (6, 2, 4)
    assert net.buffer.Output_projection.inputs.default.shape == (5, 2, 4)
    assert net.buffer.R.inputs.default.shape == (5, 2, 2, 3)
    assert (net.buffer.R.outputs.default[-1] == 0).all()


def test_flat_parameters_are_ordered_by_path():
    inp, out = bs.tools.get_in_out_layers('classification', 2, 2, projection_name='Q')
    current = inp
    for name in ('Z', 'A10', 'A', 'A_1'):
        current = current >> layers.FullyConnected(2, name=name)
    net = bs.Network.from_layer(current >> out)
    order = ['A', 'A10', 'A_1', 'Q', 'Z']
    net.initialize({name: i for i, name in enumerate(order)})
    assert net.get('parameters').tolist() == [i for i in range(5) for _ in range(2 * 2 + 2)]


def test_parameters_survive_sizes_and_handlers(net):
    before = net.get('parameters')
    old = net.buffer.R.outputs.default
    kept = old.copy()
    net.provide_external_data(random_batch((2, 3), time_steps=9, batch_size=7))
    net.forward_pass()
    assert np.array_equal(net.get('parameters'), before)
    assert np.array_equal(old, kept)
    assert net.buffer.R.outputs.default.shape == (10, 7, 4)
    net.set_handler(NumpyHandler(np.float32))
    assert net.get('parameters').dtype == np.float32
    assert np.array_equal(net.get('parameters'), before.astype(np.float32))


def test_get_wants_one_buffer(net):
    with pytest.raises(KeyError, match="no single buffer; it holds default"):
        net.get('R.outputs')
    with pytest.raises(KeyError, match="there are outputs"):
        net.get('R.output.default')
    assert np.array_equal(net.get_input('default'), net.get_inputs('default'))
    with pytest.raises(KeyError, match='there are default, targets'):
        net.get_input('defaults')
