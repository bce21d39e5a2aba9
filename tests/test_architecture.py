import copy
import json

import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.structure.architecture import (
    Connection, generate_architecture, get_connections)
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.utils import LayerValidationError, NetworkValidationError

ARCHITECTURE = {
    'Input': {'@type': 'Input',
              '@outgoing_connections': {'default': ['Hid'], 'targets': ['Out.targets']},
              'out_shapes': {'default': ('T', 'B', 4), 'targets': ('T', 'B', 1)}},
    'Hid': {'@type': 'FullyConnected', '@outgoing_connections': ['Proj'], 'size': 5,
            'activation': 'tanh'},
    'Proj': {'@type': 'FullyConnected', '@outgoing_connections': {'default': ['Out.default']},
             'size': (3,), 'activation': 'linear'},
    'Out': {'@type': 'SoftmaxCE', '@outgoing_connections': {'loss': ['Loss']}},
    'Loss': {'@type': 'Loss'},
}


def names(*wanted):
    """Names that layers get which were created with the wanted names and wired in a row."""
    wrappers = [ConstructionWrapper.create('NoOp', name=name) for name in wanted]
    for first, second in zip(wrappers, wrappers[1:]):
        first >> second
    return list(generate_architecture(wrappers[0]))


def changed(**changes):
    architecture = copy.deepcopy(ARCHITECTURE)
    for path, value in changes.items():
        name, key = path.split('__', 1)
        architecture[name][key.replace('outgoing', '@outgoing_connections')
                           .replace('type', '@type')] = value
    return architecture


def test_generated_from_any_layer_of_the_graph():
    inp = layers.Input({'default': ('T', 'B', 4), 'targets': ('T', 'B', 1)})
    out, loss = layers.SoftmaxCE(name='Out'), layers.Loss()
    hid = layers.FullyConnected(5, 'tanh', name='Hid')
    inp >> hid >> layers.FullyConnected((3,), 'linear', name='Proj') >> out
    inp - 'targets' >> 'targets' - out - 'loss' >> loss
    for some_layer in (inp, hid, loss):
        architecture = generate_architecture(some_layer)
        assert set(architecture) == set(ARCHITECTURE)
        assert architecture['Hid'] == {
            '@type': 'FullyConnected', '@outgoing_connections': {'default': ['Proj.default']},
            'size': 5, 'activation': 'tanh'}
        assert architecture['Loss'] == {'@type': 'Loss', '@outgoing_connections': {},
                                        'importance': 1.0}
        assert get_connections(architecture) == get_connections(ARCHITECTURE)
        json.dumps(architecture)


def test_changes_to_an_architecture_do_not_reach_the_layers():
    inp = layers.Input({'default': ('T', 'B', 4)})
    generate_architecture(inp)['Input']['out_shapes']['default'] = None
    assert generate_architecture(inp)['Input']['out_shapes'] == {'default': ('T', 'B', 4)}


def test_names_get_suffixes_only_where_they_clash():
    assert names('A', 'B') == ['A', 'B']
    assert names('A', 'B', 'A') == ['A_1', 'B', 'A_2']
    assert names('A', 'A', 'A_1') == ['A_2', 'A_3', 'A_1']
    assert names('A', 'A', 'A_1', 'A_1') == ['A_1', 'A_2', 'A_1_1', 'A_1_2']


def test_suffixes_follow_the_order_of_creation():
    first, second, third = (layers.NoOp() for _ in range(3))
    third >> second >> first
    architecture = generate_architecture(second)
    assert architecture['NoOp_3']['@outgoing_connections'] == {'default': ['NoOp_2.default']}


def test_short_forms_of_connections():
    assert get_connections(ARCHITECTURE) == sorted([
        Connection('Input', 'default', 'Hid', 'default'),
        Connection('Input', 'targets', 'Out', 'targets'),
        Connection('Hid', 'default', 'Proj', 'default'),
        Connection('Proj', 'default', 'Out', 'default'),
        Connection('Out', 'loss', 'Loss', 'default')])


