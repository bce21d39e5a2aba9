"""Hooks are called by a Trainer during a training: they monitor, save, stop and change things.

Arguments that most hooks take:
    name (str): key of the hook in the trainer and in its logs; default: name of the class.
    timescale (str): 'epoch' (default) or 'update': after what the hook is called.
    interval (int): call it every `interval` epochs or updates, default 1.
    verbose (bool | None): whether it prints; None: as the trainer says.

Names of logs are dotted: 'validation.Accuracy' is what the hook `validation` logs as Accuracy.
"""

import math
from collections import OrderedDict

import numpy as np

from brainstorm.describable import Describable, DescribedByArguments
from brainstorm.scorers import check_scorers
from brainstorm.structure.network import Network
from brainstorm.tools import evaluate
from brainstorm.utils import check_number, get_by_path, list_names

__all__ = [
    'EarlyStopper', 'Hook', 'ModifyStepperAttribute', 'MonitorLayerDeltas',
    'MonitorLayerGradients', 'MonitorLayerInOuts', 'MonitorLayerParameters', 'MonitorLoss',
    'MonitorScores', 'ProgressBar', 'SaveBestNetwork', 'StopAfterEpoch',
    'StopAfterThresholdReached', 'StopOnNan',
]


class Hook(Describable):
    """Base class of hooks; see the module for the arguments.

    Attributes:
        __name__ (str): key in the trainer; it need not be an identifier.
        priority (int): position in the trainer, from 1; 0 outside of one.
        run_verbosity (bool): whether to print, valid from `start` on.
    """

    __undescribed__ = {'__name__': '', 'run_verbosity': False}
    __default_values__ = {'timescale': 'epoch', 'interval': 1, 'verbose': None}
    _not_pickled = ()

    def __init__(self, name=None, timescale='epoch', interval=1, verbose=None):
        if timescale not in ('epoch', 'update'):
            raise ValueError(f"{type(self).__name__}: timescale must be 'epoch' or 'update', "
                             f"got {timescale!r}")
        self.__name__ = type(self).__name__ if name is None else name
        self.timescale = timescale
        self.interval = check_number(type(self).__name__, 'interval', interval, 1, integer=True)
        self.verbose = verbose
        self.priority = 0
        self.run_verbosity = False

    @classmethod
    def __new_from_description__(cls, description):
        hook = super().__new_from_description__(
            {name: value for name, value in description.items() if name != 'priority'})
        hook.__name__ = cls.__name__
        hook.priority = description.get('priority', 0)
        return hook

    def start(self, net, stepper, verbose, named_data_iters):
        """Called before a training with the trainer's verbosity and all iterators by name."""
        self.run_verbosity = verbose if self.verbose is None else self.verbose

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        """Act, and return what is to be logged, or raise StopIteration to stop the training."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def message(self, text):
        """Print the text if this hook is verbose."""
        if self.run_verbosity:
            print(f"{self.__name__} >> {text}")

    def __getstate__(self):
        return {name: value for name, value in vars(self).items()
                if name not in self._not_pickled}


# ---- monitors ----


class MonitorLoss(Hook, DescribedByArguments):
    """Logs the losses on the data of an iterator.

    Args:
        iter_name (str): its name in the call of `Trainer.train`.
    """

    __undescribed__ = {'iter'}
    _not_pickled = ('iter',)

    def __init__(self, iter_name, name=None, timescale='epoch', interval=1, verbose=None):
        super().__init__(name, timescale, interval, verbose)
        self.iter_name = iter_name
        self.iter = None

    def start(self, net, stepper, verbose, named_data_iters):
        super().start(net, stepper, verbose, named_data_iters)
        if self.iter_name not in named_data_iters:
            raise KeyError(f"{self.__name__}: there is no data iterator {self.iter_name!r}; "
                           + list_names('there are', self.iter_name, named_data_iters))
        self.iter = named_data_iters[self.iter_name]

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        return evaluate(net, self.iter)


class MonitorScores(MonitorLoss):
    """Logs the losses and some scores on the data of an iterator.

    Args:
        iter_name (str): its name in the call of `Trainer.train`.
        scorers (list[Scorer]): what to score.
    """

    def __init__(self, iter_name, scorers, name=None, timescale='epoch', interval=1,
                 verbose=None):
        super().__init__(iter_name, name, timescale, interval, verbose)
        self.scorers = check_scorers(self.__name__, scorers)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        return evaluate(net, self.iter, self.scorers)


class _MonitorLayer(Hook, DescribedByArguments):
    """Logs statistics of some buffers of a layer, as {'min', 'avg', 'max'} of each.

    Args:
        layer_name (str): the layer.
        name (str | None): default: MonitorWHAT_LAYER.
    """

    what = None

    def __init__(self, layer_name, name=None, timescale='epoch', interval=1, verbose=None):
        name = f'Monitor{self.what}_{layer_name}' if name is None else name
        super().__init__(name, timescale, interval, verbose)
        self.layer_name = layer_name

    def start(self, net, stepper, verbose, named_data_iters):
        super().start(net, stepper, verbose, named_data_iters)
        if self.layer_name not in net.layers:
            raise KeyError(f"{self.__name__}: there is no layer {self.layer_name!r}; "
                           + list_names('there are', self.layer_name, net.layers))

    def _statistics(self, net, kind):
        names = net.buffer[self.layer_name][kind].keys()
        return OrderedDict((name, _statistics(net.get(f'{self.layer_name}.{kind}.{name}')))
                           for name in names)


class MonitorLayerParameters(_MonitorLayer):
    """Logs statistics of the parameters of a layer.

    For those with 2 or more dimensions also the L2 norms of the rows, as 'min_L2_norm',
    'avg_L2_norm' and 'max_L2_norm'. The default name is MonitorParameters_LAYER.
    """

    what = 'Parameters'

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        log = self._statistics(net, 'parameters')
        for name in log:
            values = net.get(f'{self.layer_name}.parameters.{name}')
            if values.ndim > 1:
                norms = np.sqrt(np.sum(values.reshape(len(values), -1) ** 2, axis=1))
                for key, value in _statistics(norms).items():
                    log[name][key + '_L2_norm'] = value
        return log


class MonitorLayerGradients(_MonitorLayer):
    """Logs statistics of the gradients of a layer.

    These are 0 before the first backward pass. The default name is MonitorGradients_LAYER.
    """

    what = 'Gradients'

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        return self._statistics(net, 'gradients')


class MonitorLayerDeltas(_MonitorLayer):
    """Logs statistics of the internals, output deltas and input deltas of a layer.

    Nothing before the first backward pass. The default name is MonitorDeltas_LAYER.
    """

    what = 'Deltas'

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        if not net._core.has_run_backward:
            return None
        log = self._statistics(net, 'internals')
        log['output_deltas'] = self._statistics(net, 'output_deltas')
        log['input_deltas'] = self._statistics(net, 'input_deltas')
        return log


class MonitorLayerInOuts(_MonitorLayer):
    """Logs statistics of the inputs and outputs of a layer.

    Nothing before the first forward pass. The default name is MonitorInOuts_LAYER.
    """

    what = 'InOuts'

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        if not net._core.has_run_forward:
            return None
        return OrderedDict((kind, self._statistics(net, kind)) for kind in ('inputs', 'outputs'))


class ProgressBar(Hook, DescribedByArguments):
    """Shows a progress bar for each epoch. Needs the package tqdm."""

    __undescribed__ = {'_length', '_epoch_nr', '_bar'}
    __default_values__ = {'timescale': 'update'}
    _not_pickled = ('_bar',)
    _bar = None

    def __init__(self):
        super().__init__(timescale='update')
        self._length = None
        self._epoch_nr = None

    def start(self, net, stepper, verbose, named_data_iters):
        super().start(net, stepper, verbose, named_data_iters)
        training_data_iter = named_data_iters.get('training_data_iter')
        self._length = getattr(training_data_iter, 'length', None)
        self._epoch_nr = None

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        if not self.run_verbosity:
            return
        if self._epoch_nr is None:  # the opening round: nothing has been done yet
            self._epoch_nr = epoch_nr
            return
        if epoch_nr != self._epoch_nr or self._bar is None:
            self._open(epoch_nr)
        self._bar.update()
        if self._bar.n == self._length:
            self._close()

    def _open(self, epoch_nr):
        from tqdm import tqdm
        self._close()
        self._epoch_nr = epoch_nr
        self._bar = tqdm(total=self._length, desc=f'Epoch {epoch_nr}', unit='batch')

    def _close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None


# ---- savers ----


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
        self.criterion = _check_criterion(self, criterion)
        self.best_so_far = None
        self.parameters = None

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        log = _find_log(self, logs, self.log_name, epoch_nr)
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


# ---- stoppers ----


class EarlyStopper(Hook, DescribedByArguments):
    """Stops the training when a log has not improved for some time.

    Args:
        log_name (str): the log to watch. Its hook should have the same timescale and interval.
        patience (int): how many entries may follow the best one, default 1.
        criterion (str): 'min' (default) or 'max': which values are good.
    """

    __default_values__ = {'patience': 1}

    def __init__(self, log_name, patience=1, criterion='min', name=None, timescale='epoch',
                 interval=1, verbose=None):
        super().__init__(name, timescale, interval, verbose)
        self.log_name = log_name
        self.patience = check_number('EarlyStopper', 'patience', patience, 0)
        self.criterion = _check_criterion(self, criterion)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        log = _find_log(self, logs, self.log_name, epoch_nr)
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

    def __init__(self, max_epochs, name=None, timescale='epoch', interval=1, verbose=None):
        super().__init__(name, timescale, interval, verbose)
        self.max_epochs = check_number('StopAfterEpoch', 'max_epochs', max_epochs, 0)

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

    def __init__(self, log_name, threshold, criterion='min', name=None, timescale='epoch',
                 interval=1, verbose=None):
        super().__init__(name, timescale, interval, verbose)
        self.log_name = log_name
        self.threshold = check_number('StopAfterThresholdReached', 'threshold', threshold)
        self.criterion = _check_criterion(self, criterion)

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        log = np.array(_find_log(self, logs, self.log_name, epoch_nr))
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

    def __init__(self, logs_to_check=(), check_parameters=True, check_training_loss=True,
                 name=None, timescale='epoch', interval=1, verbose=None):
        super().__init__(name, timescale, interval, verbose)
        self.logs_to_check = [logs_to_check] if isinstance(logs_to_check, str) \
            else list(logs_to_check)
        self.check_parameters = check_parameters
        self.check_training_loss = check_training_loss

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        for log_name in self.logs_to_check:
            self._check(log_name, np.isfinite(_find_log(self, logs, log_name, epoch_nr)).all())
        if self.check_parameters:
            self._check('a parameter', net.handler.is_fully_finite(net.buffer['parameters']))
        if self.check_training_loss:
            losses = logs.get('rolling_training', {}).get('total_loss', [])
            self._check('rolling_training.total_loss', np.isfinite(losses).all())

    def _check(self, what, is_finite):
        if not is_finite:
            self.message(f"{what} is NaN or infinite: stopping")
            raise StopIteration


# ---- changes ----


class ModifyStepperAttribute(Hook, DescribedByArguments):
    """Sets an attribute of the stepper to what a schedule says.

    Args:
        schedule (Callable): see `brainstorm.training.schedules`.
        attr_name (str): the attribute, default 'learning_rate'.
    """

    def __init__(self, schedule, attr_name='learning_rate', timescale='epoch', interval=1,
                 name=None, verbose=None):
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


READS_NO_DELTAS = {
    EarlyStopper, ModifyStepperAttribute, MonitorLayerGradients, MonitorLayerInOuts,
    MonitorLayerParameters, MonitorLoss, MonitorScores, ProgressBar, SaveBestNetwork,
    StopAfterEpoch, StopAfterThresholdReached, StopOnNan,
}
"""While only such hooks are in a trainer, deltas into the Input layer are not computed."""


def _find_log(hook, logs, log_name, epoch_nr):
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


def _check_criterion(hook, criterion):
    if criterion not in ('min', 'max'):
        raise ValueError(f"{type(hook).__name__}: criterion must be 'min' or 'max', "
                         f"got {criterion!r}")
    return criterion


def _statistics(values):
    return OrderedDict([('min', float(values.min())), ('avg', float(values.mean())),
                        ('max', float(values.max()))])
