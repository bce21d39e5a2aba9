"""Every call of the driver and every allocation fails once: an exception, no crash, no leak, and
afterwards all works again."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import _core
from brainstorm.handlers import NumpyHandler, PyCudaHandler

pytestmark = pytest.mark.usefixtures('double')

ROOT = Path(bs.__file__).parents[1]
OUT_OF_MEMORY, ILLEGAL_ADDRESS = 2, 700


# ---- what fails: (what there is before, what is done with it) ----

def nothing():
    return None


def construct(_):
    PyCudaHandler()


def open_gpu():
    return PyCudaHandler()


def arrays(handler):
    a = handler.create_from_numpy(np.arange(6.0).reshape(2, 3))
    a[:, ::2] = 5
    a[::-1].set(a)
    a += a[::-1] * 2
    assert float((a ** 0.5 / 2).astype('float64')[0, 0]) > 0
    assert np.asarray(handler.create_from(a)).shape == (2, 3)
    a.__dlpack__(stream=2, copy=True)
    repr(a)


def operations(handler):
    a, out = handler.ones((8, 8)), handler.zeros((8, 8))
    handler.dot_mm(a, a, out)
    handler.tanh(a, out)
    handler.sum_t(a, 0, handler.zeros((1, 8)))
    handler.generate_probability_mask(out, 0.5)
    handler.binarize_v(handler.zeros((8, 1)), out)
    images, window = handler.ones((2, 4, 4, 2)), handler.ones((3, 2, 2, 2))
    handler.conv2d_forward_batch(images, window, handler.ones((3,)), handler.zeros((2, 3, 3, 3)), 0,
                                 (1, 1))
    assert handler.is_fully_finite(images)


def new_network():
    net = bs.tools.create_net_from_spec('classification', 4, 2, 'D F3')
    net.initialize(0.1, seed=1)
    return net


def network_and_handler():
    return new_network(), PyCudaHandler(seed=1)


DATA = {'default': np.ones((1, 2, 4)), 'targets': np.zeros((1, 2, 1))}


def train(things):
    """Several steps: from the second one on they are a graph."""
    net, handler = things
    net.set_handler(handler)
    stepper = bs.training.MomentumStepper(0.1, 0.9)
    stepper.start(net)
    for _ in range(3):
        net.provide_external_data(DATA)
        stepper.run()
    net.forward_pass()
    assert np.isfinite(net.get_loss_values()['total_loss'])
    assert np.isfinite(net.get('parameters')).all()


def network_on_gpu():
    net, handler = network_and_handler()
    net.set_handler(handler)
    net.provide_external_data(DATA)
    net.forward_pass()
    return net


def come_back(net):
    parameters = net.get('parameters')
    net.set_handler(NumpyHandler())
    np.testing.assert_array_equal(net.get('parameters'), parameters)


ACTIONS = [(nothing, construct), (open_gpu, arrays), (open_gpu, operations),
           (network_and_handler, train), (network_on_gpu, come_back)]
NAMES = [action.__name__ for _, action in ACTIONS]


def fails_everywhere(prepare, action, live, fail, count, exceptions):
    """Lets the n-th thing fail, for n = 1, 2 and so on, as long as there are as many."""
    gc.collect()
    before, n, failures, done = live(), 0, 0, False
    while not done:
        n += 1
        things = prepare()
        start = count()
        fail(n)
        try:
            action(things)
        except exceptions:
            failures += 1
            fail(0)
            if isinstance(things, bs.Network):
                assert type(things.handler) in (NumpyHandler, PyCudaHandler)
            action(things)
        else:
            done = count() - start < n
        finally:
            fail(0)
        del things
        gc.collect()
        assert live() == before, f'{n}th'
    assert failures
    return failures


is_warm = []


@pytest.fixture(autouse=True)
def warm_up(gpu):
    """What Python and the engine keep for good is there before anybody counts."""
    if not is_warm:
        for prepare, action in ACTIONS:
            action(prepare())
        is_warm.append(True)


@pytest.mark.parametrize('code, exceptions', [(OUT_OF_MEMORY, (MemoryError, RuntimeError)),
                                              (ILLEGAL_ADDRESS, RuntimeError)])
@pytest.mark.parametrize('prepare, action', ACTIONS, ids=NAMES)
def test_calls_of_the_driver(double, prepare, action, code, exceptions):
    fails_everywhere(prepare, action, double.live,
                     lambda n: double.library.double_fail_at(n, code),
                     double.library.double_calls, exceptions)


@pytest.mark.parametrize('prepare, action', ACTIONS, ids=NAMES)
def test_allocations_of_the_host(double, prepare, action):
    fails_everywhere(prepare, action, lambda: (*double.live(), _core.live_allocation_count()),
                     _core.fail_allocation, _core.allocation_count, MemoryError)


def test_after_a_fork(cuda_double, tmp_path):
    """A GPU does not survive a fork: the child is told so, and may go its way."""
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path]),
           **{f'BRAINSTORM_LIB_{name}': str(cuda_double)
              for name in ('CUDA', 'NVRTC', 'CUBLAS', 'CUDNN')}}
    done = subprocess.run([sys.executable, '-c', '''
import os, sys
import numpy as np
import brainstorm as bs
from brainstorm.handlers import PyCudaHandler
handler = PyCudaHandler()
a = handler.ones((3,))
net = bs.tools.create_net_from_spec('classification', 4, 2, 'F3')
net.initialize(1.0)
net.set_handler(handler)
data = {'default': np.ones((1, 2, 4)), 'targets': np.zeros((1, 2, 1))}
net.provide_external_data(data)
child = os.fork()
if not child:
    uses = [lambda: a.get(), lambda: a.set(3), lambda: a + 1, lambda: a.copy(), lambda: repr(a),
            lambda: handler.zeros((2,)), lambda: handler.tanh(a, a), net.forward_pass,
            lambda: net.provide_external_data(data), lambda: net.get('parameters'),
            lambda: net.set_handler(bs.handlers.NumpyHandler()),
            lambda: handler.is_fully_finite(a)]
    for number, use in enumerate(uses):
        try:
            use()
        except RuntimeError as error:
            assert 'cannot be used in a process that was forked' in str(error), error
        else:
            raise AssertionError(number)
    try:
        PyCudaHandler()
    except RuntimeError as error:
        assert 'a process that was forked after CUDA had been initialised' in str(error), error
    else:
        raise AssertionError('another handler')
    bs.handlers.NumpyHandler().zeros((2,))
    sys.exit(7)
assert os.waitpid(child, 0)[1] == 7 << 8
net.forward_pass()
print((a + 1).get())
'''], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, '[2. 2. 2.]\n', '')
