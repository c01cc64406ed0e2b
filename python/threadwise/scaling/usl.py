"""The universal scalability law: threads queue for something, and have to agree with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from threadwise.errors import DomainError
from threadwise.scaling.law import Fit, estimate, excess
from threadwise.scaling.observations import Observations, interval

__all__ = ["USLFit", "fit_usl", "usl_analysis"]


@dataclass(frozen=True, kw_only=True)
class USLFit(Fit):
    """The universal scalability law as it fits speedups best. Printed, it is a sentence."""

    contention: float
    """σ, at least 0: the part of the work for which threads queue. Alone it is Amdahl's serial
    fraction."""
    coherency: float
    """κ, at least 0: what each pair of threads costs, as a part of the work. Because of it more
    threads may be slower."""

    @property
    def peak_threads(self) -> float:
        """The number of threads that is fastest, by this law, √((1-σ)/κ); infinite if κ is 0."""
        return float(_peak(np.array(self.contention), np.array(self.coherency)))

    @property
    def peak_speedup(self) -> float:
        """The speedup there; where it is at infinity, what it comes near to."""
        if self.peak_threads < inf:
            return self.speedup(self.peak_threads)
        return 1 / self.contention if self.contention else inf

    def speedup(self, threads: float) -> float:
        """Return what the law says for so many threads."""
        more = threads - 1
        return threads / (1 + self.contention * more + self.coherency * threads * more)

    def __str__(self) -> str:
        peak = f"{self.peak_speedup:.3g}x at {self.peak_threads:.3g} threads"
        if self.peak_threads == inf:
            peak = f"no peak, at most {self.peak_speedup:.3g}x"
        return (
            f"USL: contention {self.contention:.3g}{self._within('contention', '.2g')}, coherency "
            f"{self.coherency:.3g}{self._within('coherency', '.2g')}, {peak}; off by "
            f"{self.error:.1%}"
        )


def usl_analysis(threads: Sequence[int], times: ArrayLike) -> USLFit:
    r"""Fit the universal scalability law to times of the same work.

    .. math:: S(n) = \frac{T(1)}{T(n)} = \frac{n}{1 + \sigma (n - 1) + \kappa n (n - 1)}

    Parameters
    ----------
    threads : sequence of int, length n
        Numbers of threads; 1 must be among them, and two different ones above 1.
    times : array_like of float, shape (n,) or (rounds, n)
        Seconds, or any other unit. Of several rounds the medians count.

    Returns
    -------
    USLFit
        Contention σ and coherency κ, neither negative, the number of threads at the peak, residuals
        and intervals.

    Raises
    ------
    DomainError
        If there is no time of one thread, there are not two different numbers above 1, or a number
        makes no sense.
    ShapeError
        If there are not as many times as numbers of threads.
    DTypeError
        If one of them is no number.

    See Also
    --------
    amdahl_analysis : the law without κ.

    Notes
    -----
    σ and κ are the least squares solution of :math:`n/S - 1 = \sigma (n-1) + \kappa n (n-1)`, the
    linear form of [1]_, among those that are not negative: a negative one has no meaning, and would
    predict speedups without end. Where the best has κ = 0, the law is Amdahl's. Intervals are those
    of `amdahl_analysis`.

    References
    ----------
    .. [1] N. J. Gunther, *Guerrilla Capacity Planning*, Springer 2007, chapter 5.

    Examples
    --------
    >>> import threadwise as tw
    >>> n = [1, 2, 4, 8]
    >>> times = [(1 + 0.05 * (p - 1) + 0.01 * p * (p - 1)) / p for p in n]
    >>> fit = tw.scaling.usl_analysis(n, times)
    >>> round(fit.contention, 9), round(fit.coherency, 9), round(fit.peak_threads, 3)
    (0.05, 0.01, 9.747)
    """
    return fit_usl(Observations.of(threads, times))


def fit_usl(seen: Observations) -> USLFit:
    """Fit the law to what was observed."""
    counts = seen.threads
    if len(np.unique(counts)) < 2:
        raise DomainError(
            f"threads above 1 is {int(counts[0])} alone: two coefficients need two different "
            "numbers above 1"
        )
    columns = np.stack([counts - 1, counts * (counts - 1)], axis=1)
    found, again = estimate(seen, columns, excess(counts), lambda loss: counts / (1 + loss))
    contention, coherency = found.tolist()
    fitted = counts / (1 + columns @ found)
    return USLFit(
        threads=tuple(int(count) for count in counts),
        speedups=tuple(seen.speedups.tolist()),
        residuals=tuple((seen.speedups - fitted).tolist()),
        contention=contention,
        coherency=coherency,
        intervals={
            "contention": interval(None if again is None else again[:, 0]),
            "coherency": interval(None if again is None else again[:, 1]),
            "peak_threads": interval(None if again is None else _peak(*again.T)),
        },
    )


def _peak(contention: NDArray[np.float64], coherency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the number of threads that is fastest; infinite if more always are faster."""
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = np.sqrt(np.maximum(1 - contention, 0) / coherency)
    return np.where(contention >= 1, 1.0, np.maximum(peak, 1.0))
