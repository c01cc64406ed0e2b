"""From items to batches, and how many bytes those have."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from threadwise.errors import ShapeError

__all__ = ["collate", "size_of"]


def collate(items: list[Any], indices: Sequence[int]) -> Any:
    """Put items together: arrays and numbers are stacked, tuples and mappings field by field.

    Anything else, text for example, stays a list. `indices` are the items' numbers, for errors.

    Raises
    ------
    ShapeError
        If arrays differ in shape, or items in their fields.
    """
    example = items[0]
    if isinstance(example, Mapping):
        _same("fields", [tuple(item) for item in items], indices)
        return {name: collate([item[name] for item in items], indices) for name in example}
    if isinstance(example, tuple):
        _same("length", [len(item) for item in items], indices)
        columns = [collate([item[i] for item in items], indices) for i in range(len(example))]
        # A named tuple stays one.
        return type(example)(*columns) if hasattr(example, "_fields") else tuple(columns)
    if isinstance(example, np.ndarray):
        _same("shape", [np.shape(item) for item in items], indices)
        return np.stack(items)
    if isinstance(example, int | float | complex | np.generic):
        return np.asarray(items)
    return items


def _same(what: str, facts: list[Any], indices: Sequence[int]) -> None:
    for index, fact in zip(indices, facts, strict=True):
        if fact != facts[0]:
            raise ShapeError(
                f"item {index} has {what} {fact}, item {indices[0]} has {facts[0]}: they must be "
                "equal, or collate= must say how such items become a batch"
            )


def size_of(batch: Any) -> int:
    """Return the bytes of a batch: of its arrays and texts, and of whatever else Python says."""
    if hasattr(batch, "nbytes"):
        return int(batch.nbytes)
    if isinstance(batch, Mapping):
        return sum(map(size_of, batch.values()))
    if isinstance(batch, list | tuple):
        return sum(map(size_of, batch))
    return sys.getsizeof(batch)
