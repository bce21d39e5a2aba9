import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.structure.network_spec import parse_spec
from brainstorm.tools import create_net_from_spec, get_in_out_layers, shuffle_data, split
from networks import random_batch

A = np.arange(2 * 10 * 3).reshape(2, 10, 3)
B = np.arange(10).reshape(1, 10, 1)

# ---- data ----


def test_shuffling_permutes_all_arrays_alike():
    order = np.arange(10)
    np.random.RandomState(4).shuffle(order)
    a, none, b = shuffle_data(A, None, B, seed=4)
    assert none is None
    assert np.array_equal(a, A[:, order])
    assert np.array_equal(b, B[:, order])


def test_shuffling_leaves_global_rnd_alone():
    bs.global_rnd.set_seed(1)
    shuffle_data(A)
    assert bs.global_rnd.randint(1000) == np.random.RandomState(1).randint(1000)


@pytest.mark.parametrize('ratios, sizes', [
    ((9, 1), [9, 1]), ((7, 3), [7, 3]), ((1, 1, 1), [3, 4, 3]), ((1, 1.2, 0.2), [4, 5, 1]),
    ((1,), [10])])
def test_split_cuts_all_arrays_alike(ratios, sizes):
    parts = split(A, None, B, ratios=ratios)
    assert [part[0].shape[1] for part in parts] == sizes
    assert np.array_equal(np.concatenate([part[0] for part in parts], axis=1), A)
    assert np.array_equal(np.concatenate([part[2] for part in parts], axis=1), B)
    assert all(part[1] is None for part in parts)


@pytest.mark.parametrize('ratios', [(), (0, 0), (1, -1), (float('nan'), 1), ((1, 2), (3, 4))])
def test_wrong_ratios(ratios):
    with pytest.raises(ValueError, match='ratios'):
        split(A, ratios=ratios)


@pytest.mark.parametrize('tool', [shuffle_data, split])
def test_arrays_must_have_one_length(tool):
    with pytest.raises(ValueError, match=r'number of sequences.*\(2, 10, 3\), \(1, 9, 1\)'):
        tool(A, B[:, :9])
    for wrong in (None, np.zeros(3)):
        with pytest.raises(ValueError, match='number of sequences'):
            tool(wrong)


# ---- input and output layers ----


def test_classification():
    inp, out = get_in_out_layers('classification', (4, 3), 5)
    net = bs.Network.from_layer(inp >> layers.FullyConnected(7, name='H') >> out)
    assert list(net.layers) == ['Input', 'H', 'Output_projection', 'Output', 'Loss']
    assert net.layers['Input'].out_shapes['default'].shape == ('T', 'B', 4, 3)
    assert net.layers['Input'].out_shapes['targets'].shape == ('T', 'B', 1)
    assert net.layers['Output_projection'].kwargs['activation'] == 'linear'
    assert net.layers['Output'].type == 'SoftmaxCE'


def test_regression():
    inp, out = get_in_out_layers('regression', 4, 3)
    net = bs.Network.from_layer(inp >> out)
    assert net.layers['Input'].out_shapes['targets'].shape == ('T', 'B', 3)
    assert net.layers['Output'].type == 'SquaredError'


def test_several_labels():
    inp, out = get_in_out_layers('multi-label', 4, 3)
    net = bs.Network.from_layer(inp >> out)
    assert net.layers['Input'].out_shapes['targets'].shape == ('T', 'B', 3)
    assert net.layers['Output'].type == 'SigmoidCE'


def test_a_mask_leaves_out_parts_of_the_loss():
    inp, out = get_in_out_layers('classification', 6, 3, mask_name='mask')
    net = bs.Network.from_layer(inp >> out)
    net.initialize(bs.Gaussian(0.5), seed=1)
    mask = np.ones((2, 4, 1))
    mask[1, 2:] = 0
    net.provide_external_data({**random_batch(time_steps=2), 'mask': mask})
    net.forward_pass()
    assert net.get_loss_values()['total_loss'] == pytest.approx(
        (net.get('Output.outputs.loss') * mask).sum() / 4)
    net.backward_pass()
    deltas = net.get('Output_projection.output_deltas.default')
    assert np.array_equal((deltas != 0).any(axis=2), mask[..., 0])


