"""Hooks that stop the training."""

import math
import signal
import threading
from collections.abc import Sequence

import numpy as np

from brainstorm.checks import check_flag, check_name, check_names, check_number
from brainstorm.describable import DescribedByArguments
from brainstorm.hooks.base import Hook, check_criterion, find_log, find_numbers

__all__ = ['EarlyStopper', 'StopAfterEpoch', 'StopAfterThresholdReached', 'StopOnNan',
           'StopOnSigQuit']


class EarlyStopper(Hook, DescribedByArguments):
    """Stops the training when a log has not improved for some time.

    Args:
        log_name (str): the log to watch. Its hook should have the same timescale and interval.
        patience (int): how many entries may follow the best one, default 1.
        criterion (str): 'min' (default) or 'max': which values are good.
    """

    __default_values__ = {'patience': 1}

    def __init__(self, log_name: str, patience: float = 1, criterion: str = 'min',
                 name: str | None = None, timescale: str = 'epoch', interval: int = 1,
                 verbose: bool | None = None):
        super().__init__(name, timescale, interval, verbose)
        self.log_name = check_name('EarlyStopper', 'log_name', log_name)
        self.patience = check_number('EarlyStopper', 'patience', patience, 0, math.inf)
        self.criterion = check_criterion(self, criterion)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        log = find_numbers(self, logs, self.log_name, epoch_nr)
        if not log:
            return
        worst = math.inf if self.criterion == 'min' else -math.inf
        values = np.array([worst if math.isnan(value) else value for value in log])
        best = values.argmin() if self.criterion == 'min' else values.argmax()
        if len(log) > best + self.patience:
            self.message(f"{self.log_name} has not improved since entry {best}: stopping")
            raise StopIteration


class StopAfterEpoch(Hook, DescribedByArguments):
    """Stops the training after `max_epochs` epochs, counted over all calls of `train`."""

    def __init__(self, max_epochs: float, name: str | None = None, timescale: str = 'epoch',
                 interval: int = 1, verbose: bool | None = None):
        super().__init__(name, timescale, interval, verbose)
        self.max_epochs = check_number('StopAfterEpoch', 'max_epochs', max_epochs, 0, math.inf)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        if epoch_nr >= self.max_epochs:
            self.message(f"epoch {epoch_nr} was the last: stopping")
            raise StopIteration


class StopAfterThresholdReached(Hook, DescribedByArguments):
    """Stops the training when a log has reached a threshold.

    Args:
        log_name (str): the log to watch.
        threshold (float): the value to reach.
        criterion (str): 'min' (default): an entry <= threshold stops; 'max': one >= threshold.
    """

    def __init__(self, log_name: str, threshold: float, criterion: str = 'min',
                 name: str | None = None, timescale: str = 'epoch', interval: int = 1,
                 verbose: bool | None = None):
        super().__init__(name, timescale, interval, verbose)
        self.log_name = check_name('StopAfterThresholdReached', 'log_name', log_name)
        self.threshold = check_number('StopAfterThresholdReached', 'threshold', threshold)
        self.criterion = check_criterion(self, criterion)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        log = np.array(find_numbers(self, logs, self.log_name, epoch_nr))
        if np.any(log <= self.threshold if self.criterion == 'min' else log >= self.threshold):
            self.message(f"{self.log_name} has reached {self.threshold}: stopping")
            raise StopIteration


class StopOnNan(Hook, DescribedByArguments):
    """Stops the training when there are NaNs or infinities.

    Args:
        logs_to_check (list[str]): logs whose entries are checked.
        check_parameters (bool): check the parameters of the network.
        check_training_loss (bool): check the rolling training loss.
    """

    def __init__(self, logs_to_check: str | Sequence[str] = (), check_parameters: bool = True,
                 check_training_loss: bool = True, name: str | None = None,
                 timescale: str = 'epoch', interval: int = 1, verbose: bool | None = None):
        super().__init__(name, timescale, interval, verbose)
        self.logs_to_check = check_names('StopOnNan', 'logs_to_check', logs_to_check)
        self.check_parameters = check_flag('StopOnNan', 'check_parameters', check_parameters)
        self.check_training_loss = check_flag('StopOnNan', 'check_training_loss',
                                              check_training_loss)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        for log_name in self.logs_to_check:
            self._check(log_name, np.isfinite(find_log(self, logs, log_name, epoch_nr)).all())
        if self.check_parameters:
            self._check('a parameter', net.handler.is_fully_finite(net.buffer['parameters']))
        if self.check_training_loss:
            losses = logs.get('rolling_training', {}).get('total_loss', [])
            self._check('rolling_training.total_loss', np.isfinite(losses).all())

    def _check(self, what, is_finite):
        if not is_finite:
            self.message(f"{what} is NaN or infinite: stopping")
            raise StopIteration


class StopOnSigQuit(Hook, DescribedByArguments):
    """Stops the training at its next call after a SIGQUIT (Ctrl + \\ in most terminals).

    What SIGQUIT did before, it does again after the training.

    Raises OSError on systems without SIGQUIT, like Windows.
    """

    __undescribed__ = {'_previous', '_received'}
    _not_pickled = ('_previous',)
    _previous = None

    def __init__(self, name: str | None = None, timescale: str = 'epoch', interval: int = 1,
                 verbose: bool | None = None):
        super().__init__(name, timescale, interval, verbose)
        if not hasattr(signal, 'SIGQUIT'):
            raise OSError("StopOnSigQuit: this system has no SIGQUIT")
        self._received = False

    def start(self, net, stepper, verbose, named_data_iters):
        super().start(net, stepper, verbose, named_data_iters)
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{self.__name__}: signals arrive in the main thread only, and this "
                               "training runs in another one")
        self._received = False
        self._previous = signal.signal(signal.SIGQUIT, self._receive)

    def finish(self):
        if self._previous is not None:
            signal.signal(signal.SIGQUIT, self._previous)
            self._previous = None

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        if self._received:
            self.message("received SIGQUIT: stopping")
            raise StopIteration

    def _receive(self, signum, frame):
        self._received = True
