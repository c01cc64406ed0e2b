"""What this machine adds with each thread, where only computing counts, and where only memory does.

Measured right after a workload, so that what it lost can be compared with what anybody would lose.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from threadwise import _threadwise
from threadwise.linalg import matmul

__all__ = ["Probe", "probe", "wake_seconds"]

BYTES = 1 << 26
"""What is copied, and as much again that it is copied to: beyond what a core's caches hold."""

SIDE = 256
"""Of the products that are computed: they stay within a core's caches."""

COMPUTE = 0.02
"""Seconds of computing in a measurement, on one thread."""

TURNS = 5
"""Measurements of each kind, of which the median counts."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How much more CPU time a thread needs for the same while others do as much beside it.

    Waiting for memory, or for the other half of a core, is CPU time; waiting for a CPU is none.
    """

    threads: int
    """How many did it at a time."""
    compute: float
    """Products of small matrices, against one thread alone: 1 where threads have a core each, and
    the clock stays as it is."""
    memory: float
    """Copying 64 MiB, against one thread alone: 1 where memory is as fast for each of them."""
    bandwidth: float
    """Bytes a second, read and written, of all threads together."""


def probe(counts: Sequence[int]) -> tuple[Probe, ...]:
    """Measure for each of some numbers of threads above 1; each takes about a fifth of a second."""
    if not counts:
        return ()
    source, target = np.ones((2, BYTES // 8))
    left = np.ones((SIDE, SIDE), np.float32)
    results = [np.empty_like(left) for _ in range(max(counts))]

    def copy(part: int, parts: int) -> None:
        cut = slice(part * len(source) // parts, (part + 1) * len(source) // parts)
        np.copyto(target[cut], source[cut])

    def multiply(part: int, _: int) -> None:
        # Each thread as much as one alone, into a place of its own.
        for _ in range(products):
            matmul(left, left, out=results[part], threads=1)

    products = 1
    products = max(1, round(COMPUTE / _together(multiply, 1).wall))
    spans: dict[tuple[str, int], list[_Span]] = {}
    for _ in range(TURNS):
        for count in (1, *counts):
            spans.setdefault(("copy", count), []).append(_together(copy, count))
            spans.setdefault(("multiply", count), []).append(_together(multiply, count))
    cpu = {key: statistics.median(span.cpu for span in each) for key, each in spans.items()}
    return tuple(
        Probe(
            threads=count,
            compute=max(1.0, cpu["multiply", count] / cpu["multiply", 1]),
            memory=max(1.0, count * cpu["copy", count] / cpu["copy", 1]),
            bandwidth=2 * BYTES / statistics.median(span.wall for span in spans["copy", count]),
        )
        for count in counts
    )


@dataclass(frozen=True)
class _Span:
    """What a thread took, in the mean of all of them."""

    wall: float
    cpu: float


def _together(work: Callable[[int, int], None], threads: int) -> _Span:
    """Have so many threads work, which begin together."""
    gate = threading.Barrier(threads)
    spans: list[_Span] = []

    def run(part: int) -> None:
        _threadwise.swap_context(1)
        gate.wait()
        wall, cpu = time.perf_counter(), time.thread_time()
        work(part, threads)
        spans.append(_Span(time.perf_counter() - wall, time.thread_time() - cpu))

    others = [threading.Thread(target=run, args=(part,)) for part in range(threads)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    return _Span(
        statistics.fmean(span.wall for span in spans), statistics.fmean(span.cpu for span in spans)
    )


def wake_seconds() -> float:
    """Return how long it takes until a thread that sleeps runs again."""
    there, back = threading.Semaphore(0), threading.Semaphore(0)
    rounds = 200

    def answer() -> None:
        for _ in range(rounds):
            there.acquire()
            back.release()

    other = threading.Thread(target=answer)
    other.start()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        there.release()
        back.acquire()
        times.append(time.perf_counter() - begin)
    other.join()
    return statistics.median(times) / 2
