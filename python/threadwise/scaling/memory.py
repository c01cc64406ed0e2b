"""How much memory a call needs at its highest."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["anonymous", "begin_peak", "peak", "resident"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_PEAK_OF_NOW = "5"
"""What makes the peak begin anew (proc(5))."""


def resident() -> int | None:
    """Return the bytes of this process that are in memory; None where the system does not say."""
    return _field("VmRSS")


def anonymous() -> int | None:
    """Return the bytes of this process that are no file's; None where the system does not say."""
    return _field("RssAnon")


def begin_peak() -> bool:
    """Forget the peak so far, and say whether that was possible: it is on Linux."""
    try:
        _CLEAR.write_text(_PEAK_OF_NOW)
    except OSError:
        return False
    return True


def peak() -> int | None:
    """Return the most bytes in memory since `begin_peak`."""
    return _field("VmHWM")


def _field(name: str) -> int | None:
    try:
        text = _STATUS.read_text()
    except OSError:
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None
