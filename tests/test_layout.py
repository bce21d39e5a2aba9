"""create_layout: hubs, slices and the order of everything, against rules written out by hand."""

import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest

from brainstorm.structure.architecture import Connection
from brainstorm.structure.buffer_structure import BufferStructure
from brainstorm.structure.buffers import BufferManager
from brainstorm.structure.layout import CATEGORIES, create_layout
from brainstorm.utils import NetworkValidationError
from layer_cases import CASES
from test_joined_sources import python_layer_net
from test_layer_laws import Bench, wired_bench


def layer(inputs={}, outputs={}, parameters={}, internals={}):
    """What create_layout looks at; shapes are tuples or BufferStructures."""
    shapes = [{name: shape if isinstance(shape, BufferStructure) else BufferStructure(*shape)
               for name, shape in kind.items()}
              for kind in (inputs, outputs, parameters, internals)]
    return SimpleNamespace(in_shapes=shapes[0], out_shapes=shapes[1], parameter_shapes=shapes[2],
                           internal_shapes=shapes[3], incoming=set(), outgoing=set())


def lay_out(layers, *wires):
    """create_layout of the layers with wires like 'A.y B.x'."""
    for wire in wires:
        start, end = wire.split()
        connection = Connection(*start.split('.', 1), *end.split('.'))
        for name, side in ((connection.start_layer, 'outgoing'),
                           (connection.end_layer, 'incoming')):
            if name in layers:
                getattr(layers[name], side).add(connection)
    return create_layout(layers)


def view(index, **children):
    return {'@type': 'BufferView', '@index': index, **children}


def array(index, shape, hub, stop, start=0, context=0, back=False):
    node = {'@type': 'array', '@index': index, '@shape': shape, '@hub': hub,
            '@slice': (start, stop)}
    if context:
        node['@context_size'] = context
    if back:
        node['@is_backward_only'] = True
    return node


def layer_view(index, **categories):
    return view(index, **{category: view(i, **categories.get(category, {}))
                          for i, category in enumerate(CATEGORIES)})


def small_net():
    state = BufferStructure('T', 'B', 2, context_size=1)
    d_state = BufferStructure('T', 'B', 2, context_size=1, is_backward_only=True)
    return {'In': layer(outputs={'default': ('T', 'B', 3)}),
            'Hid': layer({'default': ('T', 'B', 3)}, {'default': state},
                         {'W': (2, 3), 'b': (2,)},
                         {'H': state, 'n': (5,), 's': ('B', 4), 'dH': d_state}),
            'Loss': layer({'default': ('T', 'B', 2)}, {'loss': (1,)})}


def test_the_whole_layout_of_a_small_network():
    _, layout = lay_out(small_net(), 'In.default Hid.default', 'Hid.default Loss.default')
    x, y = ('T', 'B', 3), ('T', 'B', 2)
    assert layout == {
        '@type': 'BufferView',
        'parameters': array(0, (8,), 0, 8), 'gradients': array(1, (8,), 7, 8, back=True),
        'In': layer_view(2, outputs={'default': array(0, x, 4, 3)},
                         output_deltas={'default': array(0, x, 9, 3, back=True)}),
        'Hid': layer_view(
            3, inputs={'default': array(0, x, 4, 3)},
            outputs={'default': array(0, y, 5, 2, context=1)},
            parameters={'W': array(0, (2, 3), 0, 6), 'b': array(1, (2,), 0, 8, start=6)},
            internals={'H': array(0, y, 6, 2, context=1), 'n': array(1, (5,), 1, 5),
                       's': array(2, ('B', 4), 3, 4),
                       'dH': array(3, y, 10, 2, context=1, back=True)},
            input_deltas={'default': array(0, x, 9, 3, back=True)},
            output_deltas={'default': array(0, y, 11, 2, context=1, back=True)},
            gradients={'W': array(0, (2, 3), 7, 6, back=True),
                       'b': array(1, (2,), 7, 8, start=6, back=True)}),
        'Loss': layer_view(
            4, inputs={'default': array(0, y, 5, 2)}, outputs={'loss': array(0, (1,), 2, 1)},
            input_deltas={'default': array(0, y, 11, 2, back=True)},
            output_deltas={'loss': array(0, (1,), 8, 1, back=True)})}


