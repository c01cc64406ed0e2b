"""Tasks that take turns, so that all threads have work until the last of them ends.

Five tasks of one length on two threads take as long as six, if each is done by one thread without a
pause. When three of them take turns at two threads, all five take as long as two and a half.
"""

from __future__ import annotations

import threading
import time
from collections import deque

__all__ = ["Turns", "pause", "paused"]

_TURN = 0.02
"""Seconds that a turn lasts, at least: to hand it over takes a few hundred microseconds."""


class _Mine(threading.local):
    """What this thread's task has."""

    turns: Turns | None = None
    since: float = 0.0
    paused: float = 0.0


_mine = _Mine()


class Turns:
    """So many turns at a time. Who waits for one gets it in the order of coming.

    Parameters
    ----------
    most : int
        How many tasks go on at a time.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_closed = False

    def begin(self) -> bool:
        """Wait for this task's first turn. Returns whether it may begin: not after `close`."""
        self._take()
        if self._is_closed:
            self.end()
            return False
        return True

    def end(self) -> None:
        """Let others have this task's turns."""
        _mine.turns = None
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def close(self) -> None:
        """From now on no other task begins; those that have begun go on."""
        self._is_closed = True

    def _take(self) -> None:
        gate = None
        with self._lock:
            if self._free:
                self._free -= 1
            else:
                gate = threading.Lock()
                gate.acquire()
                self._waiting.append(gate)
        if gate is not None:
            gate.acquire()
        _mine.turns, _mine.since = self, time.perf_counter()

    def pause(self) -> None:
        """Let another task go on in place of this thread's, if one waits."""
        if self._waiting:
            begin = time.perf_counter()
            self.end()
            self._take()
            _mine.paused += time.perf_counter() - begin


def pause() -> None:
    """Say that this is a good moment for another task to go on, between two epochs for example.

    Nothing happens on threads whose tasks take no turns, or when this turn has just begun.
    """
    turns = _mine.turns
    if turns is not None and time.perf_counter() - _mine.since >= _TURN:
        turns.pause()


def paused() -> float:
    """Return the seconds that tasks of this thread were paused since it began."""
    return _mine.paused
