"""Hooks that change how the training goes on."""

from collections.abc import Callable
from typing import Any

from brainstorm.describable import DescribedByArguments
from brainstorm.hooks.base import Hook

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
        self.schedule = schedule
        self.attr_name = attr_name

    def start(self, net, stepper, verbose, named_data_iters):
        super().start(net, stepper, verbose, named_data_iters)
        if not hasattr(stepper, self.attr_name):
            raise AttributeError(f"{self.__name__}: {type(stepper).__name__} has no attribute "
                                 f"{self.attr_name!r}")

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        value = self.schedule(epoch_nr, update_nr, self.timescale, self.interval, net, stepper,
                              logs)
        setattr(stepper, self.attr_name, value)
