"""A future that costs little while nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures._base import (
    CANCELLED,
    CANCELLED_AND_NOTIFIED,
    FINISHED,
    PENDING,
    RUNNING,
)
from typing import Any

__all__ = ["HERE", "Task"]


class _Here(threading.local):
    """Whose worker this thread is."""

    executor: object = None


HERE = _Here()


class Task(Future[Any]):
    """A call that an executor makes.

    A `concurrent.futures.Future`, which `wait` and `as_completed` take. It has a condition to wait
    on only once somebody asks for it, because that costs more than a small task takes. All tasks of
    an executor share one lock, `guard`, which their conditions use too: whoever holds a task's
    condition therefore sees its state as the quick ways below leave it.
    """

    def __init__(
        self,
        guard: Any,
        executor: object,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
    ) -> None:
        # Not `super().__init__`, which makes a condition.
        self._guard = guard
        self._executor = executor
        self._call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None
        self._call = (function, arguments, options)
        self._waited: threading.Condition | None = None
        self._state = PENDING
        self._result: Any = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        """What `Future` waits on.

        A worker that is about to wait for a task of its own executor does it first, if nobody has
        begun: all workers might be waiting.
        """
        if self._state == PENDING and HERE.executor is self._executor:
            self.run()
        return self._expect()

    def _expect(self) -> threading.Condition:
        with self._guard:
            if self._waited is None:
                self._waited = threading.Condition(self._guard)
            return self._waited

    def run(self) -> None:
        """Make the call, unless it was cancelled or somebody else makes it."""
        with self._guard:
            if self._state == CANCELLED:
                self._state = CANCELLED_AND_NOTIFIED
                for waiter in self._waiters:
                    waiter.add_cancelled(self)
            if self._state != PENDING or self._call is None:
                return
            self._state = RUNNING
            (function, arguments, options), self._call = self._call, None
        try:
            result = function(*arguments, **options)
        except BaseException as error:  # noqa: BLE001 - it is the waiter's
            self.set_exception(error)
            # The frames of the traceback would keep the task alive, which keeps them.
            del self
        else:
            with self._guard:
                if self._waited is None:  # nor are there callbacks: they are added under it
                    self._result = result
                    self._state = FINISHED
                    return
            self.set_result(result)

    def result(self, timeout: float | None = None) -> Any:
        """Return what the call returned, or raise what it raised.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            If it is not done by then.
        CancelledError
            If it was cancelled.
        """
        if self._state == FINISHED and self._exception is None:
            return self._result
        return super().result(timeout)

    def done(self) -> bool:
        """Say whether the call is over, or was cancelled."""
        return self._state in {FINISHED, CANCELLED, CANCELLED_AND_NOTIFIED}

    def running(self) -> bool:
        """Say whether the call is being made."""
        return bool(self._state == RUNNING)

    def cancelled(self) -> bool:
        """Say whether it was cancelled."""
        return self._state in {CANCELLED, CANCELLED_AND_NOTIFIED}

    def cancel(self) -> bool:
        """Cancel the call, if nobody has begun it, and say whether it is cancelled."""
        condition = self._expect()
        with condition:
            if self._state != PENDING:
                return self.cancelled()
            self._state, self._call = CANCELLED, None
            condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]
        return True

    def add_done_callback(self, fn: Callable[[Future[Any]], object], /) -> None:
        """Have `fn` called with this task when it is done: at once, if it is."""
        with self._expect():
            if not self.done():
                self._done_callbacks.append(fn)
                return
        super().add_done_callback(fn)
