"""Whole updates give the same bits on any number of threads: the networks of benchmarks/."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from brainstorm.training import MomentumStepper

sys.path.append(str(Path(__file__).resolve().parents[1] / 'benchmarks'))
from with_brainstorm import network  # noqa: E402
from workloads import WORKLOADS  # noqa: E402

UPDATES = [work for work in WORKLOADS.values() if work.task == 'update']


def run_updates(work):
    """Loss, gradients and parameters after each of three updates, as bytes."""
    net, stepper, out = network(work), MomentumStepper(0.01, 0.9), []
    net.rnd.set_seed(5)
    stepper.start(net)
    for x, targets in work.minibatches()[:3]:
        net.provide_external_data({'default': x, 'targets': targets})
        stepper.run()
        gradients, parameters = net.buffer.gradients, net.buffer.parameters
        assert np.isfinite(parameters).all() and gradients.any()
        loss = np.array(net.get_loss_values()['total_loss'])
        out.append({'loss': loss.tobytes(), 'gradients': gradients.tobytes(),
                    'parameters': parameters.tobytes()})
    return out


@pytest.mark.parametrize('work', UPDATES, ids=lambda work: work.name)
def test_updates_give_the_same_bits_on_any_number_of_threads(work, threads):
    # time for the LSTM is short, but long enough that the gradient of R has sums in several slabs
    work = dataclasses.replace(work, time_steps=min(work.time_steps, 23))
    threads(1)
    expected = run_updates(work)
    for n in (2, 3, 8):
        threads(n)
        for i, actual in enumerate(run_updates(work)):
            for name, value in actual.items():
                assert value == expected[i][name], f'{name} of update {i} on {n} threads'
