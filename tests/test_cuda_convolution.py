"""Convolutions on a GPU by cuDNN, which the double plays (tests/cuda/cudnn.c) with engines of all
kinds: which of them is taken, and that all ways lead to the same numbers."""

import ctypes
import gc
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import brainstorm as bs
import test_layer_laws
from brainstorm import layers
from brainstorm.handlers import DebugHandler, PyCudaHandler
from cuda_double import ROOT
from layer_cases import CASES as LAYERS
from op_cases import CONVS
from test_cuda_operations import download, run, upload
from test_cuda_training import assert_same, graph_launches, train
from test_layer_laws import Bench
from test_operations import ALL, check, expect, make

ENGINES = re.findall(r'^    DOUBLE_(\w+)', (ROOT / 'tests/cuda/double.h').read_text(), re.M)
OPERATIONS = [case for case in ALL if case.values[0].startswith('conv2d')]
FORWARD = 'conv2d_forward_batch'

# engines that are offered: which of them is taken
CHOICES = {'plain': (ENGINES, 'PLAIN'),
           'with a workspace': (['HUNGRY', 'WORKING'], 'WORKING'),
           'none': ([], None)}
every_choice = pytest.mark.parametrize('choice', CHOICES)


class Cudnn:
    """What the double's cuDNN offers, and what was taken from it."""

    def __init__(self, path):
        self.double = ctypes.CDLL(path)
        self.offer(ENGINES)

    def offer(self, engines):
        self.double.double_offer_engines(sum(1 << ENGINES.index(name) for name in engines))
        self._before = self._counts()

    def _counts(self):
        return [self.double.double_convolutions(k) for k in range(len(ENGINES))]

    def taken(self):
        """Engines that have worked since the last offer."""
        return {name for name, before, now in zip(ENGINES, self._before, self._counts())
                if now > before}

    def calls(self, function):
        before = self.double.double_calls()
        function()
        return self.double.double_calls() - before

    def live_objects(self):
        gc.collect()
        return self.double.double_live_objects()


@pytest.fixture
def cudnn(gpu):
    path = os.environ.get('BRAINSTORM_LIB_CUDNN', '')
    if 'double' not in os.path.basename(path):
        pytest.skip('needs the double of cuDNN')
    cudnn = Cudnn(path)
    yield cudnn
    cudnn.double.double_fail_at(0, 0)
    cudnn.offer(ENGINES)


def run_and_check(handler, name, arguments):
    check(name, expect(name, arguments), run(handler, name, upload(handler, arguments)),
          handler.dtype)


def taken_by(cudnn, handler):
    run_and_check(handler, FORWARD, make(FORWARD, handler.dtype, CONVS[1]))
    return cudnn.taken()


# ---- the same numbers, whoever computes them ----

@every_choice
@pytest.mark.parametrize('name, shape', OPERATIONS)
def test_operations(cudnn, name, shape, choice):
    offered, taken = CHOICES[choice]
    cudnn.offer(offered)
    arguments = make(name, np.float32, shape)
    run_and_check(PyCudaHandler(), name, arguments)
    has_windows = arguments['outputs' if 'forward' in name else 'out_deltas'].size > 0
    assert cudnn.taken() == ({taken} - {None} if has_windows else set())


@every_choice
@pytest.mark.parametrize('case', ['convolution2d', 'convolution2d_plain'])
def test_layers(cudnn, case, choice, monkeypatch):
    cpu = Bench(LAYERS[case], np.float32)
    monkeypatch.setattr(test_layer_laws, 'NumpyHandler', PyCudaHandler)
    cudnn.offer(CHOICES[choice][0])
    gpu = Bench(LAYERS[case], np.float32)
    data = cpu.data(5, 4)
    found, wanted = gpu.run(data), cpu.run(data)
    for path in wanted:
        np.testing.assert_allclose(found[path], wanted[path], rtol=1e-4, atol=1e-5, err_msg=path)
    assert cudnn.taken() == {CHOICES[choice][1]} - {None}


@every_choice
def test_graphs_and_single_kernels_give_the_same_bits(cudnn, choice):
    cudnn.offer(CHOICES[choice][0])
    before = graph_launches()
    graphs = train('images', PyCudaHandler())
    assert graph_launches() == before + 5  # all but the first of six updates
    assert_same(graphs, train('images', DebugHandler(PyCudaHandler())))


def test_the_workspace_grows_between_graphs(cudnn):
    cudnn.offer(['WORKING'])
    sizes = (3, 3, 3, 20, 20, 3, 3, 40, 40, 3, 20)
    before = graph_launches()
    graphs = train('images', PyCudaHandler(), sizes=sizes)
    assert graph_launches() > before
    assert_same(graphs, train('images', DebugHandler(PyCudaHandler()), sizes=sizes))


