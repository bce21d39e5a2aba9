"""Hooks that change how the training goes on."""

from collections.abc import Callable
from typing import Any

from brainstorm.checks import check_name
from brainstorm.describable import DescribedByArguments
from brainstorm.hooks.base import Hook
from brainstorm.utils import list_names

__all__ = ['ModifyStepperAttribute']


class ModifyStepperAttribute(Hook, DescribedByArguments):
    """Sets an attribute of the stepper to what a schedule says.

    Args:
        schedule (Callable): see `brainstorm.training.schedules`.
        attr_name (str): the attribute, default 'learning_rate'.
    """

    def __init__(self, schedule: Callable[..., Any], attr_name: str = 'learning_rate',
                 timescale: str = 'epoch', interval: int = 1, name: str | None = None,
                 verbose: bool | None = None):
        super().__init__(name, timescale, interval, verbose)
        if not callable(schedule):
            raise TypeError("ModifyStepperAttribute: schedule must be callable like those of "
                            f"training.schedules, got {schedule!r}")
        self.schedule = schedule
        self.attr_name = check_name('ModifyStepperAttribute', 'attr_name', attr_name)

    def start(self, net, stepper, verbose, named_data_iters):
        super().start(net, stepper, verbose, named_data_iters)
        if not hasattr(stepper, self.attr_name):
            attributes = [name for name in dir(stepper)
                          if not name.startswith('_') and not callable(getattr(stepper, name))]
            raise AttributeError(list_names(
                f"{self.__name__}: {type(stepper).__name__} has no attribute {self.attr_name!r}; "
                "there are", self.attr_name, attributes))

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        value = self.schedule(epoch_nr, update_nr, self.timescale, self.interval, net, stepper,
                              logs)
        setattr(stepper, self.attr_name, value)
