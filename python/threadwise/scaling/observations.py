"""Speedups that were observed, and how they might have come out had they been measured again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from threadwise.errors import DomainError, DTypeError, ShapeError

__all__ = ["LEVEL", "Interval", "Observations", "interval"]

Floats = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = 0.95
"""Of all intervals: how often they hold the true value."""

REPLICAS = 2000
"""How often measurements are repeated in thought."""


@dataclass(frozen=True)
class Observations:
    """Speedups at some numbers of threads, against one thread."""

    threads: Floats
    """More than one each, shape (m,)."""
    speedups: Floats
    """Shape (m,). Of medians, where there are several times."""
    samples: Floats | None
    """Times, shape (rounds, 1 + m), one thread first; None where each is known once."""
    is_weak: bool
    """Whether the work grew with the threads: then a speedup is of work a second."""

    @classmethod
    def of(cls, threads: Sequence[int], times: ArrayLike, *, weak: bool = False) -> Observations:
        """Check what a caller gave, and return it.

        Parameters
        ----------
        threads : sequence of int, length n
        times : array_like of float, shape (n,) or (rounds, n)
        weak : bool, default False

        Raises
        ------
        DomainError
            If a number of threads is less than 1, none is 1 or none is more, or a time is not
            positive and finite.
        ShapeError
            If there are not as many times as numbers of threads.
        DTypeError
            If one of them is no number.
        """
        counts, seconds = _checked(threads, times)
        first = int(np.flatnonzero(counts == 1)[0])
        more = counts > 1
        medians = np.median(seconds, axis=0)
        speedups = medians[first] / medians[more]
        factor = counts[more] if weak else 1.0
        ordered = np.concatenate([seconds[:, [first]], seconds[:, more]], axis=1)
        return cls(counts[more], factor * speedups, ordered if len(seconds) > 1 else None, weak)

    def again(self, fitted: Floats, coefficients: int) -> Floats | None:
        """Return speedups as they might come out in other measurements, shape (replicas, m).

        Where there are several rounds, they are drawn with replacement, each round whole, because
        what disturbs a round disturbs all of its times. Where each time is known once, noise is
        drawn around the `fitted` speedups, for the time of one thread too: normal, and of the size
        that the residuals tell, which is itself drawn. None where `coefficients` leave no residual.
        """
        random = np.random.default_rng(0)
        if self.samples is not None:
            rounds = len(self.samples)
            drawn = random.integers(0, rounds, (REPLICAS, rounds))
            medians = np.median(self.samples[drawn], axis=1)
            factor = self.threads if self.is_weak else 1.0
            return np.asarray(factor * medians[:, :1] / medians[:, 1:])
        left = len(self.threads) - coefficients
        if left < 1:
            return None
        misfit = np.log(self.speedups / fitted)
        size = np.sqrt(np.sum(misfit**2) / random.chisquare(left, REPLICAS))
        noise = size[:, None] * random.standard_normal((REPLICAS, 1 + len(self.threads)))
        # Beyond a factor of e⁷⁰⁰ there is no number; the tail of so few residuals reaches it.
        return np.asarray(fitted * np.exp(np.clip(noise[:, :1] - noise[:, 1:], -700, 700)))


def interval(values: Floats | None) -> Interval:
    """Return the middle `LEVEL` of `values`; not a number where there are none."""
    if values is None:
        return (float("nan"), float("nan"))
    tail = (1 - LEVEL) / 2
    # Not between two values: the largest of speedups may be infinite.
    low, high = np.quantile(values, [tail, 1 - tail], method="nearest")
    return (float(low), float(high))


def _checked(threads: Sequence[int], times: Any) -> tuple[Floats, Floats]:
    try:
        counts = np.asarray(threads, np.float64)
        seconds = np.asarray(times, np.float64)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"threads or times are not numbers ({error}), expected numbers") from None
    if counts.ndim != 1 or seconds.ndim not in (1, 2) or seconds.shape[-1:] != counts.shape:
        raise ShapeError(
            f"threads has shape {counts.shape}, times has shape {seconds.shape}: expected a time, "
            "or a column of times, for each number of threads"
        )
    seconds = np.atleast_2d(seconds)
    if not np.all((counts >= 1) & (counts == np.floor(counts)) & np.isfinite(counts)):
        raise DomainError(f"threads is {counts.tolist()}, expected whole numbers from 1")
    if not np.any(counts == 1):
        raise DomainError(
            f"threads is {_whole(counts)}, without 1: a speedup needs a measured time of one thread"
        )
    if not np.any(counts > 1):
        raise DomainError(f"threads is {_whole(counts)}, expected at least one number above 1")
    if not len(seconds) or not np.all(np.isfinite(seconds) & (seconds > 0)):
        raise DomainError(f"times is {seconds.tolist()}, expected positive and finite seconds")
    return counts, seconds


def _whole(counts: Floats) -> list[int]:
    return [int(count) for count in counts]
