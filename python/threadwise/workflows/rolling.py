"""Series by windows: the windows themselves, and what is true of each."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np

from threadwise import _threadwise
from threadwise._arguments import thread_count, whole, word
from threadwise._mapped import Mapped
from threadwise.errors import DomainError, ShapeError
from threadwise.workflows.columns import floats

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
    most, shape = thread_count(threads), (len(array) - size + 1, *array.shape[1:])
    if not array.size:
        return Mapped(values=np.empty(shape, array.dtype), threads=1, cap=1, seconds=0.0)
    begin = time.perf_counter()
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    found, used, count = _threadwise.rolling(rows, size, statistic, ddof, most)
    seconds = time.perf_counter() - begin
    return Mapped(values=found.reshape(shape), threads=used, cap=min(most, count), seconds=seconds)


def _long_enough(array: np.ndarray[Any, Any], size: int) -> None:
    if array.ndim == 0 or len(array) < size:
        raise ShapeError(
            f"x has shape {array.shape}, expected at least the {size} rows of a window"
        )
