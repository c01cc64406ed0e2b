"""The estimators keep scikit-learn's contract, and go where its own go."""

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from strategies import normal
from threadwise.errors import DomainError, DTypeError
from threadwise.sklearn import MLPClassifier, MLPRegressor
from threadwise.workflows import cross_validate

X = normal((240, 3), np.float64)
Y = np.where(X[:, 0] > X[:, 1], "right", "left")
Z = X @ [1.0, -2.0, 0.5]

OPTIONAL = {
    "check_array_api_input",
    "check_classifier_data_not_an_array",
    "check_regressor_data_not_an_array",
}
QUICK: dict[str, Any] = {"learning_rate_init": 0.01, "random_state": 0, "tol": 1e-2}


# The checks make more and less of the same few data sets than converge.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", [MLPClassifier(), MLPRegressor()], ids=str)
def test_scikit_learns_own_checks_pass(estimator: Any) -> None:
    done = check_estimator(estimator, on_skip=None)
    # What needs a package that is not there, or a setting of the environment, is passed over.
    skipped = {each["check_name"] for each in done if each["status"] == "skipped"}
    assert {each["status"] for each in done} <= {"passed", "skipped"}
    assert skipped <= OPTIONAL
    assert len(done) - len(skipped) > 40


def test_classes_are_told_apart() -> None:
    model = MLPClassifier((32,), **QUICK).fit(X, Y)
    assert model.score(X, Y) > 0.95
    p = model.predict_proba(X)
    assert_allclose(p.sum(axis=1), 1)
    assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
    assert_allclose(np.log(p), model.predict_log_proba(X), rtol=1e-6)
    assert model.classes_.tolist() == ["left", "right"]
    assert model.n_iter_ == len(model.loss_curve_) < 200
    assert model.loss_ == model.loss_curve_[-1] < model.loss_curve_[0]


