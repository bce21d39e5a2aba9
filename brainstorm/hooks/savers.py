"""Hooks that save."""

import math

from brainstorm.describable import DescribedByArguments
from brainstorm.hooks.base import Hook, check_criterion, find_log
from brainstorm.structure.network import Network

__all__ = ['SaveBestNetwork']


class SaveBestNetwork(Hook, DescribedByArguments):
    """Saves the network whenever a log reaches a new best value.

    Args:
        log_name (str): the log to watch. Its hook must come before and have the same timescale
            and interval.
        filename (str | None): HDF5 file to save to; None: the hook keeps the parameters.
        criterion (str): 'max' (default) or 'min': which values are good.
    """

    __undescribed__ = {'best_so_far', 'parameters'}
    __default_values__ = {'filename': None}

    def __init__(self, log_name, filename=None, criterion='max', name=None, timescale='epoch',
                 interval=1, verbose=None):
        super().__init__(name, timescale, interval, verbose)
        self.log_name = log_name
        self.filename = filename
        self.criterion = check_criterion(self, criterion)
        self.best_so_far = None
        self.parameters = None

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        log = find_log(self, logs, self.log_name, epoch_nr)
        if not log or not self._is_better(log[-1]):
            return
        self.message(f"{self.log_name} improved from {self.best_so_far} to {log[-1]}")
        self.best_so_far = log[-1]
        if self.filename is None:
            self.parameters = net.get('parameters')
        else:
            net.save_as_hdf5(self.filename)

    def load_best_network(self):
        """The best network, from the file; without a filename its flat parameters (numpy array).

        Raises ValueError before the first improvement.
        """
        if self.best_so_far is None:
            raise ValueError(f"{self.__name__} has saved nothing: {self.log_name} never improved")
        return self.parameters if self.filename is None else Network.from_hdf5(self.filename)

    def _is_better(self, value):
        if self.best_so_far is None:
            return not math.isnan(value)
        return value > self.best_so_far if self.criterion == 'max' else value < self.best_so_far
