"""BufferManager: the memory of a layout, by itself."""

import copy

import numpy as np
import pytest

from brainstorm import layers
from brainstorm.handlers import DebugArray, DebugHandler, NumpyHandler, default_handler
from brainstorm.structure.buffer_structure import BufferStructure
from brainstorm.structure.buffers import BufferManager
from brainstorm.utils import StructureValidationError
from test_layout import lay_out, layer, leaves, small_net

WIRES = 'In.default Hid.default', 'Hid.default Loss.default'
DOUBLE = NumpyHandler(np.float64)


def memory_of(layers, *wires, handler=DOUBLE):
    hubs, layout = lay_out(layers, *wires)
    return BufferManager(layout, hubs, handler)


def manager(handler=DOUBLE):
    return memory_of(small_net(), *WIRES, handler=handler)


def test_a_manager_begins_with_one_step_of_one_sequence_of_zeros():
    hubs, layout = lay_out(small_net(), *WIRES)
    memory = BufferManager(layout, hubs)
    assert memory.handler is default_handler
    assert (memory.time_steps, memory.batch_size) == (1, 1)
    assert memory.views.keys() == ['parameters', 'gradients', 'In', 'Hid', 'Loss']
    assert memory.views.Hid.keys() == ['inputs', 'outputs', 'parameters', 'internals',
                                       'input_deltas', 'output_deltas', 'gradients']
    shapes = {'In.outputs.default': (1, 1, 3), 'Hid.outputs.default': (2, 1, 2),
              'Hid.internals.s': (1, 4), 'Hid.internals.n': (5,), 'Loss.inputs.default': (1, 1, 2)}
    for path, shape in shapes.items():
        assert memory.views[path].shape == shape
        assert memory.views[path].dtype == np.float32
    for path, _ in leaves(layout):
        assert not memory.views[path].any(), path


