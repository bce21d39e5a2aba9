"""Built-in layers by themselves compute what they compute in a network."""

import numpy as np
import pytest

from brainstorm import _core, layers
from brainstorm.handlers import DebugHandler, NumpyHandler
from brainstorm.layers.base_layer import Layer, builtin_layers, get_layer_class_from_typename
from brainstorm.structure.buffer_structure import BufferStructure
from brainstorm.structure.buffers import BufferManager
from brainstorm.structure.layout import CATEGORIES, create_layout
from brainstorm.tests.tools import run_layer_tests
from brainstorm.utils import LayerValidationError
from layer_cases import CASES
from test_layer_laws import Bench

COMPUTING = {name: case for name, case in CASES.items() if name != 'input'}
SIZES = [(1, 1), (4, 1), (2, 3)]
every_case = pytest.mark.parametrize('case', COMPUTING.values(), ids=COMPUTING)


class Lone:
    """A layer by itself and its memory."""

    def __init__(self, layer_type, in_shapes, handler=None, /, **kwargs):
        make = getattr(layers, layer_type + 'LayerImpl')
        self.layer = make('L', in_shapes, set(), set(), **kwargs)
        self.handler = handler or NumpyHandler(np.float64)
        self.layer.set_handler(self.handler)
        hubs, layout = create_layout({'L': self.layer})
        self.memory = BufferManager(layout, hubs, self.handler)
        self.views = self.memory.views.L

    def leaves(self, *categories):
        return [(f'{category}.{name}', view) for category in categories
                for name, view in self.views[category].items()]

    def fill(self, numbers, *categories):
        """Fill the buffers of the categories; `numbers` takes a shape."""
        for _, view in self.leaves(*categories):
            self.handler.set_from_numpy(view, numbers(view.shape))

    def read(self, path):
        return self.handler.get_numpy_copy(self.views[path])

    def write(self, path, numbers):
        self.handler.set_from_numpy(self.views[path], numbers)


def random_context(net, rnd):
    return {layer: {category: {name: rnd.randn(*state.shape) for name, state in states.items()}
                    for category, states in kinds.items()}
            for layer, kinds in net.get_context().items()}


def run_network(bench, data, training):
    """One pass with a random context. Returns it, and the deltas of the outputs of 'L'."""
    net = bench.net
    net.rnd.set_seed(17)
    net.provide_external_data(data)
    context = random_context(net, np.random.RandomState(7))
    net.forward_pass(training_pass=training, context=context)
    B = len(next(iter(data.values()))[0])
    deltas = {name: np.zeros_like(view) for name, view in net.buffer.L.outputs.items()}
    for name in bench.case['outputs']:
        T = len(data['target_' + name])
        deltas[name][:T] = (net.get('L.outputs.' + name)[:T] - data['target_' + name]) / B
    net.backward_pass()
    return context, deltas


def check_like_the_network(case, size, handler, training=True, **tolerance):
    """On stale internals and outputs, and on deltas and gradients that others have written."""
    bench, rnd = Bench(case), np.random.RandomState(1)
    net, in_network = bench.net, bench.net.layers['L']
    data = bench.data(*size)
    parameters = {name: net.get('L.parameters.' + name) for name in in_network.parameter_shapes}
    context, deltas = run_network(bench, data, training)
    lone = Lone(in_network.type, in_network.in_shapes, handler, **in_network.kwargs)
    lone.memory.resize(*size)
    lone.fill(lambda shape: np.full(shape, np.nan), 'internals', 'outputs', 'output_deltas')
    lone.memory.apply_context(context)
    for port, numbers in data.items():
        if port in case['inputs']:
            lone.write('inputs.' + port, numbers)
    for name, numbers in parameters.items():
        lone.write('parameters.' + name, numbers)
    lone.fill(lambda shape: rnd.randn(*shape), 'input_deltas', 'gradients')
    before = {path: lone.read(path) for path, _ in lone.leaves('input_deltas', 'gradients')}
    handler.rnd.set_seed(17)
    lone.layer.forward_pass(lone.views, training)
    for name, numbers in deltas.items():
        if name not in lone.layer.takes_no_output_deltas_from:
            lone.write('output_deltas.' + name, numbers)
    lone.layer.backward_pass(lone.views)
    for path, _ in lone.leaves(*CATEGORIES):
        category, name = path.split('.')
        if category == 'output_deltas' and name in lone.layer.takes_no_output_deltas_from:
            continue
        np.testing.assert_allclose(lone.read(path), net.get('L.' + path) + before.get(path, 0),
                                   err_msg=path, **tolerance)


