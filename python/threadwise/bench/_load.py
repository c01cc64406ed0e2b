"""Whether a machine is quiet enough to time anything on it."""

import os
import time
from pathlib import Path

__all__ = ["busy", "caution"]

_STAT = Path("/proc/stat")
_IDLE = slice(3, 5)  # idle and waiting for a disk: columns after "cpu" (proc(5))
_ACTIVE = slice(0, 8)  # all but guests, which count as user time already


def busy(seconds: float = 0.5) -> float | None:
    """Return how many CPUs are at work while this process sleeps, or None where that is unknown.

    Notes
    -----
    Linux says it in ``/proc/stat``, for the whole machine, time stolen by other virtual machines
    included. (The load average still counts what ended a minute ago, such as our own build.)
    """
    if not _STAT.exists():
        return None
    before = _ticks()
    time.sleep(seconds)
    ticks = [after - then for after, then in zip(_ticks(), before, strict=True)]
    total = sum(ticks[_ACTIVE])
    return (1 - sum(ticks[_IDLE]) / total) * (os.cpu_count() or 1) if total > 0 else None


def caution(cpus: float | None) -> str:
    """Return a line for people if `cpus`, of `busy`, are enough to disturb, else nothing."""
    if cpus is None or cpus <= 0.2:
        return ""
    return (
        f"\nCAUTION: other processes kept {cpus:.1f} of {os.cpu_count()} CPUs busy at first, so "
        "the times mean little"
    )


def _ticks() -> list[int]:
    return [int(field) for field in _STAT.read_text().split("\n", 1)[0].split()[1:]]
