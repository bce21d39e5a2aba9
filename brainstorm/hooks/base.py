"""What all hooks are made of, and how they find logs."""

import numbers
import os
from typing import TYPE_CHECKING, Any

from brainstorm.checks import (
    check_choice, check_filename, check_flag, check_name, check_number)
from brainstorm.data_iterators import DataIterator
from brainstorm.describable import Describable, DescribedByArguments
from brainstorm.structure.network import Network
from brainstorm.utils import FileName, get_by_path, list_names

if TYPE_CHECKING:  # the training room imports this one
    from brainstorm.training.steppers import TrainingStepper

__all__ = ['FileHook', 'Hook', 'check_criterion', 'find_log', 'find_numbers']


class Hook(Describable):
    """Base class of hooks; see `brainstorm.hooks` for the arguments.

    Attributes:
        __name__ (str): key in the trainer; it need not be an identifier.
        priority (int): position in the trainer, from 1; 0 outside of one.
        run_verbosity (bool): whether to print, valid from `start` on.
    """

    __undescribed__ = {'__name__': '', 'run_verbosity': False}
    __default_values__ = {'timescale': 'epoch', 'interval': 1, 'verbose': None}
    _not_pickled: tuple[str, ...] = ()

    def __init__(self, name: str | None = None, timescale: str = 'epoch', interval: int = 1,
                 verbose: bool | None = None):
        owner = type(self).__name__
        self.__name__ = owner if name is None else check_name(owner, 'name', name)
        self.timescale = check_choice(owner, 'timescale', timescale, ('epoch', 'update'))
        self.interval = check_number(owner, 'interval', interval, 1, integer=True)
        self.verbose = None if verbose is None else check_flag(owner, 'verbose', verbose)
        self.priority = 0
        self.run_verbosity = False

    @classmethod
    def __new_from_description__(cls, description):
        hook = super().__new_from_description__(
            {name: value for name, value in description.items() if name != 'priority'})
        hook.__name__ = cls.__name__
        hook.priority = description.get('priority', 0)
        return hook

    def start(self, net: Network, stepper: 'TrainingStepper', verbose: bool,
              named_data_iters: dict[str, DataIterator]) -> None:
        """Called before a training with the trainer's verbosity and all iterators by name."""
        self.run_verbosity = verbose if self.verbose is None else self.verbose

    def finish(self) -> None:
        """Called after a training, however it ended."""

    def __call__(self, epoch_nr: int, update_nr: int, net: Network, stepper: 'TrainingStepper',
                 logs: dict[str, Any]) -> Any:
        """Act, and return what is to be logged, or raise StopIteration to stop the training."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def message(self, text: str) -> None:
        """Print the text if this hook is verbose."""
        if self.run_verbosity:
            print(f"{self.__name__} >> {text}")

    def __getstate__(self):
        return {name: value for name, value in vars(self).items()
                if name not in self._not_pickled}


class FileHook(Hook, DescribedByArguments):
    """Base class of hooks that write a file. Its folder must exist when a training starts.

    Args:
        filename (str | PathLike): the file; None where `filename_is_optional`.
    """

    filename: Any
    filename_is_optional = False

    def __init__(self, filename: FileName | None, name: str | None = None, timescale: str = 'epoch',
                 interval: int = 1, verbose: bool | None = None):
        super().__init__(name, timescale, interval, verbose)
        self.filename = None if filename is None and self.filename_is_optional \
            else check_filename(type(self).__name__, filename)

    def start(self, net, stepper, verbose, named_data_iters):
        super().start(net, stepper, verbose, named_data_iters)
        folder = os.path.dirname(os.path.abspath(self.filename or ''))
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"{self.__name__}: there is no folder {folder!r} "
                                    f"for {self.filename!r}")


def find_log(hook, logs, log_name, epoch_nr):
    """The list of all entries of a log; empty if there is none yet before the first epoch."""
    try:
        log = get_by_path(logs, log_name)
    except KeyError as error:
        if epoch_nr == 0:
            return []
        raise KeyError(f"{hook.__name__}: there is no log {log_name!r}: "
                       f"{error.args[0]}") from None
    if not isinstance(log, list):
        raise KeyError(f"{hook.__name__}: {log_name!r} is a group of logs; "
                       + list_names('it holds', '', log))
    return log


def find_numbers(hook, logs, log_name, epoch_nr):
    """`find_log` of a log that holds nothing but numbers; else TypeError."""
    log = find_log(hook, logs, log_name, epoch_nr)
    for entry in log:
        if not isinstance(entry, numbers.Real):
            raise TypeError(f"{hook.__name__}: {log_name!r} holds {entry!r}, which is no number")
    return log


def check_criterion(hook, criterion):
    return check_choice(type(hook).__name__, 'criterion', criterion, ('min', 'max'))