def test_a_graph_is_for_its_convolutions_alone(cudnn):
    """Everything else in this network is kernels, whose arguments change inside a graph."""
    def run(handler):
        inp = layers.Input({'default': ('T', 'B', 6, 6, 2), 'targets': ('T', 'B', 6, 6, 3)})
        error = layers.SquaredError()
        inp - 'targets' >> 'targets' - error
        inp >> layers.Convolution2D(3, kernel_size=(3, 3), padding=1) >> error
        net = bs.Network.from_layer(error - 'loss' >> layers.Loss())
        net.set_handler(handler)
        net.initialize(bs.Gaussian(0.3), seed=1)
        stepper = bs.training.SgdStepper(0.01)
        stepper.start(net)
        for B in 7, 7, 5, 5, 7, 6, 6, 5:
            r = np.random.RandomState(B)
            net.provide_external_data({'default': r.randn(1, B, 6, 6, 2),
                                       'targets': r.randn(1, B, 6, 6, 3)})
            stepper.run()
        return (net.get('parameters'),)
    before = graph_launches()
    graphs = run(PyCudaHandler())
    assert graph_launches() > before
    assert_same(graphs, run(DebugHandler(PyCudaHandler())))


def test_arrays_that_start_anywhere(cudnn):
    handler = PyCudaHandler()
    arguments = make(FORWARD, np.float32, CONVS[1])
    on_gpu = upload(handler, arguments)
    for name in 'inputs', 'weights', 'outputs':
        array = arguments[name]
        memory = handler.create_from_numpy(np.zeros(array.size + 1, np.float32))
        on_gpu[name] = memory[1:].reshape(array.shape)
        on_gpu[name].set(array)
        assert on_gpu[name].ptr % 16 == 4
    getattr(handler, FORWARD)(**on_gpu)
    check(FORWARD, expect(FORWARD, arguments), download(on_gpu, ['outputs']), np.float32)
    assert cudnn.taken() == {'PLAIN'}


# ---- which engine ----

def test_only_exact_engines_are_taken(cudnn):
    assert taken_by(cudnn, PyCudaHandler()) == {'PLAIN'}
    cudnn.offer(['TENSOR_CORE', 'NONDETERMINISTIC', 'WINOGRAD', 'REFUSED', 'HUNGRY'])
    assert taken_by(cudnn, PyCudaHandler()) == set()


def test_tf32_allows_tensor_cores_and_nothing_else(cudnn):
    arguments = make(FORWARD, np.float32, CONVS[1])
    for offered, taken in (ENGINES, {'TENSOR_CORE'}), (['NONDETERMINISTIC', 'WINOGRAD'], set()):
        cudnn.offer(offered)
        handler = PyCudaHandler(tf32=True)
        found = run(handler, FORWARD, upload(handler, arguments))['outputs']
        assert cudnn.taken() == taken
        assert 1e-5 < abs(found - expect(FORWARD, arguments)['outputs']).max() < 1e-1


def test_float64_is_not_asked_for(cudnn):
    assert taken_by(cudnn, PyCudaHandler(np.float64)) == set()


@every_choice
def test_a_shape_is_asked_for_once(cudnn, choice):
    cudnn.offer(CHOICES[choice][0])
    handler = PyCudaHandler()
    arguments = upload(handler, make(FORWARD, np.float32, CONVS[1]))

    def convolve():
        getattr(handler, FORWARD)(**arguments)
    first, second, third = (cudnn.calls(convolve) for _ in range(3))
    assert first > second + 20 and second == third
    cudnn.offer(ENGINES)
    convolve()
    assert cudnn.taken() == {CHOICES[choice][1]} - {None}


# ---- failures ----

def test_nothing_is_left_behind(cudnn):
    before = cudnn.live_objects()
    handler = PyCudaHandler()
    taken_by(cudnn, handler)
    assert cudnn.live_objects() > before
    del handler
    assert cudnn.live_objects() == before


def test_any_call_may_fail(cudnn):
    """Then another way is taken, or there is an error."""
    before = cudnn.live_objects()
    failures = 0
    arguments = make(FORWARD, np.float32, CONVS[1])
    expected = expect(FORWARD, arguments)
    for n in range(1, 1000):
        handler = PyCudaHandler()
        on_gpu = upload(handler, arguments)
        cudnn.double.double_fail_at(n, 3000)
        try:
            calls = cudnn.calls(lambda: getattr(handler, FORWARD)(**on_gpu))
        except RuntimeError as error:
            assert 'to fail' in str(error) or '(3000)' in str(error)
            failures, calls = failures + 1, n
        cudnn.double.double_fail_at(0, 0)
        if calls < n:
            break
        check(FORWARD, expected, run(handler, FORWARD, on_gpu), np.float32)
        del handler, on_gpu
    assert n > 100 and failures > 5
    del handler, on_gpu
    assert cudnn.live_objects() == before


WITHOUT = """
import os
from brainstorm.handlers import PyCudaHandler
from test_cuda_convolution import Cudnn, taken_by
print(taken_by(Cudnn(os.environ['BRAINSTORM_LIB_CUDA']), PyCudaHandler()))
"""


def test_without_cudnn(cudnn):
    environment = dict(os.environ, BRAINSTORM_LIB_CUDNN='nowhere.so')
    result = subprocess.run([sys.executable, '-c', WITHOUT], env=environment, cwd=ROOT / 'tests',
                            capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, 'set()\n'), result.stderr
