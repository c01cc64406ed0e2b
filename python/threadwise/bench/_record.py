"""The record: what was measured, as rows of a CSV file, and back."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadwise.bench._cases import Case
from threadwise.bench._document import Document
from threadwise.bench._grid import group_of
from threadwise.bench._race import Outcome
from threadwise.bench._rows import file_name, here, machine, save, times

__all__ = [
    "COLUMNS",
    "Entry",
    "entry",
    "file_name",
    "libraries",
    "machine",
    "read",
    "rows",
    "write",
]

COLUMNS = (
    *("date", "machine", "cores", "python", "library", "version", "threads"),
    *("operation", "dtype", "group", "name", "m", "k", "n", "products"),
    *("median_seconds", "low", "high", "gflops", "busy_cpus", "note"),
)

NEEDED = {"date", "machine", "cores", "library", "dtype", "median_seconds"}
"""Columns that every record has."""


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


def write(outcomes: Iterable[Outcome], path: Path, *, busy_cpus: float | None) -> None:
    """Write a record as a whole, in place of one that is there."""
    save(list(rows(outcomes, busy_cpus)), path, COLUMNS)


def read(path: Path) -> list[Entry]:
    """Return the rows of a record: of a CSV file, a report's JSON, or all files of a directory.

    Raises
    ------
    ValueError
        If it is not a record.
    """
    if path.is_dir():
        files = sorted(path.glob("*.csv"))
        if not files:
            message = f"there is no CSV file in {path}, expected the directory of a report"
            raise ValueError(message)
        return [each for file in files for each in read(file)]
    if path.suffix == ".json":
        found = [_texts(row) for row in Document.read(path).rows]
    else:
        with path.open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
    if not found or not found[0].keys() >= NEEDED or not {"name", "m"} & found[0].keys():
        message = f"{path} is not a record: expected rows with {', '.join(sorted(NEEDED))} and name"
        raise ValueError(message)
    try:
        return [entry(row) for row in found]
    except (KeyError, ValueError) as error:
        message = f"{path} is not a record: a row of it makes no sense ({error})"
        raise ValueError(message) from None


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in row.items()}


def rows(outcomes: Iterable[Outcome], busy_cpus: float | None) -> Iterator[Mapping[str, Any]]:
    """Yield what a record says of a race: a row for each case and library."""
    everywhere = here(busy_cpus)
    for outcome in outcomes:
        case = outcome.case
        fields = {
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
            yield (
                everywhere
                | fields
                | {
                    "library": result.library,
                    "version": result.version,
                    "threads": result.threads,
                    "gflops": f"{result.gflops:.4g}",
                    "note": "" if result.correct else "wrong",
                }
                | times(result.seconds)
            )
        for library, note in outcome.notes.items():
            yield everywhere | fields | {"library": library, "note": note}


def entry(row: Mapping[str, str]) -> Entry:
    """Return what a row says."""
    wrong = row.get("note") == "wrong"

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
        group=row.get("group") or (group_of(_case(row)) if row.get("m") else ""),
        name=row.get("name") or _name(row),
        median=seconds("median_seconds"),
        low=seconds("low"),
        high=seconds("high"),
        busy_cpus=float(row["busy_cpus"]) if row.get("busy_cpus") else None,
        note=row.get("note") or "",
    )


def _case(row: Mapping[str, str]) -> Case:
    return Case(m=int(row["m"]), k=int(row["k"]), n=int(row["n"]))


def _name(row: Mapping[str, str]) -> str:
    """Return the name of a case in an early record, which has only its extents."""
    operation = "linear " if row.get("operation") == "linear" else ""
    return f"{operation}{_case(row)}"


def libraries(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return a row of each library that was timed, threadwise first."""
    found = {entry.library: entry for entry in entries if entry.version}
    return dict(sorted(found.items(), key=lambda pair: pair[0] != "threadwise"))
