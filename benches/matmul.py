"""Products of matrices: threadwise against NumPy. See README.md.

Usage: python benches/matmul.py [--record | [--threads N] [--only TEXT]]
"""

import argparse
import csv
import datetime as dt
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import threadwise as tw
from threadwise.bench._cases import Case
from threadwise.bench._load import busy, caution
from threadwise.bench._race import Result, race
from threadwise.bench._table import EXPLANATION, HEADER, conclusion, row
from threadwise.cli.demo import cases as demo_cases

RECORD = Path(__file__).parent / "record"
COLUMNS = (
    *("date", "machine", "cores", "python", "library", "version", "threads"),
    *("operation", "dtype", "m", "k", "n"),
    *("median_seconds", "low", "high", "gflops", "busy_cpus"),
)
ODD_SHAPES = (
    (17, 31, 13),
    (64, 784, 128),
    (256, 784, 128),
    (333, 777, 555),
    (1000, 3, 1000),
    (10000, 16, 16),
)


def cases() -> list[Case]:
    """Return the demo's cases and odder shapes, then all of them in float64."""
    single = demo_cases() + [Case(m=m, k=k, n=n) for m, k, n in ODD_SHAPES]
    double = [
        Case(operation=case.operation, dtype="float64", m=case.m, k=case.k, n=case.n)
        for case in single
    ]
    return single + double


def machine() -> str:
    """Return the model of the CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def rows(results: Iterable[Result], others: float | None) -> Iterable[dict[str, Any]]:
    """Return the rows of the record, by `COLUMNS`."""
    for result in results:
        case, seconds = result.case, result.seconds
        values = (
            *(dt.datetime.now(dt.UTC).date(), machine(), os.cpu_count()),
            *(platform.python_version(), result.library, result.version, result.threads),
            *(case.operation, case.dtype, case.m, case.k, case.n),
            *(f"{value:.4g}" for value in (seconds.median, seconds.low, seconds.high)),
            *(f"{result.gflops:.4g}", "" if others is None else f"{others:.2f}"),
        )
        yield dict(zip(COLUMNS, values, strict=True))


def record(results: Iterable[Result], others: float | None, folder: Path = RECORD) -> Path:
    """Write the results, replacing those of the same day and machine."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{machine()} {os.cpu_count()} cores".lower()).strip("-")
    path = folder / f"{dt.datetime.now(dt.UTC).date()}-{name}.csv"
    folder.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows(results, others))
    return unfinished.replace(path)


def main() -> None:
    """Time, print, and record if asked to."""
    parser = argparse.ArgumentParser(description="Time products: threadwise against NumPy.")
    parser.add_argument("--record", action="store_true", help="write a table to benches/record")
    parser.add_argument("--threads", type=int, help="threads of each library, not its default")
    parser.add_argument("--only", default="", help='cases whose line contains this: "float64"')
    options = parser.parse_args()
    if options.record and (options.only or options.threads):
        parser.error("a record has all cases and default threads: leave out --only and --threads")

    others, pairs = busy(), []
    print(f"{EXPLANATION}\n\n{HEADER}", flush=True)
    chosen = [c for c in cases() if options.only in f"{c.operation} {c.dtype} {c}"]
    for pair in race(chosen, threads=options.threads):
        print(row(pair), flush=True)
        pairs.append(pair)
    print(f"\n{conclusion(pairs)}{caution(others)}\n\n{tw.info()}")
    if not all(result.correct for pair in pairs for result in pair.values()):
        raise SystemExit(1)
    if options.record:
        path = record((result for pair in pairs for result in pair.values()), others)
        print(f"\nrecorded in {path}")


if __name__ == "__main__":
    main()
