"""The laws of test_layer_laws.py on a GPU, in all orders of threads that the double knows, and: it
computes what the CPU does."""

import numpy as np
import pytest

import test_layer_laws
from brainstorm.handlers import NumpyHandler
from cuda_double import ORDERS
from test_cuda_operations import open_gpu, set_order
from test_layer_laws import (  # noqa: F401: these are tests of this module too
    Bench, every_case, test_a_forward_pass_leaves_its_inputs_alone,
    test_deltas_are_added_to_what_others_wrote, test_float32_is_near_float64,
    test_gradients_and_deltas_are_finite_differences,
    test_gradients_are_added_to_what_consumers_of_the_parameters_wrote,
    test_inputs_and_outputs_may_be_columns_of_wider_matrices,
    test_internals_that_are_joined_with_others_leave_their_neighbours,
    test_nothing_depends_on_what_buffers_held,
    test_what_flows_into_wired_internals_enters_the_derivative)


def run_in_all_orders(bench, data, training=True):
    """What Bench.run gives; the order of threads changes no bit of it, so that a law that holds for
    one order holds for all of them."""
    start, results = bench.net.get('parameters'), []
    for order in ORDERS:
        bench.net.buffer.parameters[...] = start
        set_order(order)
        results.append(run(bench, data, training))
    set_order(ORDERS[0])
    for other in results[1:]:
        for path, expected in results[0].items():
            np.testing.assert_array_equal(other[path], expected, err_msg=path)
    return results[0]


run = Bench.run


def by_the_cpu(differences):
    """Finite differences of the CPU's loss, which is the GPU's at the point in question: they need
    two forward passes for each number, and the double is slow."""
    def differences_by_the_cpu(bench, data, *more, training):
        handler, start = bench.net.handler, bench.net.get('parameters')
        loss = bench.loss(data, training)
        bench.net.set_handler(NumpyHandler(np.float64))
        bench.net.buffer.parameters[...] = start
        np.testing.assert_allclose(loss, bench.loss(data, training), rtol=1e-9, atol=1e-12)
        bench.net.buffer.parameters[...] = start
        slopes = differences(bench, data, *more, training=training)
        bench.net.set_handler(handler)
        return slopes
    return differences_by_the_cpu


@pytest.fixture(autouse=True)
def on_gpu(gpu, monkeypatch):
    monkeypatch.setattr(test_layer_laws, 'NumpyHandler', open_gpu)
    monkeypatch.setattr(Bench, 'run', run_in_all_orders)
    for name in ('numeric_parameter_gradient', 'numeric_deltas'):
        monkeypatch.setattr(test_layer_laws, name, by_the_cpu(getattr(test_layer_laws, name)))


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@every_case
def test_a_gpu_computes_what_the_cpu_does(case, dtype, monkeypatch):
    gpu = Bench(case, dtype)
    data = gpu.data(5, 4)
    found = gpu.run(data)
    monkeypatch.undo()
    wanted = Bench(case, dtype).run(data)
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == np.float32 else dict(rtol=1e-9, atol=1e-12)
    for path in wanted:
        np.testing.assert_allclose(found[path], wanted[path], err_msg=path, **tolerance)
