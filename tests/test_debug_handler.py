"""DebugHandler computes what the wrapped handler computes, and finds every mistake."""

import copy
import json
import pickle
import re

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import _core, hooks, layers
from brainstorm.handlers import DebugArray, DebugHandler, NumpyHandler
from brainstorm.randomness import global_rnd
from brainstorm.training import MomentumStepper, NesterovStepper, SgdStepper
from brainstorm.value_modifiers import L1Decay
from layer_cases import CASES as LAYERS
from networks import classifier, mlp, random_batch
from op_cases import CASES
from test_base_layer import square_net
from test_layer_laws import Bench
from test_operations import (arrays, kinds, make, may_be_none, of_kind, outputs,
                             overlapping_arguments, pitched)

DTYPES = [np.float32, np.float64]
every_operation = pytest.mark.parametrize('name', CASES)


@pytest.fixture
def debug():
    return DebugHandler(NumpyHandler(np.float32, seed=5))


def wrapped(arguments):
    return {k: DebugArray(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


def right_arguments(name):
    """Those of the last shape without empty arrays."""
    made = (make(name, np.float32, shape) for shape in reversed(CASES[name].shapes))
    return wrapped(next(a for a in made if all(a[array].size for array in arrays(name))))


def bits(array):
    return np.asarray(array).tobytes()


def check_fails(handler, name, argument, value, error, text):
    """The operation refuses the value in the place of the argument and names both."""
    arguments = right_arguments(name)
    arguments[argument] = value
    with pytest.raises(error, match=f"^{name}: '{argument}'.*{text}"):
        getattr(handler, name)(**arguments)


# ---- operations ----


@pytest.mark.parametrize('layout', [np.copy, pitched])
@pytest.mark.parametrize('dtype', DTYPES)
@every_operation
def test_every_operation_gives_the_same_bits(name, dtype, layout):
    for shape in CASES[name].shapes:
        plain, debug = NumpyHandler(dtype, seed=5), DebugHandler(NumpyHandler(dtype, seed=5))
        expected, actual = ({k: layout(v) if isinstance(v, np.ndarray) else v
                             for k, v in make(name, dtype, shape).items()} for _ in range(2))
        for out in of_kind(name, 'out'):
            actual[out][...] = np.nan  # what a pure output held does not matter
        getattr(plain, name)(**expected)
        getattr(debug, name)(**wrapped(actual))
        for array in arrays(name):
            assert bits(actual[array]) == bits(expected[array]), (shape, array)


@every_operation
def test_arguments_may_be_positional(name, debug):
    by_name, by_place = right_arguments(name), right_arguments(name)
    plain = NumpyHandler(np.float32, seed=5)
    getattr(debug, name)(*(by_place[argument] for argument in kinds(name)))
    getattr(plain, name)(**{k: getattr(v, 'array', v) for k, v in by_name.items()})
    for out in outputs(name):
        assert bits(by_place[out]) == bits(by_name[out])
    with pytest.raises(TypeError, match=f'{name}.* {len(kinds(name)) + 1} were given'):
        getattr(debug, name)(*(by_place[argument] for argument in kinds(name)), 1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        getattr(debug, name)(**by_place, nothing=1)


@every_operation
def test_other_arrays_are_refused(name, debug):
    for array in arrays(name):
        right = right_arguments(name)[array]
        for wrong in (right.array, right.array.tolist(), 1.0):
            check_fails(debug, name, array, wrong, TypeError, 'must be a DebugArray, not')


@every_operation
def test_some_arrays_may_be_none(name, debug):
    for array in arrays(name):
        if array not in may_be_none(name):
            check_fails(debug, name, array, None, TypeError, 'must be a DebugArray, not NoneType')
            continue
        for shape in CASES[name].shapes:
            expected, actual = ({**make(name, np.float32, shape), array: None} for _ in range(2))
            getattr(NumpyHandler(np.float32), name)(**expected)
            getattr(debug, name)(**wrapped(actual))
            for out in set(outputs(name)) - {array}:
                assert bits(actual[out]) == bits(expected[out]), (shape, out)


@every_operation
def test_other_dtypes_are_refused(name, debug):
    for array in arrays(name):
        right = right_arguments(name)[array].array
        for dtype in (np.float64, np.int32):
            check_fails(debug, name, array, DebugArray(right.astype(dtype)), TypeError,
                        f'has dtype {np.dtype(dtype)}, expected float32')


@every_operation
def test_wrong_shapes_are_refused(name, debug):
    for array in arrays(name):
        arguments = right_arguments(name)
        larger = tuple(n + 1 for n in arguments[array].shape) or (2,)
        arguments[array] = DebugArray(np.zeros(larger, np.float32))
        if len(arrays(name)) > 1:
            with pytest.raises(ValueError, match=rf"^{name}: '\w+' has shape .*, expected"):
                getattr(debug, name)(**arguments)


@every_operation
def test_overlaps_are_refused(name, debug):
    for out in outputs(name):
        for other in arrays(name):
            arguments = overlapping_arguments(name, out, other) if other != out else None
            if arguments:
                with pytest.raises(ValueError, match=f"^{name}: '.*' partly overlaps '"):
                    getattr(debug, name)(**wrapped(arguments))


@every_operation
def test_read_only_outputs_are_refused(name, debug):
    for out in outputs(name):
        array = right_arguments(name)[out].array
        array.flags.writeable = False
        check_fails(debug, name, out, DebugArray(array), ValueError, 'is read-only')


@pytest.mark.parametrize('bad, text', [(np.nan, 'NaN'), (np.inf, 'inf'), (-np.inf, '-inf')])
@every_operation
def test_numbers_that_are_not_finite_are_found_where_they_are_read(name, bad, text, debug):
    for array in set(arrays(name)) - set(of_kind(name, 'out')):
        value = right_arguments(name)[array]
        value[(-1,) * len(value.shape)] = bad
        place = re.escape(str(tuple(n - 1 for n in value.shape)))
        check_fails(debug, name, array, value, ValueError, f'holds {text} at {place} before')


@every_operation
def test_other_arguments_are_checked(name, debug):
    for argument in of_kind(name, 'number'):
        check_fails(debug, name, argument, np.nan, ValueError, '')
        for wrong in ('x', None, [1.0]):
            check_fails(debug, name, argument, wrong, TypeError, '')
    for argument in of_kind(name, 'int', 'axis'):
        for wrong in ('x', 1.5):
            check_fails(debug, name, argument, wrong, TypeError, '')
    for argument in of_kind(name, 'flag'):
        for wrong in ('no', 2, None, 1.0, np.zeros(2)):
            check_fails(debug, name, argument, wrong, TypeError, 'must be True or False, got')
    for argument in of_kind(name, 'pair'):
        check_fails(debug, name, argument, 2, TypeError, 'pair of integers')
        check_fails(debug, name, argument, (1, 2, 3), ValueError, 'pair of integers')
    for argument in of_kind(name, 'activation'):
        check_fails(debug, name, argument, 'relu', ValueError, "unknown activation 'relu'")


def test_windows_and_ranges_are_checked(debug):
    arguments = right_arguments('avgpool2d_forward_batch')
    for wrong in ({'window': (0, 1)}, {'stride': (1, 0)}, {'padding': -1}):
        with pytest.raises(ValueError, match=f'^avgpool2d_forward_batch: the {[*wrong][0]} is'):
            debug.avgpool2d_forward_batch(**{**arguments, **wrong})
    for name in ('binarize_v', 'index_m_by_v', 'softmax_ce', 'softmax_ce_deriv'):
        arguments = right_arguments(name)
        arguments['v' if 'v' in arguments else 'targets'][0] = 1e6
        with pytest.raises(IndexError, match=f'^{name}: id 1000000 in row 0'):
            getattr(debug, name)(**arguments)
    arguments = right_arguments('maxpool2d_backward_batch')
    arguments['argmax'][0] = 1e6
    with pytest.raises(IndexError, match='^maxpool2d_backward_batch: argmax of image 0'):
        debug.maxpool2d_backward_batch(**arguments)


@pytest.mark.parametrize('compute, text', [
    (lambda h, a, out: h.divide_tt(a, h.zeros(a.shape), out), r"divide_tt: 'out' holds -inf"),
    (lambda h, a, out: h.log_t(h.zeros(a.shape), out), r"log_t: 'out' holds -inf at \(0, 0\)"),
    (lambda h, a, out: h.mult_st(1e38, a, out), r"mult_st: 'out' holds inf at \(1, 2\)"),
    (lambda h, a, out: h.sqrt_t(a, a), r"sqrt_t: 'out' holds NaN at \(0, 0\)"),
    (lambda h, a, out: h.fill(out, np.inf), r"fill: 'mem' holds inf at \(0, 0\)"),
    (lambda h, a, out: h.momentum_step(1e38, 0, a, out, a), r"momentum_step: 'v' holds -inf"),
])
def test_numbers_that_are_not_finite_are_found_where_they_are_made(compute, text, debug):
    a = debug.create_from_numpy(np.float32([[-1, 1, 2], [3, 3, 9]]))
    with pytest.raises(ValueError, match=f'^{text}.* after the operation'):
        compute(debug, a, debug.zeros(a.shape))


def test_bounds_may_be_infinite(debug):
    a = debug.create_from_numpy(np.float32([-1, 2]))
    debug.clip_t(a, 0.0, np.inf, a)
    assert np.asarray(a).tolist() == [0, 2]


def test_activations_by_name(debug):
    x = debug.create_from_numpy(np.float32([[-1, 2]]))
    for name, activate in debug.act_func.items():
        y, dx = debug.allocate(x.shape), debug.allocate(x.shape)
        activate(x, y)
        debug.act_func_deriv[name](x, y, x, dx)
        same = debug.create_from_numpy(np.asarray(x))
        debug.inplace_act_func[name](same)
        assert bits(same) == bits(y)
        debug.inplace_act_func_deriv[name](y, same)


# ---- arrays ----


def test_arrays_are_made_and_copied(debug):
    for array in (debug.allocate((2, 3)), debug.zeros((2, 3)), debug.ones((2, 3)), debug.EMPTY,
                  debug.create_from_numpy(np.zeros((2, 3)))):
        assert type(array) is debug.array_type is DebugArray
    assert (np.asarray(debug.ones((2, 3))) == 1).all()
    assert debug.create_from_numpy(np.zeros(2)).dtype == np.float64
    array = debug.zeros((2, 3))
    debug.set_from_numpy(array, np.arange(6).reshape(2, 3))
    taken = debug.get_numpy_copy(array)
    assert type(taken) is np.ndarray and (taken == np.arange(6).reshape(2, 3)).all()
    taken[...] = 7
    assert array[1, 2] == 5
    assert debug.is_fully_finite(array) is True
    array[0, 0] = np.nan
    assert debug.is_fully_finite(array) is False
    with pytest.raises(ValueError, match='shape'):
        debug.set_from_numpy(array, np.zeros(3))
    for call in (debug.get_numpy_copy, lambda mem: debug.set_from_numpy(mem, taken)):
        with pytest.raises(TypeError, match="_numpy.*: 'mem' must be a DebugArray, not ndarray"):
            call(taken)
    with pytest.raises(TypeError, match="is_fully_finite: 'a' must be a DebugArray"):
        debug.is_fully_finite(taken)


def test_a_debug_array_is_a_view():
    numbers = np.arange(6.0).reshape(2, 3)
    array = DebugArray(numbers)
    assert array.array is numbers and array.shape == (2, 3) and array.dtype == np.float64
    assert len(array) == 2 and repr(array) == f'DebugArray({numbers!r})'
    part = array[1:, ::2]
    assert type(part) is DebugArray and np.asarray(part).tolist() == [[3, 5]]
    assert array[1, 2] == 5
    array[0] = part[0, 0]
    array[1:, :2] = DebugArray(np.ones((1, 2)))
    assert numbers.tolist() == [[3, 3, 3], [1, 1, 5]]
    assert np.shares_memory(np.asarray(array.reshape((3, 2))), numbers)
    assert array.reshape(6, 1).shape == (6, 1)
    assert np.asarray(array) is numbers and np.array(array) is not numbers
    assert np.asarray(array, dtype=np.float32).dtype == np.float32
    assert [row.shape for row in array] == [(3,), (3,)]


@pytest.mark.parametrize('compute', [
    lambda a: a + 1, lambda a: 2 * a, lambda a: a - a, lambda a: -a, lambda a: np.ones(3) * a,
    lambda a: np.exp(a), lambda a: np.add(a, a)])
def test_a_debug_array_does_not_compute(compute):
    with pytest.raises(TypeError):
        compute(DebugArray(np.ones(3)))


# ---- the handler itself ----


def test_attributes_are_those_of_the_wrapped_handler():
    inner = NumpyHandler(np.float64, seed=3)
    inner.note = 'mine'
    debug = DebugHandler(inner)
    assert debug.handler is inner and debug.dtype is np.float64 and debug.name == 'debug'
    assert debug.context == 'numpy' and debug.rnd is inner.rnd and debug.note == 'mine'
    assert np.asarray(debug.EMPTY) is inner.EMPTY
    with pytest.raises(AttributeError, match='nothing'):
        debug.nothing
    assert not hasattr(DebugHandler.__new__(DebugHandler), 'anything')


def test_random_numbers_come_from_the_wrapped_handler():
    inner, twin = NumpyHandler(seed=3), NumpyHandler(seed=3)
    debug = DebugHandler(inner)
    mask, expected = debug.allocate(50), twin.allocate(50)

    def check():
        debug.fill_gaussian(0.0, 1.0, mask)
        twin.fill_gaussian(0.0, 1.0, expected)
        assert bits(mask) == bits(expected) and inner.stream.draw == twin.stream.draw
    check()
    inner.fill_gaussian(0.0, 1.0, mask.array)
    twin.fill_gaussian(0.0, 1.0, expected)
    check()
    inner.rnd, twin.rnd = inner.rnd.create_random_state(9), twin.rnd.create_random_state(9)
    check()
    debug.rnd, twin.rnd = inner.rnd.create_random_state(4), twin.rnd.create_random_state(4)
    assert inner.rnd is debug.rnd and debug.stream is inner.stream is debug.rnd.stream
    check()
    debug.stream = twin.stream
    assert inner.stream is twin.stream


def test_wrapping_draws_no_seed():
    inner = NumpyHandler(seed=3)
    global_rnd.set_seed(1)
    expected = global_rnd.generate_seed()
    global_rnd.set_seed(1)
    DebugHandler(inner)
    assert global_rnd.generate_seed() == expected


def test_only_handlers_of_the_engine_are_wrapped(debug):
    for wrong in (debug, None, NumpyHandler, np.float32):
        with pytest.raises(TypeError, match='DebugHandler wraps a handler of the engine.* got'):
            DebugHandler(wrong)
    with pytest.raises(TypeError, match='cannot wrap another'):
        _core.DebugHandler(debug)
    with pytest.raises(TypeError, match='expected a Handler, not int'):
        _core.DebugHandler(1)
    with pytest.raises(RuntimeError, match='open already'):
        _core.DebugHandler.__init__(debug, NumpyHandler())


def test_description():
    debug = DebugHandler(NumpyHandler(np.float64))
    description = bs.get_description(debug)
    assert description == {'@type': 'DebugHandler',
                           'handler': {'@type': 'NumpyHandler', 'dtype': 'float64'}}
    again = bs.create_from_description(json.loads(json.dumps(description)))
    assert type(again) is DebugHandler and again.dtype is np.float64
    for wrong in ({}, {'handler': 5}, {'handler': description}, {**description, 'more': 1}):
        with pytest.raises(TypeError):
            bs.create_from_description({**wrong, '@type': 'DebugHandler'})


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))])
def test_copies_go_on_with_the_same_random_numbers(duplicate, debug):
    first, second = debug.allocate(9), debug.allocate(9)
    debug.fill_gaussian(0.0, 1.0, first)
    other = duplicate(debug)
    assert type(other) is DebugHandler and other.handler is not debug.handler
    debug.fill_gaussian(0.0, 1.0, first)
    other.fill_gaussian(0.0, 1.0, second)
    assert bits(first) == bits(second)


