"""Arrays of rows, which are cut into pieces by their shape alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from threadwise.errors import DTypeError, ShapeError

__all__ = ["PIECE", "floats", "pieces"]

PIECE = 1 << 16
"""Numbers in a piece: in double precision they fit into a core's cache."""


def floats(x: Any, name: str = "x") -> np.ndarray[Any, Any]:
    """Return an array of float32 or float64 with at least one row; whole numbers become float64.

    Raises
    ------
    DTypeError
        If it is of another dtype.
    ShapeError
        If it has no axes or no rows.
    """
    array = np.asarray(x)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype not in (np.float32, np.float64):
        raise DTypeError(f"{name} is {array.dtype}, expected float32, float64 or whole numbers")
    if array.ndim == 0 or len(array) == 0:
        raise ShapeError(f"{name} has shape {array.shape}, expected at least one row")
    return array


def pieces(array: np.ndarray[Any, Any]) -> int:
    """Return into how many runs of about `PIECE` numbers rows are cut."""
    width = max(1, array.size // len(array))
    return -(-len(array) // max(1, PIECE // width))
