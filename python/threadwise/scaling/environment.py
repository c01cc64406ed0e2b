"""Where something was measured."""

from __future__ import annotations

import datetime as dt
import os
import platform
from dataclasses import asdict, dataclass
from math import floor
from typing import Any

import numpy as np

from threadwise import __version__, _threadwise
from threadwise.bench._load import busy
from threadwise.bench._record import machine

__all__ = ["Environment"]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where and with what something was measured. Printed, it is two lines."""

    date: str
    """When it began, in UTC."""
    machine: str
    """The model of the CPU."""
    system: str
    """The operating system, and the kind of processor."""
    cpus: int
    """CPUs that are switched on."""
    affinity: int
    """CPUs that this process may run on."""
    quota: float | None
    """CPUs' worth of time that a control group allows, if one limits it."""
    isa: str | None
    """The widest instruction set in use."""
    python: str
    """Version of Python."""
    numpy: str
    """Version of NumPy."""
    threadwise: str
    """Version of threadwise."""
    busy_cpus: float | None
    """CPUs that other work kept busy just before; near 0 where times can be relied on. None where
    the system does not say."""
    load: float | None
    """The load average of the minute before; None where there is none."""

    @property
    def cores(self) -> float:
        """How many threads can run at a time: CPUs in the affinity mask, or the quota if less.

        At least 1: to one thread, there is no other number to compare it with.
        """
        return max(1.0, min(float(self.affinity), self.quota or float(self.affinity)))

    @property
    def whole_cores(self) -> int:
        """The most threads that have a CPU each."""
        return floor(self.cores)

    @classmethod
    def now(cls) -> Environment:
        """Look around; that takes a fifth of a second."""
        system: Any = _threadwise.system()
        return cls(
            date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            machine=machine(),
            system=f"{platform.system()} {platform.release()}, {platform.machine()}",
            cpus=system["cpus"],
            affinity=system["affinity"],
            quota=system["quota"],
            isa=system["isa_used"],
            python=platform.python_version(),
            numpy=np.__version__,
            threadwise=__version__,
            busy_cpus=busy(0.2),
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        )

    def facts(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def __str__(self) -> str:
        quota = "" if self.quota is None else f", quota of {self.quota:g} CPUs"
        busy_cpus = (
            ""
            if self.busy_cpus is None
            else f"; other work kept {self.busy_cpus:.2f} CPUs busy just before"
        )
        return (
            f"{self.machine}, {self.affinity} of {self.cpus} CPUs{quota}, {self.isa}, {self.date}\n"
            f"Python {self.python}, NumPy {self.numpy}, threadwise {self.threadwise}, "
            f"{self.system}{busy_cpus}"
        )
