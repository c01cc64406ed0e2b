"""`cross_validate`: how good a model is on rows that it has not seen, fold by fold."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from threadwise._arguments import function
from threadwise._mapped import used
from threadwise._progress import Progress
from threadwise.data.sources import Indices, Subset, rows
from threadwise.errors import ShapeError
from threadwise.parallel.calls import Failure
from threadwise.parallel.turns import paused
from threadwise.workflows.folds import folds
from threadwise.workflows.tasks import run, score_of

__all__ = ["CrossValidation", "Fold", "cross_validate"]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One fold of a `CrossValidation`."""

    index: int
    """Which one, from 0."""
    score: float
    """How good the model is on its test rows; NaN if it failed."""
    train_size: int
    """Rows that the model was trained on."""
    test_size: int
    """Rows that it was tested on."""
    seconds: float
    """What both took, without the time in which other folds had their turn."""
    error: Exception | None = None
    """What was raised, with ``on_error="collect"``."""


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What `cross_validate` found. Printed, it is a few lines; ``float()`` of it is the mean."""

    folds: tuple[Fold, ...]
    """Each fold, in order."""
    threads: int
    """How many threads took part."""
    cap: int
    """How many could have: the smaller of folds and threads. No speedup is larger."""
    seconds: float
    """What all of it took."""

    @property
    def scores(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The score of each fold; NaN for one that failed."""
        return np.array([fold.score for fold in self.folds])

    @property
    def failures(self) -> tuple[Fold, ...]:
        """The folds that failed."""
        return tuple(fold for fold in self.folds if fold.error is not None)

    @property
    def mean(self) -> float:
        """The mean score of the folds that did not fail; NaN if there are none."""
        found = self._found()
        return float(found.mean()) if found.size else float("nan")

    @property
    def std(self) -> float:
        """The standard deviation of the same, as `numpy.std` has it."""
        found = self._found()
        return float(found.std()) if found.size else float("nan")

    def _found(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([fold.score for fold in self.folds if fold.error is None])

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        taken = f"{used(self.threads, self.cap)}, {self.seconds:.2f} s"
        found = f"score {self.mean:.4f} ± {self.std:.4f} over {len(self.folds)} folds ({taken})"
        failed = [f"fold {fold.index} failed: {fold.error!r}" for fold in self.failures]
        return "\n".join([found, *failed])


def cross_validate(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    groups: Any = None,
    scoring: Callable[[Any, Any, Any], float] | None = None,
    threads: int | None = None,
    progress: Progress = None,
    on_error: Literal["raise", "collect"] = "raise",
) -> CrossValidation:
    """Train and test a model on each of several divisions of the rows.

    Parameters
    ----------
    model : estimator or callable
        With a method ``fit``, an estimator: each fold has a copy of it, ``fit(x, y)`` on the rows
        that train and ``score(x, y)`` on those that test. Else a function, called as
        ``model(train, test)`` with two `threadwise.data.Subset`, which returns the score.
    x : array_like, shape (n, ...)
        The rows.
    y : array_like, shape (n, ...), optional
        What belongs to each row.
    cv : int, splitter, or iterable of pairs, default 5
        The folds: a number, for `KFold`; an object with scikit-learn's ``split(x, y, groups)``, as
        `KFold`, `StratifiedKFold`, `GroupKFold`, `TimeSeriesSplit` and scikit-learn's own; or pairs
        of the indices that train and test. Rows that are sorted by class want one that shuffles or
        stratifies.
    groups : array_like, shape (n,), optional
        To which group each row belongs, for splitters that ask for it.
    scoring : callable, optional
        Called as ``scoring(fitted, x, y)`` in place of ``fitted.score(x, y)``; scikit-learn's
        scorers are such.
    threads : int, optional
        How many folds at a time, from 1 to 1024. By default what `threadwise.get_num_threads` says.
    progress : bool or callable, optional
        True for a bar, or a function called as ``progress(done, folds)`` on the calling thread.
    on_error : {"raise", "collect"}, default "raise"
        What happens when a fold raises an `Exception`. With ``"raise"`` that of the first such fold
        is raised, with a note; with ``"collect"`` the fold has it, and NaN for its score.

    Returns
    -------
    CrossValidation
        Scores by fold, mean and deviation, threads used.

    Raises
    ------
    ShapeError
        If `x` and `y` differ in length.
    DTypeError
        If `model` has no method ``fit`` and cannot be called, if a score is no number, or `cv`
        means no folds.
    DomainError
        If there are fewer rows than folds, or an argument is out of range.

    Notes
    -----
    Folds are indices. A function gets them as views, and copies what it takes. An estimator gets
    arrays, which are views where rows lie beside each other, as the tests of `KFold` without
    shuffling and all of `TimeSeriesSplit`, and cannot be written to; others are copied while their
    fold is under way.

    Where the folds do not divide evenly among the threads, more of them are under way and take
    turns after epochs of `threadwise.train.fit`, so many at a time as there are threads: five folds
    on two threads take as long as two and a half of them, not three. Models that train otherwise
    have no moment for that; they go on until they end.

    Scores do not depend on the number of threads, if those of `model` do not. Kernels of threadwise
    share the budget with the folds; pools of BLAS libraries are limited meanwhile.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> x = np.arange(20.0)
    >>> def score(train, test):
    ...     return -abs(train.take().mean() - test.take().mean())
    >>> tw.workflows.cross_validate(score, x, cv=4).scores
    array([-10.        ,  -3.33333333,  -3.33333333, -10.        ])
    """
    is_estimator = hasattr(model, "fit") and not isinstance(model, type)
    if not is_estimator:
        function("model", model, "an estimator with fit, or a function of train and test")
    if scoring is not None:
        function("scoring", scoring, "a function of a fitted model, x and y, or None")
    x = _read_only(x)
    y = None if y is None else _read_only(y)
    if y is not None and (x.ndim == 0 or y.ndim == 0 or len(x) != len(y)):
        raise ShapeError(f"x has shape {x.shape}, y has {y.shape}: expected as many rows")
    cut = folds(cv, x, y, groups)
    dataset = x if y is None else (x, y)
    for train, test in cut:  # refuses indices that are not there, before any work
        Subset(dataset, train)
        Subset(dataset, test)
    models = [_copy(model) if is_estimator else model for _ in cut]

    def score(number: int) -> tuple[float, float]:
        begin, (train, test) = time.perf_counter() - paused(), cut[number]
        if is_estimator:
            fitted, models[number] = models[number], None  # its memory goes with the fold
            fitted.fit(*_parts(x, y, train))
            found = _scored(fitted, x, y, test, scoring)
        else:
            found = model(Subset(dataset, train), Subset(dataset, test))
        return score_of(found), time.perf_counter() - paused() - begin

    outcome = run(
        score,
        range(len(cut)),
        what="folds",
        name=lambda number: f"threadwise.workflows.cross_validate, fold {number}",
        threads=threads,
        progress=progress,
        on_error=on_error,
    )
    return CrossValidation(
        folds=tuple(
            _fold(number, found, *map(len, cut[number]))
            for number, found in enumerate(outcome.results)
        ),
        threads=outcome.threads,
        cap=outcome.cap,
        seconds=outcome.seconds,
    )


def _fold(number: int, found: Any, train_size: int, test_size: int) -> Fold:
    error = found.error if isinstance(found, Failure) else None
    score, seconds = (float("nan"), 0.0) if error is not None else found
    return Fold(
        index=number,
        score=score,
        train_size=train_size,
        test_size=test_size,
        seconds=seconds,
        error=error,
    )


def _read_only(array: Any) -> Any:
    view = np.asarray(array).view()
    view.flags.writeable = False  # folds share the rows
    return view


def _copy(estimator: Any) -> Any:
    """Return an estimator with the same settings, of which training one leaves the other alone."""
    if hasattr(estimator, "get_params") and "sklearn.base" in sys.modules:
        return sys.modules["sklearn.base"].clone(estimator)
    return copy.deepcopy(estimator)


def _scored(fitted: Any, x: Any, y: Any, test: Indices, scoring: Any) -> Any:
    if scoring is not None:
        return scoring(fitted, rows(x, test), None if y is None else rows(y, test))
    return fitted.score(*_parts(x, y, test))


def _parts(x: Any, y: Any, indices: Indices) -> tuple[Any, ...]:
    return tuple(rows(array, indices) for array in (x, y) if array is not None)
