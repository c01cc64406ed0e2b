"""Features on one scale: standardized, or between two numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from threadwise import _threadwise
from threadwise._arguments import thread_count, whole
from threadwise._mapped import used as said
from threadwise.errors import DomainError, ShapeError
from threadwise.workflows.columns import floats, pieces

__all__ = ["Scaling", "min_max", "standardize"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """Columns on a new scale, and how they came there; ``numpy.asarray`` of it are the values."""

    values: np.ndarray[Any, Any]
    """The rows, scaled."""
    shift: np.ndarray[Any, np.dtype[np.float64]]
    """What was subtracted from each column."""
    scale: np.ndarray[Any, np.dtype[np.float64]]
    """What each column was divided by then; 1 for a constant one."""
    threads: int
    """How many threads took part."""
    cap: int
    """How many could have: the smaller of pieces and threads."""

    def apply(self, x: Any) -> Any:
        """Scale other rows in the same way, as the test rows of a model.

        Parameters
        ----------
        x : array_like, shape (m, ...)
            Rows with the same columns.

        Returns
        -------
        ndarray
            New rows.

        Raises
        ------
        ShapeError
            If the columns are others.
        """
        array = self._like(x)
        return ((array - self.shift) / self.scale).astype(array.dtype)

    def invert(self, z: Any) -> Any:
        """Undo it: return the rows of which `z` was made.

        Parameters
        ----------
        z : array_like, shape (m, ...)
            Scaled rows.

        Returns
        -------
        ndarray
            New rows.

        Raises
        ------
        ShapeError
            If the columns are others.
        """
        array = self._like(z)
        return (array * self.scale + self.shift).astype(array.dtype)

    def _like(self, x: Any) -> Any:
        array = floats(x)
        if array.shape[1:] != self.shift.shape:
            raise ShapeError(f"x has rows of shape {array.shape[1:]}, expected {self.shift.shape}")
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Scaling(shape {self.values.shape}, {said(self.threads, self.cap)})"


def standardize(x: Any, *, ddof: int = 0, threads: int | None = None) -> Scaling:
    """Give each column the mean 0 and the standard deviation 1.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (n, ...)
        Rows. Whole numbers become float64.
    ddof : int, default 0
        The deviation is that of ``n - ddof`` degrees of freedom, at least 1.
    threads : int, optional
        How many threads, from 1 to 1024. By default what `threadwise.get_num_threads` says.

    Returns
    -------
    Scaling
        New rows of the same dtype, mean and deviation of each column, threads used. A constant
        column becomes 0.

    Raises
    ------
    DTypeError
        If `x` is of another dtype.
    ShapeError
        If it has no rows.
    DomainError
        If `ddof` is not from 0 to ``n - 1``.

    Notes
    -----
    Means and deviations are found in double precision, in pieces that depend on the shape alone,
    and put together in their order [1]_, so that threads change no bit. A NaN makes its column NaN.
    Rows that lie in memory one after the other are read where they are; others are copied once.
    Python's lock is released.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, *Algorithms for Computing the Sample Variance*,
       The American Statistician 37(3), 1983.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> scaled = tw.workflows.standardize(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> scaled.values
    array([[-1.,  0.],
           [ 1.,  0.]])
    >>> scaled.apply([[2.0, 6.0]])
    array([[0., 1.]])
    """
    array = floats(x)
    ddof = whole("ddof", ddof)
    if ddof >= len(array):
        raise DomainError(f"ddof is {ddof}, expected less than the {len(array)} rows of x")
    rows, most = _rows(array), thread_count(threads)
    if not rows.size:
        return _scaled(array, (np.empty(0), np.empty(0)), 1, most)
    mean, squares, same, used = _threadwise.column_moments(rows, most)
    # The mean of equal numbers may be rounded, which would be the deviation then.
    is_constant = np.array(same) & ~np.isnan(rows[0])
    mean = np.where(is_constant, rows[0], mean)
    deviation = np.sqrt(squares / (len(rows) - ddof))
    scale = np.where(is_constant | (deviation == 0), 1.0, deviation)
    return _scaled(array, (mean, scale), used, most)


def min_max(x: Any, *, low: float = 0.0, high: float = 1.0, threads: int | None = None) -> Scaling:
    """Stretch each column from its least and largest number to two others.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (n, ...)
        Rows. Whole numbers become float64.
    low, high : float, default 0 and 1
        What the least and the largest number of each column become; `low` is less.
    threads : int, optional
        How many threads, from 1 to 1024. By default what `threadwise.get_num_threads` says.

    Returns
    -------
    Scaling
        New rows of the same dtype, shift and scale of each column, threads used. A constant column
        becomes `low`. A NaN makes its column NaN.

    Raises
    ------
    DTypeError
        If `x` is of another dtype.
    ShapeError
        If it has no rows.
    DomainError
        If `low` is not less than `high`, or one of them is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> tw.workflows.min_max(np.array([1.0, 2.0, 5.0])).values
    array([0.  , 0.25, 1.  ])
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise DomainError(f"low is {low}, high is {high}: expected finite numbers, low the smaller")
    array = floats(x)
    rows, limit = _rows(array), thread_count(threads)
    if not rows.size:
        return _scaled(array, (np.empty(0), np.empty(0)), 1, limit)
    least, most, used = _threadwise.column_extremes(rows, limit)
    stretched = (most - least) / (high - low)
    scale = np.where(stretched == 0, 1.0, stretched)
    return _scaled(array, (least - low * scale, scale), used, limit)


def _rows(array: Any) -> Any:
    """Return the rows of an array with one axis of columns: a view, or a copy if it has gaps."""
    return np.ascontiguousarray(array).reshape(len(array), -1 if array.size else 0)


def _scaled(array: Any, change: tuple[Any, Any], used: int, most: int) -> Scaling:
    (shift, scale), columns, values = change, array.shape[1:], _rows(array)
    if array.size:
        values, also = _threadwise.column_scaled(values, shift.tolist(), scale.tolist(), most)
        used = max(used, also)
    return Scaling(
        values=values.reshape(array.shape),
        shift=shift.reshape(columns),
        scale=scale.reshape(columns),
        threads=used,
        cap=max(1, min(most, pieces(array))),
    )
