"""An executor whose threads share one budget with the kernels that its tasks call."""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from threadwise import _threadwise
from threadwise._arguments import positive
from threadwise.parallel.task import HERE, Task

__all__ = ["ThreadExecutor"]

LINGER = 0.05
"""Seconds that a worker waits for a task before it is idle, and BLAS gets its threads back."""

WINDOW = 4
"""Chunks for each thread that `map` has under way at a time."""


class ThreadExecutor(Executor):
    """Run Python calls on threads that share threadwise's budget instead of multiplying it.

    A `concurrent.futures.Executor` in the place of `concurrent.futures.ThreadPoolExecutor`. Kernels
    that a task calls get the task's part of the budget; the pools of BLAS and OpenMP libraries are
    limited to that, too, while tasks run.

    Parameters
    ----------
    threads : int, optional
        How many tasks run at a time, from 1 to 1024. By default what `threadwise.get_num_threads`
        says.
    backlog : int, optional
        How many tasks may wait to be begun, at least 1: `submit` waits for a place. By default any
        number.
    name : str, default "threadwise-task"
        What the threads are called, before a number.
    limit_blas : bool, default True
        Whether the pools of other libraries are limited, from the first task until 50 ms after the
        last. That needs the package threadpoolctl; without it they are not.

    Raises
    ------
    DomainError
        If `threads` or `backlog` is out of range.
    DTypeError
        If one of them is not a whole number.

    See Also
    --------
    threadwise.parallel.map : decides whether threads are worth it.

    Notes
    -----
    Python threads take turns unless what they call releases Python's lock, as threadwise's and
    NumPy's larger operations do.

    A kernel called within a task may use ``budget // threads`` threads, at least one, where the
    budget is that of the thread that made the executor. An executor made within a task has that
    much too.

    Tasks may submit tasks and wait for them: a worker that is about to wait for a task that nobody
    has begun makes the call itself. Where the backlog is full, a task that submits makes the call
    itself too. Results of `map` come in order; it takes from its arguments only as much as keeps
    the threads busy. A child made by ``os.fork`` starts with none of the tasks and threads.

    At the end of the program, tasks that have begun are waited for and others are dropped.

    Examples
    --------
    >>> import threadwise as tw
    >>> with tw.parallel.ThreadExecutor(2) as executor:
    ...     total = executor.submit(sum, [1, 2, 3])
    ...     print(total.result(), list(executor.map(abs, [-1, -2])))
    6 [1, 2]
    """

    def __init__(
        self,
        threads: int | None = None,
        *,
        backlog: int | None = None,
        name: str = "threadwise-task",
        limit_blas: bool = True,
    ) -> None:
        budget = _threadwise.get_num_threads()
        self._most = budget if threads is None else positive("threads", threads, 1024)
        self._backlog = None if backlog is None else positive("backlog", backlog, sys.maxsize)
        self._name = name
        self._share = max(1, budget // self._most)
        self._limit_blas = limit_blas
        self._is_closed = False
        self._begin()
        _ALL.add(self)

    def _begin(self) -> None:
        self._guard: Any = threading.RLock()
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._busy = 0
        self._limiter: tuple[int, Any] | None = None
        self._room = None if self._backlog is None else threading.Semaphore(self._backlog)

    @property
    def threads(self) -> int:
        """How many tasks run at a time."""
        return self._most

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
        """Have ``fn(*args, **kwargs)`` called, and return its future at once.

        Raises
        ------
        RuntimeError
            After `shutdown`.
        """
        task = Task(self._guard, self, fn, args, kwargs)
        if self._is_closed:
            raise RuntimeError("the executor was shut down, expected one that takes tasks")
        if self._room is not None and not self._find_room(task):
            return task
        self._queue.put(task)
        if len(self._threads) < self._most and self._queue.qsize() > self._idle:
            self._start()
        return task

    def _find_room(self, task: Task) -> bool:
        assert self._room is not None  # noqa: S101 - for mypy
        if HERE.executor is not self:
            return self._room.acquire()
        if self._room.acquire(blocking=False):
            return True
        task.run()
        return False

    def map(
        self,
        fn: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """Return an iterator of ``fn(*items)`` for each item of all iterables, in their order.

        Parameters
        ----------
        fn : callable
            What is called.
        *iterables : iterable
            Its arguments. They are taken from while results are.
        timeout : float, optional
            Seconds from now to the last result.
        chunksize : int, default 1
            Calls a task.

        Raises
        ------
        TimeoutError
            By the iterator, if a result is not there in time.
        """
        chunksize = positive("chunksize", chunksize, sys.maxsize)
        deadline = None if timeout is None else time.monotonic() + timeout
        calls = zip(*iterables, strict=False)
        chunks = iter(lambda: list(itertools.islice(calls, chunksize)), [])
        ahead = WINDOW * self._most
        under_way = deque(
            self.submit(_each, fn, chunk) for chunk in itertools.islice(chunks, ahead)
        )
        return self._results(fn, chunks, under_way, deadline)

    def _results(
        self,
        fn: Callable[..., Any],
        chunks: Iterator[list[Any]],
        under_way: deque[Task],
        deadline: float | None,
    ) -> Iterator[Any]:
        try:
            while under_way:
                left = None if deadline is None else deadline - time.monotonic()
                found = under_way.popleft().result(left)
                for chunk in itertools.islice(chunks, 1):
                    under_way.append(self.submit(_each, fn, chunk))
                yield from found
        finally:
            for task in under_way:
                task.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks.

        Parameters
        ----------
        wait : bool, default True
            Whether to return only when all tasks are done.
        cancel_futures : bool, default False
            Whether tasks that have not begun are cancelled.
        """
        with self._guard:
            self._is_closed = True
            threads = list(self._threads)
        if cancel_futures:
            self._drop()
        for _ in threads:
            self._queue.put(None)
        if wait:
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join()

    def _drop(self) -> None:
        while True:
            try:
                task = self._queue.get_nowait()
            except Empty:
                return
            if task is not None:
                task.cancel()
                task.run()  # tells those who wait for it
                if self._room is not None:
                    self._room.release()

    def _start(self) -> None:
        with self._guard:
            number = len(self._threads)
            if number >= self._most or self._is_closed:
                return
            # Daemons, because the program's end must not wait for whoever forgot `shutdown`.
            name = f"{self._name}-{number}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        HERE.executor = self
        _threadwise.swap_context(self._share)
        self._wake()
        queue, room = self._queue, self._room
        while True:
            try:
                task = queue.get_nowait()
            except Empty:
                task = self._wait(queue)
            if task is None:
                break
            if room is not None:
                room.release()
            task.run()
            del task  # or its result would live until the next one comes
        while not self._rest():
            time.sleep(LINGER / 50)

    def _wait(self, queue: SimpleQueue[Task | None]) -> Task | None:
        with self._guard:
            self._idle += 1
        try:
            while True:
                with suppress(Empty):
                    return queue.get(timeout=LINGER)
                if self._rest():
                    task = queue.get()
                    self._wake()
                    return task
        finally:
            with self._guard:
                self._idle -= 1

    def _wake(self) -> None:
        """Count this worker; the first one limits the pools of other libraries."""
        with self._guard:
            self._busy += 1
            if self._limit_blas and self._limiter is None:
                limits = _limits(self._share)
                if limits is not None:
                    self._limiter = (threading.get_ident(), limits)
                    limits.__enter__()

    def _rest(self) -> bool:
        """Count this worker no longer, unless it is the one that must lift the limit at last.

        A library's threads can be limited by one thread at a time, says threadpoolctl, and only by
        that one again.
        """
        with self._guard:
            if self._limiter is not None and self._limiter[0] == threading.get_ident():
                if self._busy > 1:
                    return False
                self._limiter[1].__exit__(None, None, None)
                self._limiter = None
            self._busy -= 1
            return True


def _each(fn: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> list[Any]:
    return [fn(*arguments) for arguments in chunk]


_CONTROLLER: list[Any] = []
"""Of threadpoolctl, and how many modules were imported when it looked for libraries."""


def _limits(share: int) -> Any:
    """Limit the pools of BLAS and OpenMP libraries; `None` if threadpoolctl is not there."""
    try:
        import threadpoolctl  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        return None
    if not _CONTROLLER or _CONTROLLER[1] != len(sys.modules):
        _CONTROLLER[:] = [threadpoolctl.ThreadpoolController(), len(sys.modules)]
    others = _CONTROLLER[0].select(user_api=["blas", "openmp"])
    return others.limit(limits=share)


_ALL: weakref.WeakSet[ThreadExecutor] = weakref.WeakSet()


def _forget() -> None:
    for executor in list(_ALL):
        executor._begin()  # noqa: SLF001 - of this module
    HERE.executor = None


def _finish() -> None:
    for executor in list(_ALL):
        try:
            executor.shutdown(cancel_futures=True)
        except (RuntimeError, CancelledError):
            continue


atexit.register(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
