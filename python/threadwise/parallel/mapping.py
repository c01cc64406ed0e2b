"""`map`: a loop that uses threads where they make it faster, and is the loop where they do not."""

from __future__ import annotations

import builtins
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import Executor
from typing import Any, Literal

from threadwise import _threadwise
from threadwise._arguments import positive
from threadwise.errors import DomainError, DTypeError
from threadwise.parallel import calls
from threadwise.parallel.executor import ThreadExecutor

__all__ = ["map"]

SAMPLE = 100e-6
"""Seconds of calls after which the first guess is made of what an item takes."""

WORTH = 1e-3
"""Seconds of work left for which nobody is asked to help."""

TRIAL = 5e-3
"""Seconds of work, for each thread, in which threads show whether they help."""

GAIN = 1.1
"""How much faster than the loop threads must be to be kept on."""

PATIENCE = 20
"""After a trial that failed, how many times its length the plain loop goes on; after each further
one, twice as many."""

SMALL = 1e-6
"""Seconds of a call in which it can hardly release Python's lock and take it again."""

CHUNK = 1e-3
"""Seconds of work in a chunk: much more than taking one costs."""

DISPATCHES = 20
"""How many times the cost of handing a chunk to a foreign executor its work should be."""


def map(  # noqa: A001 - the field's name; used as tw.parallel.map
    fn: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    executor: Executor | None = None,
    threads: int | None = None,
    chunk: int | Literal["auto"] = "auto",
    progress: Callable[[int, int | None], object] | None = None,
    on_error: Literal["raise", "collect"] = "raise",
    timeout: float | None = None,
) -> list[Any]:
    """Return ``[fn(item) for item in items]``, on several threads where that is faster.

    Parameters
    ----------
    fn : callable
        Called with each item once.
    items : iterable
        Also a generator, and any number. It is advanced by one thread at a time.
    executor : concurrent.futures.Executor, optional
        Who makes the calls that are not made at once, in chunks: processes, Dask, MPI. `fn`, the
        items and the results must then be what it can send. By default threads of this process.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says. With an `executor`, how many chunks are under way at a
        time for each of which it has a place; by default as many.
    chunk : int or "auto", default "auto"
        Items that are handed over at a time: about a millisecond's work, or that for which
        the hand-over costs little.
    progress : callable, optional
        Called on the calling thread as ``progress(done, total)``, at most ten times a second and
        once at the end; `total` is ``None`` for items of unknown number. What it raises ends the
        map.
    on_error : {"raise", "collect"}, default "raise"
        What happens when a call raises an `Exception`. With ``"raise"`` it is raised, with a note
        that tells the item; of several, that of the first item, as in the loop. With ``"collect"``
        a `Failure` stands in the place of the result.
    timeout : float, optional
        Seconds after which no call is begun any more.

    Returns
    -------
    list
        The results, in the order of the items.

    Raises
    ------
    TimeoutError
        If not all calls were begun in time.
    DomainError
        If `threads`, `chunk`, `on_error` or `timeout` makes no sense.
    DTypeError
        If `threads` or `chunk` is of another type.

    See Also
    --------
    advise : says beforehand what would be gained, and why.
    ThreadExecutor : tasks that are not all alike.

    Notes
    -----
    The first calls are a plain loop, which is timed. If what is left takes less than a millisecond,
    the loop goes on. Else threads join in for some milliseconds, and stay if items are done at
    least a tenth faster with them; they do not where calls hold Python's lock. Later they are
    tried again, ever less often, so that less than a twentieth of the time is spent on trials. Two
    calls may therefore be made at the same time; which thread makes one is open.

    The calling thread takes part. Kernels called by `fn` share the budget, as in `ThreadExecutor`.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.parallel.map(lambda x: x * x, range(5))
    [0, 1, 4, 9, 16]
    >>> tw.parallel.map(lambda x: 1 / x, [1, 0], on_error="collect")
    [1.0, Failure(index=1, error=ZeroDivisionError('division by zero'))]
    """
    if on_error not in {"raise", "collect"}:
        raise DomainError(f"on_error is {on_error!r}, expected 'raise' or 'collect'")
    if timeout is not None and not timeout >= 0:
        raise DomainError(f"timeout is {timeout!r}, expected seconds, at least 0")
    if chunk != "auto":
        chunk = positive("chunk", chunk, 1 << 62)
    if executor is not None and not isinstance(executor, Executor):
        kind = type(executor).__name__
        raise DTypeError(f"executor is a {kind}, expected a concurrent.futures.Executor or None")
    budget = _threadwise.get_num_threads()
    most = budget if threads is None else positive("threads", threads, 1024)
    size = None if chunk == "auto" else chunk
    run = _Map(fn, items, size, progress, collects=on_error == "collect", timeout=timeout)
    if executor is None:
        run.here(most)
    else:
        run.elsewhere(executor, most)
    return run.finish()


