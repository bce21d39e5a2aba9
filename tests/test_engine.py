"""What the engine promises as a whole: no allocation per step, no leak, no crash, the same bits."""

import gc
import os
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import _core, layers
from brainstorm.handlers import NumpyHandler
from brainstorm.layers.base_layer import Layer
from brainstorm.structure.construction import ConstructionWrapper
from networks import classifier, mlp, random_batch

IMAGES = (12, 12, 3)


def all_kinds():
    """A network with every kind of buffer: images, context, masks, parameters without gradient."""
    net = classifier(layers.Convolution2D(4, (3, 3), padding=1), layers.BatchNorm(),
                     layers.Pooling2D((2, 2), stride=(2, 2)), layers.Dropout(0.3),
                     layers.Recurrent(7), layers.Bidirectional(layers.Lstm(4)), layers.Gru(5),
                     layers.ClockworkLstm(6), layers.LayerNorm(), layers.FullyConnected(9),
                     shape=IMAGES, dtype=np.float32)
    net.initialize({'ClockworkLstm': {'timing': 2}, 'default': bs.Gaussian(0.1)}, seed=5)
    return net


def stepper_on(net, **sizes):
    stepper = bs.training.MomentumStepper(0.01, 0.9)
    stepper.start(net)
    net.provide_external_data(random_batch(IMAGES, **sizes))
    return stepper


# ---- memory ----

def test_a_step_allocates_nothing():
    net = all_kinds()
    stepper = stepper_on(net, time_steps=3, batch_size=8)
    stepper.run()
    stepper.run()
    before = _core.allocation_count()
    for seed in range(20):
        net.provide_external_data(random_batch(IMAGES, time_steps=3, batch_size=8, seed=seed))
        stepper.run()
    assert _core.allocation_count() == before


def test_sequences_of_changing_length_allocate_nothing_either():
    net = all_kinds()
    stepper = stepper_on(net, time_steps=5, batch_size=8)
    stepper.run()
    stepper.run()
    before = _core.allocation_count()
    for length in (3, 5, 1, 4, 2):
        net.provide_external_data(random_batch(IMAGES, time_steps=length, batch_size=8))
        stepper.run()
    assert _core.allocation_count() == before


def test_nothing_is_left_when_a_network_goes():
    gc.collect()
    before = _core.live_allocation_count()
    net = all_kinds()
    stepper = stepper_on(net, batch_size=2)
    stepper.run()
    leaf = net.buffer.FullyConnected.outputs.default
    assert _core.live_allocation_count() > before
    del net, stepper
    gc.collect()
    assert np.isfinite(leaf).all()
    assert _core.live_allocation_count() == before + 1  # the block that the leaf holds
    del leaf
    assert _core.live_allocation_count() == before


def resident_bytes():
    with open('/proc/self/statm') as f:
        return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.mark.skipif(not os.path.exists('/proc/self/statm'), reason='needs Linux to see its memory')
def test_resident_memory_is_flat_over_ten_thousand_steps():
    net = mlp(np.float32)
    stepper = bs.training.MomentumStepper(0.01, 0.9)
    stepper.start(net)
    batches = [random_batch(batch_size=n) for n in (4, 3, 2)]

    def run(times):
        for i in range(times):
            net.provide_external_data(batches[i % 3])
            stepper.run()
            net.get_loss_values()
    run(1000)
    gc.collect()
    before = resident_bytes()
    run(10000)
    gc.collect()
    assert resident_bytes() - before < 1 << 20


def test_every_allocation_may_fail():
    """The n-th allocation fails, for n = 1, 2, ... until all succeed: MemoryError, and no leak."""
    def work():
        net = all_kinds()
        stepper = stepper_on(net, time_steps=2, batch_size=3)
        stepper.run()
        net.set_handler(NumpyHandler(np.float64))
        net.forward_pass()
        return net.get('parameters')
    expected = work()
    gc.collect()
    before = _core.live_allocation_count()
    failures = 0
    while True:
        _core.fail_allocation(failures + 1)
        try:
            result = work()
            break
        except MemoryError as error:
            assert str(error)
            failures += 1
        finally:
            _core.fail_allocation(0)
        gc.collect()
        assert _core.live_allocation_count() == before, failures
    assert failures > 20
    assert result.shape == expected.shape


