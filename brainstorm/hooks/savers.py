"""Hooks that save, or hand out, what a training has reached."""

import copy
import math
from collections.abc import Mapping, MutableMapping
from typing import Any

import h5py
import numpy as np

from brainstorm.checks import check_name
from brainstorm.hooks.base import FileHook, Hook, check_criterion, find_numbers
from brainstorm.structure.network import Network
from brainstorm.structure.safe_files import save_hdf5
from brainstorm.utils import FileName

__all__ = ['InfoUpdater', 'SaveBestNetwork', 'SaveLogs', 'SaveNetwork']


class SaveBestNetwork(FileHook):
    """Saves the network whenever a log reaches a new best value.

    Args:
        log_name (str): the log to watch. Its hook must come before and have the same timescale
            and interval.
        filename (str | None): HDF5 file to save to; None: the hook keeps the parameters.
        criterion (str): 'max' (default) or 'min': which values are good.
    """

    __undescribed__ = {'best_so_far', 'parameters'}
    __default_values__ = {'filename': None}
    filename_is_optional = True

    def __init__(self, log_name: str, filename: FileName | None = None, criterion: str = 'max',
                 name: str | None = None, timescale: str = 'epoch', interval: int = 1,
                 verbose: bool | None = None):
        super().__init__(filename, name, timescale, interval, verbose)
        self.log_name = check_name('SaveBestNetwork', 'log_name', log_name)
        self.criterion = check_criterion(self, criterion)
        self.best_so_far = None
        self.parameters = None

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        log = find_numbers(self, logs, self.log_name, epoch_nr)
        if not log or not self._is_better(log[-1]):
            return
        self.message(f"{self.log_name} improved from {self.best_so_far} to {log[-1]}")
        self.best_so_far = log[-1]
        if self.filename is None:
            self.parameters = net.get('parameters')
        else:
            net.save_as_hdf5(self.filename)

    def load_best_network(self) -> Any:
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


class SaveNetwork(FileHook):
    """Saves the network, by default after every epoch.

    Args:
        filename (str | PathLike): HDF5 file to save to, see `Network.save_as_hdf5`.
    """

    def __init__(self, filename: FileName, name: str | None = None, timescale: str = 'epoch',
                 interval: int = 1):
        super().__init__(filename, name, timescale, interval)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        net.save_as_hdf5(self.filename)

    def load_network(self) -> Network:
        """The network that was saved last.

        Raises what `Network.from_hdf5` raises.
        """
        return Network.from_hdf5(self.filename)


class SaveLogs(FileHook):
    """Saves the logs of the trainer to an HDF5 file, by default after every epoch.

    Groups are nested like the logs. A list of numbers, or of arrays of one shape, is a dataset of
    numbers; any other list is a dataset of strings, the text of each entry. The attribute `format`
    is 'Logs file v1.0'. The file is complete or not there, as a saved network is.

    Args:
        filename (str | PathLike): HDF5 file to save to.
    """

    def __init__(self, filename: FileName, name: str | None = None, timescale: str = 'epoch',
                 interval: int = 1):
        super().__init__(filename, name, timescale, interval)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        save_hdf5(self.filename, 'the logs', 'Logs file v1.0',
                  lambda file: _write_logs(file, logs))


def _write_logs(group, logs):
    for name, entry in logs.items():
        if isinstance(entry, Mapping):
            _write_logs(group.create_group(str(name)), entry)
        else:
            group[str(name)] = _as_dataset(entry)


def _as_dataset(entries):
    """The list as an array of numbers, or else of strings in the form that h5py stores."""
    try:
        array = np.asarray(entries)
        if array.dtype.kind in 'biufc':
            return array
    except ValueError:  # arrays of different shapes
        pass
    return np.array([str(entry) for entry in entries], h5py.string_dtype())


class InfoUpdater(Hook):
    """Keeps the `info` of a Sacred run up to date, by default after every epoch.

    Its keys `epoch_nr`, `update_nr`, `logs` and `nr_parameters` are set. The run is not described,
    copied or pickled: set `hook.run` again afterwards.

    Args:
        run (sacred.run.Run): or anything with a dict `info`.
    """

    __undescribed__ = {'run': None}
    _not_pickled = ('run',)
    run = None

    def __init__(self, run: Any, name: str | None = None, timescale: str = 'epoch',
                 interval: int = 1):
        super().__init__(name, timescale, interval)
        if not isinstance(getattr(run, 'info', None), MutableMapping):
            raise TypeError("InfoUpdater: run must have a dict `info`, as those of Sacred do, "
                            f"got {run!r}")
        self.run = run

    def start(self, net, stepper, verbose, named_data_iters):
        super().start(net, stepper, verbose, named_data_iters)
        if self.run is None:
            raise ValueError(f"{self.__name__}: it has no run: set its attribute `run`")

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        self.run.info.update(
            epoch_nr=epoch_nr, update_nr=update_nr, logs=copy.deepcopy(logs),
            nr_parameters=int(np.prod(net.buffer['parameters'].shape)))
