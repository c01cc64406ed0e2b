"""`predict_with_uncertainty`: many samples of a random model, and what they say together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from threadwise import _budget
from threadwise._arguments import thread_count, whole, word
from threadwise._mapped import used
from threadwise._progress import Progress, counting
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.inference.distribution import entropies, probabilities
from threadwise.inference.sampling import sampled

__all__ = ["Uncertainty", "predict_with_uncertainty"]

OUTPUTS = ("values", "logits", "probabilities")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Uncertainty:
    """What `predict_with_uncertainty` found, for n rows with outputs of some shape each."""

    mean: np.ndarray[Any, Any]
    """The mean of the samples, shape ``(n, ...)``."""
    std: np.ndarray[Any, Any]
    """Their standard deviation."""
    levels: tuple[float, ...]
    """For which parts of the samples there are quantiles."""
    quantiles: np.ndarray[Any, Any]
    """Below which that part of the samples is, shape ``(levels, n, ...)``."""
    entropy: Any
    """The entropy of the mean distribution of each row, in nats: how uncertain it is in all; `None`
    for values."""
    mutual_information: Any
    """The part of that which comes from not knowing the model, in nats: how much samples disagree;
    `None` for values."""
    samples: np.ndarray[Any, Any]
    """All of them, shape ``(samples, n, ...)``."""
    threads: int
    """How many threads made them; for a native model, how many it could use."""
    cap: int
    """How many could have: the smaller of calls and threads."""
    seconds: float
    """What it took."""

    def __repr__(self) -> str:
        kind = "values" if self.entropy is None else "distributions"
        return (
            f"Uncertainty({len(self.samples)} samples of {kind} of shape {self.mean.shape}, "
            f"{used(self.threads, self.cap)}, {self.seconds:.2f} s)"
        )


def predict_with_uncertainty(
    model: Any,
    x: Any,
    *,
    samples: int = 50,
    seed: int = 0,
    outputs: Literal["values", "logits", "probabilities"] = "values",
    ddof: int = 0,
    quantiles: Sequence[float] = (0.025, 0.5, 0.975),
    batch_size: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Uncertainty:
    """Ask a random model many times, and say how much its answers differ.

    Parameters
    ----------
    model : model or callable
        A model of threadwise with dropout, whose method ``monte_carlo(x, samples, seed)`` returns
        the samples: Monte Carlo dropout [1]_. Or a function, called as ``model(batch, rng)`` with a
        generator of numpy.random, which depends on seed, batch and sample alone.
    x : array_like, shape (n, ...)
        The rows.
    samples : int, default 50
        How many answers, at least 2.
    seed : int, default 0
        At least 0.
    outputs : {"values", "logits", "probabilities"}, default "values"
        What the model answers with: values; or, along the last axis, what softmax makes the
        probabilities of classes, or these themselves. All that is found then is of probabilities.
    ddof : int, default 0
        The deviation is that of ``samples - ddof`` degrees of freedom, at least 1.
    quantiles : sequence of float, default (0.025, 0.5, 0.975)
        From 0 to 1, interpolated linearly between samples.
    batch_size : int, optional
        How many rows a function gets at a time. By default all. Another number means other
        generators. Not for models.
    threads : int, optional
        How many calls at a time, or threads of a model, from 1 to 1024. By default what
        `threadwise.get_num_threads` says.
    progress : bool or callable, optional
        True for a bar, or a function called as ``progress(done, calls)`` on the calling thread.

    Returns
    -------
    Uncertainty
        Mean, deviation, quantiles, for distributions entropy and mutual information, the samples,
        threads used. Of the dtype of the answers, computed in float64; the same bits for any number
        of threads.

    Raises
    ------
    DomainError
        If nothing in the model is random, so that all answers are the same; if an argument is out
        of range, or probabilities are none.
    DTypeError
        If `model` is neither such a model nor a function, or answers are no real numbers.
    ShapeError
        If answers differ in shape, or have not a row for each of `x`.

    Notes
    -----
    The mutual information is the entropy of the mean less the mean of the entropies [2]_: both are
    large where a model would rather not say, the first alone where classes really overlap.

    References
    ----------
    .. [1] Y. Gal, Z. Ghahramani, *Dropout as a Bayesian Approximation*, ICML 2016,
       arXiv:1506.02142.
    .. [2] N. Houlsby et al., *Bayesian Active Learning for Classification and Preference Learning*,
       arXiv:1112.5745.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> def noisy(x, rng):
    ...     return x + rng.normal(0, 0.1, x.shape)
    >>> found = tw.inference.predict_with_uncertainty(noisy, np.zeros((3, 1)), samples=1000)
    >>> found.std.round(1).ravel()
    array([0.1, 0.1, 0.1])
    """
    word("outputs", outputs, OUTPUTS)
    samples, seed, ddof = whole("samples", samples, 2), whole("seed", seed), whole("ddof", ddof)
    if ddof >= samples:
        raise DomainError(f"ddof is {ddof}, expected less than samples, {samples}")
    levels = _levels(quantiles)
    x = np.asarray(x)
    if x.ndim == 0:
        raise ShapeError("x has shape (), expected rows")
    most, begin = thread_count(threads), time.perf_counter()
    if hasattr(model, "monte_carlo") and not isinstance(model, type):
        if batch_size is not None:
            raise DomainError("batch_size is given, expected None for a model with monte_carlo")
        with counting(progress, "calls") as tell, _budget.threads(most):
            found = np.asarray(model.monte_carlo(x, samples, seed))
            if tell is not None:
                tell(1, 1)
        used_threads = cap = min(samples, most)
    else:
        size = max(len(x), 1) if batch_size is None else whole("batch_size", batch_size, 1)
        found, used_threads, cap = sampled(
            model, x, samples=samples, seed=seed, size=size, threads=most, progress=progress
        )
    _are_samples(found, samples, len(x))
    values = probabilities(found, outputs)
    wide = values.astype(np.float64)
    entropy, information = (None, None) if outputs == "values" else entropies(wide, values.dtype)
    return Uncertainty(
        mean=wide.mean(axis=0).astype(values.dtype),
        std=wide.std(axis=0, ddof=ddof).astype(values.dtype),
        levels=levels,
        quantiles=np.quantile(wide, levels, axis=0).astype(values.dtype),
        entropy=entropy,
        mutual_information=information,
        samples=values,
        threads=used_threads,
        cap=cap,
        seconds=time.perf_counter() - begin,
    )


def _levels(quantiles: Sequence[float]) -> tuple[float, ...]:
    levels = tuple(float(level) for level in quantiles)
    if not all(0 <= level <= 1 for level in levels):
        raise DomainError(f"quantiles are {levels}, expected from 0 to 1 each")
    return levels


def _are_samples(found: Any, samples: int, rows: int) -> None:
    if found.dtype.kind not in "fiub":
        raise DTypeError(f"model answers with {found.dtype}, expected real numbers")
    if found.shape[:2] != (samples, rows):
        raise ShapeError(f"samples have shape {found.shape}, expected ({samples}, {rows}, ...)")
    if found.size and all(
        np.array_equal(each, found[0], equal_nan=found.dtype.kind == "f") for each in found[1:]
    ):
        raise DomainError(
            f"all {samples} samples are the same: nothing in the model is random; it needs dropout "
            "above 0, or a function that uses its generator"
        )
