"""What else keeps the CPUs busy while something is measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["Others"]

_STAT = Path("/proc/stat")
_IDLE = slice(3, 5)  # idle and waiting for a disk: columns after "cpu" (proc(5))
_ACTIVE = slice(0, 8)  # all but guests, which count as user time already


class Others:
    """Counts from now on how many CPUs others keep busy: processes, and other virtual machines."""

    def __init__(self) -> None:
        self._begin = _look()

    def cpus(self) -> float | None:
        """Return how many, in the mean since then; None where the system does not say."""
        then, now = self._begin, _look()
        if then is None or now is None:
            return None
        wall, busy, own = (after - before for before, after in zip(then, now, strict=True))
        return max(0.0, (busy - own) / wall) if wall > 0 else None


def _look() -> tuple[float, float, float] | None:
    """Return the time, and how long CPUs were busy, in all and for this process, in seconds."""
    try:
        line = _STAT.read_text().split("\n", 1)[0]
    except OSError:
        return None
    ticks = [int(field) for field in line.split()[1:]]
    busy = sum(ticks[_ACTIVE]) - sum(ticks[_IDLE])
    return time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), time.process_time()
