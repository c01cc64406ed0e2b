"""Amdahl's law: the same work, of which a part has no use for a second thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike

from threadwise.scaling.law import Fit, estimate, excess
from threadwise.scaling.observations import Observations, interval

__all__ = ["AmdahlFit", "amdahl_analysis", "fit_amdahl"]


@dataclass(frozen=True, kw_only=True)
class AmdahlFit(Fit):
    """Amdahl's law as it fits speedups best. Printed, it is a sentence."""

    parallel_fraction: float
    """The part of the work that threads share, from 0 to 1."""

    @property
    def serial_fraction(self) -> float:
        """The rest of the work."""
        return 1 - self.parallel_fraction

    @property
    def max_speedup(self) -> float:
        """What no number of threads exceeds, by this law: infinite if threads share everything."""
        return _limit(self.parallel_fraction)

    def speedup(self, threads: float) -> float:
        """Return what the law says for so many threads."""
        return threads / (1 + self.serial_fraction * (threads - 1))

    def __str__(self) -> str:
        where = self._within("parallel_fraction", ".4f")
        most = "no limit" if self.max_speedup == inf else f"at most {self.max_speedup:.3g}x"
        return (
            f"Amdahl: parallel fraction {self.parallel_fraction:.4f}{where}, {most}; off by "
            f"{self.error:.1%}"
        )


def amdahl_analysis(threads: Sequence[int], times: ArrayLike) -> AmdahlFit:
    r"""Fit Amdahl's law to times of the same work.

    .. math:: S(n) = \frac{T(1)}{T(n)} = \frac{n}{1 + s (n - 1)}

    Parameters
    ----------
    threads : sequence of int, length n
        Numbers of threads; 1 must be among them, and a number above 1. One may come twice; of
        several 1s the first counts.
    times : array_like of float, shape (n,) or (rounds, n)
        Seconds, or any other unit. Of several rounds the medians count, and how the rounds differ
        gives the intervals.

    Returns
    -------
    AmdahlFit
        The parallel fraction 1 - s, what speedup it allows at most, residuals and intervals. The
        fraction is 1.0 exactly where every speedup is the number of threads or more.

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
    usl_analysis : where more threads may be slower.
    gustafson_analysis : where the work grows with the threads.

    Notes
    -----
    The law says :math:`n/S - 1 = s (n - 1)`; s is its least squares solution from 0 to 1. It blames
    a serial part for all that is lost, also for what is lost to memory or to handing work out:
    `ScalingResult.attribution` tells these apart. If residuals have a trend, the law is not the one
    of this work.

    Intervals hold 95 %. With several rounds they are those of the bootstrap: rounds are drawn with
    replacement, each one whole. With one, noise of the size of the residuals is drawn around the
    law.

    References
    ----------
    G. M. Amdahl, *Validity of the single processor approach to achieving large scale computing
    capabilities*, AFIPS 1967.

    Examples
    --------
    >>> import threadwise as tw
    >>> fit = tw.scaling.amdahl_analysis([1, 2, 4], [1.0, 0.55, 0.325])
    >>> round(fit.parallel_fraction, 9), round(fit.max_speedup, 6)
    (0.9, 10.0)
    >>> tw.scaling.amdahl_analysis([1, 2, 4], [8, 4, 2]).parallel_fraction
    1.0
    """
    return fit_amdahl(Observations.of(threads, times))


def fit_amdahl(seen: Observations) -> AmdahlFit:
    """Fit the law to what was observed."""
    counts = seen.threads
    column = (counts - 1)[:, None]
    found, again = estimate(seen, column, excess(counts), lambda loss: counts / (1 + loss))
    serial = min(float(found[0]), 1.0)
    fitted = counts / (1 + serial * (counts - 1))
    low, high = interval(None if again is None else 1 - np.minimum(again[:, 0], 1))
    return AmdahlFit(
        threads=tuple(int(count) for count in counts),
        speedups=tuple(seen.speedups.tolist()),
        residuals=tuple((seen.speedups - fitted).tolist()),
        parallel_fraction=1 - serial,
        intervals={
            "parallel_fraction": (low, high),
            "max_speedup": (_limit(low), _limit(high)),
        },
    )


def _limit(parallel: float) -> float:
    return 1 / (1 - parallel) if parallel != 1 else inf
