"""Series by windows: the windows themselves, and what is true of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from threadwise._arguments import whole, word
from threadwise._mapped import Mapped, mapped
from threadwise.errors import DomainError, ShapeError
from threadwise.workflows.columns import floats, pieces

__all__ = ["rolling", "windows"]


def windows(x: Any, size: int, *, step: int = 1) -> Any:
    """Return all runs of so many rows, without a copy.

    Parameters
    ----------
    x : array_like, shape (n, ...)
        Rows in their order.
    size : int
        Rows in a window, from 1 to `n`.
    step : int, default 1
        Rows from the beginning of a window to that of the next one, at least 1.

    Returns
    -------
    ndarray, shape ((n - size) // step + 1, size, ...)
        A view of `x` that cannot be written to.

    Raises
    ------
    ShapeError
        If `x` has no axes or fewer rows than a window.
    DomainError
        If `size` or `step` is less than 1.
    DTypeError
        If one of them is no whole number.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> tw.workflows.windows(np.arange(6), 3, step=2)
    array([[0, 1, 2],
           [2, 3, 4]])
    """
    array = np.asarray(x)
    size, step = whole("size", size, 1), whole("step", step, 1)
    _long_enough(array, size)
    found = np.lib.stride_tricks.sliding_window_view(array, size, axis=0)
    return np.moveaxis(found, -1, 1)[::step]


def rolling(
    x: Any,
    size: int,
    statistic: Literal["mean", "std", "min", "max", "sum"] = "mean",
    *,
    ddof: int = 0,
    threads: int | None = None,
) -> Mapped:
    """Return a statistic of each run of so many rows.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (n, ...)
        Rows in their order. Whole numbers become float64.
    size : int
        Rows in a window, from 1 to `n`.
    statistic : {"mean", "std", "min", "max", "sum"}, default "mean"
        What is found for each column of each window.
    ddof : int, default 0
        ``"std"`` is that of ``size - ddof`` degrees of freedom, at least 1.
    threads : int, optional
        How many threads, from 1 to 1024. By default what `threadwise.get_num_threads` says.

    Returns
    -------
    Mapped
        Its `values` are an array, shape ``(n - size + 1, ...)``, of the dtype of `x`; threads used.

    Raises
    ------
    ShapeError
        If `x` has fewer rows than a window.
    DTypeError
        If `x` is of another dtype, or `size` no whole number.
    DomainError
        If an argument is out of range.

    Notes
    -----
    The work does not grow with `size`: a window is the end of one block of `size` rows and the
    beginning of the next one, and what is known of ends and beginnings is found by running along
    the blocks, in either direction [1]_. No sum is ever subtracted from another, so that nothing
    old is left in a window: sums have at most `size` roundings in double precision. Deviations are
    those from the mean of the block. NaN and infinities are seen by the windows that have them, and
    by no other.

    References
    ----------
    .. [1] M. van Herk, *A Fast Algorithm for Local Minimum and Maximum Filters on Rectangular and
       Octagonal Kernels*, Pattern Recognition Letters 13(7), 1992; here also for sums.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> tw.workflows.rolling(np.array([1.0, 2.0, 6.0, 1.0]), 2, "max").values
    array([2., 6., 6.])
    """
    word("statistic", statistic, ("mean", "std", "min", "max", "sum"))
    array = floats(x)
    size, ddof = whole("size", size, 1), whole("ddof", ddof)
    _long_enough(array, size)
    if ddof >= size:
        raise DomainError(f"ddof is {ddof}, expected less than size, {size}")
    rows = array.reshape(len(array), -1)
    out = np.empty((len(array) - size + 1, rows.shape[1]), array.dtype)
    cuts = [cut for cut in pieces(rows, size) if cut[0] < len(out)]

    def compute(cut: tuple[int, int]) -> None:
        start, stop = cut[0], min(cut[1], len(out))
        blocks = _blocks(rows, start, -(-(stop - start) // size), size)
        with np.errstate(invalid="ignore", over="ignore"):
            found = _of_windows(blocks, statistic, ddof)
        out[start:stop] = found.reshape(-1, rows.shape[1])[: stop - start]

    found = mapped(compute, cuts, threads)
    values = out.reshape(len(out), *array.shape[1:])
    return Mapped(values=values, threads=found.threads, cap=found.cap, seconds=found.seconds)


def _long_enough(array: np.ndarray[Any, Any], size: int) -> None:
    if array.ndim == 0 or len(array) < size:
        raise ShapeError(
            f"x has shape {array.shape}, expected at least the {size} rows of a window"
        )


def _blocks(rows: Any, start: int, count: int, size: int) -> Any:
    """Return so many blocks and one more, in double precision; zeros where there are no rows.

    No window that begins in one of the first blocks ends in those zeros.
    """
    blocks = np.zeros(((count + 1) * size, rows.shape[1]))
    there = rows[start : start + len(blocks)]
    blocks[: len(there)] = there
    return blocks.reshape(count + 1, size, -1)


def _of_windows(blocks: Any, statistic: str, ddof: int) -> Any:
    size = blocks.shape[1]
    ends, beginnings = blocks[:-1], blocks[1:]
    if statistic == "min":
        return _joined(np.minimum, ends, beginnings)
    if statistic == "max":
        return _joined(np.maximum, ends, beginnings)
    if statistic == "sum":
        return _joined(np.add, ends, beginnings)
    if statistic == "mean":
        return _joined(np.add, ends, beginnings) / size
    about = np.where(np.isfinite(ends), ends, 0).mean(axis=1, keepdims=True)
    ends, beginnings = ends - about, beginnings - about
    sums = _joined(np.add, ends, beginnings)
    squares = _joined(np.add, ends * ends, beginnings * beginnings)
    return np.sqrt(np.maximum(squares - sums * sums / size, 0) / (size - ddof))


def _joined(join: Callable[..., Any], ends: Any, beginnings: Any) -> Any:
    """Join the rest of each block, from each of its rows on, with the beginning of the next one."""
    accumulate = join.accumulate  # type: ignore[attr-defined] # it is a ufunc
    found = accumulate(ends[:, ::-1], axis=1)[:, ::-1].copy()
    if ends.shape[1] > 1:
        found[:, 1:] = join(found[:, 1:], accumulate(beginnings, axis=1)[:, :-1])
    return found
