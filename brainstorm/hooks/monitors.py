"""Hooks that log what they see, and the progress bar."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from brainstorm.checks import check_name
from brainstorm.describable import DescribedByArguments
from brainstorm.hooks.base import Hook
from brainstorm.scorers import Scorer, check_scorers
from brainstorm.tools import evaluate
from brainstorm.utils import import_optional, list_names

__all__ = ['MonitorLayerDeltas', 'MonitorLayerGradients', 'MonitorLayerInOuts',
           'MonitorLayerParameters', 'MonitorLoss', 'MonitorScores', 'ProgressBar']


class MonitorLoss(Hook, DescribedByArguments):
    """Logs the losses on the data of an iterator.

    Args:
        iter_name (str): its name in the call of `Trainer.train`.
    """

    __undescribed__ = {'iter'}
    _not_pickled = ('iter',)

    def __init__(self, iter_name: str, name: str | None = None, timescale: str = 'epoch',
                 interval: int = 1, verbose: bool | None = None):
        super().__init__(name, timescale, interval, verbose)
        self.iter_name = check_name(type(self).__name__, 'iter_name', iter_name)
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

    def __init__(self, iter_name: str, scorers: Sequence[Scorer], name: str | None = None,
                 timescale: str = 'epoch', interval: int = 1, verbose: bool | None = None):
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

    what: str

    def __init__(self, layer_name: str, name: str | None = None, timescale: str = 'epoch',
                 interval: int = 1, verbose: bool | None = None):
        name = f'Monitor{self.what}_{layer_name}' if name is None else name
        super().__init__(name, timescale, interval, verbose)
        self.layer_name = check_name(type(self).__name__, 'layer_name', layer_name)

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
    """Shows a progress bar for each epoch. Needs the package tqdm.

    Raises:
        ImportError: there is no tqdm; `pip install tqdm`.
    """

    __undescribed__ = {'_length', '_epoch_nr', '_bar'}
    __default_values__ = {'timescale': 'update'}
    _not_pickled = ('_bar',)
    _bar = None

    def __init__(self) -> None:
        import_optional('tqdm', 'tqdm')
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

    def finish(self):
        self._close()

    def _open(self, epoch_nr):
        self._close()
        self._epoch_nr = epoch_nr
        self._bar = import_optional('tqdm.auto', 'tqdm').tqdm(
            total=self._length, desc=f'Epoch {epoch_nr}', unit='batch')

    def _close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _statistics(values):
    return OrderedDict([('min', float(values.min())), ('avg', float(values.mean())),
                        ('max', float(values.max()))])