@pytest.mark.parametrize('size', SIZES, ids=lambda s: 'T%dB%d' % s)
@pytest.mark.parametrize('training', [True, False], ids=['training', 'inference'])
@every_case
def test_layers_compute_as_in_a_network(case, training, size):
    check_like_the_network(case, size, NumpyHandler(np.float64), training, rtol=1e-10, atol=1e-12)


@every_case
def test_layers_compute_as_in_a_network_in_float32(case):
    check_like_the_network(case, (2, 3), NumpyHandler(np.float32), rtol=2e-4, atol=2e-5)


@every_case
def test_layers_compute_as_in_a_network_under_a_debug_handler(case):
    check_like_the_network(case, (2, 3), DebugHandler(NumpyHandler(np.float64)),
                           rtol=1e-10, atol=1e-12)


@every_case
def test_a_layer_knows_of_itself_what_it_knows_in_a_network(case):
    in_network = Bench(case).net.layers['L']
    alone = Lone(case['type'], in_network.in_shapes, **case['kwargs']).layer
    assert (alone.name, alone.kwargs) == ('L', in_network.kwargs)
    for shapes in ('in_shapes', 'out_shapes', 'parameter_shapes', 'internal_shapes'):
        expected, actual = getattr(in_network, shapes), getattr(alone, shapes)
        assert [(name, shape.spec) for name, shape in actual.items()] == [
            (name, shape.spec) for name, shape in expected.items()]
    for names in ('computes_no_input_deltas_for', 'computes_no_gradients_for',
                  'takes_no_output_deltas_from'):
        assert getattr(alone, names) == getattr(in_network, names)
    assert alone.incoming == alone.outgoing == set()


def test_the_input_layer_computes_nothing():
    lone = Lone('Input', {}, out_shapes={'x': ('T', 'B', 2), 'y': ('B', 3)})
    lone.memory.resize(2, 3)
    lone.fill(np.ones, 'outputs', 'output_deltas')
    lone.layer.forward_pass(lone.views)
    lone.layer.backward_pass(lone.views)
    for _, view in lone.leaves('outputs', 'output_deltas'):
        assert (view == 1).all()


@every_case
def test_layers_run_on_the_views_of_a_network(case):
    bench = Bench(case, hub=True)
    bench.run(bench.data(2, 3))
    outputs = bench.net.buffer.L.outputs
    expected = {name: view.copy() for name, view in outputs.items()}
    for name, view in outputs.items():
        view[:2] = np.nan
    bench.net.rnd.set_seed(17)
    layer = bench.net.layers['L']
    layer.handler.rnd.set_seed(17)
    layer.forward_pass(bench.net.buffer.L)
    for name, view in outputs.items():
        np.testing.assert_allclose(view, expected[name], rtol=1e-10, err_msg=name)


def test_one_layer_serves_several_sizes_and_handlers():
    lone = Lone('Lstm', {'default': BufferStructure('T', 'B', 2)}, size=3)
    rnd = np.random.RandomState(0)
    x, weights = rnd.randn(9, 4, 2), {path: rnd.randn(*view.shape)
                                      for path, view in lone.leaves('parameters')}

    def outputs(T, B, handler):
        lone.layer.set_handler(handler)
        lone.memory.set_handler(handler)
        lone.handler = handler
        lone.memory.resize(T, B)
        lone.memory.clear_context()
        for path, numbers in {**weights, 'inputs.default': x[:T, :B]}.items():
            lone.write(path, numbers)
        lone.layer.forward_pass(lone.views)
        return lone.read('outputs.default')[:T]

    double, single = NumpyHandler(np.float64), NumpyHandler(np.float32)
    whole = outputs(9, 4, double)
    for T, B, handler, tolerance in ((3, 2, double, 1e-12), (9, 4, single, 1e-5),
                                     (1, 1, single, 1e-5), (5, 4, double, 1e-12)):
        np.testing.assert_allclose(outputs(T, B, handler), whole[:T, :B], atol=tolerance)


