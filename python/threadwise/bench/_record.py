"""The record: what was measured, as rows of a CSV file, and back."""

import csv
import datetime as dt
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadwise.bench._cases import Case
from threadwise.bench._grid import group_of
from threadwise.bench._race import Outcome

__all__ = ["COLUMNS", "Entry", "file_name", "libraries", "machine", "read", "write"]

COLUMNS = (
    *("date", "machine", "cores", "python", "library", "version", "threads"),
    *("operation", "dtype", "group", "name", "m", "k", "n", "products"),
    *("median_seconds", "low", "high", "gflops", "busy_cpus", "note"),
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row, as `read` finds it: a library in a case."""

    date: str
    machine: str
    cores: str
    library: str
    version: str
    threads: str
    operation: str
    dtype: str
    group: str
    name: str
    median: float | None
    """Seconds a call; None where it was not timed, for the reason in `note`."""
    low: float | None
    high: float | None
    """The quartiles of the same."""
    busy_cpus: float | None
    """CPUs that other processes kept busy when the bench began, where that is known."""
    note: str


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


def write(outcomes: Iterable[Outcome], path: Path, *, busy_cpus: float | None) -> None:
    """Write a record as a whole, in place of one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rows(outcomes, "" if busy_cpus is None else f"{busy_cpus:.2f}"))
    unfinished.replace(path)


def read(path: Path) -> list[Entry]:
    """Return the rows of a record.

    Raises
    ------
    ValueError
        If the file is not a record.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    needed = {"library", "dtype", "m", "k", "n", "median_seconds"}
    if not rows or not needed <= rows[0].keys():
        message = f"{path} is not a record: expected rows with the columns {', '.join(COLUMNS)}"
        raise ValueError(message)
    return [_entry(row) for row in rows]


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def _rows(outcomes: Iterable[Outcome], busy_cpus: str) -> Iterator[Mapping[str, Any]]:
    everywhere = {
        "date": _today(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "busy_cpus": busy_cpus,
    }
    for outcome in outcomes:
        case = outcome.case
        here = {
            "operation": case.operation,
            "dtype": case.dtype,
            "group": group_of(case),
            "name": str(case),
            "m": case.m,
            "k": case.k,
            "n": case.n,
            "products": case.products,
        }
        for result in outcome.results.values():
            seconds = result.seconds
            yield (
                everywhere
                | here
                | {
                    "library": result.library,
                    "version": result.version,
                    "threads": result.threads,
                    "median_seconds": f"{seconds.median:.4g}",
                    "low": f"{seconds.low:.4g}",
                    "high": f"{seconds.high:.4g}",
                    "gflops": f"{result.gflops:.4g}",
                    "note": "" if result.correct else "wrong",
                }
            )
        for library, note in outcome.notes.items():
            yield everywhere | here | {"library": library, "note": note}


def _entry(row: Mapping[str, str]) -> Entry:
    case = Case(m=int(row["m"]), k=int(row["k"]), n=int(row["n"]))  # all that early records have
    wrong = row.get("note") == "wrong"
    operation = "linear " if row.get("operation") == "linear" else ""

    def seconds(column: str) -> float | None:
        return float(row[column]) if row.get(column) and not wrong else None

    return Entry(
        date=row["date"],
        machine=row["machine"],
        cores=row["cores"],
        library=row["library"],
        version=row["version"],
        threads=row["threads"],
        operation=row.get("operation") or "matmul",
        dtype=row["dtype"],
        group=row.get("group") or group_of(case),
        name=row.get("name") or f"{operation}{case}",
        median=seconds("median_seconds"),
        low=seconds("low"),
        high=seconds("high"),
        busy_cpus=float(row["busy_cpus"]) if row.get("busy_cpus") else None,
        note=row.get("note") or "",
    )


def libraries(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return a row of each library that was timed, threadwise first."""
    found = {entry.library: entry for entry in entries if entry.version}
    return dict(sorted(found.items(), key=lambda pair: pair[0] != "threadwise"))
