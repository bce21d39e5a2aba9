"""Memory of a GPU: the pool that it comes from, and what happens where there is none left."""

import gc

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.handlers import PyCudaHandler

pytestmark = pytest.mark.usefixtures('double')

MEGABYTE = 1 << 18  # numbers


@pytest.fixture
def memory(double):
    """Sets how many bytes the device has beyond those that are in use."""
    before = double.library.double_set_memory(0)
    double.library.double_set_memory(before)
    gc.collect()
    yield lambda free: double.library.double_set_memory(
        double.live()[0] + double.library.double_pooled_bytes() + free)
    double.library.double_set_memory(before)


def test_memory_is_kept_and_goes_with_the_handler(double):
    gc.collect()
    before = double.library.double_pooled_bytes()
    handler = PyCudaHandler()
    handler.zeros((MEGABYTE,))
    assert double.library.double_pooled_bytes() == before + 4 * MEGABYTE
    del handler
    gc.collect()
    assert double.library.double_pooled_bytes() == before


def test_the_pool_is_emptied_where_memory_runs_out(double, memory):
    """A piece of three megabytes fits where two of two were, if the device gets them back."""
    handler = PyCudaHandler()
    memory(4 << 20)
    for size in 2, 3, 2, 4:
        assert (np.asarray(handler.ones((size * MEGABYTE,))) == 1).all()
    with pytest.raises(MemoryError, match=r'no memory for 5242880 bytes on the device: '
                                          r'cuMemAllocFromPoolAsync failed: out of memory'):
        handler.zeros((5 * MEGABYTE,))
    assert (np.asarray(handler.ones((4 * MEGABYTE,))) == 1).all()


def test_a_network_survives_a_minibatch_that_is_too_large(double, memory):
    net = bs.tools.create_net_from_spec('classification', 4, 2, 'F3')
    net.initialize(0.1, seed=1)
    net.set_handler(PyCudaHandler())
    memory(64 << 20)  # of which cuBLAS takes half

    def provide(T):
        net.provide_external_data({'default': np.broadcast_to(1.0, (T, 100, 4)),
                                   'targets': np.broadcast_to(0, (T, 100, 1))})
    with pytest.raises(MemoryError, match=r'no memory for .* MB of buffers: cuMemAlloc\w+ failed'):
        provide(100000)
    for T in 5, 20, 7, 30:
        provide(T)
        net.forward_pass()
        net.backward_pass()
        assert np.isfinite(net.get_loss_values()['total_loss'])


def test_devices_without_pools(double):
    def train():
        net = bs.tools.create_net_from_spec('classification', 4, 2, 'F3')
        net.initialize(bs.Gaussian(0.3), seed=1)
        net.set_handler(PyCudaHandler())
        stepper = bs.training.MomentumStepper(0.1, 0.9)
        stepper.start(net)
        for T in 3, 5, 2, 5:
            r = np.random.RandomState(T)
            net.provide_external_data({'default': r.randn(T, 6, 4),
                                       'targets': r.randint(0, 2, (T, 6, 1))})
            stepper.run()
        return net.get('parameters')
    wanted = train()
    gc.collect()
    before = double.library.double_pooled_bytes()
    double.library.double_have_pools(0)
    try:
        np.testing.assert_array_equal(train(), wanted)
        assert double.library.double_pooled_bytes() == before
    finally:
        double.library.double_have_pools(1)


def test_others_may_still_use_what_we_free(double):
    """Their streams are not ours: a block that they have seen is freed when all is done."""
    array = PyCudaHandler().create_from_numpy(np.arange(4, dtype=np.float32))
    stream, (out, address) = double.stream(), double.pinned(4)
    at = array.__cuda_array_interface__['data'][0]
    event = double.event()
    double.cuStreamWaitEvent(stream, event, 0)
    double.download(at, stream=stream, array=out)
    del array
    gc.collect()
    double.cuStreamSynchronize(None)
    double.cuStreamSynchronize(stream)
    np.testing.assert_array_equal(out, [0, 1, 2, 3])
    double.cuEventDestroy_v2(event)
    double.cuStreamDestroy_v2(stream)
    double.cuMemFreeHost(address)