def test_the_state_before_the_first_step_stays_and_its_delta_arrives():
    lone = Lone('Recurrent', {'default': BufferStructure('T', 'B', 2)}, size=2,
                activation='linear')
    lone.memory.resize(1, 1)
    lone.write('parameters.R', np.array([[1.0, 2], [3, 4]]))
    lone.write('outputs.default', np.array([[[9.0, 9]], [[1, 10]]]))
    lone.layer.forward_pass(lone.views)
    np.testing.assert_array_equal(lone.views.outputs.default, [[[21, 43]], [[1, 10]]])
    lone.write('output_deltas.default', np.array([[[1.0, 0]], [[np.nan, np.nan]]]))
    lone.layer.backward_pass(lone.views)
    np.testing.assert_array_equal(lone.views.gradients.R, [[1, 10], [0, 0]])
    np.testing.assert_array_equal(lone.views.internals.dHb[-1], [[1, 2]])


# ---- training and inference ----

def feature_layer(type, size=3, **kwargs):
    lone = Lone(type, {'default': BufferStructure('T', 'B', size)}, **kwargs)
    lone.memory.resize(2, 50)
    lone.write('inputs.default', np.random.RandomState(0).randn(2, 50, size))
    return lone


def deltas_of(lone):
    lone.fill(np.zeros, 'input_deltas', 'gradients')
    lone.fill(np.ones, 'output_deltas')
    lone.layer.backward_pass(lone.views)
    return lone.read('input_deltas.default')


def test_dropout_trains_by_default_and_its_backward_pass_follows_the_forward_pass():
    lone = feature_layer('Dropout', drop_prob=0.5)
    lone.layer.forward_pass(lone.views)
    mask = lone.read('outputs.default') != 0
    assert 90 < mask.sum() < 210
    np.testing.assert_allclose(deltas_of(lone), 2 * mask)
    lone.layer.forward_pass(lone.views, training_pass=False)
    np.testing.assert_array_equal(lone.views.outputs.default, lone.views.inputs.default)
    np.testing.assert_array_equal(deltas_of(lone), np.ones((2, 50, 3)))
    lone.layer.forward_pass(lone.views, True)
    np.testing.assert_allclose(deltas_of(lone), 2 * (lone.read('outputs.default') != 0))


def test_batch_norm_trains_by_default_and_its_backward_pass_follows_the_forward_pass():
    lone = feature_layer('BatchNorm', decay=0.75)
    for name, number in (('gamma', 3.0), ('beta', 1.0), ('mu', 0.5), ('sigma', 2.0)):
        lone.views.parameters[name][...] = number
    lone.layer.forward_pass(lone.views, False)
    x = lone.read('inputs.default')
    np.testing.assert_allclose(lone.views.outputs.default, 3 * (x + 0.5) / 2 + 1)
    np.testing.assert_allclose(deltas_of(lone), np.full((2, 50, 3), 1.5))
    assert (lone.views.parameters.mu == 0.5).all()
    lone.layer.forward_pass(lone.views)
    np.testing.assert_allclose(lone.views.parameters.mu, 0.375 - 0.25 * x.mean(axis=(0, 1)))
    np.testing.assert_allclose(lone.views.parameters.sigma,
                               1.5 + 0.25 * np.sqrt(x.var(axis=(0, 1)) + 1e-5))
    np.testing.assert_allclose(deltas_of(lone), np.zeros((2, 50, 3)), atol=1e-12)


# ---- clocked units with any timing ----

TIMING = np.array([1, 2, 3, -2, 0, 0.5, -1.5, 2.5, 0.7, -3.1])


def is_frozen(t):
    with np.errstate(invalid='ignore'):
        return (t > 0) & (np.fmod(t, TIMING) != 0)  # fmod by 0 is NaN, which differs from 0


