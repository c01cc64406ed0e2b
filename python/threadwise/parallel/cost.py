"""What calls cost: on one thread, beside each other, and to hand over."""

from __future__ import annotations

import itertools
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from threadwise import _threadwise
from threadwise.parallel.executor import ThreadExecutor

__all__ = ["ROUNDS", "Cost", "nothing"]

ROUND = 0.02
"""Seconds that each measurement takes, or one call, if that is longer."""

TURN = 5e-4
"""Seconds after which Python passes its lock on to who waits for it, while that is measured."""

ROUNDS = 3
"""Measurements of each kind, of which the median counts."""


@dataclass(frozen=True)
class Cost:
    """What a call of a function costs, in seconds."""

    item: float
    """A call."""
    held: float
    """The part of it with Python's lock, from 0 to 1."""
    slowdown: float
    """How much longer the rest takes beside another call, at least 1."""
    dispatch: float
    """To hand a task to a thread that waits for it, and to hear that it is done."""

    @classmethod
    def measure(cls, fn: Callable[[Any], Any], sample: list[Any], threads: int) -> Cost:
        """Measure it, for at least a quarter of a second."""
        item = _median(lambda: _alone(fn, sample))
        held = min(1.0, _median(lambda: _held(fn, sample, item)) / item)
        beside = max(1.0, _median(lambda: _beside(fn, sample)) / item) if threads > 1 else 1.0
        # Two calls that hold the lock take turns: what they lose so is no sign of memory.
        free = 1 - held
        slowdown = max(1.0, 1 + (beside - 1 - held) / free) if free > 0.2 else 1.0
        return cls(item, held, slowdown, _dispatch())


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(ROUNDS))


def _alone(fn: Callable[[Any], Any], sample: list[Any], until: float = ROUND) -> float:
    """Seconds a call."""
    begin = time.perf_counter()
    for calls, item in enumerate(itertools.cycle(sample), 1):
        fn(item)
        # The clock is asked seldom enough to be no part of small calls.
        if calls & (calls - 1) == 0 or calls % 64 == 0:
            passed = time.perf_counter() - begin
            if passed >= until:
                return passed / calls
    raise AssertionError


def _beside(fn: Callable[[Any], Any], sample: list[Any]) -> float:
    """Seconds a call while another thread makes such calls, too."""
    stop = threading.Event()

    def other() -> None:
        _threadwise.swap_context(1)
        for item in itertools.cycle(sample):
            fn(item)
            if stop.is_set():
                return

    with _one_thread(), _running(other, stop):
        return _alone(fn, sample, 2 * ROUND)


def _held(fn: Callable[[Any], Any], sample: list[Any], item: float) -> float:
    """Seconds a call with Python's lock: those that a thread lacks that wants nothing but the lock.

    That thread also lacks what it takes to pass the lock to and fro, which is known from calls that
    need it for nothing, and that the calls take longer by their waits for it tells how often it
    is passed.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        alone = _count(ROUND)
        lost_a_turn, turn = _contest(lambda _: time.sleep(0), [None], alone)
        lost, took = _contest(fn, sample, alone)
    finally:
        sys.setswitchinterval(interval)
    turns = max(0.0, took - item) / max(turn, 1e-9)
    return max(0.0, lost - turns * lost_a_turn)


def _contest(fn: Callable[[Any], Any], sample: list[Any], alone: float) -> tuple[float, float]:
    """Seconds that a thread of plain Python loses by a call beside it, and that the call takes."""
    counts = [0]
    stop = threading.Event()

    def other() -> None:
        _threadwise.swap_context(1)
        for item in itertools.cycle(sample):
            fn(item)
            counts[0] += 1
            if stop.is_set():
                return

    with _running(other, stop):
        time.sleep(0)
        before, begin = counts[0], time.perf_counter()
        beside = _count(2 * ROUND)
        calls, passed = counts[0] - before, time.perf_counter() - begin
    lost = max(0.0, 1 - beside / max(alone, 1e-9)) * passed
    return lost / max(calls, 1), passed / max(calls, 1)


def _count(seconds: float) -> float:
    """How often a second a loop of plain Python goes round."""
    rounds, begin = 0, time.perf_counter()
    while True:
        for _ in range(200):
            pass
        rounds += 1
        passed = time.perf_counter() - begin
        if passed >= seconds:
            return rounds / passed


class _running:  # noqa: N801 - used like a function
    """A thread beside a block of code."""

    def __init__(self, work: Callable[[], None], stop: threading.Event) -> None:
        self.thread = threading.Thread(target=work, name="threadwise-advise", daemon=True)
        self.stop = stop

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


class _one_thread:  # noqa: N801 - used like a function
    """One thread for each kernel that is called in a block of code."""

    def __enter__(self) -> None:
        self.before = _threadwise.swap_context(1)

    def __exit__(self, *_: object) -> None:
        _threadwise.swap_context(self.before)


def _dispatch() -> float:
    """Seconds to hand a task to a thread that waits for it, and to hear that it is done."""
    with ThreadExecutor(1, name="threadwise-advise", limit_blas=False) as executor:
        executor.submit(nothing).result()
        times = []
        for _ in range(50):
            begin = time.perf_counter()
            executor.submit(nothing).result()
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def nothing(*_: object) -> None:
    """Do nothing: the smallest task."""
