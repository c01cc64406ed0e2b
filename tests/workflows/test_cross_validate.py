"""Scores by fold: of estimators and functions, the same for any number of threads."""

import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold as TheirKFold
from sklearn.model_selection import cross_val_score

import threadwise as tw
from strategies import Array, normal
from threadwise.data import Subset
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.workflows import KFold, TimeSeriesSplit, cross_validate

X = normal((41, 3), np.float64)
Y = X @ [1.0, -2.0, 0.5] + normal((41,), np.float64, seed=1) / 10


class Mean:
    """Predicts the mean of what it was trained on."""

    def __init__(self) -> None:
        self.seen: list[Array] = []

    def fit(self, x: Array, y: Array) -> None:
        """Remember."""
        self.seen.append(x)
        self.mean = y.mean()

    def score(self, x: Array, y: Array) -> float:
        """Return the negative error."""
        self.seen.append(x)
        return -float(np.abs(y - self.mean).mean())


def least_squares(train: Subset, test: Subset) -> float:
    (x, y), (rows, expected) = train.take(), test.take()
    weights, *_ = np.linalg.lstsq(x, y, rcond=None)
    return -float(np.abs(rows @ weights - expected).max())


def test_scores_are_those_of_scikit_learn() -> None:
    for cv in (4, TheirKFold(3, shuffle=True, random_state=0)):
        ours = cross_validate(Ridge(), X, Y, cv=cv)
        assert_array_equal(ours.scores, cross_val_score(Ridge(), X, Y, cv=cv))
    error = get_scorer("neg_mean_absolute_error")
    ours = cross_validate(Ridge(), X, Y, scoring=error)
    assert_array_equal(ours.scores, cross_val_score(Ridge(), X, Y, scoring=error))
    assert ours.mean == pytest.approx(ours.scores.mean())
    assert ours.std == pytest.approx(ours.scores.std())
    assert float(ours) == ours.mean


@pytest.mark.parametrize("model", [Mean(), least_squares], ids=["estimator", "function"])
def test_threads_change_no_bit(model: Any) -> None:
    found = [cross_validate(model, X, Y, cv=5, threads=threads) for threads in (1, 2, 4)]
    for each in found:
        assert_array_equal(each.scores, found[0].scores)
    assert [each.cap for each in found] == [1, 2, 4]


def test_the_result_says_who_took_part() -> None:
    barrier = threading.Barrier(3, timeout=20)

    def wait(*_: object) -> float:
        barrier.wait()
        return 1.0

    found = cross_validate(wait, X, cv=3, threads=8)
    assert (found.threads, found.cap) == (3, 3)
    assert str(found).startswith("score 1.0000 ± 0.0000 over 3 folds (3 threads of at most 3, ")
    assert [(fold.train_size, fold.test_size) for fold in found.folds] == [
        (27, 14),
        (27, 14),
        (28, 13),
    ]


def test_kernels_share_the_budget_with_the_folds() -> None:
    with tw.threads(4):
        found = cross_validate(lambda *_: tw.get_num_threads(), X, cv=2, threads=2)
        assert found.scores.tolist() == [2, 2]
        assert cross_validate(lambda *_: tw.get_num_threads(), X, cv=2, threads=1).mean == 4


def test_runs_of_rows_are_views_and_cannot_be_written_to() -> None:
    seen: list[Array] = []

    class Spy(Mean):
        def fit(self, x: Array, y: Array) -> None:
            super().fit(x, y)
            seen.append(x)

    cross_validate(Spy(), X, Y, cv=TimeSeriesSplit(3))
    assert len(seen) == 3
    for rows in seen:
        assert np.shares_memory(rows, X)
        assert not rows.flags.writeable


def test_each_fold_has_a_model_of_its_own() -> None:
    model = Mean()
    cross_validate(model, X, Y, cv=3)
    assert model.seen == []


def test_functions_get_views_of_the_rows() -> None:
    def sizes(train: Subset, test: Subset) -> float:
        assert_array_equal(np.sort(np.append(train.indices, test.indices)), np.arange(41))
        assert_array_equal(test.take(), X[test.indices])
        return len(test)

    assert cross_validate(sizes, X, cv=KFold(4, shuffle=True)).scores.tolist() == [11, 10, 10, 10]


def failing(_: Subset, test: Subset) -> float:
    if 20 in test.indices or 30 in test.indices:
        raise ArithmeticError("no")
    return 2.0


@pytest.mark.parametrize("threads", [1, 3])
def test_errors_tell_their_fold(threads: int) -> None:
    with pytest.raises(ArithmeticError) as caught:
        cross_validate(failing, X, cv=10, threads=threads)
    note = "threadwise.workflows.cross_validate, fold 4: this was raised for it"
    assert caught.value.__notes__ == [note]
    found = cross_validate(failing, X, cv=10, threads=threads, on_error="collect")
    assert [fold.index for fold in found.failures] == [4, 7]
    assert np.isnan(found.scores).sum() == 2
    assert (found.mean, found.std) == (2, 0)
    assert "fold 4 failed: ArithmeticError('no')" in str(found)


def test_progress() -> None:
    for threads in (1, 2):
        told: list[tuple[int, int | None]] = []
        cross_validate(least_squares, X, Y, threads=threads, progress=lambda *t: told.append(t))  # noqa: B023
        assert told[-1] == (5, 5)
        assert told == sorted(told)


def test_what_progress_raises_ends_it() -> None:
    begun = []

    def slow(*_: object) -> float:
        begun.append(0)
        time.sleep(0.02)
        return 0.0

    def refuse(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(slow, X, cv=40, threads=2, progress=refuse)
    assert len(begun) < 20


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((3, X, Y), {}, DTypeError, r"model is 3 \(a int\), expected an estimator with fit, or"),
        ((Mean(), X, Y[:-1]), {}, ShapeError, r"x has shape \(41, 3\), y has \(40,\)"),
        ((Mean(), X, Y), {"scoring": 3}, DTypeError, "scoring is 3"),
        ((Mean(), X, Y), {"threads": 0}, DomainError, "threads is 0"),
        ((Mean(), X, Y), {"threads": 2000}, DomainError, "threads is 2000, expected from 1 to"),
        ((Mean(), X, Y), {"on_error": "x"}, DomainError, "on_error is 'x', expected 'raise' or"),
        ((Mean(), X, Y), {"on_error": 3}, DTypeError, "on_error is 3"),
        ((Mean(), X, Y), {"progress": 3}, DTypeError, "progress is 3, expected a function"),
        ((Mean(), X, Y), {"cv": [([0], [41])]}, DomainError, "indices has 41"),
        ((lambda *_: "good", X), {}, DTypeError, r"the score is 'good' \(a str\)"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        cross_validate(*arguments, **options)
