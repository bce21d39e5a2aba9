"""Updates on a GPU do not wait: minibatches go there while the update before runs, and what was
wrong with its data is told by the next call that waits."""

import gc
import os
import re

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import DebugHandler, NumpyHandler, PyCudaHandler

pytestmark = pytest.mark.usefixtures('gpu')

LATE = r"layer 'Output': softmax_ce: id 7 in row 1 is out of range \[0, 5\), in the update before"


@pytest.fixture(params=['late', 'in a hurry', 'as they are'])
def streams(gpu, request):
    """Uploads come as late as they may, or ahead of all that they need not wait for; the double of
    a GPU can do that."""
    is_real = bool(os.environ.get('BRAINSTORM_TEST_GPU'))
    if is_real != (request.param == 'as they are'):
        pytest.skip('a GPU and its double have other streams')
    if is_real:
        yield request.param
        return
    double = request.getfixturevalue('double')
    double.library.double_hurry(int(request.param == 'in a hurry'))
    yield request.param
    double.library.double_hurry(0)


def network(handler, task='classification'):
    net = bs.tools.create_net_from_spec(task, 4, 5 if task == 'classification' else 2, 'F6')
    net.initialize(bs.Gaussian(0.3), seed=1)
    net.set_handler(handler)
    return net


def minibatch(seed, B=3, task='classification'):
    r = np.random.RandomState(seed)
    targets = r.randint(0, 5, (1, B, 1)) if task == 'classification' else r.randn(1, B, 2)
    return {'default': r.randn(1, B, 4), 'targets': targets.astype(float)}


WRONG = dict(minibatch(0), targets=np.array([[[1], [7], [0]]]))


def start(net, stepper=None):
    stepper = stepper or bs.training.MomentumStepper(0.1, 0.9)
    stepper.start(net)
    return stepper


def train(handler, sizes, task='classification'):
    """Parameters after updates that nobody waits for."""
    net = network(handler, task)
    stepper = start(net)
    for i, B in enumerate(sizes):
        data = minibatch(i, B, task)
        net.provide_external_data(data)
        for array in data.values():  # which are the caller's again
            array[...] = np.nan
        stepper.run()
    return net.get('parameters')


# ---- uploads ----

@pytest.mark.parametrize('task', ['classification', 'regression'])
@pytest.mark.parametrize('sizes', [[3] * 12, [3, 3, 8, 8, 3, 20, 1, 20, 20]])
def test_nobody_waits_and_all_is_right(streams, task, sizes):
    found = train(PyCudaHandler(np.float64), sizes, task)
    wanted = train(NumpyHandler(np.float64), sizes, task)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    np.testing.assert_array_equal(found, train(DebugHandler(PyCudaHandler(np.float64)), sizes,
                                               task))


def tasks_that_wait(double):
    return double.library.double_tasks() - double.library.double_tasks_done()


def test_at_most_one_update_is_on_its_way(double):
    net = network(PyCudaHandler())
    stepper = start(net)
    net._core.finish()
    waiting = []
    for _ in range(6):
        net.provide_external_data(minibatch(0))
        stepper.run()
        waiting.append(tasks_that_wait(double))
    assert min(waiting) > 5 and len(set(waiting[2:])) == 1
    net._core.finish()
    assert tasks_that_wait(double) == 1  # the words are reset for the next update


def test_without_ids_nothing_waits_for_updates(double):
    net = network(PyCudaHandler(), 'regression')
    stepper = start(net)
    data = minibatch(0, task='regression')
    net.provide_external_data(data)
    stepper.run()
    net._core.finish()
    done = double.library.double_tasks_done()
    for _ in range(5):
        stepper.run()
    assert double.library.double_tasks_done() == done


