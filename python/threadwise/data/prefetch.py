"""Work that is done ahead of whoever wants its results, in order and within bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from threadwise.data.collate import size_of
from threadwise.parallel.executor import ThreadExecutor

__all__ = ["Stopped", "ahead"]


class Stopped(BaseException):
    """Ends work whose result nobody wants any more."""


def ahead(
    jobs: Iterator[Any],
    make: Callable[[Any, Callable[[], bool]], Any],
    *,
    workers: int,
    most: int,
    most_bytes: int | None,
) -> Generator[Any, None, None]:
    """Yield what `make` makes of each job, in the order of the jobs.

    Parameters
    ----------
    jobs : iterator
        Advanced by one thread at a time, in a worker.
    make : callable
        Called as ``make(job, is_stopped)`` by the workers; when ``is_stopped()`` is true it should
        raise `Stopped` soon.
    workers : int
        How many threads make results.
    most : int
        How many results may be ready or under way, beside the one that was yielded last.
    most_bytes : int, optional
        How many bytes the same may have, if no result is larger than those before it. One result is
        always allowed.

    Raises
    ------
    Exception
        What a job raised, in its place: results before it are yielded first.

    Notes
    -----
    Closing the generator begins nothing more and waits for what is under way.
    """
    line = _Line(jobs, make, most, most_bytes)
    # Data is seldom made by BLAS, and a limit would slow the one who uses it down.
    executor = ThreadExecutor(workers, name="threadwise-data", limit_blas=False)
    try:
        for _ in range(workers):
            executor.submit(line.work)
        while (found := line.next()) is not None:
            yield found[0]
            del found  # or it would live while the next one is waited for
    finally:
        line.stop()
        executor.shutdown(cancel_futures=True)


class _Line:
    """Results between those who make them and the one who wants them."""

    def __init__(
        self,
        jobs: Iterator[Any],
        make: Callable[[Any, Callable[[], bool]], Any],
        most: int,
        most_bytes: int | None,
    ) -> None:
        self.jobs = jobs
        self.make = make
        self.most = most
        self.most_bytes = most_bytes
        self.taking = threading.Lock()  # whoever has it advances the jobs
        self.changed = threading.Condition()  # guards all below
        self.ready: dict[int, tuple[Any, BaseException | None, int]] = {}
        self.begun = 0
        self.given = 0
        self.bytes_ready = 0
        self.largest: int | None = None
        self.is_over = False  # no job is begun any more
        self.is_stopped = False

    def work(self) -> None:
        """Make results until there are no more jobs."""
        while True:
            with self.taking:
                if not self._wait_for_room():
                    return
                number, job, error = self._take()
            if error is None and job is None:
                return
            self._put(number, *self._made(job) if error is None else (None, error))

    def _wait_for_room(self) -> bool:
        with self.changed:
            self.changed.wait_for(lambda: self.is_over or self._has_room())
            return not self.is_over

    def _has_room(self) -> bool:
        waiting = self.begun - self.given
        if waiting == 0 or self.most_bytes is None:
            return waiting < self.most
        if waiting >= self.most or self.largest is None:
            return False
        under_way = waiting - len(self.ready)
        return self.bytes_ready + (under_way + 1) * self.largest <= self.most_bytes

    def _take(self) -> tuple[int, Any, BaseException | None]:
        """Take the next job: its number and itself, or what was raised instead, or neither."""
        job, error = None, None
        try:
            job = next(self.jobs)
        except StopIteration:
            pass
        except BaseException as raised:  # noqa: BLE001 - it is the waiter's
            error = raised
        with self.changed:
            number = self.begun
            if job is None and error is None:
                self.is_over = True
                self.changed.notify_all()
            else:
                self.begun += 1
            return number, job, error

    def _made(self, job: Any) -> tuple[Any, BaseException | None]:
        try:
            return self.make(job, lambda: self.is_stopped), None
        except BaseException as error:  # noqa: BLE001 - it is the waiter's
            return None, error

    def _put(self, number: int, result: Any, error: BaseException | None) -> None:
        size = 0 if error is not None or self.most_bytes is None else size_of(result)
        with self.changed:
            self.is_over |= error is not None
            self.largest = max(size, self.largest or 0)
            if not self.is_stopped:
                self.ready[number] = (result, error, size)
                self.bytes_ready += size
            self.changed.notify_all()

    def next(self) -> tuple[Any] | None:
        """Wait for the next result, and return it; `None` if there is none."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.given in self.ready or (self.is_over and self.given == self.begun)
            )
            if self.given not in self.ready:
                return None
            result, error, size = self.ready.pop(self.given)
            self.given += 1
            self.bytes_ready -= size
            self.changed.notify_all()
        if error is not None:
            raise error
        return (result,)

    def stop(self) -> None:
        """Begin nothing any more, and drop what is ready."""
        with self.changed:
            self.is_over = self.is_stopped = True
            self.ready.clear()
            self.changed.notify_all()