def test_memory_is_freed_and_may_run_out():
    a = DebugArray(np.ones((400, 500), np.float32))
    before = _core.live_allocation_count()
    for n in range(1, 50):
        _core.fail_allocation(n)
        try:
            handler = DebugHandler(NumpyHandler())
            handler.sum_t(a, 0, handler.zeros(500))
        except MemoryError:
            continue
        finally:
            _core.fail_allocation(0)
        break
    assert 3 < n < 49
    del handler
    assert _core.live_allocation_count() == before


# ---- networks ----


def on_debug(net):
    """The network, on a DebugHandler of its dtype."""
    net.set_handler(DebugHandler(NumpyHandler(net.handler.dtype)))
    return net


@pytest.mark.parametrize('lean', [False, True], ids=['full', 'lean'])
@pytest.mark.parametrize('beside', [False, True], ids=['alone', 'beside'])
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('case', LAYERS.values(), ids=LAYERS.keys())
def test_every_layer_gives_the_same_bits(case, dtype, beside, lean):
    plain, debug = (Bench(case, dtype, beside=beside) for _ in range(2))
    on_debug(debug.net)
    for bench in (plain, debug):
        bench.net._core.is_lean = lean
    for size in ((1, 1), (3, 4), (1, 3), (4, 1)):
        for training in (True, False):
            for bench in (plain, debug):
                bench.loss(bench.data(*size), training)
                bench.net.backward_pass()
                bench.net._core.is_lean = lean
            for path in ('parameters', 'gradients', *forward_paths(plain.net)):
                assert bits(debug.net.get(path)) == bits(plain.net.get(path)), path


