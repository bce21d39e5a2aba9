"""Whole trainings on a GPU: as on the CPU, and the same bits by graphs as piece by piece."""

import ctypes
import os
from collections import OrderedDict

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import DebugHandler, NumpyHandler, PyCudaHandler
from brainstorm.layers.base_layer import Layer
from brainstorm.structure.buffer_structure import StructureTemplate
from brainstorm.structure.construction import ConstructionWrapper
from cuda_double import ORDERS
from test_cuda_operations import order, set_order  # noqa: F401: a fixture
from trainings import TASKS, minibatch, network, train

pytestmark = pytest.mark.usefixtures('gpu')
every_task = pytest.mark.parametrize('task', TASKS)


def double():
    """The library that plays the GPU; skips where a real one is."""
    path = os.environ.get('BRAINSTORM_LIB_CUDA') or pytest.skip('counts calls of the double')
    library = ctypes.CDLL(path)
    library.double_tasks.restype = ctypes.c_long
    return library


def graph_launches():
    """Of the double, so far; None on a real GPU."""
    path = os.environ.get('BRAINSTORM_LIB_CUDA')
    return ctypes.CDLL(path).double_graph_launches() if path else None


def assert_same(found, wanted):
    for a, b in zip(found, wanted):
        np.testing.assert_array_equal(a, b)


@every_task
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_gpu_learns_what_the_cpu_does(task, dtype):
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    for found, wanted in zip(train(task, PyCudaHandler(dtype)), train(task, NumpyHandler(dtype))):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def cifar10_cnn(flow):
    """The network of examples/cifar10_cnn.py, with an eighth of its filters."""
    for filters in (4, 4, 8):
        flow = flow >> layers.Convolution2D(filters, kernel_size=(5, 5), padding=2)
        flow = flow >> layers.Pooling2D(type='max', kernel_size=(3, 3), stride=(2, 2))
    return flow >> layers.FullyConnected(8)


@pytest.mark.parametrize('dtype, tolerance', [
    # with cuDNN; rounding to 6e-8 decides which of two equal pixels is the maximum, now and then
    (np.float32, 1e-3),
    # with our own kernels; 1e-16 decides nothing, and 50 updates leave much less than this
    (np.float64, 1e-11)])
def test_fifty_updates_of_cifar10_cnn(dtype, tolerance, monkeypatch):
    monkeypatch.setitem(TASKS, 'cifar10_cnn', (cifar10_cnn, (32, 32, 3), 1, 4))
    found, wanted = (
        train('cifar10_cnn', handler(dtype), bs.training.MomentumStepper(0.001, 0.9),
              sizes=50 * (None,), looks=True)[0] for handler in (PyCudaHandler, NumpyHandler))
    assert wanted[-3:].sum() < wanted[:3].sum() / 2  # it learns
    np.testing.assert_allclose(found, wanted, rtol=tolerance)


@every_task
def test_graphs_and_single_kernels_give_the_same_bits(task):
    before = graph_launches()
    graphs = train(task, PyCudaHandler())
    if before is not None:
        assert graph_launches() == before + 5  # all but the first of six updates
    assert_same(graphs, train(task, DebugHandler(PyCudaHandler())))  # which runs every operation


@pytest.mark.parametrize('layer', ['Lstm', 'LstmOpt', 'Gru', 'Recurrent'])
def test_a_step_of_a_recurrent_layer_is_four_pieces_of_work_at_most(layer):
    """A product and a kernel, forward; and a copy of the deltas from above, backward."""
    tasks, count = {}, double().double_tasks
    inp, out = bs.tools.get_in_out_layers('classification', (6,), 5)
    inp >> getattr(layers, layer)(7) >> out
    net = bs.Network.from_layer(out)
    net.set_handler(PyCudaHandler())
    net.initialize(bs.Gaussian(0.3), seed=1)
    for T in (5, 25):
        r = np.random.RandomState(0)
        net.provide_external_data({'default': r.randn(T, 3, 6),
                                   'targets': r.randint(0, 5, (T, 3, 1))})
        net.forward_pass()
        begin = count()
        net.forward_pass()
        middle = count()
        net.backward_pass()
        tasks[T] = middle - begin, count() - middle
    for few, many in zip(tasks[5], tasks[25]):
        assert (many - few) / 20 <= 4


@pytest.mark.parametrize('order', ORDERS, indirect=True)
@every_task
def test_two_runs_give_the_same_bits(task, order):
    again = train(task, PyCudaHandler())
    set_order(ORDERS[0])
    assert_same(train(task, PyCudaHandler()), again)


