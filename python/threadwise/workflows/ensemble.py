"""`ensemble_predict`: one answer from several models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from threadwise._arguments import word
from threadwise._mapped import used
from threadwise._models import predictor
from threadwise._progress import Progress
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.workflows.tasks import run

__all__ = ["Ensemble", "ensemble_predict"]

METHODS = ("mean", "median", "weighted", "vote", "soft_vote")


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """What `ensemble_predict` found; `numpy.asarray` of it is the prediction."""

    prediction: np.ndarray[Any, Any]
    """The answer of all models together."""
    members: np.ndarray[Any, Any]
    """That of each, shape ``(models, ...)``."""
    method: str
    """How they were combined."""
    threads: int
    """How many threads took part."""
    cap: int
    """How many could have: the smaller of models and threads."""
    seconds: float
    """What all of it took."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.prediction, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return (
            f"Ensemble({self.method} of {len(self.members)} models, prediction of shape "
            f"{self.prediction.shape}, {used(self.threads, self.cap)}, {self.seconds:.2f} s)"
        )


def ensemble_predict(
    models: Iterable[Any],
    x: Any,
    *,
    method: Literal["mean", "median", "weighted", "vote", "soft_vote"] = "mean",
    weights: Sequence[float] | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Ensemble:
    """Ask several models, and combine their answers.

    Parameters
    ----------
    models : iterable of models
        Objects with a method ``predict`` (for ``"soft_vote"`` ``predict_proba``, if they have it),
        or functions; called with `x`.
    x : object
        What each is asked about: it is handed on as it is.
    method : {"mean", "median", "weighted", "vote", "soft_vote"}, default "mean"
        What the answers become. ``"mean"`` and ``"median"`` of numbers; ``"weighted"``, the mean
        with `weights`; ``"vote"``, of labels of any type, the most frequent one, and the first in
        sorted order of several; ``"soft_vote"``, of probabilities of classes along the last axis,
        the number of the class whose mean is the largest.
    weights : sequence of float, optional
        One for each model, at least 0 and not all 0, for ``"weighted"``, ``"vote"`` and
        ``"soft_vote"``. Their scale does not matter.
    threads : int, optional
        How many models at a time, from 1 to 1024. By default what `threadwise.get_num_threads`
        says.
    progress : bool or callable, optional
        True for a bar, or a function called as ``progress(done, models)`` on the calling thread.

    Returns
    -------
    Ensemble
        The prediction, that of each model, threads used. Means and medians have the dtype of the
        answers, if that is a floating-point one, and are computed in float64, model after model.

    Raises
    ------
    ShapeError
        If answers differ in shape, or are empty, or `weights` are not one for each model.
    DomainError
        If there is no model, a method or a weight makes no sense, or `weights` are missing.
    DTypeError
        If a model cannot be asked, or answers are no numbers where they have to be.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> double, triple = (lambda x: 2 * x), (lambda x: 3 * x)
    >>> np.asarray(tw.workflows.ensemble_predict([double, triple], np.array([1.0, 2.0])))
    array([2.5, 5. ])
    """
    word("method", method, METHODS)
    asked = [_asked(model, index, method) for index, model in enumerate(models)]
    if not asked:
        raise DomainError("models is empty, expected at least one")
    shares = _shares(weights, method, len(asked))
    outcome = run(
        lambda ask: ask(x),
        asked,
        what="models",
        name=lambda index: f"threadwise.workflows.ensemble_predict, model {index}",
        threads=threads,
        progress=progress,
    )
    members = _together([np.asarray(each) for each in outcome.results], method)
    return Ensemble(
        prediction=_COMBINE[method](members, shares),
        members=members,
        method=method,
        threads=outcome.threads,
        cap=outcome.cap,
        seconds=outcome.seconds,
    )


def _asked(model: Any, index: int, method: str) -> Callable[[Any], Any]:
    if method == "soft_vote" and hasattr(model, "predict_proba"):
        found: Callable[[Any], Any] = model.predict_proba
        return found
    return predictor(model, f"models[{index}]")


def _shares(weights: Sequence[float] | None, method: str, models: int) -> Any:
    """Return the part of each model; all parts together are 1."""
    if weights is None:
        if method == "weighted":
            raise DomainError("weights is None, expected one for each model with method 'weighted'")
        return np.full(models, 1 / models)
    if method in {"mean", "median"}:
        raise DomainError(f"weights are given, expected None with method {method!r}")
    found = np.asarray(weights, np.float64)
    if found.shape != (models,):
        raise ShapeError(
            f"weights has shape {found.shape}, expected ({models},): one for each model"
        )
    if not (np.isfinite(found) & (found >= 0)).all() or found.sum() == 0:
        raise DomainError(f"weights are {found.tolist()}, expected at least 0 each, not all 0")
    return found / found.sum()


def _together(answers: list[np.ndarray[Any, Any]], method: str) -> np.ndarray[Any, Any]:
    shape = answers[0].shape
    for index, answer in enumerate(answers):
        if answer.shape != shape:
            raise ShapeError(
                f"models[{index}] answers with shape {answer.shape}, models[0] with {shape}: they "
                "must be equal"
            )
        if answer.size == 0:
            raise ShapeError(f"models[{index}] answers with shape {shape}, expected an element")
        if method != "vote" and answer.dtype.kind not in "fiub":
            raise DTypeError(f"models[{index}] answers with {answer.dtype}, expected real numbers")
    if method == "soft_vote" and not shape:
        raise ShapeError("models answer with shape (), expected classes along the last axis")
    return np.stack(answers)


def _mean(members: Any, shares: Any) -> Any:
    total = np.zeros(members.shape[1:])
    for member, share in zip(members, shares, strict=True):
        total += member * np.float64(share)
    return _rounded(total, members.dtype)


def _plain_mean(members: Any, _: Any) -> Any:
    total = np.zeros(members.shape[1:])
    for member in members:
        total += member
    return _rounded(total / len(members), members.dtype)


def _median(members: Any, _: Any) -> Any:
    return _rounded(np.median(members.astype(np.float64), axis=0), members.dtype)


def _vote(members: Any, shares: Any) -> Any:
    labels, codes = np.unique(members, return_inverse=True)
    codes = codes.reshape(members.shape)
    votes = np.zeros((len(labels), *members.shape[1:]))
    for member, share in zip(codes, shares, strict=True):
        np.put_along_axis(
            votes, member[None], np.take_along_axis(votes, member[None], 0) + share, 0
        )
    # Sums of the same parts in another order are the same vote.
    return labels[np.argmax(np.round(votes, 12), axis=0)]


def _soft_vote(members: Any, shares: Any) -> Any:
    return np.argmax(_mean(members.astype(np.float64), shares), axis=-1)


def _rounded(values: Any, dtype: Any) -> Any:
    return values.astype(dtype) if dtype.kind == "f" else values


_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "mean": _plain_mean,
    "median": _median,
    "weighted": _mean,
    "vote": _vote,
    "soft_vote": _soft_vote,
}