def test_hubs_stand_by_backward_only_then_type_then_first_appearance():
    hubs, _ = lay_out(small_net(), 'In.default Hid.default', 'Hid.default Loss.default')
    assert [(hub.is_backward_only, hub.buffer_type, hub.size, hub.context_size)
            for hub in hubs] == [
        (False, 0, 8, 0), (False, 0, 5, 0), (False, 0, 1, 0), (False, 1, 4, 0),
        (False, 2, 3, 0), (False, 2, 2, 1), (False, 2, 2, 1),
        (True, 0, 8, 0), (True, 0, 1, 0), (True, 2, 3, 0), (True, 2, 2, 1), (True, 2, 2, 1)]
    assert {hub.nr_sources for hub in hubs} == {1}


def test_layers_of_parameters_are_sorted_by_the_path_of_their_first():
    layers = {name: layer(parameters={'w': (size,), 'a': (1, 2)})
              for name, size in (('Z', 1), ('A_1', 2), ('A10', 3), ('A', 4))}
    _, layout = lay_out(layers)
    slices = {name: [layout[name][kind][parameter]['@slice'] for kind in ('parameters', 'gradients')
                     for parameter in ('w', 'a')] for name in layers}
    assert slices == {'A': [(0, 4), (4, 6)] * 2, 'A10': [(6, 9), (9, 11)] * 2,
                      'A_1': [(11, 13), (13, 15)] * 2, 'Z': [(15, 16), (16, 18)] * 2}
    assert [layout[name]['@index'] for name in layers] == [2, 3, 4, 5]
    assert layout['parameters']['@slice'] == layout['gradients']['@slice'] == (0, 18)


def test_without_parameters_the_vectors_are_empty():
    hubs, layout = lay_out({'A': layer(outputs={'y': (2,)})})
    assert layout['parameters'] == array(0, (0,), 0, 0)
    assert layout['gradients'] == array(1, (0,), 0, 0, back=True)
    assert [hub.size for hub in hubs] == [2, 2]


def test_inputs_are_sorted_by_name_and_everything_else_as_declared():
    time = ('T', 'B', 1)
    layers = {'L': layer({'z': time, 'a': time, 'm': time}, {'z': time, 'a': time},
                         {'z': (1,), 'a': (1,)}, {'z': time, 'a': time})}
    hubs, layout = lay_out(layers)
    for category in CATEGORIES:
        indices = {name: node['@index'] for name, node in layout['L'][category].items()
                   if name[0] != '@'}
        is_input = category in ('inputs', 'input_deltas')
        assert indices == ({'a': 0, 'm': 1, 'z': 2} if is_input else {'z': 0, 'a': 1})
    assert [layout['L']['inputs'][name]['@hub'] for name in 'amz'] == [1, 2, 3]
    assert [layout['L']['input_deltas'][name]['@hub'] for name in 'amz'] == [9, 10, 11]


def test_inputs_show_no_context_even_if_their_shape_has_one():
    state = BufferStructure('T', 'B', 2, context_size=1)
    _, layout = lay_out({'A': layer({'x': state}, {'y': state})})
    for category in ('inputs', 'input_deltas'):
        assert '@context_size' not in layout['A'][category]['x']
    for category in ('outputs', 'output_deltas'):
        assert layout['A'][category]['y']['@context_size'] == 1


# ---- joined sources ----

def sizes_of(n):
    return [2 + i for i in range(n)]


def joined(n, consumers, features=()):
    """n layers S000, S001, ... with an output and consumers that each read some of them."""
    widths = sizes_of(n)
    layers = {f'S{i:03}': layer(outputs={'y': ('T', 'B', *features, width)})
              for i, width in enumerate(widths)}
    wires = []
    for number, wanted in enumerate(consumers):
        total = sum(widths[i] for i in wanted)
        layers[f'C{number:03}'] = layer({'x': ('T', 'B', *features, total)})
        wires += [f'S{i:03}.y C{number:03}.x' for i in wanted]
    return lay_out(layers, *wires)


