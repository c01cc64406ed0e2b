"""The serial fraction that a speedup by itself implies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from threadwise.scaling.observations import Observations

__all__ = ["implied", "karp_flatt"]


def karp_flatt(threads: Sequence[int], times: ArrayLike) -> tuple[float, ...]:
    r"""Return the serial fraction that each speedup implies, by Karp and Flatt.

    .. math:: e(n) = \frac{1/S - 1/n}{1 - 1/n}

    Parameters
    ----------
    threads : sequence of int, length n
        Numbers of threads; 1 must be among them, and a number above 1.
    times : array_like of float, shape (n,) or (rounds, n)
        Seconds, or any other unit. Of several rounds the medians count.

    Returns
    -------
    tuple of float
        A number for each of `threads`; not a number for 1, of which nothing follows.

    Raises
    ------
    DomainError
        If there is no time of one thread or none of more, or a number makes no sense.
    ShapeError
        If there are not as many times as numbers of threads.
    DTypeError
        If one of them is no number.

    Notes
    -----
    If it stays the same with more threads, a serial part is what limits; if it grows, what threads
    cost is; if it falls, suspect the measurement of one thread, or caches that together hold more.

    References
    ----------
    A. H. Karp, H. P. Flatt, *Measuring parallel processor performance*, Communications of the ACM
    33(5), 1990.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.scaling.karp_flatt([1, 2, 4], [1.0, 0.55, 0.325])[1:]
    (0.1..., 0.1...)
    """
    seen = Observations.of(threads, times)
    found = iter(
        implied(int(n), s) for n, s in zip(seen.threads, seen.speedups.tolist(), strict=True)
    )
    return tuple(float("nan") if count == 1 else next(found) for count in np.asarray(threads))


def implied(threads: int, speedup: float) -> float:
    """Return the fraction that a speedup implies."""
    if threads == 1:
        return float("nan")
    return (1 / speedup - 1 / threads) / (1 - 1 / threads)
