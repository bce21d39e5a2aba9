"""Scorers compare the output of a network with the targets."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from brainstorm.checks import check_name, check_number, check_type
from brainstorm.describable import DescribedByArguments
from brainstorm.utils import flatten_time_and_features

__all__ = ['Accuracy', 'Hamming', 'MeanSquaredError', 'ScoreKeeper', 'Scorer']


class Scorer(DescribedByArguments):
    """Base class of scorers.

    Args:
        out_name (str): path of the scored output; empty: what the evaluation asks for, or the
            output of the network.
        targets_name (str): name of the targets in the data; empty: what the evaluation asks for.
        mask_name (str): name of a mask in the data; empty: what the evaluation asks for.
        name (str | None): key in the results; None: the name of the class.
    """

    def __init__(self, out_name: str | None = '', targets_name: str | None = 'targets',
                 mask_name: str | None = '', name: str | None = None):
        owner = type(self).__name__
        self.out_name = _check_optional(owner, 'out_name', out_name)
        self.targets_name = _check_optional(owner, 'targets_name', targets_name)
        self.mask_name = _check_optional(owner, 'mask_name', mask_name)
        self.__name__ = owner if name is None else check_name(owner, 'name', name)

    @classmethod
    def __new_from_description__(cls, description):
        renamed = {'name' if name == '__name__' else name: value
                   for name, value in description.items()}
        return super().__new_from_description__(renamed)

    def __call__(self, true_labels: np.ndarray, predicted: np.ndarray,
                 mask: np.ndarray | None = None) -> float:
        """The score of a batch, summed over its rows.

        Args:
            true_labels (numpy.ndarray): targets, (N, F').
            predicted (numpy.ndarray): output of the network, (N, F).
            mask (numpy.ndarray | None): weight of each row, (N, 1).
        """
        raise NotImplementedError(f"{type(self).__name__} does not define "
                                  "__call__(true_labels, predicted, mask)")

    @staticmethod
    def aggregate(errors: Sequence[tuple[float, float]]) -> float:
        """The score of several batches, from a list of (weight, score); nan without any weight.

        The weight of a batch is the number of its rows, or the sum of its mask.
        """
        weight = sum(weight for weight, _ in errors)
        return float(sum(score for _, score in errors) / weight) if weight else float('nan')


class Accuracy(Scorer):
    """The fraction of rows whose class is predicted correctly.

    The largest output is the predicted class; an output of size 1 is the class itself.
    """

    def __call__(self, true_labels, predicted, mask=None):
        if predicted.shape[1] > 1:
            predicted = predicted.argmax(1).reshape(-1, 1)
        _require_same_shape(self, true_labels, predicted)
        return _masked_sum(predicted == true_labels, mask)


class Hamming(Scorer):
    """The fraction of correct labels, where a label counts as predicted from `threshold` on."""

    def __init__(self, threshold: float = 0.5, out_name: str | None = '',
                 targets_name: str | None = 'targets', mask_name: str | None = '',
                 name: str | None = None):
        super().__init__(out_name, targets_name, mask_name, name)
        self.threshold = check_number('Hamming', 'threshold', threshold)

    def __call__(self, true_labels, predicted, mask=None):
        _require_same_shape(self, true_labels, predicted)
        correct = (predicted >= self.threshold) == true_labels
        return _masked_sum(correct, mask) / predicted.shape[1]


class MeanSquaredError(Scorer):
    """Half of the squared difference, summed over the features, mean over the rows."""

    def __call__(self, true_labels, predicted, mask=None):
        _require_same_shape(self, true_labels, predicted)
        return 0.5 * _masked_sum((true_labels - predicted) ** 2, mask)


class ScoreKeeper:
    """Gathers the losses and scores of a network batch by batch.

    The arguments are those of `tools.evaluate`; what a scorer names itself comes first.
    """

    def __init__(self, net: Any, scorers: Sequence[Scorer], out_name: str | None = '',
                 targets_name: str | None = 'targets', mask_name: str | None = None):
        self._net = net
        self._batch_sizes: list[int] = []
        self._losses: dict[str, list[float]] = OrderedDict()
        self._scores: list[tuple[Scorer, list[Any]]] = [
            (scorer, []) for scorer in check_scorers('scorers', scorers)]
        self._out_name = _check_optional('evaluate', 'out_name', out_name)
        self._targets_name = _check_optional('evaluate', 'targets_name', targets_name)
        self._mask_name = _check_optional('evaluate', 'mask_name', mask_name)

    def add_batch(self) -> None:
        """Take in what the last forward pass of the network gave."""
        self._batch_sizes.append(self._net.batch_size)
        for name, loss in self._net.get_loss_values().items():
            self._losses.setdefault(name, []).append(loss)
        for scorer, results in self._scores:
            results.append(self._score(scorer))

    def get_results(self) -> dict[str, float]:
        """Ordered dict of the losses, averaged weighted by batch size, then of the scores."""
        results = OrderedDict()
        for name, losses in self._losses.items():
            results[name] = float(np.dot(losses, self._batch_sizes) / sum(self._batch_sizes))
        for scorer, scores in self._scores:
            results[scorer.__name__] = scorer.aggregate(scores)
        return results

    def _score(self, scorer):
        net = self._net
        out_name = scorer.out_name or self._out_name or find_output_name(net)
        mask_name = scorer.mask_name or self._mask_name
        predicted = flatten_time_and_features(net.get(out_name))
        targets = flatten_time_and_features(
            net.get_input(scorer.targets_name or self._targets_name))
        if not mask_name:
            return len(targets), scorer(targets, predicted)
        mask = flatten_time_and_features(net.get_input(mask_name))
        return float(mask.sum(dtype=np.float64)), scorer(targets, predicted, mask)


def check_scorers(owner, scorers):
    """Return `scorers` if it is a list or tuple of Scorers, each with a name of its own."""
    if not isinstance(scorers, (list, tuple)):
        raise TypeError(f"{owner}: expected a list of Scorers, got {scorers!r}")
    names = [check_type(owner, f'scorer {i}', scorer, Scorer).__name__
             for i, scorer in enumerate(scorers)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{owner}: several scorers are called {name!r}: "
                             "give all but one another name")
    return scorers


def _check_optional(owner, name, value):
    """Return the name, which may be empty, as it is for None."""
    return '' if value is None else check_type(owner, name, value, str)


def find_output_name(net):
    """The path of the output of a network: its own `output_name`, or its only predictions."""
    if net.output_name is not None:
        return net.output_name
    outputs = [f'{name}.outputs.{output}' for name, layer in net.layers.items()
               for output in layer.out_shapes]
    predictions = [path for path in outputs if path.endswith('.predictions')]
    if len(predictions) != 1:
        raise ValueError("say by out_name which output is meant: the network has no output_name, "
                         f"its outputs are {', '.join(outputs)}")
    return predictions[0]


def _masked_sum(values, mask):
    return float(np.sum(values if mask is None else values * mask, dtype=np.float64))


def _require_same_shape(scorer, true_labels, predicted):
    if true_labels.shape != predicted.shape:
        raise ValueError(f"{scorer.__name__}: targets of the shape {true_labels.shape} cannot be "
                         f"compared with predictions of the shape {predicted.shape}")