def clocked(type):
    n = len(TIMING)
    lone = Lone(type, {'default': BufferStructure('T', 'B', 2)}, size=n)
    lone.memory.resize(7, 2)
    rnd = np.random.RandomState(0)
    lone.fill(lambda shape: rnd.randn(*shape) * 0.5, 'inputs', 'parameters')
    lone.write('parameters.timing', TIMING)
    lone.layer.forward_pass(lone.views)
    return lone, lone.read('inputs.default'), dict(lone.views.parameters.items())


def test_clockwork_with_any_timing():
    lone, x, p = clocked('Clockwork')
    y = np.zeros((2, len(TIMING)))
    for t in range(7):
        H = x[t] @ p['W'].T + y @ p['R'].T + p['bias']
        y = np.where(is_frozen(t), y, np.tanh(H))
        np.testing.assert_allclose(lone.views.internals.Ha[t], H, rtol=1e-10)
        np.testing.assert_allclose(lone.views.outputs.default[t], y, rtol=1e-10)


def test_clockwork_lstm_with_any_timing():
    lone, x, p = clocked('ClockworkLstm')
    y = c = np.zeros((2, len(TIMING)))

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    for t in range(7):
        a = {gate: x[t] @ p['W' + gate].T + y @ p['R' + gate].T + p['b' + gate] for gate in 'zifo'}
        i, f = sigmoid(a['i'] + p['pi'] * c), sigmoid(a['f'] + p['pf'] * c)
        frozen = is_frozen(t)
        c = np.where(frozen, c, i * np.tanh(a['z']) + f * c)
        o = sigmoid(a['o'] + p['po'] * c)
        y = np.where(frozen, y, o * np.tanh(c))
        np.testing.assert_allclose(lone.views.internals.Ca[t], c, rtol=1e-10)
        np.testing.assert_allclose(lone.views.outputs.default[t], y, rtol=1e-10)
        np.testing.assert_allclose(lone.views.internals.Ib[t], i, rtol=1e-10)
        np.testing.assert_allclose(lone.views.internals.Zb[t], np.tanh(a['z']), rtol=1e-10)


@pytest.mark.parametrize('type', ['Clockwork', 'ClockworkLstm'])
def test_the_derivative_with_any_timing(type):
    layer = Lone(type, {'default': BufferStructure('T', 'B', 2)}, size=len(TIMING)).layer
    run_layer_tests(layer, {'time_steps': 7, 'batch_size': 2, 'parameters': {'timing': TIMING}})


# ---- classes ----

def test_there_is_a_class_for_every_built_in_layer():
    assert set(builtin_layers) == {name + 'LayerImpl' for name in _core.layer_types}
    for name, cls in builtin_layers.items():
        assert get_layer_class_from_typename(name) is cls is getattr(layers, name)
        assert cls.__name__ == name and issubclass(cls, Layer)


# ---- errors ----

FLAT = {'default': BufferStructure('T', 'B', 3)}
IMAGE = {'default': BufferStructure('T', 'B', 4, 4, 2)}


@pytest.mark.parametrize('type, in_shapes, kwargs, text', [
    ('FullyConnected', FLAT, {'siez': 3}, "'siez'"),
    ('FullyConnected', FLAT, {'size': -3}, 'size'),
    ('FullyConnected', FLAT, {'size': 3, 'activation': 'softmax'}, 'softmax'),
    ('FullyConnected', FLAT, {'size': 'big'}, 'size'),
    ('Recurrent', FLAT, {}, 'size'),
    ('FullyConnected', {}, {'size': 3}, 'default'),
    ('FullyConnected', {**FLAT, 'more': FLAT['default']}, {'size': 3}, "'more'"),
    ('Highway', {'H': FLAT['default'], 'x': FLAT['default']}, {}, "'T'"),
    ('Highway', {'H': FLAT['default'], 'T': FLAT['default'], 'x': IMAGE['default']}, {}, 'x'),
    ('Convolution2D', FLAT, {'num_filters': 2, 'kernel_size': (2, 2)}, r"\('T', 'B', 3\)"),
    ('Convolution2D', IMAGE, {'num_filters': 2, 'kernel_size': (9, 9)}, ''),
    ('SoftmaxCE', {**FLAT, 'targets': FLAT['default']}, {}, 'targets'),
    ('L2Decay', {'default': BufferStructure(3, 4)}, {}, r'\(3, 4\)'),
    ('NoOp', {'default': ('T', 'B', 3)}, {}, 'BufferStructure'),
    ('NoOp', [BufferStructure('T', 'B', 3)], {}, 'BufferStructure'),
    ('NoOp', {'default': BufferStructure('T', 'B', 1, 2, 3, 4, 5)}, {}, '5 feature dimensions'),
    ('Input', {}, {}, 'out_shapes'),
    ('Input', FLAT, {'out_shapes': {'default': ('T', 'B', 3)}}, "'default'"),
])
def test_layers_that_cannot_be_made_name_themselves(type, in_shapes, kwargs, text):
    with pytest.raises(LayerValidationError, match='Mine.*' + text):
        getattr(layers, type + 'LayerImpl')('Mine', in_shapes, set(), set(), **kwargs)