def test_parameters_survive_a_failing_resize():
    net = mlp()
    net.provide_external_data(random_batch())
    net.forward_pass()
    parameters, predictions = net.get('parameters'), net.get('Output.outputs.predictions')
    _core.fail_allocation(1)
    with pytest.raises(MemoryError, match='MB of buffers'):
        net.provide_external_data(random_batch(batch_size=1000))
    _core.fail_allocation(0)
    np.testing.assert_array_equal(net.get('parameters'), parameters)
    np.testing.assert_array_equal(net.get('Output.outputs.predictions'), predictions)


def test_too_large_for_any_memory():
    huge = np.broadcast_to(np.float32(0), (1 << 38, 1 << 20, 6))
    with pytest.raises(ValueError, match='too many for any memory'):
        mlp().provide_external_data({'default': huge, 'targets': huge[..., :1]})


# ---- the same bits ----

CHILD = '''
import sys, hashlib
import numpy as np
import brainstorm as bs
sys.path.insert(0, %r)
from test_engine import all_kinds, IMAGES
from networks import random_batch
bs.global_rnd.set_seed(42)
net = all_kinds()
stepper = bs.training.MomentumStepper(0.05, 0.9)
stepper.start(net)
for seed in range(5):
    net.provide_external_data(random_batch(IMAGES, time_steps=2, batch_size=50, seed=seed))
    stepper.run()
print(hashlib.sha256(net.get('parameters').tobytes()).hexdigest())
'''


