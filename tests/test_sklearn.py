"""Networks as estimators of scikit-learn."""

import importlib
import sys

import numpy as np
import pytest


def test_without_scikit_learn_there_is_a_line_to_install_it(monkeypatch):
    for name in [*sys.modules]:
        if name == 'brainstorm.sklearn' or name.partition('.')[0] == 'sklearn':
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    with pytest.raises(ImportError, match=r'pip install brainstorm\[sklearn\]'):
        importlib.import_module('brainstorm.sklearn')


@pytest.fixture(params=['BrainstormClassifier', 'BrainstormRegressor'])
def estimator(request, estimators):
    return getattr(estimators, request.param)


@pytest.fixture
def estimators():
    pytest.importorskip('sklearn', minversion='1.6', reason='needs scikit-learn 1.6 or later')
    from brainstorm import sklearn
    return sklearn


def test_the_checks_of_scikit_learn(estimator):
    from sklearn.utils.estimator_checks import check_estimator
    check_estimator(estimator(epochs=30), on_skip=None)


def test_a_classifier_learns_labels_of_any_kind(estimators):
    rnd = np.random.RandomState(0)
    X = rnd.randn(300, 2)
    y = np.where((X ** 2).sum(axis=1) < 1, 'inside', 'outside')
    model = estimators.BrainstormClassifier('F20', epochs=50, random_state=1)
    assert model.fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.9
    assert list(model.classes_) == ['inside', 'outside']
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert ((probabilities[:, 1] > 0.5) == (model.predict(X) == 'outside')).all()
    assert len(model.logs_['rolling_training']['total_loss']) == 50
    assert model.network_.buffer.parameters.size == 2 * 20 + 20 + 20 * 2 + 2


@pytest.mark.parametrize('columns', [None, 1, 2])
def test_a_linear_regression_finds_the_least_squares_solution(estimators, columns):
    rnd = np.random.RandomState(0)
    X = rnd.randn(100, 3)
    y = X @ rnd.randn(3, columns or 1) + 2 + 0.1 * rnd.randn(100, columns or 1)
    y = y[:, 0] if columns is None else y
    model = estimators.BrainstormRegressor('', 0.03, epochs=800, batch_size=100, random_state=1)
    with_one = np.c_[X, np.ones(100)]
    expected = with_one @ np.linalg.lstsq(with_one, y, rcond=None)[0]
    found = model.fit(X, y).predict(X)
    assert found.shape == y.shape
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_a_random_state_makes_it_reproducible(estimator):
    rnd = np.random.RandomState(0)
    X, y = rnd.randn(50, 3), rnd.randint(2, size=50)
    first, second = (estimator('F5 D', epochs=3, random_state=state).fit(X, y).predict(X)
                            for state in (1, 1))
    assert np.array_equal(first, second)
    assert estimator().get_params()['epochs'] == 100
    parameters = [estimator('F5', epochs=1, random_state=state).fit(X, y).network_.get('parameters')
                  for state in (1, 2)]
    assert not np.array_equal(*parameters)


@pytest.mark.parametrize('arguments, text', [
    ({'spec': 'X5'}, 'X5'), ({'epochs': -1}, 'max_epochs'), ({'batch_size': 0}, 'batch_size')])
def test_fit_refuses_wrong_arguments(estimator, arguments, text):
    with pytest.raises(ValueError, match=text):
        estimator(**arguments).fit(np.zeros((4, 2)), [0, 1, 0, 1])


def test_estimators_work_in_pipelines(estimators):
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    rnd = np.random.RandomState(0)
    X = rnd.randn(90, 4) * [1, 10, 100, 1000]
    model = make_pipeline(StandardScaler(),
                          estimators.BrainstormClassifier('F10', epochs=30, random_state=0))
    assert cross_val_score(model, X, X[:, 1] > 0, cv=3).mean() > 0.85