def first_order(sources, consumers):
    """The lexicographically first permutation in which all consumers read what is contiguous."""
    for order in itertools.permutations(sorted(sources)):
        places = [sorted(order.index(i) for i in wanted) for wanted in consumers]
        if all(place == list(range(place[0], place[-1] + 1)) for place in places):
            return order
    return None


def groups(n, consumers):
    """Sets of sources that share a hub."""
    sets = [{i} for i in range(n)]
    for wanted in consumers:
        touched = [s for s in sets if s & set(wanted)]
        sets = [s for s in sets if s not in touched] + [set().union(*touched)]
    return sets


def check_joined(n, consumers, features):
    group_list = groups(n, consumers)
    orders = [first_order(group, [w for w in consumers if set(w) <= group])
              for group in group_list]
    if None in orders:
        with pytest.raises(NetworkValidationError, match='no order of the'):
            joined(n, consumers, features)
        return False
    hubs, layout = joined(n, consumers, features)
    pixels = int(np.prod(features, dtype=int))
    for order in orders:
        at = 0
        alone = len(order) == 1
        for i in order:
            width = sizes_of(n)[i] * (pixels if alone else 1)
            for kind in 'outputs', 'output_deltas':
                node = layout[f'S{i:03}'][kind]['y']
                assert node['@slice'] == (at, at + width)
                hub = hubs[node['@hub']]
                assert hub.nr_sources == len(order)
                assert hub.size == sum(sizes_of(n)[k] for k in order) * pixels
            at += width
    for number, wanted in enumerate(consumers):
        for kind, source in ('inputs', 'outputs'), ('input_deltas', 'output_deltas'):
            node = layout[f'C{number:03}'][kind]['x']
            sources = [layout[f'S{i:03}'][source]['y'] for i in wanted]
            assert node['@slice'] == (min(s['@slice'][0] for s in sources),
                                      max(s['@slice'][1] for s in sources))
            assert {s['@hub'] for s in sources} == {node['@hub']}
    return True


@pytest.mark.parametrize('features', [(), (3,), (2, 3)], ids=lambda f: f'rank{len(f) + 1}')
def test_joined_sources_take_the_first_order_that_suits_all_consumers(features):
    assert check_joined(3, [(0, 1, 2)], features)
    assert check_joined(3, [(0, 2), (1, 2)], features)      # 0, 2, 1
    assert check_joined(4, [(0, 3), (1, 2), (2, 3)], features)
    assert check_joined(5, [(1, 3), (0, 4)], features)      # two hubs, and one of its own
    assert check_joined(3, [(1,), (1,)], features)          # nothing is joined
    assert not check_joined(3, [(0, 1), (1, 2), (0, 2)], features)


def test_joined_sources_for_many_random_consumers():
    rnd = np.random.RandomState(0)
    possible = [check_joined(n, [tuple(np.flatnonzero(rnd.rand(n) < 0.45)) or (0,)
                                 for _ in range(rnd.randint(1, 5))], ())
                for n in rnd.randint(2, 7, 150)]
    assert 20 < sum(possible) < 140


def test_many_joined_sources_take_polynomial_time():
    n = 100
    start = time.perf_counter()
    _, layout = joined(n, [(i, i + 1) for i in range(n - 1)])
    assert time.perf_counter() - start < 5
    assert layout['S099']['outputs']['y']['@slice'][1] == sum(sizes_of(n))
    with pytest.raises(NetworkValidationError, match='100 sources .* S000.outputs.y'):
        joined(n, [(i, (i + 1) % n) for i in range(n)])


