"""One measurement: some calls in a row, and what they took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from threadwise import _threadwise

__all__ = ["Sample", "take"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a call took, in the mean of a few in a row."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds that CPUs worked for this process, all threads together."""
    busy: tuple[float, ...]
    """Seconds that threads were at pieces of shared work, as `work_stats` counts them: of callers,
    and then of each worker that had some. Empty if no work was shared."""
    wakes: float | None
    """How often threads went to sleep; None where the system does not say."""


def take(call: Callable[[], object], calls: int) -> Sample:
    """Make so many calls, and return what one took."""
    shared, asleep = _threadwise.work_stats(), _sleeps()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    slept, done = _sleeps(), _threadwise.work_stats()
    return Sample(
        wall=wall / calls,
        cpu=cpu / calls,
        busy=_busy(shared, done, calls),
        wakes=None if asleep is None or slept is None else (slept - asleep) / calls,
    )


Rows = list[tuple[str, int, int, int, int, float, float]]


def _busy(before: Rows, after: Rows, calls: int) -> tuple[float, ...]:
    """Return what callers and workers did between two looks at the counters."""
    created = sum(row[1] for row in after) - sum(row[1] for row in before)
    if created <= 0:
        return ()
    then = {name: busy for name, *_, busy, _ in before}
    caller, *workers = [max(0.0, busy - then.get(name, 0.0)) / calls for name, *_, busy, _ in after]
    return (caller, *(seconds for seconds in workers if seconds > 0))


def _sleeps() -> int | None:
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