class _Map:
    """One map under way."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        chunk: int | None,
        progress: Callable[[int, int | None], object] | None,
        *,
        collects: bool,
        timeout: float | None,
    ) -> None:
        self.function = calls.Collecting(function) if collects else function
        self.items = iter(items)
        self.total = len(items) if isinstance(items, Sized) else None
        self.chunk = chunk
        self.collects = collects
        self.results: list[Any] = []
        self.is_over = False
        self.progress = progress
        self.told = time.perf_counter()
        self.deadline = None if timeout is None else time.perf_counter() + timeout
        self.timeout = timeout

    def left(self, cost: float) -> float:
        """Return the seconds of work left; of unknown items, as many again as were done."""
        known = self.total is not None and self.total >= len(self.results)
        items = self.total - len(self.results) if known else len(self.results)  # type: ignore[operator]
        return cost * items

    def loop(self, seconds: float) -> float:
        """Run the plain loop for about so long, and return what an item took in its last block."""
        begin, size, cost = time.perf_counter(), 1, 0.0
        while not self.is_over:
            start, before = time.perf_counter(), len(self.results)
            self.block(size)
            now, done = time.perf_counter(), len(self.results) - before
            cost = (now - start) / done if done else cost
            self.is_over = done < size
            self.tell(now)
            if now - begin >= seconds:
                break
            # The blocks grow, so that timing them costs nothing, as long as they end in time.
            rest = (seconds - (now - begin)) / max(cost, 1e-9)
            size = int(max(1, min(2 * size, rest + 1, 1 << 16)))
            if self.progress or self.deadline:
                size = int(max(1, min(size, 0.02 / max(cost, 1e-9))))
        return cost

    def block(self, size: int) -> None:
        """Do so many items, or all that are left."""
        items, function = itertools.islice(self.items, size), self.function
        if self.collects:
            self.results.extend(calls.numbered(function, items, len(self.results)))
            return
        try:
            # It keeps what came before an error.
            self.results.extend(builtins.map(function, items))
        except Exception as error:
            calls.note(error, len(self.results))
            raise

    def here(self, threads: int) -> None:
        """Run the loop, with this process's threads where they help."""
        cost, patience = self.loop(SAMPLE), PATIENCE
        while not self.is_over:
            if threads <= 1 or cost < SMALL or self.left(cost) < WORTH:
                cost = self.loop(max(WORTH, self.left(cost)))
                continue
            begin = time.perf_counter()
            if self.helped(threads, cost):
                patience = PATIENCE
                cost = self.loop(TRIAL)
            else:
                cost = self.loop(patience * (time.perf_counter() - begin))
                patience *= 2

    def helped(self, threads: int, cost: float) -> bool:
        """Have threads join in for as long as they help, and say whether they did."""
        times = 0
        with ThreadExecutor(threads, name="threadwise-map") as helpers:
            while not self.is_over:
                begin, before = time.perf_counter(), len(self.results)
                self.together(helpers, cost, TRIAL)
                took = (time.perf_counter() - begin) / max(len(self.results) - before, 1)
                if took * GAIN > cost:
                    break
                self.together(helpers, took * threads, TRIAL * PATIENCE)
                times += 1
        return times > 0

    def together(self, helpers: ThreadExecutor, cost: float, seconds: float) -> None:
        """Have all threads work for about so long, on chunks of the items in their order."""
        size = self.chunk or int(max(1, min(CHUNK / max(cost, 1e-9), 1 << 16)))
        shared = _Shared(self, size, len(self.results), time.perf_counter() + seconds)
        tasks = [helpers.submit(shared.help) for _ in range(helpers.threads - 1)]
        before = _threadwise.swap_context(max(1, _threadwise.get_num_threads() // helpers.threads))
        try:
            shared.help(self.tell)
        except BaseException:
            shared.stop()
            raise
        finally:
            _threadwise.swap_context(before)
            for task in tasks:
                task.cancel()
            for task in tasks:
                if not task.cancelled():
                    task.result()
        self.is_over = shared.is_over
        for index in sorted(shared.done):
            self.results.extend(shared.done[index])
        if shared.error is not None:
            index, error = shared.error
            calls.note(error, index)
            raise error

    def elsewhere(self, executor: Executor, threads: int) -> None:
        """Run the loop first, then hand chunks to a foreign executor if that is worth it."""
        cost = self.loop(SAMPLE)
        if self.is_over:
            return
        begin = time.perf_counter()
        executor.submit(calls.nothing).result()
        dispatch = time.perf_counter() - begin
        if threads > 1 and self.left(cost) * (1 - 1 / threads) <= 2 * dispatch:
            self.loop(float("inf"))
            return
        begin = time.perf_counter()
        executor.submit(calls.nothing).result()  # the first one may have started processes
        dispatch = time.perf_counter() - begin
        fair = self.left(cost) / max(cost, 1e-9) / (2 * threads) if self.total else 1 << 20
        each = self.chunk or int(max(1, min(DISPATCHES * dispatch / max(cost, 1e-9), fair)))
        self.hand_over(executor, each, 2 * threads)

    def hand_over(self, executor: Executor, size: int, most: int) -> None:
        """Hand over chunks, some under way at a time, and take their results in order."""
        chunks = iter(lambda: list(itertools.islice(self.items, size)), [])
        under_way: list[Any] = []

        def give(chunk: list[Any]) -> Any:
            return executor.submit(calls.chunk, self.function, chunk, self.collects)

        try:
            under_way.extend(give(chunk) for chunk in itertools.islice(chunks, most))
            while under_way:
                found, error = under_way.pop(0).result(self.rest())
                first = len(self.results)
                self.results.extend(calls.renumbered(found, first) if self.collects else found)
                if error is not None:
                    calls.note(error, len(self.results))
                    raise error
                self.tell(time.perf_counter())
                under_way.extend(give(chunk) for chunk in itertools.islice(chunks, 1))
        except TimeoutError as error:
            if self.deadline is None or time.perf_counter() < self.deadline:
                raise
            raise self.late() from error
        finally:
            for future in under_way:
                future.cancel()
        self.is_over = True

    def rest(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.perf_counter())

    def tell(self, now: float, done: int | None = None) -> None:
        """Say how far it is, if that is wanted, and stop if time is up."""
        if self.deadline is not None and now >= self.deadline and not self.is_over:
            raise self.late()
        if self.progress is not None and now - self.told >= 0.1:
            self.told = now
            self.progress(len(self.results) if done is None else done, self.total)

    def late(self) -> TimeoutError:
        of = "" if self.total is None else f" of {self.total}"
        return TimeoutError(
            f"map has the results of {len(self.results)}{of} items after {self.timeout} s, "
            "expected all: allow more time, or more threads"
        )

    def finish(self) -> list[Any]:
        if self.progress is not None:
            self.progress(len(self.results), self.total)
        return self.results


class _Shared:
    """Items that several threads take from."""

    def __init__(self, owner: _Map, size: int, first: int, end: float) -> None:
        self.owner = owner
        self.size = size
        self.next = self.first = first
        self.end = end
        self.taking = threading.Lock()
        self.done: dict[int, list[Any]] = {}
        self.error: tuple[int, Exception] | None = None
        self.is_over = False
        self.is_stopped = False

    def take(self) -> tuple[int, list[Any]] | None:
        with self.taking:
            if self.is_stopped or self.is_over or time.perf_counter() >= self.end:
                return None
            chunk = list(itertools.islice(self.owner.items, self.size))
            first, self.next = self.next, self.next + len(chunk)
            self.is_over = len(chunk) < self.size
            return (first, chunk) if chunk else None

    def stop(self) -> None:
        self.is_stopped = True

    def help(self, tell: Callable[[float, int], None] | None = None) -> None:
        """Take chunks until none is left or time is up."""
        function, collects = self.owner.function, self.owner.collects
        while (taken := self.take()) is not None:
            first, chunk = taken
            if collects:
                self.done[first] = list(calls.numbered(function, chunk, first))
            else:
                results: list[Any] = []
                self.done[first] = results
                try:
                    for item in chunk:
                        results.append(function(item))
                        if self.is_stopped and self.error is None:
                            return
                except Exception as error:  # noqa: BLE001 - raised by the calling thread
                    with self.taking:
                        index = first + len(results)
                        if self.error is None or index < self.error[0]:
                            self.error = (index, error)
                        self.is_stopped = True
            if tell is not None:
                tell(time.perf_counter(), self.next)