def test_sources_are_sorted_by_path_not_by_layer():
    layers = {name: layer(outputs={'y': ('T', 'B', size)})
              for name, size in (('B', 1), ('A_1', 2), ('A10', 3), ('A', 4))}
    layers['C'] = layer({'x': ('T', 'B', 10)})
    _, layout = lay_out(layers, *(f'{name}.y C.x' for name in layers if name != 'C'))
    assert {name: layout[name]['outputs']['y']['@slice'] for name in ('A', 'A10', 'A_1', 'B')} == {
        'A': (0, 4), 'A10': (4, 7), 'A_1': (7, 9), 'B': (9, 10)}


def test_a_hub_has_the_largest_context_of_its_members():
    layers = {'A': layer(outputs={'y': ('T', 'B', 1)}),
              'R': layer(outputs={'y': BufferStructure('T', 'B', 2, context_size=1)}),
              'C': layer({'x': ('T', 'B', 3)})}
    hubs, layout = lay_out(layers, 'A.y C.x', 'R.y C.x')
    assert [hub.context_size for hub in hubs] == [1, 1]
    assert '@context_size' not in layout['A']['outputs']['y']
    assert '@context_size' not in layout['C']['inputs']['x']
    assert layout['R']['outputs']['y']['@context_size'] == 1


# ---- other wires ----

def test_wired_parameters_are_views_of_the_flat_vectors():
    layers = {'A': layer(parameters={'b': (2,), 'W': (3, 4)}), 'C': layer({'x': (3, 4)})}
    hubs, layout = lay_out(layers, 'A...parameters.W C.x')
    assert layout['C']['inputs']['x'] == array(0, (3, 4), 0, 14, start=2)
    assert layout['C']['input_deltas']['x'] == array(0, (3, 4), 1, 14, start=2, back=True)
    assert [hub.size for hub in hubs] == [14, 14]


def test_wired_internals_share_hubs_with_their_consumers_and_partners():
    layers = small_net()
    layers['Loss'].in_shapes['default'] = BufferStructure('T', 'B', 4)
    hubs, layout = lay_out(layers, 'In.default Hid.default', 'Hid.default Loss.default',
                           'Hid...internals.H Loss.default')
    hid, loss = layout['Hid'], layout['Loss']
    # 'Hid.internals.H' stands before 'Hid.outputs.default'
    assert [(node['@hub'], node['@slice']) for node in (
        hid['internals']['H'], hid['outputs']['default'], loss['inputs']['default'])] == [
        (5, (0, 2)), (5, (2, 4)), (5, (0, 4))]
    back = [hid['internals']['dH'], hid['output_deltas']['default'],
            loss['input_deltas']['default']]
    assert [node['@slice'] for node in back] == [(0, 2), (2, 4), (0, 4)]
    assert len({node['@hub'] for node in back}) == 1


def test_a_layer_without_wires_has_memory_of_its_own():
    hubs, layout = lay_out({'A': layer({'x': ('T', 'B', 2, 3), 'u': ('B', 5)},
                                       {'y': ('T', 'B', 4)})})
    assert layout['A']['inputs'] == view(
        0, u=array(0, ('B', 5), 0, 5), x=array(1, ('T', 'B', 2, 3), 1, 6))
    assert layout['A']['input_deltas'] == view(
        4, u=array(0, ('B', 5), 3, 5, back=True), x=array(1, ('T', 'B', 2, 3), 4, 6, back=True))
    assert [hub.size for hub in hubs] == [5, 6, 4] * 2


def test_nothing_is_laid_out():
    assert create_layout({}) == ([], {'@type': 'BufferView', 'parameters': array(0, (0,), 0, 0),
                                      'gradients': array(1, (0,), 0, 0, back=True)})


