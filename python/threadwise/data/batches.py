"""How a batch is made: items are taken, changed, put together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from threadwise._random import Purpose, generator
from threadwise.data.collate import collate
from threadwise.data.prefetch import Stopped
from threadwise.data.sources import Indices, Source, pick

__all__ = ["Job", "Maker", "order_of", "ranges", "stream", "wants_generator"]

_WHO = "threadwise.data.DataLoader"


@dataclass(frozen=True)
class Job:
    """A batch to be made."""

    epoch: int
    batch: int
    """Its number in the epoch."""
    indices: Indices
    """The numbers of its items."""
    items: list[Any] | None = None
    """The items themselves, if they came from a stream."""


@dataclass(frozen=True)
class Maker:
    """Makes batches; several threads may use it at once."""

    source: Source | None
    transform: Callable[..., Any] | None
    batch_transform: Callable[[Any], Any] | None
    collate: Callable[[list[Any]], Any] | None
    seed: int

    def make(self, job: Job, is_stopped: Callable[[], bool]) -> Any:
        """Return the batch; an error gets a note that tells the item or the batch."""
        batch = None
        if self.source is not None and self.transform is None and self.collate is None:
            batch = self._noted(job, self.source.take, job.indices)
        if batch is None:
            items = [self._item(job, place, is_stopped) for place in range(len(job.indices))]
            batch = self._noted(job, self._together, job, items)
        if self.batch_transform is not None:
            batch = self._noted(job, self.batch_transform, batch)
        return batch

    def _item(self, job: Job, place: int, is_stopped: Callable[[], bool]) -> Any:
        if is_stopped():
            raise Stopped
        index = int(job.indices[place])
        try:
            if job.items is not None:
                item = job.items[place]
            else:
                assert self.source is not None  # noqa: S101 - else the job has the items
                item = self.source.item(index)
            if self.transform is None:
                return item
            if wants_generator(self.transform):
                rng = generator(self.seed, Purpose.ITEM, job.epoch, index)
                return self.transform(item, rng=rng)
            return self.transform(item)
        except Exception as error:
            error.add_note(f"{_WHO}: this was raised for item {index}, in {_place(job)}")
            raise

    def _together(self, job: Job, items: list[Any]) -> Any:
        if self.collate is not None:
            return self.collate(items)
        return collate(items, [int(index) for index in job.indices])

    def _noted(self, job: Job, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            error.add_note(f"{_WHO}: this was raised for {_place(job)}")
            raise


def _place(job: Job) -> str:
    return f"batch {job.batch} of epoch {job.epoch}"


def wants_generator(function: Callable[..., Any]) -> bool:
    """Say whether a function has a parameter called ``rng``."""
    try:
        return "rng" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins do not say
        return False


def order_of(length: int, *, shuffle: bool, seed: int, epoch: int) -> Indices:
    """Return the order of the items in an epoch.

    A shuffled one sorts the items by random words: unlike NumPy's own shuffles, neither Philox nor
    sorting will ever change, so that a cursor is good for any version of NumPy.
    """
    if not shuffle:
        return range(length)
    words = generator(seed, Purpose.ORDER, epoch).bit_generator.random_raw(length)
    return np.argsort(np.asarray(words), kind="stable").astype(np.int64, copy=False)


def ranges(order: Indices, epoch: int, first: int, end: int, batch_size: int) -> Iterator[Job]:
    """Yield the batches of an order, from number `first` to before number `end`."""
    for batch in range(first, end):
        start = batch * batch_size
        stop = min(start + batch_size, len(order))
        yield Job(epoch, batch, pick(order, range(start, stop)))


def stream(
    items: Iterable[Any], epoch: int, first: int, batch_size: int, *, drop_last: bool
) -> Iterator[Job]:
    """Yield the batches of a stream, from number `first` on: what is before is passed over."""
    supply, taken = iter(items), 0
    batch: list[Any] = []
    while True:
        try:
            batch.append(next(supply))
        except StopIteration:
            break
        except Exception as error:
            error.add_note(f"{_WHO}: the dataset raised this for item {taken} of epoch {epoch}")
            raise
        taken += 1
        if len(batch) == batch_size:
            number = taken // batch_size - 1
            if number >= first:
                yield Job(epoch, number, range(taken - batch_size, taken), batch)
            batch = []
    if batch and not drop_last and taken // batch_size >= first:
        yield Job(epoch, taken // batch_size, range(taken - len(batch), taken), batch)
