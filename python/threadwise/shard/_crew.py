"""Python functions on threads of their own, which end together."""

import contextlib
import contextvars
import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from threadwise import _threadwise
from threadwise._budget import get_num_threads, threads

__all__ = ["run_together", "shares"]

_LOOK = 0.05
"""Seconds between two looks at threads that should have ended."""
_PATIENCE = 0.15
"""Seconds after a failure until threads that go on are interrupted, where they run Python."""
_LIMIT = 0.6
"""Seconds after which one that does not end is left alone: it sleeps, or runs foreign code."""


class _Interrupted(BaseException):
    """Ends a thread whose result nobody wants any more."""


def shares(total: int | None, members: int) -> list[int]:
    """Split a number of threads, by default the calling thread's budget; each member has one."""
    total = get_num_threads() if total is None else total
    return [max(1, _threadwise.local_part(members, member, total)[1]) for member in range(members)]


def run_together(
    works: Sequence[Callable[[], Any]],
    budgets: Sequence[int],
    stop: Callable[[], None],
    name: str,
) -> list[Any]:
    """Call each on a thread of its own, with its budget of threads, and return their results.

    After the first exception, `stop` is called, so that nobody waits for the one who failed; those
    who go on nevertheless are interrupted; and the exception goes on here, within a second.
    """
    crew = _Crew(works, budgets, stop)
    members = [
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(crew.live, number),
            name=f"threadwise-{name}-{number}",
            daemon=True,
        )
        for number in range(len(works))
    ]
    begun = []
    try:
        for member in members:
            member.start()
            begun.append(member)
        # Not in `join`, which takes a thread for ended where Ctrl-C interrupts it.
        while not crew.settled.wait(_LOOK):
            pass
    except BaseException:
        stop()
        _send_home(begun)
        raise
    if crew.failures:
        _send_home(begun)
        raise crew.failures[0]
    for member in begun:
        member.join()
    return crew.results


class _Crew:
    """What the threads of a call have in common."""

    def __init__(
        self,
        works: Sequence[Callable[[], Any]],
        budgets: Sequence[int],
        stop: Callable[[], None],
    ) -> None:
        self._works, self._budgets, self._stop = works, budgets, stop
        self._ended: list[int] = []
        self.results: list[Any] = [None] * len(works)
        self.failures: list[BaseException] = []
        self.settled = threading.Event()
        """Set when all have ended, or one has failed."""

    def live(self, number: int) -> None:
        """Do one's work."""
        with contextlib.suppress(_Interrupted):
            try:
                with threads(self._budgets[number]):
                    self.results[number] = self._works[number]()
            except _Interrupted:
                raise
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                # Before the others hear of it: what they raise then is a consequence.
                self.failures.append(error)
                self._stop()
            self._ended.append(number)
            if self.failures or len(self._ended) == len(self._works):
                self.settled.set()


def _send_home(members: Sequence[threading.Thread]) -> None:
    """Wait for threads that should end; interrupt, and at last leave, those that do not."""
    begin = time.monotonic()
    for member in members:
        while member.is_alive() and (waited := time.monotonic() - begin) < _LIMIT:
            if waited > _PATIENCE and member.ident is not None:
                ident, kind = ctypes.c_ulong(member.ident), ctypes.py_object(_Interrupted)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, kind)
            member.join(_LOOK)