def forward_paths(net):
    return [f'{layer}.{kind}.{name}' for layer in net.layers for kind in ('outputs', 'internals')
            for name in net.buffer[layer][kind].keys()]


@pytest.mark.parametrize('case', LAYERS.values(), ids=LAYERS.keys())
def test_layers_read_nothing_that_nobody_wrote(case):
    bench = Bench(case)
    on_debug(bench.net).provide_external_data(bench.data(2, 3))
    for layer in bench.net.layers:
        for kind in ('internals', 'output_deltas', 'gradients', 'outputs'):
            for leaf in bench.net.buffer[layer][kind].values():
                assert type(leaf) is DebugArray
                if (layer, kind) != ('Input', 'outputs'):
                    leaf[...] = np.nan
    bench.run(bench.data(2, 3))
    bench.net._core.is_lean = True
    for leaf in bench.net.buffer.Input.output_deltas.values():
        leaf[...] = np.nan
    bench.net.backward_pass()


def test_a_lean_pass_adds_to_nothing_that_nobody_wrote():
    """One port reads from Dropout and from H, to whose deltas others add."""
    inp, out = bs.tools.get_in_out_layers('classification', (3,), 2)
    dropout, hidden = layers.Dropout(0.5), layers.FullyConnected(4, name='H')
    inp >> dropout >> hidden
    joined, alone, merge = layers.FullyConnected(5), layers.FullyConnected(6), layers.Merge()
    dropout >> joined
    hidden >> joined
    hidden >> alone
    joined >> 'inputs_1' - merge
    alone >> 'inputs_2' - merge
    merge >> out
    net = on_debug(bs.Network.from_layer(out))
    net.initialize(bs.Gaussian(), seed=1)
    net.provide_external_data(random_batch((3,), classes=2))
    net.forward_pass(training_pass=True)
    net.buffer.Dropout.output_deltas.default[...] = np.nan
    net._core.is_lean = True
    net.backward_pass()


