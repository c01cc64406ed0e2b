"""A function called with each of many items, and who called it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from threadwise._arguments import thread_count
from threadwise._progress import Progress, counting
from threadwise.parallel import map as parallel_map

__all__ = ["Mapped", "mapped", "used"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapped:
    """Results in the order of the items: a sequence, and for NumPy an array."""

    values: Any
    """A list, or an array of as many rows."""
    threads: int
    """How many threads made the calls."""
    cap: int
    """How many could have: the smaller of calls and threads."""
    seconds: float
    """What all of it took."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        what = (
            f"shape {self.values.shape}" if hasattr(self.values, "shape") else f"{len(self)} items"
        )
        return (
            f"{type(self).__name__}({what}, {used(self.threads, self.cap)}, {self.seconds:.2f} s)"
        )


def mapped(
    fn: Callable[[Any], Any],
    items: Iterable[Any],
    threads: int | None,
    progress: Progress = None,
    on_error: Literal["raise", "collect"] = "raise",
) -> Mapped:
    """Map, and count the threads that take part."""
    most = thread_count(threads)
    seen: set[int] = set()

    def noted(item: Any) -> Any:
        seen.add(threading.get_ident())
        return fn(item)

    begin = time.perf_counter()
    with counting(progress, "calls") as tell:
        values = parallel_map(noted, items, threads=most, progress=tell, on_error=on_error)
    calls = len(items) if isinstance(items, Sized) else len(values)
    return Mapped(
        values=values,
        threads=max(1, len(seen)),
        cap=max(1, min(calls, most)),
        seconds=time.perf_counter() - begin,
    )


def used(threads: int, cap: int) -> str:
    """Say how many threads took part."""
    return f"{threads} thread{'s' if threads != 1 else ''} of at most {cap}"
