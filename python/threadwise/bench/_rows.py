"""Rows of records: what all benches say of a measurement, and the file that keeps them."""

import csv
import datetime as dt
import io
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from threadwise._file import write
from threadwise.bench._timing import Summary

__all__ = ["file_name", "here", "machine", "save", "times"]


def machine() -> str:
    """Return the model of the CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def file_name() -> str:
    """Return the name of a record made on this machine today."""
    words = f"{machine()} {os.cpu_count()} cores".lower()
    return f"{_today()}-{re.sub(r'[^a-z0-9]+', '-', words).strip('-')}.csv"


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def here(busy_cpus: float | None) -> dict[str, Any]:
    """Return what all rows of a bench have in common: day, machine, and how busy it was."""
    return {
        "date": _today().isoformat(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "busy_cpus": "" if busy_cpus is None else f"{busy_cpus:.2f}",
    }


def times(seconds: Summary) -> dict[str, str]:
    """Return the columns of the median and the quartiles."""
    return {
        "median_seconds": f"{seconds.median:.4g}",
        "low": f"{seconds.low:.4g}",
        "high": f"{seconds.high:.4g}",
    }


def save(rows: Sequence[Mapping[str, Any]], path: Path, columns: Iterable[str] = ()) -> None:
    """Write `rows` to the file `path` as a whole, in place of one that is there.

    Columns are those named, or all that a row has but lists; a row that has not one leaves it out.
    """
    named = list(columns) or list(
        dict.fromkeys(
            name for row in rows for name, value in row.items() if not isinstance(value, list)
        )
    )
    with io.StringIO(newline="") as text:
        writer = csv.DictWriter(text, named, restval="", lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text.getvalue())