def test_numbers_are_told_and_how_sure_that_is() -> None:
    model = MLPRegressor((64,), **QUICK).fit(X, Z)
    assert model.score(X, Z) > 0.95
    with pytest.raises(DomainError, match="all 50 samples are the same"):
        model.predict(X, return_std=True)
    dropped = MLPRegressor((64,), dropout=0.2, samples=30, **QUICK).fit(X, Z)
    mean, std = dropped.predict(X, return_std=True)
    assert mean.shape == std.shape == (240,)
    assert (std > 0).all()
    assert_array_equal(dropped.predict(X, return_std=True), [mean, std])
    assert np.corrcoef(mean, dropped.predict(X))[0, 1] > 0.99
    both = MLPRegressor((64,), dropout=0.2, **QUICK).fit(X, np.stack([Z, -Z], axis=1))
    assert both.predict(X).shape == both.predict(X, return_std=True)[1].shape == (240, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_threads_change_no_bit(kind: Any, dtype: str) -> None:
    y = Y if kind is MLPClassifier else Z
    models = [
        kind((40, 20), dropout=0.1, dtype=dtype, threads=threads, **QUICK).fit(X, y)
        for threads in (1, 2, 4)
    ]
    for model in models[1:]:
        for name, array in model.model_.parameters.items():
            assert array.dtype == dtype
            assert_array_equal(array, models[0].model_.parameters[name])


OPTIONS: list[dict[str, Any]] = [
    {"activation": "tanh"},
    {"dropout": 0.5},
    {"solver": "sgd"},
    {"solver": "sgd", "momentum": 0.0},
    {"alpha": 0.5},
    {"batch_size": 30},
    {"learning_rate_init": 0.02},
    {"max_iter": 1},
    {"shuffle": False},
    {"random_state": 1},
    {"tol": 0.5},
    {"n_iter_no_change": 1},
    {"early_stopping": True},
    {"early_stopping": True, "validation_fraction": 0.4},
    {"dtype": "float64"},
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_changes_something(option: dict[str, Any]) -> None:
    base = {**QUICK, "max_iter": 60, "batch_size": 64}
    if "momentum" in option:
        base["solver"] = "sgd"
    if "validation_fraction" in option:
        base["early_stopping"] = True
    plain = MLPClassifier((8,), **base).fit(X, Y)
    changed = MLPClassifier((8,), **base | option).fit(X, Y)
    assert not np.array_equal(plain.predict_proba(X), changed.predict_proba(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_options_of_regression_change_something() -> None:
    base = {**QUICK, "max_iter": 20}
    mse, huber = (MLPRegressor((8,), loss=loss, **base).fit(X, 5 * Z) for loss in ("mse", "huber"))
    assert not np.array_equal(mse.predict(X), huber.predict(X))
    few, many = (
        MLPRegressor((8,), dropout=0.3, samples=n, **base).fit(X, Z).predict(X, return_std=True)
        for n in (10, 100)
    )
    assert not np.array_equal(few[1], many[1])


def test_it_says_when_it_was_not_ready() -> None:
    with pytest.warns(ConvergenceWarning, match="the loss still fell after 2 epochs"):
        MLPClassifier(max_iter=2).fit(X, Y)
    with pytest.raises(NotFittedError):
        MLPClassifier().predict(X)


def test_copies_and_pickles_predict_the_same() -> None:
    model = MLPClassifier((16,), **QUICK).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert clone(model).get_params() == model.get_params()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_they_go_where_scikit_learns_go() -> None:
    x, y = load_digits(return_X_y=True)
    x = x / 16
    model = MLPClassifier((64,), batch_size=32, max_iter=40, random_state=0)
    assert cross_val_score(model, x, y, cv=3).mean() > 0.85
    pipeline = make_pipeline(StandardScaler(), model)
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1e-1]}, cv=2).fit(x, y)
    assert search.best_score_ > 0.85
    votes = VotingClassifier(
        [("net", model), ("line", LogisticRegression(max_iter=500))], voting="soft"
    )
    assert votes.fit(x[:1200], y[:1200]).score(x[1200:], y[1200:]) > 0.85
    calibrated = CalibratedClassifierCV(model, cv=2).fit(x[:1200], y[:1200])
    assert calibrated.score(x[1200:], y[1200:]) > 0.85
    found = cross_validate(pipeline, x, y, cv=3, threads=2)
    assert_allclose(found.scores, cross_validate(pipeline, x, y, cv=3, threads=1).scores, rtol=0)
    a, b = load_diabetes(return_X_y=True)
    regressor = make_pipeline(
        StandardScaler(), MLPRegressor((32,), learning_rate_init=0.05, random_state=0)
    )
    assert cross_val_score(regressor, a, b / 100, cv=3).mean() > 0.2


@pytest.mark.parametrize(
    ("option", "error", "sentence"),
    [
        ({"solver": "lbfgs"}, DomainError, "solver is 'lbfgs', expected 'adamw' or 'sgd'"),
        ({"max_iter": 0}, DomainError, "max_iter is 0"),
        ({"batch_size": 0}, DomainError, "batch_size is 0"),
        ({"batch_size": "large"}, DomainError, "batch_size is 'large', expected a whole number or"),
        ({"hidden_layer_sizes": (0,)}, DomainError, "hidden_layer_sizes is 0"),
        ({"hidden_layer_sizes": (1.5,)}, DTypeError, "hidden_layer_sizes is 1.5"),
        ({"activation": "step"}, DomainError, "activation is 'step'"),
        ({"n_iter_no_change": 0}, DomainError, "n_iter_no_change is 0"),
    ],
)
def test_settings_that_make_no_sense(
    option: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        MLPClassifier(**option).fit(X, Y)


def test_more_settings_that_make_no_sense() -> None:
    with pytest.raises(DomainError, match="loss is 'l1', expected 'mse' or 'huber'"):
        MLPRegressor(loss="l1").fit(X, Z)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="samples is 1"):
        MLPRegressor((8,), samples=1, dropout=0.1, **QUICK).fit(X, Z).predict(X, return_std=True)