def trained_hash(**environment):
    code = CHILD % os.path.dirname(os.path.abspath(__file__))
    result = subprocess.run([sys.executable, '-c', code], env=dict(os.environ, **environment),
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()[-1]


@pytest.mark.parametrize('environment', [
    {}, {'BRAINSTORM_BLAS': 'none'}, {'BRAINSTORM_CPU': 'base'},
    {'BRAINSTORM_CPU': 'base', 'OPENBLAS_CORETYPE': 'Haswell'}],
                         ids=['as it is', 'no BLAS', 'base', 'another BLAS kernel'])
def test_the_same_seed_gives_the_same_weights_to_the_last_bit(environment):
    hashes = [trained_hash(BRAINSTORM_NUM_THREADS=str(n), **environment) for n in (1, 1, 2, 3)]
    assert len(set(hashes)) == 1


def test_set_num_threads():
    before = _core.num_threads()
    try:
        bs.set_num_threads(3)
        assert _core.num_threads() == 3
    finally:
        bs.set_num_threads(before)
    for bad in (0, -1, 1000):
        with pytest.raises(ValueError, match='threads'):
            bs.set_num_threads(bad)
    with pytest.raises(TypeError):
        bs.set_num_threads('two')


# ---- several threads, fork ----

class _SlowLayerImpl(Layer):
    """Passes its input on, and lets a test look in meanwhile."""

    expected_kwargs = ()
    meanwhile = None

    def setup(self, kwargs, in_shapes):
        return in_shapes, {}, {}

    def forward_pass(self, buffers, training_pass=True):
        self.handler.copy_to(buffers.inputs.default, buffers.outputs.default)
        if type(self).meanwhile:
            type(self).meanwhile()

    def backward_pass(self, buffers):
        self.handler.add_tt(buffers.output_deltas.default, buffers.input_deltas.default,
                            buffers.input_deltas.default)


@pytest.fixture
def slow_net():
    net = classifier(ConstructionWrapper.create(_SlowLayerImpl, name='Slow'))
    net.initialize(bs.Gaussian())
    net.provide_external_data(random_batch())
    yield net
    _SlowLayerImpl.meanwhile = None


ENTRIES = {
    'forward_pass': lambda net: net.forward_pass(),
    'backward_pass': lambda net: net.backward_pass(),
    'provide_external_data': lambda net: net.provide_external_data(random_batch(batch_size=9)),
    'set_handler': lambda net: net.set_handler(NumpyHandler(np.float32)),
    'get_loss_values': lambda net: net.get_loss_values(),
}


@pytest.mark.parametrize('entry', ENTRIES.values(), ids=ENTRIES.keys())
def test_a_layer_cannot_call_back_into_its_own_network(slow_net, entry):
    errors = []

    def call_back():
        with pytest.raises(RuntimeError, match='busy') as caught:
            entry(slow_net)
        errors.append(caught)
    _SlowLayerImpl.meanwhile = staticmethod(call_back)
    slow_net.forward_pass()
    assert len(errors) == 1


@pytest.mark.parametrize('entry', list(ENTRIES.values()) + [lambda net: net.get('parameters')],
                         ids=list(ENTRIES) + ['get'])
def test_a_second_thread_is_refused(slow_net, entry):
    errors = []

    def call():
        try:
            entry(slow_net)
        except RuntimeError as error:
            errors.append(error)

    def in_thread():
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    _SlowLayerImpl.meanwhile = staticmethod(in_thread)
    slow_net.forward_pass()
    assert len(errors) == 1 and 'busy' in str(errors[0])


def test_an_exception_in_a_layer_reaches_the_caller_and_the_network_goes_on(slow_net):
    def fail():
        raise ZeroDivisionError('no such luck')
    _SlowLayerImpl.meanwhile = staticmethod(fail)
    with pytest.raises(ZeroDivisionError, match='no such luck') as caught:
        slow_net.forward_pass()
    assert any('fail' == entry.name for entry in caught.traceback)
    if sys.version_info >= (3, 11):
        assert "layer 'Slow'" in caught.value.__notes__[0]
    _SlowLayerImpl.meanwhile = None
    slow_net.forward_pass()


def test_several_networks_train_in_several_threads():
    def train(results, i):
        net = all_kinds()
        net.rnd.set_seed(i)
        stepper = stepper_on(net, batch_size=40)
        for _ in range(10):
            stepper.run()
        results[i] = net.get('parameters')
    alone, together = {}, {}
    for i in range(4):
        train(alone, i)
    threads = [threading.Thread(target=train, args=(together, i)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(together[i], alone[i])


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_the_engine_works_on_after_fork():
    net = all_kinds()
    stepper = stepper_on(net, batch_size=60)
    stepper.run()
    pid = os.fork()
    if pid == 0:
        try:
            stepper.run()
            os._exit(0 if np.isfinite(net.get('parameters')).all() else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    stepper.run()


# ---- objects that were not built ----

@pytest.mark.parametrize('attribute', [name for name in dir(_core.Network)
                                       if not name.startswith('__')])
def test_a_network_without_init_is_an_error_and_no_crash(attribute):
    net = _core.Network.__new__(_core.Network)
    if attribute in ('is_lean', 'gradient_hook'):
        with pytest.raises(RuntimeError, match='not built'):
            setattr(net, attribute, None)
        return
    arguments = {'leaf': (0,), 'set_handler': (NumpyHandler(),), 'provide_external_data': ({},)}
    with pytest.raises(RuntimeError, match='not built'):
        value = getattr(net, attribute)
        value(*arguments.get(attribute, ()))


def test_a_stepper_without_init_is_an_error_and_no_crash():
    stepper = _core.Stepper.__new__(_core.Stepper)
    for call in (stepper.run, stepper.state, lambda: stepper.get_option('learning_rate')):
        with pytest.raises(RuntimeError):
            call()


# ---- deltas that nobody asked for ----

class _PassOnLayerImpl(Layer):
    def setup(self, kwargs, in_shapes):
        return in_shapes, {}, {}

    def forward_pass(self, buffers, training_pass=True):
        self.handler.copy_to(buffers.inputs.default, buffers.outputs.default)

    def backward_pass(self, buffers):
        self.handler.add_tt(buffers.output_deltas.default, buffers.input_deltas.default,
                            buffers.input_deltas.default)


LEAN = {
    'parameters': ([], ['Input.output_deltas.default', 'H.input_deltas.default'],
                   ['H.output_deltas.default']),
    'no parameters': ([layers.Dropout, layers.Elementwise],
                      ['Input.output_deltas.default', 'Dropout.input_deltas.default',
                       'Dropout.output_deltas.default', 'Elementwise.input_deltas.default',
                       'Elementwise.output_deltas.default', 'H.input_deltas.default'],
                      ['H.output_deltas.default']),
    'parameters before it': ([layers.BatchNorm, layers.Dropout],
                             ['Input.output_deltas.default', 'BatchNorm.input_deltas.default'],
                             ['Dropout.input_deltas.default', 'H.input_deltas.default']),
    'in Python': ([partial(ConstructionWrapper.create, _PassOnLayerImpl, name='P')],
                  ['Input.output_deltas.default', 'P.input_deltas.default'],
                  ['P.output_deltas.default', 'H.input_deltas.default']),
}


@pytest.mark.parametrize('before, left_out, computed', LEAN.values(), ids=LEAN.keys())
def test_deltas_that_no_gradient_depends_on_may_be_left_out_and_are_never_stale(
        before, left_out, computed):
    net = classifier(*[make() for make in before],
                     layers.FullyConnected(5, activation='tanh', name='H'))
    net.initialize(bs.Gaussian(0.5), seed=1)
    if 'BatchNorm' in net.layers:
        net.buffer.BatchNorm.parameters.sigma = 1
    net.provide_external_data(random_batch())
    net.forward_pass(training_pass=True)
    net.backward_pass()
    whole = {path: net.get(path) for path in (*left_out, *computed, 'gradients')}
    net._core.is_lean = True
    net.backward_pass()
    for path in (*computed, 'gradients'):
        np.testing.assert_array_equal(net.get(path), whole[path])
    for path in left_out:
        with pytest.raises(RuntimeError, match=r'left out.*net\.backward_pass\(\)'):
            net.get(path)
    net._core.is_lean = False
    net.backward_pass()
    for path in left_out:
        np.testing.assert_array_equal(net.get(path), whole[path])
        assert whole[path].any()


def test_a_python_layer_sees_no_deltas_of_the_pass_before():
    seen = []

    class WatchLayerImpl(_PassOnLayerImpl):
        def backward_pass(self, buffers):
            seen.append(np.array(buffers.input_deltas.default))
            super().backward_pass(buffers)

    inp, out = bs.tools.get_in_out_layers('classification', (6,), 3)
    dropout = inp >> layers.Dropout(0.3)
    merge = layers.Merge()
    dropout >> ConstructionWrapper.create(WatchLayerImpl, name='A') >> 'inputs_1' - merge
    dropout >> layers.FullyConnected(5, name='B') >> 'inputs_2' - merge
    merge >> out
    net = bs.Network.from_layer(out)
    net.initialize(bs.Gaussian(0.5), seed=1)
    net.provide_external_data(random_batch())
    net.forward_pass(training_pass=True)
    net.backward_pass()
    net._core.is_lean = True
    net.backward_pass()
    net.backward_pass()
    assert len(seen) == 3 and seen[0].any()  # B has written before A
    for deltas in seen[1:]:
        np.testing.assert_array_equal(deltas, 0)


def test_l1_decay_shows_its_signs_after_a_lean_backward_pass():
    inp = layers.Input({'default': ('T', 'B', 4)})
    net = bs.Network.from_layer(inp >> layers.Dropout(0.5) >> layers.L1Decay() -
                                 'loss' >> layers.Loss())
    net.provide_external_data({'default': random_batch((4,))['default']})
    net.forward_pass(training_pass=True)
    net._core.is_lean = True
    net.backward_pass()
    x = net.get('Dropout.outputs.default')
    np.testing.assert_array_equal(net.get('L1Decay.internals.tmp'), np.sign(x) / x.shape[1])


# ---- the environment ----

@pytest.mark.parametrize('name, value', [('BRAINSTORM_NUM_THREADS', 'many'),
                                         ('BRAINSTORM_NUM_THREADS', '-1'),
                                         ('BRAINSTORM_BLAS', '/no/such/library.so'),
                                         ('BRAINSTORM_CPU', 'abacus')])
def test_a_wrong_environment_variable_is_named(name, value):
    code = 'import numpy; from brainstorm import _core; ' \
           '_core.Handler("cpu", numpy.float32, _core.RandomStream())'
    result = subprocess.run([sys.executable, '-c', code], env=dict(os.environ, **{name: value}),
                            capture_output=True, text=True)
    assert result.returncode == 1
    assert f"{name} is '{value}'" in result.stderr


@pytest.mark.parametrize('layers, error', [([1], TypeError), ([('Input', 'Input')], TypeError),
                                           ([('Input', 'Nothing', {})], ValueError)])
def test_core_networks_are_made_of_triples(layers, error):
    with pytest.raises(error, match='layer'):
        _core.Network(layers, [], NumpyHandler(), _core.RandomStream())


def test_has_run():
    net = mlp()
    net.provide_external_data(random_batch())
    assert not net._core.has_run_forward and not net._core.has_run_backward
    net.forward_pass()
    assert net._core.has_run_forward and not net._core.has_run_backward
    net.backward_pass()
    assert net._core.has_run_backward
    net.set_handler(NumpyHandler(np.float32))
    assert not net._core.has_run_forward and not net._core.has_run_backward


def test_a_handler_without_init_is_an_error_and_no_crash():
    handler, stream = _core.Handler.__new__(_core.Handler), _core.RandomStream()
    layers = [('Input', 'Input', {'out_shapes': {'default': ('T', 'B', 2)}})]
    with pytest.raises(RuntimeError, match='__init__'):
        _core.Network(layers, [], handler, stream)
    with pytest.raises(RuntimeError, match='__init__'):
        _core.Network(layers, [], NumpyHandler(), stream).set_handler(handler)
    with pytest.raises(RuntimeError, match='__init__'):
        handler.fill(np.zeros(3, np.float32), 1.0)