class OnTheirStream:
    """Memory of the double that others write on a stream of theirs, which they name."""

    def __init__(self, double, *shape):
        self.double, self.stream = double, double.stream()
        self.at = double.allocate(4 * int(np.prod(shape)))
        self.__cuda_array_interface__ = {'shape': shape, 'typestr': '<f4', 'version': 3,
                                         'data': (self.at, False), 'stream': self.stream.value}

    def write(self, numbers):
        self.double.upload(np.ascontiguousarray(numbers, np.float32), self.at, self.stream)


def test_memory_of_others_may_be_changed_as_soon_as_it_was_given(streams, double):
    def parameters(give):
        net = network(PyCudaHandler(), 'regression')
        stepper = start(net)
        for i in range(6):
            give(net, minibatch(i, task='regression'))
            stepper.run()
        return net.get('parameters')

    theirs = {'default': OnTheirStream(double, 1, 3, 4), 'targets': OnTheirStream(double, 1, 3, 2)}

    def by_their_memory(net, data):
        for name, array in theirs.items():
            array.write(data[name])
        net.provide_external_data(theirs)
        for array in theirs.values():
            array.write(np.full(array.__cuda_array_interface__['shape'], 9))

    np.testing.assert_array_equal(parameters(by_their_memory),
                                  parameters(lambda net, data: net.provide_external_data(data)))
    for array in theirs.values():
        double.free(array.at)
        double.cuStreamDestroy_v2(array.stream)


class OnlyDlpack:
    def __init__(self, array):
        self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


def test_data_that_has_dlpack_alone():
    handler = PyCudaHandler()
    net = network(handler, 'regression')
    data = minibatch(0, task='regression')
    net.provide_external_data({key: OnlyDlpack(handler.create_from_numpy(value))
                               for key, value in data.items()})
    np.testing.assert_array_equal(net.get('Input.outputs.default'), np.float32(data['default']))


def test_data_arrives_without_memory_for_staging(double):
    """Every call fails for want of memory, the n-th alone: what was given has come, or an error."""
    ways = set()
    for n in range(1, 40):
        net = network(PyCudaHandler(), 'regression')
        net.provide_external_data(minibatch(0, task='regression'), all_inputs=False)
        data = minibatch(1, B=300, task='regression')
        before = double.library.double_calls()
        double.library.double_fail_at(n, 2)
        try:
            net.provide_external_data(data)
            was_reached = double.library.double_calls() - before >= n
            double.library.double_fail_at(0, 0)
            np.testing.assert_array_equal(net.get('Input.outputs.default'),
                                          np.float32(data['default']))
            ways.add('done' if was_reached else 'not reached')
        except MemoryError:
            ways.add('error')
        double.library.double_fail_at(0, 0)
    assert ways == {'done', 'error', 'not reached'}


# ---- what was wrong ----

WAITERS = {
    'get': lambda net: net.get('parameters'),
    'get of anything': lambda net: net.get('Output.outputs.predictions'),
    'buffer': lambda net: net.buffer.gradients,
    'losses': lambda net: net.get_loss_values(),
    'forward': lambda net: net.forward_pass(),
    'backward': lambda net: net.backward_pass(),
    'set_handler': lambda net: net.set_handler(NumpyHandler()),
    'start': start,
}


@pytest.mark.parametrize('waiter', WAITERS)
def test_the_next_call_that_waits_tells_what_was_wrong(streams, waiter):
    net = network(PyCudaHandler())
    stepper = start(net)
    for data in minibatch(0), WRONG:
        before = net.get('parameters')
        net.provide_external_data(data)
        stepper.run()
    with pytest.raises(IndexError, match=LATE):
        WAITERS[waiter](net)
    np.testing.assert_array_equal(net.get('parameters'), before)
    net.provide_external_data(minibatch(0))
    WAITERS[waiter](net)


@pytest.mark.parametrize('stepper', [bs.training.MomentumStepper(0.1, 0.9),
                                     bs.training.AdamStepper(0.1, weight_decay=0.5)])
