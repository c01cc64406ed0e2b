"""Gustafson's law: work that grows with the threads, and a part that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from threadwise.scaling.law import EXACT, Fit, estimate
from threadwise.scaling.observations import Observations, interval

__all__ = ["GustafsonFit", "fit_gustafson", "gustafson_analysis"]


@dataclass(frozen=True, kw_only=True)
class GustafsonFit(Fit):
    """Gustafson's law as it fits scaled speedups best. Printed, it is a sentence."""

    parallel_fraction: float
    """The part of the time in which all threads have work, from 0 to 1."""

    @property
    def serial_fraction(self) -> float:
        """The rest of the time."""
        return 1 - self.parallel_fraction

    def speedup(self, threads: float) -> float:
        """Return what the law says for so many threads: work a second, against one thread."""
        return threads - self.serial_fraction * (threads - 1)

    def __str__(self) -> str:
        where = self._within("parallel_fraction", ".4f")
        return (
            f"Gustafson: parallel fraction {self.parallel_fraction:.4f}{where}, each further "
            f"thread adds {self.parallel_fraction:.3g} of one; off by {self.error:.1%}"
        )


def gustafson_analysis(threads: Sequence[int], times: ArrayLike) -> GustafsonFit:
    r"""Fit Gustafson's law to times of work that grew as the number of threads.

    .. math:: S(n) = \frac{n \, T(1)}{T(n)} = n - s (n - 1)

    Parameters
    ----------
    threads : sequence of int, length n
        Numbers of threads; 1 must be among them, and a number above 1.
    times : array_like of float, shape (n,) or (rounds, n)
        What n times the work took on n threads. Of several rounds the medians count.

    Returns
    -------
    GustafsonFit
        The parallel fraction 1 - s, residuals and intervals. The fraction is 1.0 exactly where all
        times are that of one thread.

    Raises
    ------
    DomainError
        If there is no time of one thread or none of more, or a number makes no sense.
    ShapeError
        If there are not as many times as numbers of threads.
    DTypeError
        If one of them is no number.

    See Also
    --------
    amdahl_analysis : for the same work on more threads.

    Notes
    -----
    s is the least squares solution of :math:`n - S = s (n - 1)` from 0 to 1. Unlike Amdahl's, it is
    a part of the time that n threads take. Intervals are those of `amdahl_analysis`.

    References
    ----------
    J. L. Gustafson, *Reevaluating Amdahl's law*, Communications of the ACM 31(5), 1988.

    Examples
    --------
    >>> import threadwise as tw
    >>> fit = tw.scaling.gustafson_analysis([1, 2, 4], [1.0, 1 / 0.95, 1 / 0.925])
    >>> round(fit.parallel_fraction, 9)
    0.9
    """
    return fit_gustafson(Observations.of(threads, times, weak=True))


def fit_gustafson(seen: Observations) -> GustafsonFit:
    """Fit the law to what was observed."""
    counts = seen.threads

    def loss(speedups: NDArray[np.float64]) -> NDArray[np.float64]:
        off = counts - speedups
        return np.where(np.abs(off) <= EXACT * counts, 0.0, off)

    # A law that is fitted to a great loss may come to speedups that are none.
    def speedups(loss: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(counts - loss, EXACT)

    found, again = estimate(seen, (counts - 1)[:, None], loss, speedups)
    serial = min(float(found[0]), 1.0)
    fitted = counts - serial * (counts - 1)
    return GustafsonFit(
        threads=tuple(int(count) for count in counts),
        speedups=tuple(seen.speedups.tolist()),
        residuals=tuple((seen.speedups - fitted).tolist()),
        parallel_fraction=1 - serial,
        intervals={
            "parallel_fraction": interval(None if again is None else 1 - np.minimum(again[:, 0], 1))
        },
    )