@pytest.mark.parametrize('stepper', [
    bs.training.SgdStepper, bs.training.MomentumStepper, bs.training.NesterovStepper,
    bs.training.RmsPropStepper, bs.training.AdamStepper, bs.training.AdagradStepper,
    bs.training.AdadeltaStepper], ids=lambda stepper: stepper.__name__)
def test_every_stepper(stepper):
    found, wanted = (train('one layer', handler, stepper())
                     for handler in (PyCudaHandler(np.float64), NumpyHandler(np.float64)))
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-10, atol=1e-12)


def test_the_learning_rate_changes_inside_a_graph():
    def run(handler):
        net = network('one layer', handler)
        stepper = bs.training.SgdStepper(0.5)
        stepper.start(net)
        net.provide_external_data(minibatch('one layer', 0))
        for rate in (0.5, 0.25, 0.125, 0.0):
            stepper.learning_rate = rate
            stepper.run()
        return (net.get('parameters'),)
    assert_same(run(PyCudaHandler()), run(DebugHandler(PyCudaHandler())))


def test_minibatches_of_several_sizes():
    sizes = [10, 10, 4, 10, 4, 7, 4, 10, 7]
    before = graph_launches()
    graphs = train('images', PyCudaHandler(), sizes=sizes)
    if before is not None:
        assert graph_launches() > before
    assert_same(graphs, train('images', DebugHandler(PyCudaHandler()), sizes=sizes))


def test_more_sizes_than_graphs_are_kept():
    sizes = [1 + i % 11 for i in range(44)]
    wanted = train('one layer', DebugHandler(PyCudaHandler()), sizes=sizes)
    assert_same(train('one layer', PyCudaHandler(), sizes=sizes), wanted)


@pytest.mark.parametrize('stepper', [
    bs.training.MomentumStepper(0.1, 0.9), bs.training.AdamStepper(0.1, weight_decay=0.5)],
    ids=lambda stepper: type(stepper).__name__)
def test_wrong_data_leads_to_no_update(stepper):
    net = network('one layer', PyCudaHandler())
    stepper.start(net)
    good = minibatch('one layer', 0)
    for update in range(3):
        net.provide_external_data(good)
        stepper.run()
        before = net.get('parameters')
        net.provide_external_data(dict(good, targets=np.array([[[1], [7], [0]]])))
        with pytest.raises(IndexError, match=r"layer 'Output': softmax_ce: id 7 in row 1 is out of "
                                             r"range \[0, 5\)"):
            stepper.run()
            net.get_loss_values()
        np.testing.assert_array_equal(net.get('parameters'), before)


def test_a_wrong_timing_leads_to_no_update():
    net = network('clocks', PyCudaHandler())
    stepper = bs.training.MomentumStepper(0.1, 0.9)
    stepper.start(net)
    net.provide_external_data(minibatch('clocks', 0))
    timing = net.buffer.Clockwork.parameters.timing
    for update in range(3):
        stepper.run()
        timing[1:2] = 0
        before = net.get('parameters')
        with pytest.raises(ValueError, match=r"layer 'Clockwork': all numbers of parameter "
                                             r"'timing' must be finite and above 0"):
            stepper.run()
            net.get_loss_values()
        np.testing.assert_array_equal(net.get('parameters'), before)
        timing[1:2] = 3


class DoubledLayerImpl(Layer):
    """y = 2x, in Python."""

    expected_inputs = {'default': StructureTemplate('T', 'B', '...')}

    def setup(self, kwargs, in_shapes):
        return in_shapes, OrderedDict(), OrderedDict()

    def forward_pass(self, buffers, training_pass=True):
        self.handler.mult_st(2.0, buffers.inputs.default, buffers.outputs.default)

    def backward_pass(self, buffers):
        self.handler.mult_add_st(2.0, buffers.output_deltas.default, buffers.input_deltas.default)


def test_layers_in_python_run_between_kernels(monkeypatch):
    monkeypatch.setitem(TASKS, 'python', (
        lambda flow: flow >> layers.FullyConnected(6)
        >> ConstructionWrapper.create(DoubledLayerImpl) >> layers.FullyConnected(4),
        (5,), 1, 3))
    before = graph_launches()
    found, wanted = (train('python', handler(np.float64))
                     for handler in (PyCudaHandler, NumpyHandler))
    assert graph_launches() == before
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-10)


def test_gradient_modifiers_see_this_update():
    seen = []

    class Watch(bs.value_modifiers.GradientModifier):
        def __call__(self, handler, parameters, gradients):
            seen.append(handler.get_numpy_copy(gradients))
    net = network('one layer', PyCudaHandler())
    net.set_gradient_modifiers({'FullyConnected': {'W': Watch()}})
    stepper = bs.training.SgdStepper(0.1)
    stepper.start(net)
    for i in range(4):
        net.provide_external_data(minibatch('one layer', i))
        stepper.run()
        np.testing.assert_array_equal(seen[-1], net.get('FullyConnected.gradients.W'))