def test_the_next_update_tells_and_is_made(streams, stepper):
    """The parameters are those of a training that has not seen the wrong data."""
    def parameters(wrong):
        net = network(PyCudaHandler())
        start(net, stepper)
        for i in range(6):
            if i == wrong:
                net.provide_external_data(WRONG)
                stepper.run()
            net.provide_external_data(minibatch(i))
            if i == wrong:
                with pytest.raises(IndexError, match=LATE):
                    stepper.run()
            else:
                stepper.run()
        return net.get('parameters'), stepper._core.updates
    plain = isinstance(stepper, bs.training.MomentumStepper)
    for wrong in range(6):
        found, wanted = parameters(wrong), parameters(None)
        assert found[1] == wanted[1] == 6
        if plain:  # Adam has counted the wrong one at that time
            np.testing.assert_array_equal(found[0], wanted[0])


@pytest.mark.parametrize('tell', ['get', 'losses', 'buffer'])
def test_a_wrong_update_does_not_count_whoever_tells(tell):
    def parameters(wrong):
        net = network(PyCudaHandler(np.float64))
        stepper = start(net, bs.training.AdamStepper(0.01))
        for i in range(3):
            if i == wrong:
                net.provide_external_data(WRONG)
                stepper.run()
                with pytest.raises(IndexError, match=LATE):
                    WAITERS[tell](net)
            net.provide_external_data(minibatch(i))
            stepper.run()
        return net.get('parameters'), stepper._core.updates

    for wrong in range(3):
        found, wanted = parameters(wrong), parameters(None)
        np.testing.assert_array_equal(found[0], wanted[0])
        assert found[1] == wanted[1] == 3


def test_a_wrong_update_does_not_move_batch_norm():
    """The layer comes after the one whose ids are wrong."""
    def statistics(wrong):
        inp = layers.Input(out_shapes={'default': ('T', 'B', 1), 'targets': ('T', 'B', 2)})
        difference = layers.SquaredError(name='Error')
        (inp >> layers.Embedding(6, 4, name='Ids') >> layers.BatchNorm(name='Norm')
         >> layers.FullyConnected(2, activation='linear') >> difference)
        inp - 'targets' >> 'targets' - difference
        difference - 'loss' >> layers.Loss()
        net = bs.Network.from_layer(inp)
        net.initialize(bs.Gaussian(0.3), seed=1)
        net.set_handler(PyCudaHandler())
        stepper = start(net)
        for i, ids in enumerate([[1, 2, 3], *[[1, 99, 2]] * wrong, [0, 5, 4]]):
            net.provide_external_data({'default': np.reshape(ids, (1, 3, 1)),
                                       'targets': np.ones((1, 3, 2))})
            stepper.run()
            if 99 in ids:
                with pytest.raises(IndexError, match='id 99'):
                    net._core.finish()
        return [net.get('Norm.parameters.' + name) for name in ('mu', 'sigma')]

    np.testing.assert_array_equal(statistics(1), statistics(0))


class Failing(bs.value_modifiers.GradientModifier):
    fails = False  # of all copies

    def __call__(self, handler, parameters, gradients):
        if self.fails:
            raise ZeroDivisionError('on purpose')


def test_a_wrong_update_before_one_that_fails_is_told():
    def parameters(*updates):
        net, told = network(PyCudaHandler(np.float64)), []
        net.set_gradient_modifiers({'FullyConnected': Failing()})
        stepper = start(net)
        for kind in updates:
            Failing.fails = kind == 'fails'
            net.provide_external_data(WRONG if kind == 'wrong' else minibatch(0))
            try:
                stepper.run()
            except (ZeroDivisionError, IndexError) as error:
                told.append(type(error))
        Failing.fails = False
        return net.get('parameters'), stepper._core.updates, told

    found = parameters('good', 'wrong', 'fails', 'good', 'good')
    wanted = parameters('good', 'good', 'good')
    assert found[2] == [ZeroDivisionError, IndexError] and found[1] == wanted[1] == 3
    np.testing.assert_array_equal(found[0], wanted[0])