def dense():
    lone = Lone('FullyConnected', FLAT, size=2)
    lone.memory.resize(2, 3)
    buffers = {category: dict(lone.views[category].items()) for category in CATEGORIES}
    return lone.layer, buffers


def test_a_pass_needs_a_handler():
    layer = layers.FullyConnectedLayerImpl('Mine', FLAT, set(), set(), size=2)
    for run in (layer.forward_pass, layer.backward_pass):
        with pytest.raises(LayerValidationError, match='Mine: set_handler must come before a pass'):
            run({})
    layer.set_handler('numpy')
    with pytest.raises((TypeError, AttributeError)):
        layer.forward_pass(dense()[1])


@pytest.mark.parametrize('category, name, shape', [
    ('inputs', 'default', (2, 3, 4)), ('inputs', 'default', (3, 3, 3)),
    ('inputs', 'default', (2, 4, 3)), ('inputs', 'default', (6, 3)), ('inputs', 'default', (6,)),
    ('inputs', 'default', ()), ('inputs', 'default', (0, 3, 3)), ('inputs', 'default', (2, 0, 3)),
    ('outputs', 'default', (3, 3, 2)), ('outputs', 'default', (2, 3, 1)),
    ('parameters', 'W', (3, 2)), ('parameters', 'W', (6,)), ('parameters', 'bias', (1, 2)),
    ('input_deltas', 'default', (2, 3, 2)), ('output_deltas', 'default', (2, 3, 3)),
    ('gradients', 'W', (3, 2)),
])
def test_buffers_of_wrong_shapes_are_refused(category, name, shape):
    layer, buffers = dense()
    buffers[category][name] = np.zeros(shape)
    run = layer.forward_pass if category in ('inputs', 'outputs', 'parameters') \
        else layer.backward_pass
    with pytest.raises(LayerValidationError, match=r"L'?: \w+\.\w+ has shape \(.*\), expected \("):
        run(buffers)


def test_there_is_no_pass_over_nothing():
    layer, _ = dense()
    nothing = {category: {'default': np.zeros((2, 0, size))}
               for category, size in (('inputs', 3), ('outputs', 2))}
    nothing['parameters'] = {'W': np.zeros((2, 3)), 'bias': np.zeros(2)}
    with pytest.raises(ValueError, match="layer 'L': .* T=2, B=0"):
        layer.forward_pass(nothing)


def test_missing_buffers_are_named():
    layer, buffers = dense()
    del buffers['parameters']['W']
    with pytest.raises(KeyError, match='W'):
        layer.forward_pass(buffers)
    with pytest.raises(KeyError, match='inputs'):
        layer.forward_pass({})


def test_an_error_in_a_pass_names_the_layer_and_leaves_it_usable():
    in_shapes = {**FLAT, 'targets': BufferStructure('T', 'B', 1)}
    lone = Lone('SoftmaxCE', in_shapes)
    lone.write('inputs.targets', np.full((1, 1, 1), 7.0))
    with pytest.raises(IndexError, match="layer 'L'.*7"):
        lone.layer.forward_pass(lone.views)
        lone.layer.backward_pass(lone.views)
    lone.write('inputs.targets', np.full((1, 1, 1), 2.0))
    lone.layer.forward_pass(lone.views)
    np.testing.assert_allclose(lone.views.outputs.loss, np.log(3))