def test_layers_stand_in_the_order_of_execution():
    net = bs.Network.from_architecture(ARCHITECTURE)
    assert list(net.layers) == ['Input', 'Hid', 'Proj', 'Out', 'Loss']
    forked = {
        'Input': {'@type': 'Input', 'out_shapes': {'default': ('T', 'B', 2)},
                  '@outgoing_connections': ['b', 'a', 'c']},
        'b': {'@type': 'NoOp', '@outgoing_connections': ['d']},
        'a': {'@type': 'NoOp', '@outgoing_connections': ['Loss_b']},
        'c': {'@type': 'NoOp', '@outgoing_connections': ['Loss_a']},
        'd': {'@type': 'NoOp', '@outgoing_connections': ['Loss_b']},
        'Loss_a': {'@type': 'Loss'}, 'Loss_b': {'@type': 'Loss'}}
    # sinks descending: Loss_b, Loss_a; then what is placed next, again descending; then reversed
    order = list(bs.Network.from_architecture(forked).layers)
    assert order[0] == 'Input'
    assert order.index('b') < order.index('d')
    assert order[-2:] == ['Loss_a', 'Loss_b']


def test_the_callers_dict_is_not_shared():
    architecture = copy.deepcopy(ARCHITECTURE)
    net = bs.Network.from_architecture(architecture)
    assert architecture == ARCHITECTURE
    architecture['Hid']['size'] = 99
    assert net.architecture['Hid']['size'] == 5


def test_omitted_arguments_take_the_defaults():
    architecture = changed(Hid__size=None)
    del architecture['Hid']['activation'], architecture['Hid']['size']
    net = bs.Network.from_architecture(architecture)
    assert net.layers['Hid'].kwargs == {'size': None, 'activation': 'rel'}
    assert net.layers['Hid'].out_shapes['default'].shape == ('T', 'B', 4)


def test_an_old_name_of_a_type():
    architecture = {
        'Input': {'@type': 'Input', 'out_shapes': {'default': ('T', 'B', 2), 't': ('T', 'B', 2)},
                  '@outgoing_connections': {'default': ['E'], 't': ['E.targets']}},
        'E': {'@type': 'SquaredLoss', '@outgoing_connections': {'loss': ['Loss']}},
        'Loss': {'@type': 'Loss'}}
    assert bs.Network.from_architecture(architecture).layers['E'].type == 'SquaredError'


@pytest.mark.parametrize('architecture, text', [
    ({}, 'dict of layers'),
    (['Input'], 'dict of layers'),
    ({'Input': 'Input'}, "'Input' must be a dict"),
    ({'Input': {'out_shapes': {}}}, "'@type'"),
    (changed(Hid__outgoing='Proj'), 'dict or a list'),
    (changed(Hid__outgoing={'default': 'Proj'}), 'list of targets'),
    (changed(Hid__outgoing=['Proj.default.x']), "'Proj.default.x'"),
    (changed(Hid__outgoing=[5]), 'wired to 5'),
    (changed(Hid__outgoing=['Nobody']), 'Nobody'),
    (changed(Hid__outgoing={'defalt': ['Proj']}), 'defalt'),
    (changed(Proj__outgoing=['Out', 'Hid']), 'Hid'),
    (changed(Out__outgoing={'loss': ['Loss', 'Input']}), 'Input'),
])
def test_what_is_no_network(architecture, text):
    with pytest.raises(NetworkValidationError) as caught:
        bs.Network.from_architecture(architecture)
    assert text in str(caught.value)


@pytest.mark.parametrize('architecture, text', [
    (changed(Hid__type='FulyConnected'), "'FulyConnected'; there are FullyConnected,"),
    (changed(Hid__size=-1), 'Hid'),
    (changed(Hid__size='big'), 'Hid'),
    (changed(Hid__activation='tahn'), 'tahn'),
    (changed(Hid__sise=3), 'sise'),
    (changed(Hid__outgoing=['Proj', 'Proj.other']), 'other'),
    (changed(Hid__outgoing=[]), 'Proj'),
    ({**ARCHITECTURE, 'not good': {'@type': 'NoOp'}}, "'not good'"),
    ({**ARCHITECTURE, 'default': {'@type': 'NoOp'}}, "'default'"),
])
def test_what_is_no_layer(architecture, text):
    with pytest.raises(LayerValidationError) as caught:
        bs.Network.from_architecture(architecture)
    assert text in str(caught.value)


@pytest.mark.parametrize('what', [None, 5, 'Input', {}])
def test_generate_architecture_takes_layers_only(what):
    with pytest.raises(TypeError, match='expected a layer'):
        generate_architecture(what)