@pytest.mark.parametrize('wire, text', [
    ('A.y X.x', 'A.y -> X.x: there is no such layer'),
    ('X.y B.x', 'X.y -> B.x: there is no such layer'),
    ('A.y B.z', 'A.y -> B.z: there is no such input'),
    ('A.z B.x', "layer 'A' has no output 'z'; it has: y"),
    ('A...parameters.V B.x', "layer 'A' has no parameters 'V'; it has: W"),
    ('A...internals.h B.x', "layer 'A' has no internals 'h'; it has: none"),
    ('A.wide B.x', r"input 'x' of layer 'B' gets \('T', 'B', 5\), expected \('T', 'B', 2\)"),
    ('A...parameters.W B.x', r"input 'x' of layer 'B' gets \(1, 2\), expected \('T', 'B', 2\)"),
])
def test_wires_that_lead_to_nothing_or_do_not_fit(wire, text):
    layers = {'A': layer(outputs={'y': ('T', 'B', 2)}, parameters={'W': (1, 2)}),
              'B': layer({'x': ('T', 'B', 2)})}
    if 'wide' in wire:
        layers['A'].out_shapes['wide'] = BufferStructure('T', 'B', 5)
    with pytest.raises(NetworkValidationError, match=text):
        lay_out(layers, wire)


@pytest.mark.parametrize('wrong, text', [
    (layer(parameters={'W': ('T', 'B', 2)}), "layer 'L': parameter 'W' must be of constant size"),
    (layer(outputs={'y': ('T', 'B', 1, 2, 3, 4, 5)}), "layer 'L'.*'y' has 5 feature dimensions"),
    (layer({'x': ('T', 'B', 1, 2, 3, 4, 5)}), "layer 'L'.*'x' has 5 feature dimensions"),
    (layer(internals={'h': (2 ** 40, 2 ** 40)}), "layer 'L'.*'h' is too large for any memory"),
])
def test_shapes_that_no_memory_can_hold(wrong, text):
    with pytest.raises(ValueError, match=text):
        create_layout({'L': wrong})


# ---- what networks really share ----

def leaves(layout):
    """(path, node) of all arrays, children ordered by @index."""
    def walk(node, path):
        children = [(name, child) for name, child in node.items() if name[0] != '@']
        for name, child in sorted(children, key=lambda pair: pair[1]['@index']):
            if child['@type'] == 'array':
                yield '.'.join((*path, name)), child
            else:
                yield from walk(child, (*path, name))
    return list(walk(layout, ()))


def tree_paths(view, path=()):
    for name, child in view.items():
        if hasattr(child, 'keys'):
            yield from tree_paths(child, (*path, name))
        else:
            yield '.'.join((*path, name))


def check_agreement(net):
    T, B = 2, 3
    hubs, layout = create_layout(net.layers)
    manager = BufferManager(layout, hubs, net.handler)
    manager.resize(T, B)
    nodes = leaves(layout)
    assert [path for path, _ in nodes] == list(tree_paths(net.buffer)) \
        == list(tree_paths(manager.views))
    sizes = {'T': T, 'B': B}
    for buffer in net.buffer, manager.views:
        arrays = [buffer[path] for path, _ in nodes]
        for (path, node), leaf in zip(nodes, arrays):
            shape = [sizes.get(size, size) for size in node['@shape']]
            shape[0] += node.get('@context_size', 0)
            assert leaf.shape == tuple(shape), path
        for (a, left), (b, right) in itertools.combinations(zip(nodes, arrays), 2):
            (start, stop), (other_start, other_stop) = a[1]['@slice'], b[1]['@slice']
            share = a[1]['@hub'] == b[1]['@hub'] and max(start, other_start) < min(stop, other_stop)
            assert np.shares_memory(left, right) == share, (a[0], b[0])


@pytest.mark.parametrize('name', CASES)
def test_networks_share_what_the_layout_says(name):
    bench = Bench(CASES[name], hub=name != 'input')
    bench.loss(bench.data(2, 3))
    check_agreement(bench.net)


def test_networks_with_wired_internals_and_parameters_share_what_the_layout_says():
    for bench in (wired_bench('Lstm', ['Za', 'Ca'], joined=True),
                  wired_bench('Gru', ['Ha', 'Zb'], joined=False),
                  Bench(CASES['fully_connected'], wired_parameters=True)):
        bench.loss(bench.data(2, 3))
        check_agreement(bench.net)
    net = python_layer_net()
    net.provide_external_data({name: np.zeros((2, 3, *shape.feature_shape))
                               for name, shape in net.layers['Input'].out_shapes.items()})
    check_agreement(net)