@pytest.mark.parametrize('first', ['inputs_1', 'inputs_2'])
@pytest.mark.parametrize('lean', [False, True], ids=['full', 'lean'])
def test_both_ports_of_a_layer_may_read_the_same(first, lean):
    second = {'inputs_1': 'inputs_2', 'inputs_2': 'inputs_1'}[first]
    results = []
    for prepare in (lambda net: net, on_debug):
        inp = layers.Input({'default': ('T', 'B', 3)})
        hidden, merge = layers.FullyConnected(2, name='H'), layers.Merge(name='M')
        inp >> first - merge
        inp >> hidden >> second - merge
        inp >> second - merge
        net = prepare(bs.Network.from_layer(merge >> layers.Loss()))
        net.initialize(bs.Gaussian(), seed=1)
        for _ in range(2):
            net.provide_external_data({'default': random_batch((3,))['default']})
            net.forward_pass()
            net._core.is_lean = lean
            net.backward_pass()
        deltas = [] if lean else [bits(net.get('Input.output_deltas.default'))]
        results.append([bits(net.get('gradients')), *deltas])
    assert results[0] == results[1]


def batch_net():
    net = classifier(layers.FullyConnected(5, activation='tanh', name='H'),
                     layers.BatchNorm(name='B'))
    net.initialize({'B': {'sigma': 1, 'default': 0.5}, 'default': bs.Gaussian(0.5)}, seed=1)
    net.provide_external_data(random_batch())
    return net