def test_all_names_can_be_chosen():
    inp, out = get_in_out_layers('classification', 4, 3, data_name='x', targets_name='y',
                                 outlayer_name='Classes')
    net = bs.Network.from_layer(inp >> layers.FullyConnected(2) >> out)
    assert list(net.layers['Input'].out_shapes) == ['x', 'y']
    assert {'Classes', 'Classes_projection'} < set(net.layers)
    inp, out = get_in_out_layers('classification', 4, 3, projection_name='P')
    assert 'P' in bs.Network.from_layer(inp >> out).layers


@pytest.mark.parametrize('out_shape, use_conv, expected', [
    ((5, 5, 3), None, 'Convolution2D'), ((5, 5, 3), False, 'FullyConnected'),
    (3, None, 'FullyConnected')])
def test_the_projection_suits_the_output(out_shape, use_conv, expected):
    inp, out = get_in_out_layers('regression', (5, 5, 2), out_shape, use_conv=use_conv)
    net = bs.Network.from_layer(inp >> out)
    assert net.layers['Output_projection'].type == expected
    shape = (out_shape,) if isinstance(out_shape, int) else out_shape
    assert net.layers['Output_projection'].out_shapes['default'].feature_shape == shape


@pytest.mark.parametrize('arguments, text', [
    (('clasification', 4, 3), "must be one of classification, regression.*'clasification'"),
    (('regression', 4, (3, 2)), r"1 or 3 dimensions.*\(3, 2\)")])
def test_wrong_tasks_and_shapes(arguments, text):
    with pytest.raises(ValueError, match=text):
        get_in_out_layers(*arguments)


@pytest.mark.parametrize('shape', [2.5, 'ab', (3, 'x'), None])
def test_shapes_are_integers(shape):
    with pytest.raises(TypeError, match='in_shape must be an integer'):
        get_in_out_layers('classification', shape, 3)


# ---- networks from a line ----


@pytest.mark.parametrize('spec, expected', [
    ('', []),
    ('F10', [('FullyConnected', {'activation': 'rel', 'size': 10})]),
    ('Fs10', [('FullyConnected', {'activation': 'sigmoid', 'size': 10})]),
    ('F e 10', [('FullyConnected', {'activation': 'el', 'size': 10})]),
    ('R5Rl5', [('Recurrent', {'activation': 'tanh', 'size': 5}),
               ('Recurrent', {'activation': 'linear', 'size': 5})]),
    ('D D.2 D0.25', [('Dropout', {}), ('Dropout', {'drop_prob': 0.2}),
                     ('Dropout', {'drop_prob': 0.25})]),
    ('B->B,B;B', [('BatchNorm', {})] * 4),
    ('C32:3p1s2', [('Convolution2D', {'activation': 'rel', 'num_filters': 32,
                                      'kernel_size': (3, 3), 'padding': 1, 'stride': (2, 2)})]),
    ('Cs32/5 s3 p2', [('Convolution2D', {'activation': 'sigmoid', 'num_filters': 32,
                                         'kernel_size': (5, 5), 'padding': 2,
                                         'stride': (3, 3)})]),
    ('C8|3', [('Convolution2D', {'activation': 'rel', 'num_filters': 8, 'kernel_size': (3, 3)})]),
    ('P3s2', [('Pooling2D', {'type': 'max', 'kernel_size': (3, 3), 'stride': (2, 2)})]),
    ('Pm3', [('Pooling2D', {'type': 'max', 'kernel_size': (3, 3)})]),
    ('Pa2p1', [('Pooling2D', {'type': 'avg', 'kernel_size': (2, 2), 'padding': 1})]),
])
def test_the_language_of_specs(spec, expected):
    assert parse_spec(spec) == expected
    assert parse_spec(f' {spec} ') == expected