def test_two_wrong_updates_are_two_errors():
    net = network(PyCudaHandler())
    stepper = start(net)
    before = net.get('parameters')
    net.provide_external_data(WRONG)
    stepper.run()
    for _ in range(3):
        with pytest.raises(IndexError, match=LATE):
            stepper.run()
    with pytest.raises(IndexError, match=LATE):
        net._core.finish()
    np.testing.assert_array_equal(net.get('parameters'), before)


@pytest.mark.parametrize('dtype, ids, text', [
    (np.float32, 2.5, '2.5'), (np.float64, 123456789.5, '123456790'), (np.float64, -0.1, '-0.1'),
    (np.float32, np.nan, '-?nan'), (np.float64, -np.inf, '-inf')])
def test_the_id_is_told_after_it_was_overwritten(dtype, ids, text):
    net = network(PyCudaHandler(dtype))
    stepper = start(net)
    net.provide_external_data(dict(WRONG, targets=np.array([[[1], [ids], [9]]])))
    stepper.run()
    net.provide_external_data(minibatch(0))
    with pytest.raises(IndexError, match=f'id {text} in row 1 is'):
        stepper.run()


def test_passes_tell_at_once():
    net = network(PyCudaHandler())
    net.provide_external_data(WRONG)
    with pytest.raises(IndexError, match=r'range \[0, 5\)$'):
        net.forward_pass()


def test_a_trainer_tells_what_was_wrong_with_the_last_update():
    net = network(PyCudaHandler())
    trainer = bs.training.Trainer(bs.training.SgdStepper(0.1), verbose=False)
    trainer.add_hook(bs.hooks.StopAfterEpoch(1))
    with pytest.raises(IndexError, match=LATE):
        trainer.train(net, bs.data_iterators.Undivided(**WRONG))


def test_a_network_goes_while_an_update_is_on_its_way(streams, double):
    gc.collect()
    before = double.live()
    net = network(PyCudaHandler())
    stepper = start(net)
    for _ in range(3):
        net.provide_external_data(WRONG)
        try:
            stepper.run()
        except IndexError:
            pass
    del net, stepper
    gc.collect()
    assert double.live() == before


def test_many_layers_that_report():
    """More tickets than there are at a time."""
    inp, out = bs.tools.get_in_out_layers('classification', (4, 4, 2), 5)
    flow = inp
    for _ in range(70):
        flow = flow >> layers.Pooling2D(type='max', kernel_size=(1, 1))
    flow >> out
    nets = []
    for handler in PyCudaHandler(np.float64), NumpyHandler(np.float64):
        net = bs.Network.from_layer(out)
        net.initialize(bs.Gaussian(0.3), seed=1)
        net.set_handler(handler)
        stepper = start(net)
        for i in range(3):
            r = np.random.RandomState(i)
            net.provide_external_data({'default': r.randn(1, 3, 4, 4, 2),
                                       'targets': r.randint(0, 5, (1, 3, 1))})
            stepper.run()
        nets.append(net.get('parameters'))
    np.testing.assert_allclose(*nets, rtol=1e-10)


# ---- planted mistakes ----

def test_mistakes_are_noticed(streams, double):
    """A function of the driver that orders streams does nothing."""
    wanted = train(PyCudaHandler(), [3] * 12)
    noticed = set()
    for name in 'cuStreamWaitEvent', 'cuEventSynchronize':
        double.library.double_forget(name.encode())
        try:
            found = train(PyCudaHandler(), [3] * 12)
            if not np.array_equal(found, wanted):
                noticed.add(name)
        except (RuntimeError, IndexError) as error:
            assert re.search('pinned memory|illegal|out of range', str(error)), error
            noticed.add(name)
        finally:
            double.library.double_forget(None)
    assert noticed == {'late': {'cuEventSynchronize', 'cuStreamWaitEvent'},
                       'in a hurry': {'cuEventSynchronize'}}[streams]