def test_parameters_are_parts_of_the_flat_vector():
    views = manager().views
    views.parameters[...] = np.arange(8)
    views.gradients[...] = np.arange(8) * 10
    np.testing.assert_array_equal(views.Hid.parameters.W, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(views.Hid.gradients.b, [60, 70])


def test_parameters_and_gradients_stay_where_they_are_when_the_size_changes():
    memory = manager()
    memory.views.parameters[...] = np.arange(8)
    before = memory.views.Hid.gradients.W
    for size in [(5, 7), (1, 1), (40, 50)]:
        memory.resize(*size)
        assert (memory.time_steps, memory.batch_size) == size
        assert memory.views.In.outputs.default.shape == (*size, 3)
        assert memory.views.Hid.outputs.default.shape == (size[0] + 1, size[1], 2)
        assert memory.views.Hid.internals.s.shape == (size[1], 4)
        np.testing.assert_array_equal(memory.views.parameters, np.arange(8))
        assert np.shares_memory(memory.views.Hid.gradients.W, before)


def test_old_leaves_stay_readable():
    memory = manager()
    memory.resize(2, 3)
    memory.views.Hid.outputs.default[...] = 7
    old = [memory.views.Hid.outputs.default, memory.views.parameters]
    memory.resize(60, 50)
    memory.set_handler(NumpyHandler(np.float32))
    memory.views.parameters[...] = 3
    del memory
    assert old[0].shape == (3, 3, 2) and (old[0] == 7).all()
    assert not old[1].any()


@pytest.mark.parametrize('before, after', [
    (np.float64, np.float32), (np.float32, np.float64), (np.float64, np.float64)])
def test_parameters_and_gradients_come_along_to_another_handler(before, after):
    memory = manager(NumpyHandler(before))
    memory.resize(2, 3)
    numbers = np.random.RandomState(0).randn(8)
    memory.views.parameters[...] = numbers
    memory.views.gradients[...] = -numbers
    memory.views.Hid.outputs.default[...] = 1
    handler = NumpyHandler(after)
    memory.set_handler(handler)
    assert memory.handler is handler
    assert (memory.time_steps, memory.batch_size) == (2, 3)
    expected = numbers.astype(before).astype(after)
    for view, wanted in ((memory.views.parameters, expected), (memory.views.gradients, -expected)):
        assert view.dtype == after
        np.testing.assert_array_equal(view, wanted)
    assert not memory.views.Hid.outputs.default.any()


def test_a_handler_that_is_none_changes_nothing():
    memory = manager()
    memory.views.parameters[...] = 5
    for wrong in (None, np, object()):
        with pytest.raises(TypeError):
            memory.set_handler(wrong)
    assert memory.handler is DOUBLE and (memory.views.parameters == 5).all()
    with pytest.raises(TypeError):
        manager(handler='numpy')


@pytest.mark.parametrize('size, error', [
    ((0, 1), ValueError), ((1, 0), ValueError), ((-1, 2), ValueError), ((2 ** 62, 1), ValueError),
    ((2 ** 63 - 1, 1), ValueError), ((1, 2 ** 63 - 1), ValueError),
    ((2 ** 31, 2 ** 31), ValueError),
    ((10 ** 7, 10 ** 7), MemoryError), ((2 ** 64, 1), OverflowError), ((1.5, 1), TypeError),
    (('2', 1), TypeError), ((None, 1), TypeError)])
def test_sizes_that_do_not_exist_change_nothing(size, error):
    memory = manager()
    memory.resize(2, 3)
    memory.views.In.outputs.default[...] = 4
    with pytest.raises(error):
        memory.resize(*size)
    assert (memory.time_steps, memory.batch_size) == (2, 3)
    assert (memory.views.In.outputs.default == 4).all()


# ---- context ----

def test_the_context_is_the_last_step_and_comes_back_behind_it():
    memory = manager()
    memory.resize(3, 2)
    y, h = memory.views.Hid.outputs.default, memory.views.Hid.internals.H
    y[...], h[...] = np.arange(16).reshape(4, 2, 2), -np.arange(16).reshape(4, 2, 2)
    context = memory.get_context()
    assert context.keys() == {'Hid'} and context['Hid'].keys() == {'outputs', 'internals'}
    np.testing.assert_array_equal(context['Hid']['outputs']['default'], y[2:3])
    np.testing.assert_array_equal(context['Hid']['internals']['H'], h[2:3])
    assert list(context['Hid']['internals']) == ['H']
    y[2] = 0  # copies do not follow
    memory.resize(5, 2)
    memory.set_handler(NumpyHandler(np.float32))
    memory.apply_context(context)
    np.testing.assert_array_equal(memory.views.Hid.outputs.default[-1], [[8, 9], [10, 11]])
    np.testing.assert_array_equal(memory.views.Hid.internals.H[-1], [[-8, -9], [-10, -11]])
    assert not memory.views.Hid.outputs.default[:-1].any()


def test_states_that_a_context_lacks_are_zero():
    memory = manager()
    memory.views.Hid.outputs.default[...] = memory.views.Hid.internals.H[...] = 1
    memory.apply_context({'Hid': {'internals': {'H': np.full((1, 1, 2), 3.0)}}})
    assert (memory.views.Hid.internals.H[-1] == 3).all()
    assert not memory.views.Hid.outputs.default[-1].any()
    assert memory.views.Hid.outputs.default[:-1].all()


def test_clear_context_clears_the_forward_slots_alone():
    memory = manager()
    memory.resize(2, 3)
    for path in ('outputs.default', 'internals.H', 'internals.dH', 'output_deltas.default'):
        memory.views.Hid[path][...] = 1
    memory.clear_context()
    for path in ('outputs.default', 'internals.H'):
        assert memory.views.Hid[path][:-1].all() and not memory.views.Hid[path][-1].any()
    for path in ('internals.dH', 'output_deltas.default'):
        assert memory.views.Hid[path].all()


@pytest.mark.parametrize('context, error, text', [
    ({'Hid': {'internals': {'n': np.zeros(5)}}}, KeyError, 'Hid.internals.n keeps no context; '
                                                           'there are Hid.'),
    ({'X': {'outputs': {'y': np.zeros(5)}}}, KeyError, 'X.outputs.y keeps no context'),
    ({'Hid': {'internals': {'dH': np.zeros((1, 1, 2))}}}, KeyError, 'dH keeps no context'),
    ({'Hid': {'internals': {'H': np.zeros((1, 2, 2))}}}, ValueError,
     r'Hid.internals.H has the shape \(1, 2, 2\), expected \(1, 1, 2\)'),
])
def test_a_context_of_something_else(context, error, text):
    with pytest.raises(error, match=text):
        manager().apply_context(context)


def test_clear_backward_buffers_leaves_what_a_forward_pass_uses():
    hubs, layout = lay_out(small_net(), *WIRES)
    memory = BufferManager(layout, hubs, DOUBLE)
    memory.resize(2, 3)
    for path, _ in leaves(layout):
        memory.views[path][...] = 1
    memory.clear_backward_buffers()
    for path, _ in leaves(layout):
        is_backward = 'delta' in path or 'gradients' in path or path == 'Hid.internals.dH'
        assert memory.views[path].all() != is_backward, path
        assert memory.views[path].any() != is_backward, path


# ---- kinds of layouts and handlers ----

def test_a_layout_without_parameters_has_empty_vectors():
    memory = memory_of({'A': layer(outputs={'y': ('T', 'B', 2)})})
    for handler in (DOUBLE, NumpyHandler(np.float32)):
        memory.set_handler(handler)
        memory.resize(3, 2)
        assert memory.views.parameters.shape == memory.views.gradients.shape == (0,)
        memory.clear_backward_buffers()
    assert memory.views.A.outputs.y.shape == (3, 2, 2)


def test_images_that_are_joined_stand_side_by_side():
    layers = {'A': layer(outputs={'a': ('T', 'B', 2, 3, 1), 'b': ('T', 'B', 2, 3, 2)}),
              'C': layer({'x': ('T', 'B', 2, 3, 3)})}
    memory = memory_of(layers, 'A.a C.x', 'A.b C.x')
    memory.resize(2, 2)
    rnd = np.random.RandomState(0)
    a, b = rnd.randn(2, 2, 2, 3, 1), rnd.randn(2, 2, 2, 3, 2)
    memory.views.A.outputs.a[...], memory.views.A.outputs.b[...] = a, b
    np.testing.assert_array_equal(memory.views.C.inputs.x, np.concatenate([a, b], axis=-1))


def test_a_layout_that_went_through_lists_is_one():
    hubs, layout = lay_out(small_net(), *WIRES)
    for _, node in leaves(layout):
        node['@shape'], node['@slice'] = list(node['@shape']), list(node['@slice'])
    assert BufferManager(layout, hubs, DOUBLE).views.Hid.parameters.W.shape == (2, 3)


def test_a_debug_handler_sees_debug_arrays():
    memory = manager(DebugHandler(DOUBLE))
    memory.resize(2, 3)
    assert isinstance(memory.views.Hid.outputs.default, DebugArray)
    assert isinstance(memory.views.parameters, DebugArray)
    memory.views.Hid.outputs.default[...] = 2
    context = memory.get_context()
    np.testing.assert_array_equal(context['Hid']['outputs']['default'], np.full((1, 3, 2), 2))
    memory.apply_context(context)
    memory.clear_context()
    memory.clear_backward_buffers()
    assert not np.array(memory.views.Hid.outputs.default[-1:]).any()
    memory.views.parameters[...] = 6
    memory.set_handler(NumpyHandler(np.float32))
    assert (memory.views.parameters == 6).all() and type(memory.views.parameters) is np.ndarray
    empty = memory_of({'A': layer()}, handler=DebugHandler(DOUBLE))
    assert empty.views.parameters.shape == (0,)


def test_the_views_run_a_layer():
    dense = layers.FullyConnectedLayerImpl('F', {'default': BufferStructure('T', 'B', 3)},
                                           set(), set(), size=2, activation='linear')
    dense.set_handler(DOUBLE)
    memory = memory_of({'F': dense})
    memory.resize(2, 2)
    rnd = np.random.RandomState(0)
    W, bias = memory.views.F.parameters
    for view in (memory.views.F.inputs.default, W, bias):
        view[...] = rnd.randn(*view.shape)
    dense.forward_pass(memory.views.F)
    np.testing.assert_allclose(memory.views.F.outputs.default,
                               memory.views.F.inputs.default @ W.T + bias)


# ---- layouts and hubs that are none ----

def change(path, **entries):
    """A change of the layout: these entries of the node; None takes one away."""
    def apply(hubs, layout):
        node = layout
        for name in path.split('.') if path else []:
            node = node[name]
        for key, value in entries.items():
            if value is None:
                del node['@' + key]
            else:
                node['@' + key] = value
    return apply


def change_hub(i, **fields):
    def apply(hubs, layout):
        hubs[i] = hubs[i]._replace(**fields)
    return apply


Y, W = 'Hid.outputs.default', 'Hid.parameters.W'


@pytest.mark.parametrize('damage, text', [
    (change('', type=None), "the root of a layout has no @type"),
    (change('Hid', type=None), "the node 'Hid' of a layout has no @type"),
    (change('Hid', index=None), "the node 'Hid' of a layout has no @index .* got None"),
    (change(Y, type='list'), f"the node '{Y}' of a layout has no @type .* got 'list'"),
    (change(Y, index='first'), f"the node '{Y}' of a layout has no @index"),
    *[(change(Y, **{key: None}), f"the node '{Y}' of a layout has no @{key}")
      for key in ('type', 'index', 'shape', 'slice', 'hub')],
    *[(change(path, shape=shape), '.') for path in (Y, W, 'parameters') for shape in (
        5, 'TB', (), (0,), (-1,), ('T',), ('B', 'T', 2), (2 ** 40, 2 ** 40), (2 ** 70,),
        (1, 1, 1, 1, 1, 1, 1, 1, 1), (1.5,), ('T', 'B', 3), (9,))],
    *[(change(path, slice=where), '.') for path in (Y, 'parameters') for where in (
        (), (1,), 3, ('a', 'b'), (-1, 1), (1, 3), (2 ** 40, 2 ** 40 + 2))],
    (change(W, slice=(3, 9)), 'leaf 6 does not fit into hub 0'),
    *[(change(path, hub=hub), '.') for path in (Y, W, 'parameters') for hub in (
        -1, 12, 2 ** 31 - 1, 'x', 1.5)],
    (change(Y, hub=4), 'leaf 5 does not fit into hub 4'),
    (change(W, context_size=1), 'context_size must be 0'),
    (change('In.outputs.default', context_size=1), 'leaf 2 does not fit into hub 4'),
    (change('In.outputs.default', is_backward_only=True), 'leaf 2 does not fit into hub 4'),
    (change_hub(0, nr_sources=2), 'leaf 0 does not fit into hub 0'),
    *[(change_hub(i, **{field: number}), 'hub') for i in (0, 5)
      for field, numbers in (('buffer_type', (-1, 3)), ('context_size', (-1, 2)),
                             ('nr_sources', (0, -1)), ('rank', (-1, 99)),
                             ('pixels', (0, -1, 2 ** 60)), ('columns', (-1, 0, 1, 2 ** 60)))
      for number in numbers],
    (change_hub(5, buffer_type=1), 'hub 5'), (change_hub(5, context_size=0), 'leaf 5'),
    (change_hub(5, is_backward_only=True), 'leaf 5'),
    (lambda hubs, layout: hubs.pop(), 'in hub 11, but there are 11 hubs'),
    (lambda hubs, layout: hubs.clear(), 'there are 0 hubs'),
    (lambda hubs, layout: layout.pop('gradients'), 'begins with the arrays parameters and'),
    (lambda hubs, layout: layout.clear(), "the root of a layout has no @type"),
    (lambda hubs, layout: layout['Hid'].update(outputs=5), "'Hid.outputs' of a layout must be a"),
])
def test_damaged_layouts_and_hubs_are_refused(damage, text):
    hubs, layout = lay_out(small_net(), *WIRES)
    layout = copy.deepcopy(layout)
    damage(hubs, layout)
    with pytest.raises(StructureValidationError, match=text):
        BufferManager(layout, hubs, DOUBLE)


@pytest.mark.parametrize('field', [
    'buffer_type', 'context_size', 'nr_sources', 'rank', 'pixels', 'columns'])
@pytest.mark.parametrize('value, error', [
    (None, TypeError), ('x', TypeError), (1.5, TypeError), (2 ** 70, OverflowError)])
def test_hubs_of_wrong_types_are_refused(field, value, error):
    hubs, layout = lay_out(small_net(), *WIRES)
    change_hub(5, **{field: value})(hubs, layout)
    with pytest.raises(error):
        BufferManager(layout, hubs, DOUBLE)


def test_what_is_no_layout_and_no_hub():
    hubs, layout = lay_out(small_net(), *WIRES)
    for wrong in (None, [], 5, 'layout'):
        with pytest.raises(StructureValidationError, match='the root of a layout must be a dict'):
            BufferManager(wrong, hubs)
    with pytest.raises(TypeError, match='a hub must be a Hub, got 1'):
        BufferManager(layout, [1] * 12)


def test_random_damage_never_leads_out_of_the_memory():
    """Whatever is not refused can be filled."""
    rnd = np.random.RandomState(0)
    numbers = [-1, 0, 1, 2, 3, 5, 8, 40]
    survivors = 0
    for _ in range(400):
        hubs, layout = lay_out(small_net(), *WIRES)
        nodes = leaves(layout)
        for _ in range(rnd.randint(1, 4)):
            i = rnd.randint(len(hubs))
            field = rnd.choice(['buffer_type', 'context_size', 'nr_sources', 'rank', 'pixels',
                                'columns'])
            hubs[i] = hubs[i]._replace(**{field: int(rnd.choice(numbers))})
            node = nodes[rnd.randint(len(nodes))][1]
            node['@hub'] = int(rnd.choice(len(hubs)))
        try:
            memory = BufferManager(layout, hubs, DOUBLE)
        except StructureValidationError:
            continue
        survivors += 1
        for size in [(3, 4), (20, 30)]:
            memory.resize(*size)
            for path, _ in nodes:
                memory.views[path][...] = 1
    assert survivors