@pytest.mark.parametrize('path, value, text', [
    ('H.parameters.W', np.nan, r"layer 'H': linear_act: 'w' holds NaN at \(0, 0\) before"),
    ('H.parameters.bias', np.inf, r"layer 'H': linear_act: 'bias' holds inf at \(0,\) before"),
    ('B.parameters.sigma', 0, "layer 'B': divide_mv: 'out' holds -?(inf|NaN) at .* after"),
    ('Input.outputs.default', -np.inf, r"layer 'H': linear_act: 'x' holds -inf at \(0, 0\)"),
])
def test_mistakes_in_a_network_are_found_in_their_layer(path, value, text):
    net = on_debug(batch_net())
    net.provide_external_data(random_batch())
    net.forward_pass()
    net.buffer[path][...] = value
    with pytest.raises(ValueError, match=text):
        net.forward_pass()
    net.buffer[path][...] = 1
    net.forward_pass()


def test_mistakes_in_a_backward_pass_are_found_in_their_layer():
    net = on_debug(batch_net())
    net.provide_external_data(random_batch())
    net.forward_pass()
    net.buffer.H.outputs.default[...] = np.nan
    with pytest.raises(ValueError, match="layer 'H': tanh_deriv: 'x' holds NaN"):
        net.backward_pass()


