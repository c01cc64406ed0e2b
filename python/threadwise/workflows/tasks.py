"""Tasks that are worth a thread each: folds, points of a grid, models."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any

from threadwise import _threadwise
from threadwise._arguments import thread_count, word
from threadwise._progress import Progress, Tell, counting
from threadwise.errors import DTypeError
from threadwise.parallel.calls import Failure
from threadwise.parallel.executor import ThreadExecutor
from threadwise.parallel.turns import Turns

__all__ = ["ON_ERROR", "Outcome", "run", "score_of"]

ON_ERROR = ("raise", "collect")

_MANY = 64
"""Threads up to which tasks take turns: each that waits for one keeps its memory."""


@dataclass(frozen=True)
class Outcome:
    """What tasks returned, and what that took."""

    results: list[Any]
    """In the order of the tasks; a `Failure` where one raised and that was to be collected."""
    threads: int
    """How many threads made the calls."""
    cap: int
    """How many could have: the smaller of tasks and threads."""
    seconds: float


def run(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    *,
    what: str,
    name: Callable[[int], str],
    threads: int | None,
    progress: Progress,
    on_error: str = "raise",
) -> Outcome:
    """Call a function with each task, on as many threads as there are tasks for.

    Where that is one, it is a loop on this thread, in which kernels have the whole budget. Else, if
    threads would have nothing to do while the last tasks end, more tasks than threads are under way
    and take turns, so many at a time as there are threads: where they say that they can pause, as
    `threadwise.train.fit` does after each epoch, all threads end at about the same time. Errors
    get a note, in which `name` says which task it was. When this thread is interrupted, tasks that
    have begun are left to end by themselves, and no other begins.
    """
    word("on_error", on_error, ON_ERROR)
    cap = max(1, min(len(tasks), thread_count(threads)))
    begin = time.perf_counter()
    work = _Work(function, tasks, name, collects=on_error == "collect")
    with counting(progress, what) as tell:
        results = work.loop(tell) if cap == 1 else work.share(cap, tell)
    return Outcome(results, min(len(work.seen), cap), cap, time.perf_counter() - begin)


class _Work:
    def __init__(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        name: Callable[[int], str],
        *,
        collects: bool,
    ) -> None:
        self.function = function
        self.tasks = tasks
        self.name = name
        self.collects = collects
        self.seen: set[int] = set()
        self.done: list[int] = []

    def call(self, index: int) -> Any:
        self.seen.add(threading.get_ident())
        try:
            return self.function(self.tasks[index])
        except Exception as error:
            error.add_note(f"{self.name(index)}: this was raised for it")
            if not self.collects:
                raise
            return Failure(index, error)
        finally:
            self.done.append(index)

    def loop(self, tell: Tell | None) -> list[Any]:
        results = []
        for index in range(len(self.tasks)):
            results.append(self.call(index))
            if tell is not None:
                tell(index + 1, len(self.tasks))
        return results

    def in_turn(self, index: int, turns: Turns, share: int) -> Any:
        if not turns.begin():
            return None  # nobody asks for it any more
        before = _threadwise.swap_context(share)
        try:
            return self.call(index)
        finally:
            _threadwise.swap_context(before)
            turns.end()

    def share(self, threads: int, tell: Tell | None) -> list[Any]:
        # As many more as are left over when all threads have done as many tasks.
        more = len(self.tasks) % threads if threads <= _MANY else 0
        turns, share = Turns(threads), max(1, _threadwise.get_num_threads() // threads)
        executor = ThreadExecutor(threads + more, name="threadwise-workflow")
        waits = False
        try:
            futures = [
                executor.submit(self.in_turn, index, turns, share)
                for index in range(len(self.tasks))
            ]
            results = [self.wait(future, tell) for future in futures]
            waits = True
        except Exception:
            waits = True  # whoever handles it finds nothing under way
            raise
        finally:
            turns.close()
            executor.shutdown(wait=waits, cancel_futures=True)
        return results

    def wait(self, future: Any, tell: Tell | None) -> Any:
        if tell is not None:
            while not future.done():
                wait([future], timeout=0.1)
                tell(len(self.done), len(self.tasks))
            tell(len(self.done), len(self.tasks))
        return future.result()


def score_of(score: Any) -> float:
    """Return a score as a number.

    Raises
    ------
    DTypeError
        If it is none.
    """
    try:
        return float(score)
    except (TypeError, ValueError):
        kind = type(score).__name__
        raise DTypeError(f"the score is {score!r} (a {kind}), expected a number") from None
