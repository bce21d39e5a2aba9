"""Networks as estimators of scikit-learn. Needs scikit-learn: `pip install brainstorm[sklearn]`.

`import brainstorm` does not import this module.

    from brainstorm.sklearn import BrainstormClassifier
    BrainstormClassifier('F100 F50').fit(X, y).predict(X_new)

Arguments of both estimators, checked by `fit`:
    spec (str): the layers between input and output, see `tools.create_net_from_spec`.
    learning_rate (float): of the AdamStepper that trains.
    epochs (int): how often all data is passed.
    batch_size (int): rows per update.
    random_state (int | RandomState | None): an int makes the result reproducible.

Attributes of both after `fit`:
    network_ (Network): the trained network, float64.
    logs_ (dict): what its training has logged.
"""

from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(f"brainstorm.sklearn needs scikit-learn 1.6 or later ({error}): "
                      "pip install brainstorm[sklearn]") from error

from brainstorm.data_iterators import Minibatches
from brainstorm.handlers import NumpyHandler
from brainstorm.hooks import StopAfterEpoch
from brainstorm.tools import create_net_from_spec
from brainstorm.training import AdamStepper, Trainer

__all__ = ['BrainstormClassifier', 'BrainstormRegressor']


class _Estimator(BaseEstimator):
    """What both estimators share: arguments, training and the pass over new data."""

    def __init__(self, spec: str = 'F100', learning_rate: float = 0.01, epochs: int = 100,
                 batch_size: int = 32, random_state: Any = None):
        self.spec = spec
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def _train(self, task_type, X, targets, n_outputs):
        """Build and train the network on X (N, F) and targets (N, ...)."""
        seed, iterator_seed, network_seed = \
            check_random_state(self.random_state).randint(2 ** 31 - 1, size=3)
        net = create_net_from_spec(task_type, X.shape[1], n_outputs, self.spec)
        net.set_handler(NumpyHandler(np.float64, seed=int(seed)))
        net.rnd.set_seed(int(network_seed))
        net.initialize(net.initializers, seed=int(seed))
        batches = Minibatches(self.batch_size, default=X[np.newaxis], targets=targets[np.newaxis])
        batches.rnd.set_seed(int(iterator_seed))
        trainer = Trainer(AdamStepper(self.learning_rate), verbose=False)
        trainer.add_hook(StopAfterEpoch(self.epochs))
        trainer.train(net, batches)
        self.network_ = net
        self.logs_ = trainer.logs

    def _run(self, X):
        """The output (N, F) of the trained network."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.network_.predict(X[np.newaxis])[0]


class BrainstormClassifier(ClassifierMixin, _Estimator):
    """A classifier: the output is a softmax over the classes, the loss its cross entropy.

    For arguments and attributes see `brainstorm.sklearn`; besides, `fit` sets
        classes_ (numpy.ndarray): the labels, in the order of the columns of `predict_proba`.
    """

    def fit(self, X: Any, y: Any) -> 'BrainstormClassifier':
        """Train on X (N, F) and labels y (N,), from scratch. Returns the estimator."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, ids = np.unique(y, return_inverse=True)
        self._train('classification', X, ids[:, np.newaxis], len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities (N, classes) of all classes for X (N, F)."""
        return self._run(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label (N,) for each row of X (N, F)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class BrainstormRegressor(RegressorMixin, _Estimator):
    """A regression: the output is linear, the loss half of its squared error.

    For arguments and attributes see `brainstorm.sklearn`. There may be several outputs.
    """

    def fit(self, X: Any, y: Any) -> 'BrainstormRegressor':
        """Train on X (N, F) and targets y (N,) or (N, outputs), from scratch.

        Returns the estimator.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        targets = y.reshape(len(y), -1).astype(np.float64)
        self._train('regression', X, targets, targets.shape[1])
        self._single = y.ndim == 1
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The output for X (N, F), in the shape that y had in `fit`."""
        outputs = self._run(X)
        return outputs[:, 0] if self._single else outputs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
