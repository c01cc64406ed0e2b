"""`DataLoader`: batches of a data set, made ahead of the loop that uses them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from threadwise._arguments import function, whole
from threadwise.data.batches import Maker, order_of, ranges, stream
from threadwise.data.prefetch import ahead
from threadwise.data.sources import source
from threadwise.errors import DomainError, DTypeError

__all__ = ["Cursor", "DataLoader"]


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """How far a `DataLoader` was read: where another one like it goes on, bit for bit.

    All fields are whole numbers or truth values, for JSON: ``dataclasses.asdict(cursor)`` there and
    ``Cursor(**found)`` back.
    """

    epoch: int
    """Which epoch, from 0."""
    batch: int
    """Which batch of it comes next, from 0."""
    seed: int
    """Of the loader, as all that follows: a cursor is good for a loader that is like it."""
    batch_size: int
    """Items of a batch."""
    shuffle: bool
    """Whether they are mixed."""
    drop_last: bool
    """Whether a last batch of fewer items is left out."""
    length: int | None
    """How many items there are, `None` for a stream."""


class DataLoader:
    """Iterate over a data set in batches, which threads make ahead of the loop.

    Parameters
    ----------
    dataset : ndarray, tuple or mapping of ndarrays, sequence, Subset, iterable
        The items. Those of an array are its rows, also of a `numpy.memmap`, which is read as
        batches need it; those of a tuple or mapping of arrays are rows that belong together. A
        sequence is anything with a length and numbers. Of an iterable, a generator for example,
        each epoch takes a new iterator, in one thread at a time.
    batch_size : int, default 32
        Items a batch; the last one may have fewer.
    shuffle : bool, default False
        Whether each epoch has an order of its own. Not for iterables.
    seed : int, default 0
        What orders, and the generators of `transform`, depend on; at least 0.
    drop_last : bool, default False
        Whether a last batch with fewer items is left out.
    transform : callable, optional
        Called with each item, ``transform(item)``; if it has a parameter called ``rng``, with a
        generator of numpy.random, ``transform(item, rng=rng)``, which depends on seed, epoch and
        item alone. What it returns is the item.
    collate : callable, optional
        Called with the list of a batch's items; what it returns is the batch. By default arrays and
        numbers are stacked, tuples and mappings field by field, and other items stay a list.
    batch_transform : callable, optional
        Called with each batch, in the thread that makes it; what it returns is the batch.
    prefetch : int, default 2
        How many batches may be ready or under way, beside the one that the loop has. 0 makes each
        batch when the loop asks for it, on its own thread.
    prefetch_bytes : int, optional
        How many bytes they may have. One batch is always allowed, and how large a batch will be is
        known from those before.
    workers : int, default 1
        How many threads make batches, each one batch at a time; no more than `prefetch` have work.

    Raises
    ------
    DTypeError
        If the data set cannot be iterated over, or an argument is of another type.
    DomainError
        If an argument is out of range, or a stream is to be shuffled.
    ShapeError
        If arrays that belong together differ in length, or an array has no axes.

    See Also
    --------
    Subset : some items of a data set.

    Notes
    -----
    Each ``for`` is an epoch, in which each item comes once. Batches, orders and what random
    transforms draw do not depend on `workers` and `prefetch`.

    An error of an item or a batch is raised by the loop in the place of the batch, after those
    before it, with a note that tells the item. Leaving the loop waits for the items that threads
    are at, and for nothing else. Batches of arrays are new arrays; `transform` gets rows that
    cannot be written to.

    Python threads take turns, unless what they call releases Python's lock: reading files does, and
    NumPy's larger operations do.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> x, y = np.arange(10).reshape(5, 2), np.arange(5)
    >>> for inputs, targets in tw.data.DataLoader((x, y), batch_size=2):
    ...     print(inputs.shape, targets)
    (2, 2) [0 1]
    (2, 2) [2 3]
    (1, 2) [4]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Callable[..., Any] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        batch_transform: Callable[[Any], Any] | None = None,
        prefetch: int = 2,
        prefetch_bytes: int | None = None,
        workers: int = 1,
    ) -> None:
        self._source = source(dataset)
        self._dataset: Iterable[Any] = dataset
        self._batch_size = whole("batch_size", batch_size, 1)
        self._seed = whole("seed", seed)
        self._shuffle = bool(shuffle)
        self._drop_last = bool(drop_last)
        self._prefetch = whole("prefetch", prefetch)
        self._bytes = None if prefetch_bytes is None else whole("prefetch_bytes", prefetch_bytes, 1)
        self._workers = min(whole("workers", workers, 1), max(self._prefetch, 1))
        if self._source is None and self._shuffle:
            kind = type(dataset).__name__
            raise DomainError(
                f"shuffle is True and dataset is a {kind} without numbers, expected a sequence: "
                "list(dataset) is one"
            )
        for name, value, call in (
            ("transform", transform, "a function of an item, or None"),
            ("collate", collate, "a function of a list of items, or None"),
            ("batch_transform", batch_transform, "a function of a batch, or None"),
        ):
            if value is not None:
                function(name, value, call)
        self._maker = Maker(self._source, transform, batch_transform, collate, self._seed)
        self._begin = self._read = (0, 0)

    @property
    def cursor(self) -> Cursor:
        """How far it was read: behind the batch that the loop got last."""
        epoch, batch = self._read
        return Cursor(
            epoch=epoch,
            batch=batch,
            seed=self._seed,
            batch_size=self._batch_size,
            shuffle=self._shuffle,
            drop_last=self._drop_last,
            length=None if self._source is None else len(self._source),
        )

    def seek(self, cursor: Cursor | Mapping[str, Any]) -> None:
        """Have the next ``for`` go on at a cursor: it yields what is left of that epoch.

        Parameters
        ----------
        cursor : Cursor or mapping
            Of this loader, or of one like it; or its fields.

        Raises
        ------
        DomainError
            If the loader that it comes from had other settings, or other items.
        DTypeError
            If it is no cursor.

        Notes
        -----
        Of an iterable, the items before the cursor are taken again and dropped.
        """
        if isinstance(cursor, Mapping):
            fields = [*cursor]
            if set(fields) != set(Cursor.__dataclass_fields__):
                expected = [*Cursor.__dataclass_fields__]
                raise DTypeError(f"cursor has the fields {fields}, expected {expected}")
            cursor = Cursor(**cursor)
        if not isinstance(cursor, Cursor):
            kind = type(cursor).__name__
            raise DTypeError(f"cursor is {cursor!r} (a {kind}), expected a Cursor or its fields")
        mine = asdict(self.cursor)
        for name, value in asdict(cursor).items():
            if name not in {"epoch", "batch"} and value != mine[name]:
                raise DomainError(
                    f"cursor has {name} {value}, this loader has {mine[name]}: a cursor is good "
                    "for a loader like the one that it comes from"
                )
        epoch, batch = whole("cursor.epoch", cursor.epoch), whole("cursor.batch", cursor.batch)
        if self._source is not None and batch > len(self):
            raise DomainError(f"cursor.batch is {batch}, expected from 0 to {len(self)}")
        self._begin = self._read = self._normal(epoch, batch)

    def __len__(self) -> int:
        """Return the batches of an epoch.

        Raises
        ------
        DTypeError
            If the data set is a stream.
        """
        if self._source is None:
            kind = type(self._dataset).__name__
            raise DTypeError(f"dataset is a {kind} without a length, expected a sequence")
        length = len(self._source)
        return length // self._batch_size if self._drop_last else -(-length // self._batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch, or go on at the cursor that was sought."""
        epoch, batch = self._begin
        self._begin, self._read = (epoch + 1, 0), (epoch, batch)
        return self._batches(epoch, batch)

    def _batches(self, epoch: int, first: int) -> Generator[Any, None, None]:
        jobs = self._jobs(epoch, first)
        if self._prefetch:
            batches: Iterator[Any] = ahead(
                jobs,
                self._maker.make,
                workers=self._workers,
                most=self._prefetch,
                most_bytes=self._bytes,
            )
        else:
            batches = (self._maker.make(job, lambda: False) for job in jobs)
        try:
            for number, batch in enumerate(batches, first + 1):
                self._read = self._normal(epoch, number)
                yield batch
                del batch  # or it would live while the next one is waited for
            self._read = (epoch + 1, 0)
        finally:
            batches.close()  # type: ignore[attr-defined] # both are generators

    def _jobs(self, epoch: int, first: int) -> Iterator[Any]:
        if self._source is None:
            size = self._batch_size
            return stream(self._dataset, epoch, first, size, drop_last=self._drop_last)
        length = len(self._source)
        order = order_of(length, shuffle=self._shuffle, seed=self._seed, epoch=epoch)
        return ranges(order, epoch, first, len(self), self._batch_size)

    def _normal(self, epoch: int, batch: int) -> tuple[int, int]:
        """Say the end of an epoch as the beginning of the next one, where ends are known."""
        if self._source is not None and batch >= len(self):
            return epoch + 1, 0
        return epoch, batch

    def __repr__(self) -> str:
        items = "a stream" if self._source is None else f"{len(self._source)} items"
        return f"DataLoader({items}, batch_size={self._batch_size}, seed={self._seed})"
