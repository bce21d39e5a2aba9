"""Memory of the GPU that is shared with other libraries: by DLPack and __cuda_array_interface__, in
both directions, and in the order in which both sides work on it.

PyTorch and CuPy need a GPU. A second handler of ours plays another library, so that the tests run
on the double as well."""

import contextlib
import os

import numpy as np
import pytest

from brainstorm.handlers import PyCudaHandler
from brainstorm.training import SgdStepper
from trainings import minibatch, network

pytestmark = pytest.mark.usefixtures('gpu')
LONG = 60  # products of 2048 x 2048: some ten milliseconds of a GPU


# ---- other libraries: each can do the same ----

class Torch:
    size = 2048  # of matrices whose products take long

    def __init__(self):
        self.torch = pytest.importorskip('torch')

    def put(self, array):
        return self.torch.from_numpy(array.copy()).to('cuda')

    def get(self, theirs):
        return theirs.cpu().numpy()

    def add(self, theirs, number):
        theirs += number

    def work_long(self):
        a = self.torch.ones(self.size, self.size, device='cuda')
        for _ in range(LONG):
            a = a @ a / self.size

    def by_interface(self, ours):
        return self.torch.as_tensor(ours, device='cuda')

    def by_dlpack(self, ours):
        return self.torch.from_dlpack(ours)

    def another_stream(self):
        return self.torch.cuda.stream(self.torch.cuda.Stream())


class CuPy:
    size = 2048

    def __init__(self):
        self.cupy = pytest.importorskip('cupy')

    def put(self, array):
        return self.cupy.asarray(array)

    def get(self, theirs):
        return theirs.get()

    def add(self, theirs, number):
        theirs += self.cupy.float32(number)

    def work_long(self):
        a = self.cupy.ones((self.size, self.size), self.cupy.float32)
        for _ in range(LONG):
            a = a @ a / self.cupy.float32(self.size)

    def by_interface(self, ours):
        return self.cupy.asarray(ours)

    def by_dlpack(self, ours):
        return self.cupy.from_dlpack(ours)

    def another_stream(self):
        return self.cupy.cuda.Stream(non_blocking=True)


class Theirs:
    """An array of another library: it has both protocols, and is no GpuArray."""

    def __init__(self, array):
        self.array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__
        self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


class AnotherHandler:
    """It works on the default stream only, so nothing need take long."""
    size = 16

    def __init__(self):
        self.handler = PyCudaHandler()

    def put(self, array):
        return Theirs(self.handler.create_from_numpy(array))

    def get(self, theirs):
        return theirs.array.get()

    def add(self, theirs, number):
        theirs.array += number

    def work_long(self):
        a = self.handler.ones((self.size, self.size))
        self.handler.dot_mm(a, a, self.handler.zeros(a.shape))

    def by_interface(self, ours):
        class Interface:
            __cuda_array_interface__ = ours.__cuda_array_interface__
        return Theirs(self.handler.create_from(Interface))

    def by_dlpack(self, ours):
        class Capsule:
            __dlpack__, __dlpack_device__ = ours.__dlpack__, ours.__dlpack_device__
        return Theirs(self.handler.create_from(Capsule))

    def another_stream(self):
        return contextlib.nullcontext()


LIBRARIES = [AnotherHandler, Torch, CuPy] if os.environ.get('BRAINSTORM_TEST_GPU') else [
    AnotherHandler]
both_ways = pytest.mark.parametrize('way', ['by_interface', 'by_dlpack'])


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request):
    return request.param()


@pytest.fixture
def handler():
    return PyCudaHandler()


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


# ---- the same memory ----

@both_ways
@pytest.mark.parametrize('key', [(), (slice(None), slice(1, None, 2))], ids=['all', 'a slice'])
def test_they_see_our_memory(library, handler, way, key):
    ours = handler.create_from_numpy(numbers(5, 6))[key]
    theirs = getattr(library, way)(ours)
    library.add(theirs, 100)
    np.testing.assert_array_equal(ours.get(), numbers(5, 6)[key] + 100)
    ours += 1
    np.testing.assert_array_equal(library.get(theirs), numbers(5, 6)[key] + 101)


def test_we_see_their_memory(library, handler):
    theirs = library.put(numbers(4, 3))
    ours = handler.create_from(theirs)
    ours *= 2
    np.testing.assert_array_equal(library.get(theirs), numbers(4, 3) * 2)
    library.add(theirs, 1)
    np.testing.assert_array_equal(ours.get(), numbers(4, 3) * 2 + 1)


@both_ways
def test_they_see_parameters(library, handler, way):
    net = network('one layer', handler)
    stepper = SgdStepper(0.1)
    stepper.start(net)
    theirs = getattr(library, way)(net.buffer.parameters)
    for seed in range(3):
        net.provide_external_data(minibatch('one layer', seed))
        stepper.run()
        np.testing.assert_array_equal(library.get(theirs), net.get('parameters'))
    before = net.get('parameters')
    library.add(theirs, 1)
    np.testing.assert_array_equal(net.get('parameters'), before + 1)


def test_data_of_theirs_enters_a_network(library, handler):
    data = {name: value.astype(np.float32) for name, value in minibatch('letters', 0).items()}
    net, other = network('letters', handler), network('letters', handler)
    net.provide_external_data(data)
    other.provide_external_data({name: library.put(value) for name, value in data.items()})
    for n in net, other:
        n.forward_pass()
    np.testing.assert_array_equal(net.get('Output.outputs.predictions'),
                                  other.get('Output.outputs.predictions'))


# ---- in order ----

def test_what_they_have_asked_for_is_done_before_we_look(library, handler):
    theirs, data = library.put(numbers(1000)), library.put(numbers(3, 5)[None])
    net = network('one layer', handler)
    library.get(theirs), library.get(data)  # now they are there
    with library.another_stream():
        library.work_long()
        library.add(theirs, 1)
        library.add(data, 1)
        ours = handler.create_from(theirs)
        net.provide_external_data({'default': data}, all_inputs=False)
    np.testing.assert_array_equal(ours.get(), numbers(1000) + 1)
    np.testing.assert_array_equal(net.get('Input.outputs.default'), numbers(3, 5)[None] + 1)


@both_ways
def test_what_we_have_asked_for_is_done_before_they_look(library, handler, way):
    """On the default stream; DLPack on any."""
    a, out = (handler.ones((library.size, library.size)) for _ in range(2))
    for _ in range(LONG):
        handler.dot_mm(a, a, out)
    ours = out[0] + 1
    stream = library.another_stream() if way == 'by_dlpack' else contextlib.nullcontext()
    with stream:
        found = library.get(getattr(library, way)(ours))
    np.testing.assert_array_equal(found, np.full(library.size, library.size + 1.0))