def test_wrong_data_is_forgotten_with_the_update_that_had_it():
    class Refuse(bs.value_modifiers.GradientModifier):
        def __call__(self, handler, parameters, gradients):
            raise KeyError('mine')
    net = network('one layer', PyCudaHandler())
    net.set_gradient_modifiers({'FullyConnected': {'W': Refuse()}})
    stepper = bs.training.SgdStepper(0.1)
    stepper.start(net)
    good = minibatch('one layer', 0)
    net.provide_external_data(dict(good, targets=np.full((1, 3, 1), 7)))
    with pytest.raises(KeyError):
        stepper.run()
    net.set_gradient_modifiers({})
    net.provide_external_data(good)
    stepper.run()


def test_a_trainer_with_hooks_iterators_and_modifiers():
    def run(handler):
        r = np.random.RandomState(3)
        x, y = r.randn(1, 30, 5), r.randint(0, 5, (1, 30, 1))
        net = network('one layer', handler)
        net.set_weight_modifiers({'FullyConnected': {'W': bs.value_modifiers.ConstrainL2Norm(1)}})
        trainer = bs.training.Trainer(bs.training.AdamStepper(0.01), verbose=False)
        trainer.train_scorers = [bs.scorers.Accuracy()]
        trainer.add_hook(bs.hooks.StopAfterEpoch(3))
        trainer.add_hook(bs.hooks.MonitorScores('valid', trainer.train_scorers, verbose=False))
        trainer.train(net, bs.data_iterators.Minibatches(10, shuffle=False, default=x, targets=y),
                      valid=bs.data_iterators.Undivided(default=x, targets=y))
        return net.get('parameters'), trainer.logs['MonitorScores']['Accuracy']
    found, wanted = run(PyCudaHandler(np.float64)), run(NumpyHandler(np.float64))
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-9, atol=1e-12)
    assert found[1] == wanted[1]


@every_task
def test_networks_move_between_handlers(task, tmp_path):
    net = network(task, NumpyHandler(np.float64))
    data = minibatch(task, 0)
    predictions = []
    for handler in (NumpyHandler, PyCudaHandler, NumpyHandler):
        net.set_handler(handler(np.float64))
        net.provide_external_data(data)
        net.forward_pass()
        predictions.append(net.get('Output.outputs.predictions'))
        net.save_as_hdf5(tmp_path / f'{handler.__name__}.h5')
    np.testing.assert_allclose(predictions[1], predictions[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(predictions[2], predictions[0])
    loaded = bs.Network.from_hdf5(tmp_path / 'PyCudaHandler.h5')
    assert isinstance(loaded.handler, PyCudaHandler)
    np.testing.assert_array_equal(loaded.get('parameters'), net.get('parameters'))


def test_context_goes_on_from_one_handler_to_the_other():
    data = minibatch('letters', 0)
    first, second = ({name: value[half] for name, value in data.items()}
                     for half in (slice(0, 4), slice(4, None)))
    net = network('letters', NumpyHandler(np.float64))
    net.provide_external_data(data)
    net.forward_pass()
    whole = net.get('Output.outputs.predictions')[4:]
    net.provide_external_data(first)
    net.forward_pass()
    context = net.get_context()
    net.set_handler(PyCudaHandler(np.float64))
    net.provide_external_data(second)
    net.forward_pass(context=context)
    np.testing.assert_allclose(net.get('Output.outputs.predictions'), whole, rtol=1e-9)


class OfAnotherLibrary:
    """Memory of the GPU that NumPy knows nothing of."""

    def __init__(self, array):
        self.array, self.__cuda_array_interface__ = array, array.__cuda_array_interface__


def test_data_of_the_gpu_stays_there():
    handler = PyCudaHandler()
    data = minibatch('letters', 0)
    on_gpu = {name: OfAnotherLibrary(handler.create_from_numpy(value.astype(np.float32)))
              for name, value in data.items()}
    net, other = network('letters', handler), network('letters', handler)
    for n, values in ((net, data), (other, on_gpu)):
        n.provide_external_data(values)
        n.forward_pass()
    np.testing.assert_array_equal(net.get('Output.outputs.predictions'),
                                  other.get('Output.outputs.predictions'))
    with pytest.raises(ValueError, match=r"data 'targets' has shape \(7, 4, 2\)"):
        net.provide_external_data(dict(data, targets=handler.zeros((7, 4, 2))))