def test_ids_out_of_range_name_layer_and_operation():
    net = on_debug(batch_net())
    net.provide_external_data({**random_batch(), 'targets': np.full((1, 4, 1), 3)})
    with pytest.raises(IndexError, match="layer 'Output': softmax_ce: id 3 in row 0"):
        net.forward_pass()


def recurrent_net():
    net = classifier(layers.Recurrent(3, name='R'))
    net.initialize(bs.Gaussian(0.5), seed=1)
    return net


def test_context():
    plain, debug = recurrent_net(), on_debug(recurrent_net())
    data = random_batch(time_steps=3)
    for net in (plain, debug):
        net.provide_external_data(data)
        net.forward_pass()
        net.forward_pass(context=net.get_context())
        net.backward_pass()
    assert bits(plain.get('gradients')) == bits(debug.get('gradients'))
    debug.forward_pass(context=plain.get_context())
    wrong = {'R': {'outputs': {'default': np.full((1, 4, 3), np.nan)}}}
    with pytest.raises(ValueError, match="^the context of R.outputs.default: copy_to: 'src' holds"):
        debug.forward_pass(context=wrong)
    debug.forward_pass()


@pytest.mark.parametrize('make_stepper', [
    lambda: SgdStepper(0.1), lambda: MomentumStepper(0.1, 0.9), lambda: NesterovStepper(0.1, 0.9)])
