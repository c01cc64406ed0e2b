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
_LIMIT = 0.8
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
    results: list[Any] = [None] * len(works)
    failures: list[BaseException] = []
    ended: list[int] = []
    settled = threading.Event()

    def live(number: int) -> None:
        try:
            with threads(budgets[number]):
                results[number] = works[number]()
        except _Interrupted:
            raise
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            # Before the others hear of it: what they raise then is a consequence.
            failures.append(error)
            stop()

    def begin(number: int) -> None:
        with contextlib.suppress(_Interrupted):
            live(number)
            ended.append(number)
            if failures or len(ended) == len(works):
                settled.set()

    members = [
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(begin, number),
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
        while not settled.wait(_LOOK):
            pass
    except BaseException:
        stop()
        _send_home(begun)
        raise
    if failures:
        _send_home(begun)
        raise failures[0]
    for member in begun:
        member.join()
    return results


def _send_home(members: Sequence[threading.Thread]) -> None:
    """Wait for threads that should end; interrupt, and at last leave, those that do not."""
    begin = time.monotonic()
    for member in members:
        while member.is_alive() and (waited := time.monotonic() - begin) < _LIMIT:
            if waited > _PATIENCE and member.ident is not None:
                ident, kind = ctypes.c_ulong(member.ident), ctypes.py_object(_Interrupted)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, kind)
            member.join(_LOOK)
