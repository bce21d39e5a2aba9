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