def test_training_gives_the_same_bits(make_stepper):
    results = []
    for prepare in (lambda net: net, on_debug):
        net = prepare(classifier(layers.FullyConnected(5, name='H'), layers.Dropout(name='D')))
        net.rnd.set_seed(8)
        net.initialize(bs.Gaussian(0.5), seed=1)
        net.set_weight_modifiers(H={'W': bs.ConstrainL2Norm(0.5), 'bias': bs.ClipValues(-.1, .1)},
                                 Output_projection={'W': bs.MaskValues(np.tri(3, 5)),
                                                    'bias': bs.FreezeValues()})
        net.set_gradient_modifiers(H=L1Decay(0.01))
        trainer = bs.Trainer(make_stepper(), verbose=False)
        trainer.train_scorers = [bs.scorers.Accuracy()]
        for hook in (hooks.MonitorScores('valid', [bs.scorers.Accuracy()], name='valid'),
                     hooks.MonitorLayerDeltas('H'), hooks.MonitorLayerParameters('H'),
                     hooks.StopOnNan(), hooks.SaveBestNetwork('valid.Accuracy'),
                     hooks.StopAfterEpoch(3)):
            trainer.add_hook(hook)
        trainer.train(net, bs.Minibatches(4, shuffle=False, **random_batch(batch_size=10)),
                      valid=bs.Undivided(**random_batch(batch_size=7, seed=4)))
        results.append((bits(net.get('parameters')), json.dumps(trainer.logs)))
    assert results[0] == results[1]


def test_a_layer_in_python():
    plain, debug = square_net(), on_debug(square_net())
    debug.provide_external_data(random_batch(time_steps=2))
    for net in (plain, debug):
        net.forward_pass()
        net.backward_pass()
    assert bits(plain.get('gradients')) == bits(debug.get('gradients'))
    debug.buffer.S.parameters.s[0, 0] = np.nan
    with pytest.raises(ValueError, match="mult_mv: 'v' holds NaN") as caught:
        debug.forward_pass()
    if hasattr(caught.value, '__notes__'):
        assert caught.value.__notes__ == ["in the forward pass of layer 'S'"]


@pytest.mark.parametrize('duplicate', [
    copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)),
    lambda net: net.save_as_hdf5('net.hdf5') or bs.Network.from_hdf5('net.hdf5')])
def test_networks_are_copied_and_saved(duplicate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = on_debug(mlp())
    other = duplicate(net)
    assert type(other.handler) is DebugHandler and other.handler.dtype is np.float64
    for one in (net, other):
        one.provide_external_data(random_batch())
        one.forward_pass()
    assert other.get_loss_values() == net.get_loss_values()


def test_a_wrapped_handler_that_cannot_be_opened_is_replaced():
    description = bs.get_description(mlp())
    description['handler'] = {'@type': 'DebugHandler', 'handler': {'@type': 'PyCudaHandler',
                                                                   'dtype': 'float64'}}
    with pytest.warns(UserWarning, match='DebugHandler cannot be opened .*NumpyHandler'):
        net = bs.Network.__new_from_description__(description)
    assert type(net.handler) is NumpyHandler and net.handler.dtype is np.float64


def test_leaving_the_debug_handler():
    net = on_debug(mlp())
    parameters = net.get('parameters')
    net.set_handler(net.handler.handler)
    assert type(net.buffer.parameters) is np.ndarray
    assert bits(net.get('parameters')) == bits(parameters)
