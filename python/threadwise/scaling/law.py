"""What the laws of scaling share: least squares with coefficients that are not negative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, sqrt

import numpy as np
from numpy.typing import NDArray

from threadwise.scaling.observations import Interval, Observations

__all__ = ["Fit", "estimate"]

Floats = NDArray[np.float64]

EXACT = 16 * float(np.finfo(np.float64).eps)
"""Roundings in n/S - 1: what is smaller is no loss."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A law that was fitted to speedups."""

    threads: tuple[int, ...]
    """Those that were fitted: more than one each."""
    speedups: tuple[float, ...]
    """Measured there, against one thread."""
    residuals: tuple[float, ...]
    """Measured less fitted speedup, for each."""
    intervals: dict[str, Interval]
    """Where each coefficient and what follows from them is with 95 % confidence, by its name; not a
    number where nothing is left to tell that."""

    @property
    def error(self) -> float:
        """How far the law is off: root mean square of residual by measured speedup."""
        squares = [
            (off / speedup) ** 2 for off, speedup in zip(self.residuals, self.speedups, strict=True)
        ]
        return sqrt(sum(squares) / len(squares))

    def _within(self, name: str, digits: str) -> str:
        """Return the interval of that name in brackets, or nothing if it is unknown."""
        low, high = self.intervals[name]
        return "" if isnan(low) else f" ({low:{digits}} to {high:{digits}})"


def estimate(
    seen: Observations,
    columns: Floats,
    loss: Callable[[Floats], Floats],
    speedups: Callable[[Floats], Floats],
) -> tuple[Floats, Floats | None]:
    """Fit a law that is linear in its coefficients.

    Parameters
    ----------
    seen : Observations
        Of m numbers of threads.
    columns : ndarray, shape (m, p)
        What each coefficient is multiplied by; p is 1 or 2.
    loss : callable
        Gives what the columns should add up to, from speedups of any shape (..., m).
    speedups : callable
        Its inverse.

    Returns
    -------
    coefficients : ndarray, shape (p,)
    replicas : ndarray, shape (r, p), or None
        The same from measurements as they might come out again.
    """
    count = columns.shape[1]
    found = _nonnegative(columns, loss(seen.speedups)[None])[0]
    again = seen.again(speedups(columns @ found), count)
    return found, None if again is None else _nonnegative(columns, loss(again))


def _nonnegative(columns: Floats, values: Floats) -> Floats:
    """Return the coefficients ≥ 0 with the least sum of squares, for each row of `values`.

    Parameters
    ----------
    columns : ndarray, shape (m, p)
    values : ndarray, shape (r, m)

    Returns
    -------
    ndarray, shape (r, p)
    """
    squares, products = columns.T @ columns, values @ columns
    alone = np.maximum(products / np.diag(squares), 0.0)
    if columns.shape[1] == 1:
        return np.asarray(alone + 0.0)
    free = np.linalg.solve(squares, products.T).T
    # Where one of two would be negative, the best has one of them at 0: the sum of squares is
    # convex. Without the other, a coefficient c explains c²·Σx² of Σy².
    explains = alone**2 * np.diag(squares)
    first = explains[:, :1] >= explains[:, 1:]
    bound = np.where(np.concatenate([first, ~first], axis=1), alone, 0.0)
    best = np.where(np.all(free >= 0, axis=1, keepdims=True), free, bound)
    return np.asarray(best + 0.0)  # no -0.0, by which nobody could divide


def excess(threads: Floats) -> Callable[[Floats], Floats]:
    """Return n/S - 1 as a function of S: 0 for what is perfect but for rounding."""

    def loss(speedups: Floats) -> Floats:
        off = threads / speedups - 1
        return np.where(np.abs(off) <= EXACT, 0.0, off)

    return loss
