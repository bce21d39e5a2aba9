"""The Trainer runs the epochs of a training and calls the hooks."""

import signal
import threading
from collections import OrderedDict
from contextlib import ExitStack, contextmanager
from typing import Any

from brainstorm.checks import check_flag, check_interface, check_type
from brainstorm.data_iterators import DataIterator
from brainstorm.describable import Describable
from brainstorm.hooks import READS_NO_DELTAS, Hook
from brainstorm.scorers import ScoreKeeper, Scorer, check_scorers
from brainstorm.structure.network import Network
from brainstorm.training.steppers import ENGINE_STEPPERS, TrainingStepper

__all__ = ['Trainer']


class Trainer(Describable):
    """Trains a network with a stepper, calls hooks and collects what they log.

    Args:
        stepper (TrainingStepper): updates the parameters.
        verbose (bool): whether hooks print, unless they say otherwise themselves.

    Attributes:
        hooks (OrderedDict): the hooks by name, in the order in which they are called.
        train_scorers (list[Scorer]): scored on each training batch as it passes.
        logs (OrderedDict): what was logged; `rolling_training` holds the averages over each
            epoch, everything else stands under the name of its hook.
        results (OrderedDict): what the last `evaluate` collected.
        current_epoch_nr, current_update_nr (int): epochs begun and updates made.
    """

    __undescribed__ = {'current_epoch_nr': 0, 'current_update_nr': 0,
                       'logs': OrderedDict(), 'results': OrderedDict()}

    def __init__(self, stepper: TrainingStepper, verbose: bool = True):
        self.stepper = check_interface('Trainer', 'stepper', stepper, TrainingStepper,
                                       'start', 'run')
        self.verbose = check_flag('Trainer', 'verbose', verbose)
        self.hooks: OrderedDict[str, Hook] = OrderedDict()
        self.train_scorers: list[Scorer] = []
        self.logs: dict[str, Any] = OrderedDict()
        self.results: dict[str, Any] = OrderedDict()
        self.current_epoch_nr = 0
        self.current_update_nr = 0

    def __init_from_description__(self, description):
        by_priority = sorted(self.hooks.items(), key=lambda item: item[1].priority)
        self.hooks = OrderedDict(by_priority)
        for name, hook in by_priority:
            hook.__name__ = name

    def add_hook(self, hook: Hook) -> None:
        """Call this Hook from the next training on, after those that were added before.

        Raises ValueError if a hook of the same name is there already, TypeError for no Hook.
        """
        name = check_type('Trainer.add_hook', 'hook', hook, Hook).__name__
        if name in self.hooks:
            raise ValueError(f"there is a hook named {name!r} already: "
                             "give one of them another name")
        self.hooks[name] = hook
        hook.priority = len(self.hooks)

    def train(self, net: Network, training_data_iter: DataIterator,
              **named_data_iters: DataIterator) -> None:
        """Train until a hook stops it.

        A second call continues counters and logs. Ctrl-C lets the running update finish and ends
        the epoch before it is raised; a second one is raised at once.

        Args:
            net (Network): what to train.
            training_data_iter (DataIterator): must yield exactly the outputs of the Input layer.
            named_data_iters: other iterators, which hooks ask for by name.

        Raises:
            TypeError: an argument is of another class than said here.
            AssertionError: the names of the data are not those of the Input layer.
        """
        _check_arguments(net, training_data_iter)
        check_scorers('Trainer.train_scorers', self.train_scorers)
        self.stepper.start(net)
        named_data_iters['training_data_iter'] = training_data_iter
        with self._started_hooks(net, named_data_iters) as hooks, \
                _delayed_interrupt() as interrupted, self._lean_passes(net):
            stop = self._run_hooks(hooks, 'update', net, self.logs) \
                or self._run_hooks(hooks, 'epoch', net, self.logs)
            while not stop and not interrupted:
                stop = self._train_epoch(hooks, net, training_data_iter, interrupted)
            net._core.finish()
            if interrupted:
                raise KeyboardInterrupt

    def evaluate(self, net: Network, **named_data_iters: DataIterator) -> dict[str, Any]:
        """Run all hooks that are due at the present counters once, without training.

        Returns what they log, which is kept in `results`. A hook that stops a training stops
        nothing here.
        """
        check_type('Trainer.evaluate', 'net', net, Network)
        with self._started_hooks(net, named_data_iters) as hooks:
            self.results = OrderedDict()
            for timescale in 'epoch', 'update':
                self._run_hooks(hooks, timescale, net, self.results)
        return self.results

    def _train_epoch(self, hooks, net, training_data_iter, interrupted):
        """One epoch and its hooks; whether to stop after it."""
        self.current_epoch_nr += 1
        if self.verbose:
            print(f"{' Epoch ' + str(self.current_epoch_nr) + ' ':-^60}")
        keeper = ScoreKeeper(net, self.train_scorers)
        stop = False
        for data in training_data_iter(handler=net.handler):
            net.provide_external_data(data)
            self.stepper.run()
            self.current_update_nr += 1
            keeper.add_batch()
            net.apply_weight_modifiers()
            stop = self._run_hooks(hooks, 'update', net, self.logs)
            if stop or interrupted:
                break
        self._log(self.logs, 'rolling_training', keeper.get_results(), self.verbose)
        return self._run_hooks(hooks, 'epoch', net, self.logs) or stop

    @contextmanager
    def _started_hooks(self, net, named_data_iters):
        """Gives {timescale: [(name, hook)]} of all hooks, which are started within.

        Those that were started are finished, whatever happens.
        """
        for name, data_iter in named_data_iters.items():
            check_interface('Trainer', name, data_iter, DataIterator, '__call__')
        with ExitStack() as started:
            for hook in self.hooks.values():
                hook.start(net, self.stepper, self.verbose, named_data_iters)
                started.callback(hook.finish)
            yield {timescale: [(name, hook) for name, hook in self.hooks.items()
                               if hook.timescale == timescale] for timescale in ('update', 'epoch')}

    def _run_hooks(self, hooks, timescale, net, collected):
        """Call the hooks of a timescale that are due; whether one of them stopped the training."""
        count = self.current_epoch_nr if timescale == 'epoch' else self.current_update_nr
        stop = False
        for name, hook in hooks[timescale]:
            if count % hook.interval != 0:
                continue
            try:
                entry = hook(epoch_nr=self.current_epoch_nr, update_nr=self.current_update_nr,
                             net=net, stepper=self.stepper, logs=self.logs)
            except StopIteration as stopped:
                entry, stop = stopped.value, True
            self._log(collected, name, entry, hook.run_verbosity)
        return stop

    @staticmethod
    def _log(logs, name, entry, verbose):
        _add_log(logs, name, entry)
        if verbose:
            _print_log(name, entry)

    @contextmanager
    def _lean_passes(self, net):
        """Leave out deltas that no gradient depends on if nobody could look at them."""
        net._core.is_lean = type(self.stepper) in ENGINE_STEPPERS and all(
            type(hook) in READS_NO_DELTAS for hook in self.hooks.values())
        try:
            yield
        finally:
            net._core.is_lean = False


