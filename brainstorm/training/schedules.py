"""Schedules give the value of an attribute over the course of a training.

They are called with (epoch_nr, update_nr, timescale, interval, net, stepper, logs), as
`hooks.ModifyStepperAttribute` does. Counters start at 0; n is epoch_nr or update_nr, as the
timescale says, and k = n // interval.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from brainstorm.describable import DescribedByArguments
from brainstorm.checks import check_choice, check_number

__all__ = ['DecreaseAfterEpoch', 'Exponential', 'Linear', 'MultiStep']


class Linear(DescribedByArguments):
    """Changes linearly from the initial to the final value in `num_changes` steps of k."""

    def __init__(self, initial_value: float, final_value: float, num_changes: int):
        self.initial_value = check_number('Linear', 'initial_value', initial_value)
        self.final_value = check_number('Linear', 'final_value', final_value)
        self.num_changes = check_number('Linear', 'num_changes', num_changes, 1, integer=True)

    def __call__(self, epoch_nr: int, update_nr: int, timescale: str, interval: int, net: Any,
                 stepper: Any, logs: Any) -> float:
        k = _count(epoch_nr, update_nr, timescale) // interval
        if k > self.num_changes:
            return self.final_value
        step = (self.final_value - self.initial_value) / self.num_changes
        return self.initial_value + step * k


class Exponential(DescribedByArguments):
    """initial_value * factor**k, limited to [minimum, maximum]."""

    def __init__(self, initial_value: float, factor: float, minimum: float = -math.inf,
                 maximum: float = math.inf):
        self.initial_value = check_number('Exponential', 'initial_value', initial_value)
        self.factor = check_number('Exponential', 'factor', factor)
        self.minimum = check_number('Exponential', 'minimum', minimum, -math.inf)
        self.maximum = check_number('Exponential', 'maximum', maximum, minimum,
                                    math.inf)

    def __call__(self, epoch_nr: int, update_nr: int, timescale: str, interval: int, net: Any,
                 stepper: Any, logs: Any) -> float:
        k = _count(epoch_nr, update_nr, timescale) // interval
        return max(self.minimum, min(self.initial_value * self.factor ** k, self.maximum))


class MultiStep(DescribedByArguments):
    """initial_value before step steps[0], then values[i] from step steps[i] on.

    Args:
        initial_value (float): value at the start.
        steps (list[int]): increasing values of n at which the value changes.
        values (list[float]): as many values as steps.

    The interval must be 1.
    """

    def __init__(self, initial_value: float, steps: Sequence[int], values: Sequence[float]):
        self.initial_value = check_number('MultiStep', 'initial_value', initial_value)
        self.steps = _check_numbers('steps', steps, integer=True)
        self.values = _check_numbers('values', values)
        if len(self.steps) != len(self.values) or self.steps != sorted(set(self.steps)):
            raise ValueError("MultiStep takes increasing steps and as many values, "
                             f"got {self.steps} and {self.values}")

    def __call__(self, epoch_nr: int, update_nr: int, timescale: str, interval: int, net: Any,
                 stepper: Any, logs: Any) -> float:
        if interval != 1:
            raise ValueError(f"MultiStep needs an interval of 1, got {interval}")
        n = _count(epoch_nr, update_nr, timescale)
        passed = [value for step, value in zip(self.steps, self.values) if step <= n]
        return passed[-1] if passed else self.initial_value


class DecreaseAfterEpoch(DescribedByArguments):
    """initial_value for T epochs, then decreasing in proportion to 1 / epoch.

    initial_value * T / max(epoch_nr + 1, T).
    """

    def __init__(self, initial_value: float, T: float):
        self.initial_value = check_number('DecreaseAfterEpoch', 'initial_value', initial_value)
        self.T = check_number('DecreaseAfterEpoch', 'T', T, 1)

    def __call__(self, epoch_nr: int, update_nr: int, timescale: str, interval: int, net: Any,
                 stepper: Any, logs: Any) -> float:
        return self.initial_value * self.T / max(epoch_nr + 1, self.T)


def _check_numbers(name, values, integer=False):
    if not isinstance(values, Iterable):
        raise TypeError(f"MultiStep: {name} must be a list of numbers, got {values!r}")
    return [check_number('MultiStep', f'{name}[{i}]', value, integer=integer)
            for i, value in enumerate(values)]


def _count(epoch_nr, update_nr, timescale):
    check_choice('a schedule', 'timescale', timescale, ('epoch', 'update'))
    return epoch_nr if timescale == 'epoch' else update_nr
