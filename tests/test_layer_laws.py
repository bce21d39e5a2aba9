"""The laws that every layer obeys, whatever the instruction set, dtype and number of threads."""

import json

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import _core
from brainstorm.handlers import NumpyHandler
from layer_cases import CASES, random_data

SIZES = [(1, 1), (4, 1), (2, 3), (1, 3), (6, 2)]
EPSILON = 1e-6

every_case = pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())
every_size = pytest.mark.parametrize('size', SIZES, ids=lambda s: 'T%dB%d' % s)


class Bench:
    """A layer 'L' in a network that feeds it and takes a loss from each of its outputs.

    `beside` wires the data into further losses, so that others have written the layer's deltas
    before it does; `wired_parameters` does the same for its gradients; `hub` puts its
    input and its output side by side with other data, so that they are columns of wider matrices.
    """

    def __init__(self, case, dtype=np.float64, beside=False, wired_parameters=False, hub=False):
        self.case, self.hub = case, hub
        self.architecture = self._architecture(beside, wired_parameters)
        self.net = bs.Network.from_architecture(self.architecture)
        self.net.set_handler(NumpyHandler(dtype))
        self.net.initialize(bs.Gaussian(0.5), seed=3)
        for name, value in case.get('parameters', {}).items():
            self.net.buffer['L.parameters.' + name][...] = value

    def _architecture(self, beside, wired_parameters):
        case = self.case
        out_shapes = {port: ('T', 'B') + shape for port, shape in case['inputs'].items()}
        if case['type'] == 'Input':
            wires = {'default': ['Error_default.default']}
        else:
            wires = {port: ['L.' + port] for port in case['inputs']}
        layers = {}
        if case['type'] != 'Input':
            layers['L'] = {'@type': case['type'], '@outgoing_connections': {}, **case['kwargs']}
        for name in case['outputs']:
            error, loss = 'Error_' + name, 'Loss_' + name
            if case['type'] != 'Input':
                layers['L']['@outgoing_connections'][name] = [error + '.default']
            layers[error] = {'@type': 'SquaredError', '@outgoing_connections': {'loss': [loss]}}
            layers[loss] = {'@type': 'Loss', '@outgoing_connections': {}}
            out_shapes['target_' + name] = ('T', 'B') + self._out_shape(name)
            wires['target_' + name] = [error + '.targets']
        if beside:
            for port in case['inputs']:
                layers['Beside_' + port] = {'@type': 'Loss', '@outgoing_connections': {}}
                wires[port].append('Beside_' + port + '.default')
        if wired_parameters:
            for name in self._parameter_names():
                layers['Weight_' + name] = {'@type': 'Loss', '@outgoing_connections': {}}
                layers['L']['@outgoing_connections']['..parameters.' + name] = ['Weight_' + name]
        if self.hub:
            self._widen(layers, wires, out_shapes)
        return {'Input': {'@type': 'Input', '@outgoing_connections': wires,
                          'out_shapes': out_shapes}, **layers}

    def _widen(self, layers, wires, out_shapes):
        """Joins each input and each output with other data, along the last dimension."""
        def widen(name, wire, shape):
            layers[name] = {'@type': 'Loss', 'importance': 0.5, '@outgoing_connections': {}}
            wire.append(name + '.default')
            wires[name] = [name + '.default']
            out_shapes[name] = ('T', 'B') + shape[:-1] + (70,)

        for port, shape in self.case['inputs'].items():
            widen('Beside_wide_' + port, wires[port], shape)
        for name in self.case['outputs']:
            widen('Wide_' + name, layers['L']['@outgoing_connections'][name],
                  self._out_shape(name))

    def _alone(self):
        """The layer's own description, from a network without losses."""
        case = self.case
        shapes = {port: ('T', 'B') + shape for port, shape in case['inputs'].items()}
        net = bs.Network.from_architecture({
            'Input': {'@type': 'Input', 'out_shapes': shapes,
                      '@outgoing_connections': {port: ['L.' + port] for port in shapes}},
            'L': {'@type': case['type'], '@outgoing_connections': {}, **case['kwargs']}})
        return net.layers['L']

    def _out_shape(self, name):
        if self.case['type'] == 'Input':
            return self.case['inputs']['default']
        return self._alone().out_shapes[name].feature_shape

    def _parameter_names(self):
        return list(self._alone().parameter_shapes)

    def data(self, T, B, seed=0):
        rnd = np.random.RandomState(seed)
        return {name: random_data(self.case, name, (T, B) + tuple(shape[2:]), rnd)
                for name, shape in self.architecture['Input']['out_shapes'].items()}

    def loss(self, data, training=True):
        """Total loss, always from the same parameters and the same random numbers.

        It is the one that the deltas see: losses behind the layer count `delta_factor` times.
        """
        self.net.rnd.set_seed(17)
        self.net.provide_external_data(data)
        self.net.forward_pass(training_pass=training)
        losses = self.net.get_loss_values()
        beside = sum(value for name, value in losses.items() if name.startswith('Beside_'))
        return self.case.get('delta_factor', 1) * (losses['total_loss'] - beside) + beside

    def run(self, data, training=True):
        """One forward and one backward pass; everything that came out, by path."""
        self.loss(data, training)
        self.net.backward_pass()
        return self.everything()

    def everything(self):
        out = {'gradients': self.net.get('gradients'),
               'loss': np.array(list(self.net.get_loss_values().values()))}
        for layer in self.net.layers:
            for kind in ('outputs', 'output_deltas'):
                for name in self.net.buffer[layer][kind].keys():
                    path = f'{layer}.{kind}.{name}'
                    out[path] = self.net.get(path)
        return out

    def with_gradient(self):
        """Positions in the flat vector of parameters that have a gradient."""
        mask = []
        for layer, name in self.net._core.parameter_order():
            infos = {info['name']: info for info in self.net._core.layer_infos()}
            has = name not in infos[layer]['without_gradient']
            mask += [has] * self.net.get(f'{layer}.parameters.{name}').size
        return np.array(mask, dtype=bool)


