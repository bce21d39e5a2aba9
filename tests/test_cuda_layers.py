"""The laws of test_layer_laws.py on a GPU, and: it computes what the CPU does."""

import numpy as np
import pytest

import test_layer_laws
from cuda_double import ORDERS
from test_cuda_operations import open_gpu, order  # noqa: F401: a fixture
from test_layer_laws import (  # noqa: F401: these are tests of this module too
    Bench, every_case, test_a_forward_pass_leaves_its_inputs_alone,
    test_deltas_are_added_to_what_others_wrote, test_float32_is_near_float64,
    test_gradients_and_deltas_are_finite_differences,
    test_gradients_are_added_to_what_consumers_of_the_parameters_wrote,
    test_inputs_and_outputs_may_be_columns_of_wider_matrices,
    test_internals_that_are_joined_with_others_leave_their_neighbours,
    test_nothing_depends_on_what_buffers_held,
    test_what_flows_into_wired_internals_enters_the_derivative)


@pytest.fixture(autouse=True)
def on_gpu(gpu, monkeypatch):
    monkeypatch.setattr(test_layer_laws, 'NumpyHandler', open_gpu)


@pytest.mark.parametrize('order', ORDERS, indirect=True)
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@every_case
def test_a_gpu_computes_what_the_cpu_does(case, dtype, order, monkeypatch):
    gpu = Bench(case, dtype)
    monkeypatch.undo()
    cpu = Bench(case, dtype)
    data = cpu.data(5, 4)
    found, wanted = gpu.run(data), cpu.run(data)
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == np.float32 else dict(rtol=1e-9, atol=1e-12)
    for path in wanted:
        np.testing.assert_allclose(found[path], wanted[path], err_msg=path, **tolerance)