@pytest.mark.parametrize('spec, part', [
    ('X3', 'X3'), ('F10 f', 'f'), ('B 5', 'B 5'), ('F', 'F'), ('F10 20', 'F10 20'),
    ('F10.5', 'F10.5'),
    ('F0', 'F0'), ('F10p1', 'F10p1'), ('Fm10', 'Fm10'), ('D2', 'D2'), ('D1', 'D1'),
    ('D.2.3', 'D.2.3'), ('B3', 'B3'), ('C32', 'C32'), ('C32:3:3', 'C32:3:3'),
    ('C32:3p1p2', 'C32:3p1p2'), ('C32:3s0', 'C32:3s0'), ('P', 'P'), ('Ps2', 'Ps2'),
    ('Pr3', 'Pr3'), ('P3s2x', 'x'), ('F10!', '!'), ('F10 -2', '2')])
def test_wrong_specs_are_quoted(spec, part):
    with pytest.raises(ValueError) as caught:
        parse_spec(f'F5 {spec} F6')
    assert repr(part)[:-1] in str(caught.value)


def test_a_spec_is_a_string():
    with pytest.raises(TypeError, match='got 5'):
        parse_spec(5)


def test_created_networks_are_complete():
    bs.global_rnd.set_seed(1)
    net = create_net_from_spec('classification', (8, 8, 1), 10, 'C4:3 P2s2 B F6 D.3 Fe5 F4')
    assert list(net.layers) == ['Input', 'Convolution2D', 'Pooling2D', 'BatchNorm',
                                'FullyConnected_1', 'Dropout', 'FullyConnected_2',
                                'FullyConnected_3', 'Output_projection', 'Output', 'Loss']
    assert net.output_name == 'Output.outputs.predictions'
    description = bs.get_description(net)['initializers']
    assert description == {
        'Convolution2D': {'@type': 'DenseSqrtFanInOut'},
        'FullyConnected_1': {'@type': 'DenseSqrtFanInOut'},
        'FullyConnected_2': {'@type': 'DenseSqrtFanInOut'},
        'FullyConnected_3': {'@type': 'DenseSqrtFanInOut'},
        'Output_projection': {'@type': 'DenseSqrtFanInOut', 'scale': 'linear'},
        'default': {'@type': 'Gaussian', 'std': 0.1},
        'fallback': {'@type': 'Gaussian', 'std': 0.1}}
    limit = np.sqrt(12 / (6 + 3 * 3 * 4))
    assert np.abs(net.get('FullyConnected_1.parameters.W')).max() <= limit
    assert net.get('FullyConnected_1.parameters.bias').std() > 0


def test_the_other_name():
    assert bs.tools.create_network_from_spec is create_net_from_spec


def test_evaluate_reads_h5py_datasets(tmp_path):
    net = create_net_from_spec('classification', 6, 3, 'F4')
    data = random_batch(batch_size=7)
    expected = bs.tools.evaluate(net, bs.Undivided(**data))
    with h5py.File(tmp_path / 'data.hdf5', 'w') as file:
        for name, values in data.items():
            file[name] = values
        got = bs.tools.evaluate(net, bs.Minibatches(3, **file))
    assert got['total_loss'] == pytest.approx(expected['total_loss'], rel=1e-5)


# ---- info ----


def test_network_info(capsys):
    inp, out = get_in_out_layers('classification', 4, 3)
    net = bs.Network.from_layer(inp >> layers.FullyConnected((2, 5), name='H') >> out)
    expected = [
        'total number of parameters: 83',
        'Input', 'number of parameters:0', 'input shapes:', '',
        'output shapes:', 'default(4,)\ttargets(1,)', '-' * 80,
        'H', '\tW(10, 4)', '\tbias(10,)', 'number of parameters:50',
        'input shapes:', 'default(4,)', 'output shapes:', 'default(2, 5)', '-' * 80,
        'Output_projection', '\tW(3, 10)', '\tbias(3,)', 'number of parameters:33',
        'input shapes:', 'default(2, 5)', 'output shapes:', 'default(3,)', '-' * 80,
        'Output', 'number of parameters:0', 'input shapes:', 'default(3,)\ttargets(1,)',
        'output shapes:', 'predictions(3,)\tloss(1,)', '-' * 80,
        'Loss', 'number of parameters:0', 'input shapes:', 'default(1,)',
        'output shapes:', 'loss(1,)', '-' * 80]
    assert bs.tools.get_network_info(net).splitlines() == expected
    bs.tools.print_network_info(net)
    title = '=' * 30 + ' Network information ' + '=' * 30
    assert capsys.readouterr().out.splitlines() == [title, *expected]
