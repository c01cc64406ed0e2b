"""What batches are made of: arrays, columns of arrays, sequences, and streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from threadwise.errors import DomainError, DTypeError, ShapeError

__all__ = ["Indices", "Source", "Subset", "pick", "rows", "source"]

Indices = range | np.ndarray[Any, np.dtype[np.int64]]
"""Which items: a range where they lie beside each other, because that is a view."""


class Source(Protocol):
    """Items with numbers."""

    def __len__(self) -> int:
        """Return how many there are."""

    def item(self, index: int) -> Any:
        """Return one."""

    def take(self, indices: Indices) -> Any:
        """Return some as a batch, in new memory; `None` if they come only one by one."""


class Array:
    """The rows of an array, also of one in a file."""

    def __init__(self, array: Any, name: str = "dataset") -> None:
        # Items are views, and whoever changed one would change it for every epoch.
        self.array = np.asarray(array).view()
        self.array.flags.writeable = False
        if self.array.ndim == 0:
            raise ShapeError(f"{name} has no axes (shape ()), expected at least one, the items")

    def __len__(self) -> int:
        return len(self.array)

    def item(self, index: int) -> Any:
        return self.array[index]

    def take(self, indices: Indices) -> Any:
        return (
            rows(self.array, indices).copy() if isinstance(indices, range) else self.array[indices]
        )


class Columns:
    """Arrays whose rows belong together; an item has the container that they came in."""

    def __init__(self, columns: Mapping[Any, Any] | tuple[Any, ...]) -> None:
        named = columns.items() if isinstance(columns, Mapping) else enumerate(columns)
        self.columns = {name: Array(column, f"dataset[{name!r}]") for name, column in named}
        self.is_mapping = isinstance(columns, Mapping)
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            (first, most), *rest = lengths.items()
            other, length = next(each for each in rest if each[1] != most)
            raise ShapeError(
                f"dataset[{first!r}] has {most} rows, dataset[{other!r}] has {length}: "
                "they must be equal"
            )
        self.length = next(iter(lengths.values()))

    def __len__(self) -> int:
        return self.length

    def item(self, index: int) -> Any:
        return self._together({name: each.item(index) for name, each in self.columns.items()})

    def take(self, indices: Indices) -> Any:
        return self._together({name: each.take(indices) for name, each in self.columns.items()})

    def _together(self, found: dict[Any, Any]) -> Any:
        return found if self.is_mapping else tuple(found.values())


class Items:
    """Anything with a length and numbers."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def item(self, index: int) -> Any:
        return self.items[index]

    def take(self, indices: Indices) -> Any:  # noqa: ARG002 - as other sources have it
        return None


class Subset:
    """Some items of a data set, by their numbers. Nothing is copied before it is asked for.

    Parameters
    ----------
    dataset : ndarray, tuple or mapping of ndarrays, sequence
        What a `DataLoader` takes, but for streams. A tuple of arrays is taken as columns.
    indices : sequence of int
        Which items, in their order; each may come more than once.

    Raises
    ------
    DomainError
        If an index is not from 0 to the number of items.
    DTypeError
        If the data set has no length, or `indices` are not whole numbers.
    ShapeError
        If `indices` has another number of axes than one, or columns differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> from threadwise.data import Subset
    >>> even = Subset((np.arange(10), np.arange(10) ** 2), range(0, 10, 2))
    >>> len(even)
    5
    >>> even.take()
    (array([0, 2, 4, 6, 8]), array([ 0,  4, 16, 36, 64]))
    """

    def __init__(self, dataset: Any, indices: Iterable[int]) -> None:
        found = source(dataset)
        if found is None:
            kind = type(dataset).__name__
            raise DTypeError(f"dataset is a {kind}, expected one with a length and numbers")
        self._source = found
        self._indices = _checked(indices, len(found))

    @property
    def indices(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The numbers of the items in the whole data set."""
        return np.asarray(self._indices, np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Any:
        return self.item(index)

    def __iter__(self) -> Iterator[Any]:
        return map(self.item, range(len(self)))

    def item(self, index: int) -> Any:
        """Return the item of number `index` among these."""
        return self._source.item(int(self._indices[index]))

    def take(self, indices: Indices | None = None) -> Any:
        """Return items as one batch: new arrays, in the container that the data set has.

        Parameters
        ----------
        indices : range or ndarray of int64, optional
            Which items of this subset. By default all.

        Returns
        -------
        ndarray, or tuple or dict of them, or None
            ``None`` for a sequence, whose items come only one by one.
        """
        return self._source.take(self._indices if indices is None else pick(self._indices, indices))

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {len(self._source)} items)"


def source(dataset: Any) -> Source | None:
    """Return the items of a data set; `None` if it is a stream, which has no numbers.

    Raises
    ------
    DTypeError
        If it is neither.
    ShapeError
        If its columns differ in length.
    """
    if isinstance(dataset, Subset):
        return dataset
    if isinstance(dataset, np.ndarray):
        return Array(dataset)
    if isinstance(dataset, Mapping) or (
        isinstance(dataset, tuple) and dataset and all(isinstance(x, np.ndarray) for x in dataset)
    ):
        if not dataset:
            raise DomainError("dataset is an empty mapping, expected at least one array")
        return Columns(dataset)
    if hasattr(dataset, "iloc"):
        kind = type(dataset).__name__
        raise DTypeError(f"dataset is a {kind}, expected arrays or a sequence: use to_numpy()")
    if isinstance(dataset, Sequence) or _has_numbers(dataset):
        return Items(dataset)
    if isinstance(dataset, Iterable):
        return None
    kind = type(dataset).__name__
    raise DTypeError(f"dataset is a {kind}, expected arrays, a sequence or an iterable")


def rows(array: np.ndarray[Any, Any], indices: Indices) -> Any:
    """Return rows of an array: a view, if they lie beside each other."""
    if isinstance(indices, range) and indices.step > 0:
        return array[indices.start : indices.stop : indices.step]
    return array[np.asarray(indices, np.int64)]


def pick(among: Indices, indices: Indices) -> Indices:
    """Return the numbers that stand at some places; a range of a range is a range."""
    if isinstance(indices, range):
        return among[indices.start : indices.stop : indices.step]
    return np.asarray(among, np.int64)[indices]


def _has_numbers(dataset: Any) -> bool:
    return hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")


def _checked(indices: Iterable[int], length: int) -> Indices:
    if isinstance(indices, range) and indices.step > 0:
        least, most = (indices[0], indices[-1]) if indices else (0, -1)
    else:
        indices = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
        if indices.ndim != 1:
            raise ShapeError(f"indices has shape {indices.shape}, expected one axis")
        if indices.size and not np.issubdtype(indices.dtype, np.integer):
            raise DTypeError(f"indices are {indices.dtype}, expected whole numbers")
        indices = indices.astype(np.int64)  # also a copy, which nobody else changes
        least, most = (indices.min(), indices.max()) if indices.size else (0, -1)
    if least < 0 or most >= length:
        wrong = least if least < 0 else most
        raise DomainError(f"indices has {wrong}, expected from 0 to {length - 1}")
    return indices