def numeric_parameter_gradient(bench, data, training):
    start = bench.net.get('parameters')
    gradient = np.zeros_like(start)
    for i in range(start.size):
        losses = []
        for sign in (1, -1):
            bench.net.buffer.parameters[...] = start
            bench.net.buffer.parameters[i] += sign * EPSILON
            losses.append(bench.loss(data, training))
        gradient[i] = (losses[0] - losses[1]) / (2 * EPSILON)
    bench.net.buffer.parameters[...] = start
    return gradient


def numeric_deltas(bench, data, port, training):
    start = bench.net.get('parameters')
    deltas = np.zeros(data[port].shape)
    for i in np.ndindex(*deltas.shape):
        losses = []
        for sign in (1, -1):
            moved = {name: value.copy() for name, value in data.items()}
            moved[port][i] += sign * EPSILON
            bench.net.buffer.parameters[...] = start
            losses.append(bench.loss(moved, training))
        deltas[i] = (losses[0] - losses[1]) / (2 * EPSILON)
    bench.net.buffer.parameters[...] = start
    return deltas


def check_against_finite_differences(bench, size, training):
    data = bench.data(*size)
    start = bench.net.get('parameters')
    bench.run(data, training)
    gradients = bench.net.get('gradients')
    deltas = {port: bench.net.get('Input.output_deltas.' + port)
              for port in bench.case['inputs'] if port not in bench.case.get('no_delta', ())}
    bench.net.buffer.parameters[...] = start
    mask = bench.with_gradient()
    if mask.any():
        numeric = numeric_parameter_gradient(bench, data, training=training)
        np.testing.assert_allclose(gradients[mask], numeric[mask], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(gradients[~mask], 0)
    for port, delta in deltas.items():
        numeric = numeric_deltas(bench, data, port, training=training)
        np.testing.assert_allclose(delta, numeric, rtol=1e-5, atol=1e-7, err_msg=port)


@every_size
@pytest.mark.parametrize('training', [True, False], ids=['training', 'inference'])
@every_case
def test_gradients_and_deltas_are_finite_differences(case, training, size):
    check_against_finite_differences(Bench(case), size, training)


@every_case
def test_deltas_are_added_to_what_others_wrote(case):
    check_against_finite_differences(Bench(case, beside=True), (2, 3), True)


@pytest.mark.parametrize('case', [c for c in CASES.values() if c['type'] in (
    'FullyConnected', 'Recurrent', 'Lstm', 'LstmOpt', 'Gru', 'Clockwork', 'ClockworkLstm',
    'Convolution2D', 'BatchNorm', 'LayerNorm', 'Embedding')], ids=lambda c: c['type'])
def test_gradients_are_added_to_what_consumers_of_the_parameters_wrote(case):
    bench = Bench(case, wired_parameters=True)
    data = bench.data(2, 3)
    bench.run(data)
    with_wires = bench.net.get('gradients')
    plain = Bench(case)
    plain.run(data)
    # each parameter adds up in a Loss of its own, so each gradient is one larger
    np.testing.assert_allclose(with_wires, plain.net.get('gradients') + 1, rtol=1e-9)


WIRED = {
    'Recurrent': ['Ha'], 'Clockwork': ['Ha'],
    'Lstm': ['Za', 'Zb', 'Ia', 'Ib', 'Fa', 'Fb', 'Oa', 'Ob', 'Ca', 'Cb'],
    'LstmOpt': ['Ga', 'Gb', 'Ca', 'Cb'], 'Gru': ['Ha', 'Ra', 'Za', 'S', 'Hb', 'Rb', 'Zb'],
}
WIRED['ClockworkLstm'] = WIRED['Lstm']


def wired_bench(type, internals, joined):
    """A layer whose internals end in losses, each by itself or all of them joined."""
    case = {'inputs': {'default': (3,)}, 'ids': {}, 'type': type}
    layer = {'@type': type, 'size': 2, '@outgoing_connections': {'default': ['Out']}}
    architecture = {
        'Input': {'@type': 'Input', 'out_shapes': {'default': ('T', 'B', 3)},
                  '@outgoing_connections': {'default': ['L']}},
        'L': layer, 'Out': {'@type': 'Loss', '@outgoing_connections': {}}}
    for i, name in enumerate(internals):
        bend = 'Bend' if joined else 'Bend_' + name
        layer['@outgoing_connections']['..internals.' + name] = [bend]
        architecture[bend] = {'@type': 'Elementwise', 'activation': 'sigmoid',
                              '@outgoing_connections': {'default': ['Loss_' + bend]}}
        architecture['Loss_' + bend] = {'@type': 'Loss', 'importance': i + 1.0,
                                        '@outgoing_connections': {}}
    bench = object.__new__(Bench)
    bench.case, bench.architecture = case, architecture
    bench.net = bs.Network.from_architecture(architecture)
    bench.net.set_handler(NumpyHandler(np.float64))
    bench.net.initialize(bs.Gaussian(0.7), seed=1)
    if type.startswith('Clockwork'):
        bench.net.buffer.L.parameters.timing[...] = [1, 2]
    return bench


@pytest.mark.parametrize('type, internals', [
    (type, names) for type, all_names in WIRED.items()
    for names in [[name] for name in all_names] + [all_names]],
    ids=lambda value: value if isinstance(value, str) else '+'.join(value))
def test_what_flows_into_wired_internals_enters_the_derivative(type, internals):
    check_against_finite_differences(wired_bench(type, internals, joined=False), (4, 2), True)


@pytest.mark.parametrize('type, internals', [
    ('Lstm', ['Ia', 'Zb', 'Cb']), ('ClockworkLstm', WIRED['Lstm']), ('Gru', WIRED['Gru'])])
def test_internals_that_are_joined_with_others_leave_their_neighbours(type, internals):
    bench = wired_bench(type, internals, joined=True)
    check_against_finite_differences(bench, (4, 2), True)
    data, plain = bench.data(4, 2), wired_bench(type, [], joined=True)
    joined = bench.run(data)
    np.testing.assert_array_equal(plain.run(data)['L.outputs.default'],
                                  joined['L.outputs.default'])


@pytest.mark.parametrize('case', [case for name, case in CASES.items() if name != 'input'],
                         ids=[name for name in CASES if name != 'input'])
def test_inputs_and_outputs_may_be_columns_of_wider_matrices(case):
    bench = Bench(case, hub=True)
    for port, view in bench.net.buffer.L.inputs.items():
        assert view.strides[-2] >= 70 * 8, port
    check_against_finite_differences(bench, (2, 3), True)
    plain = Bench(case)
    data = bench.data(2, 3)
    wide, alone = bench.run(data), plain.run(data)
    for name in plain.net.buffer.L.outputs.keys():
        np.testing.assert_array_equal(wide['L.outputs.' + name], alone['L.outputs.' + name])


@every_case
def test_nothing_depends_on_what_buffers_held(case):
    fresh, stale = Bench(case), Bench(case)
    data = fresh.data(2, 3)
    expected = fresh.run(data)
    stale.net.provide_external_data(data)
    for layer in stale.net.layers:
        for kind in ('internals', 'output_deltas', 'gradients') + (
                ('outputs',) if layer != 'Input' else ()):
            for leaf in stale.net.buffer[layer][kind].values():
                leaf[...] = np.nan
    actual = stale.run(data)
    for path in expected:
        np.testing.assert_array_equal(actual[path], expected[path], err_msg=path)
    np.testing.assert_array_equal(stale.net.get('parameters'), fresh.net.get('parameters'))


@pytest.mark.parametrize('beside', [False, True], ids=['alone', 'beside'])
@every_case
def test_a_lean_backward_pass_gives_the_same_gradients(case, beside):
    bench = Bench(case, beside=beside)
    whole = bench.run(bench.data(2, 3))['gradients']
    bench.net._core.is_lean = True
    bench.loss(bench.data(2, 3))
    bench.net.backward_pass()
    np.testing.assert_array_equal(bench.net.get('gradients'), whole)


@every_case
def test_a_forward_pass_leaves_its_inputs_alone(case):
    bench = Bench(case)
    data = bench.data(2, 3)
    bench.run(data)
    for name, value in data.items():
        np.testing.assert_array_equal(bench.net.get_input(name), value)


@every_case
def test_float32_is_near_float64(case):
    double, single = Bench(case), Bench(case, np.float32)
    single.net.buffer.parameters[...] = double.net.get('parameters')
    data = double.data(3, 4)
    expected, actual = double.run(data), single.run(data)
    for path in expected:
        np.testing.assert_allclose(actual[path], expected[path], rtol=2e-4, atol=2e-5,
                                   err_msg=path)


@pytest.mark.parametrize('isa', _core.info()['instruction_sets'])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@every_case
def test_every_instruction_set_computes_the_same(case, dtype, isa, monkeypatch):
    monkeypatch.setenv('BRAINSTORM_CPU', 'base')
    base = Bench(case, dtype)
    monkeypatch.setenv('BRAINSTORM_CPU', isa)
    other = Bench(case, dtype)
    data = base.data(3, 4)
    expected, actual = base.run(data), other.run(data)
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == np.float32 else dict(rtol=1e-9, atol=1e-12)
    for path in expected:
        np.testing.assert_allclose(actual[path], expected[path], err_msg=path, **tolerance)


ROW, PAIR = {'default': (2000,)}, {'default': (2000,), 'targets': (2000,)}
WIDE = {
    'input': (None, ROW), 'fully_connected': ({'size': 300}, {'default': (210,)}),
    **{name: ({'size': 70}, {'default': (210,)}) for name in (
        'recurrent', 'lstm', 'lstm_opt', 'gru', 'clockwork', 'clockwork_lstm')},
    'reverse': (None, ROW), 'reverse_mask': (None, {'default': (2000,), 'mask': (1,)}),
    'convolution2d': ({'num_filters': 20, 'kernel_size': (5, 5), 'padding': 2},
                      {'default': (20, 20, 3)}),
    'pooling2d': (None, {'default': (30, 30, 8)}), 'batch_norm': (None, {'default': (20, 20, 30)}),
    'global_pooling2d': (None, {'default': (30, 30, 8)}),
    'layer_norm': (None, {'default': (20, 20, 30)}),
    'dropout': (None, ROW), 'elementwise': (None, ROW), 'no_op': (None, ROW),
    'deltas_scaling': (None, ROW), 'embedding': ({'vocab_size': 4, 'size': 700}, {'default': (1,)}),
    'highway': (None, {'H': (2000,), 'T': (2000,), 'x': (2000,)}),
    'merge': (None, {'inputs_1': (900,), 'inputs_2': (1100,)}),
    'mask': (None, {'default': (2000,), 'mask': (1,)}),
    'binomial_cross_entropy': (None, PAIR), 'sigmoid_ce': (None, PAIR),
    'squared_error': (None, PAIR),
    'squared_difference': (None, {'inputs_1': (2000,), 'inputs_2': (2000,)}),
    'l1_decay': (None, ROW), 'l2_decay': (None, ROW), 'loss': (None, ROW),
    'softmax_ce': (None, {'default': (700,), 'targets': (1,)}),
}


def test_every_layer_has_a_wide_case():
    assert {CASES[name]['type'] for name in WIDE} == set(_core.layer_types)


@pytest.mark.parametrize('name', WIDE)
def test_the_number_of_threads_does_not_change_a_bit(name, threads):
    kwargs, inputs = WIDE[name]
    case = dict(CASES[name], inputs=inputs)
    if kwargs:
        case['kwargs'] = kwargs
    if 'timing' in case.get('parameters', {}):
        case['parameters'] = {'timing': np.resize(case['parameters']['timing'], kwargs['size'])}
    results = []
    for n in (1, 2, 3, 8):
        threads(n)
        bench = Bench(case, np.float32)
        results.append(bench.run(bench.data(5, 40)))
    for other in results[1:]:
        for path in other:
            np.testing.assert_array_equal(other[path], results[0][path], err_msg=path)


@every_case
def test_description_makes_the_same_layer_again(case):
    bench = Bench(case)
    again = bs.Network.from_architecture(json.loads(json.dumps(bench.architecture)))
    again.set_handler(NumpyHandler(np.float64))
    again.buffer.parameters[...] = bench.net.get('parameters')
    data = bench.data(2, 3)
    expected = bench.run(data)
    bench.net = again
    actual = bench.run(data)
    for path in expected:
        np.testing.assert_array_equal(actual[path], expected[path], err_msg=path)