def _check_arguments(net, training_data_iter):
    check_type('Trainer.train', 'net', net, Network)
    check_interface('Trainer.train', 'training_data_iter', training_data_iter, DataIterator,
                    'data_shapes', '__call__')
    provided = set(training_data_iter.data_shapes)
    expected = set(net.layers['Input'].out_shapes)
    if provided != expected:
        raise AssertionError(f"the training data has the names {sorted(provided)}, "
                             f"but the network needs {sorted(expected)}")


def _add_log(logs, name, entry):
    """Log what a hook returned: dicts nest, anything else but None is appended to a list."""
    if entry is None:
        return
    if isinstance(entry, dict):
        branch = logs.setdefault(name, OrderedDict())
        for key, value in entry.items():
            _add_log(branch, key, value)
    else:
        logs.setdefault(name, []).append(entry)


def _print_log(name, entry, indent=''):
    if isinstance(entry, dict):
        print(f'{indent}{name}')
        for key, value in entry.items():
            _print_log(key, value, indent + '  ')
    elif entry is not None:
        print(f'{indent + str(name):<40}{entry}')


@contextmanager
def _delayed_interrupt():
    """Within, the first Ctrl-C is only noted in the list that is given; a second one is raised."""
    noted = []
    if (threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
        yield noted
        return

    def note(signum, frame):
        noted.append(signum)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
