"""The record of products, and what the documentation shows of it. See README.md.

Usage: python benches/matmul.py [--publish | --redraw] [--python torch=PATH] [--rounds R]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from threadwise.bench import _record
from threadwise.bench.__main__ import main as bench
from threadwise.bench._record import Entry
from threadwise.bench._report import NAMES
from threadwise.bench._table import between, duration

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benches" / "record"
PICTURE = ROOT / "docs" / "img" / "matmul.png"
README = ROOT / "README.md"
MARKS = ("<!-- measured: benches/matmul.py writes this -->", "<!-- measured: end -->")
SHOWN = (
    *("4 x 4 x 4", "32 x 32 x 32", "512 x 512 x 512", "1024 x 1024 x 1024", "64 x 784 x 128"),
    *(
        "1 x 4096 x 4096",
        "4 x 4096 x 4096",
        "1000 x 3 x 1000",
        "10000 x 16 x 16",
        "(64,32,32) @ (64,32,32)",
    ),
)


def newest() -> Path:
    """Return the record that the documentation shows: the one of the last day."""
    return max(RECORD.glob("*.csv"))


def measured(entries: Sequence[Entry]) -> str:
    """Return what the README says of a record: the machine, then a table."""
    found = _record.libraries(entries)
    peers = [library for library in found if library != "threadwise"]
    ours = found["threadwise"]
    versions = ", ".join(
        f"{NAMES.get(peer, peer)} {found[peer].version.split('+')[0]}" for peer in peers
    )
    lines = [
        f"{ours.machine} with {ours.cores} CPUs, {versions}, {ours.date}; medians, each",
        "library alone in its process, in turns. The ratio is its time over threadwise's: above 1,",
        "threadwise is faster.",
        "",
        "| float32, m×k×n | threadwise |" + "".join(f" {NAMES[p]} | ratio |" for p in peers),
        "| --- | ---: |" + " ---: | ---: |" * len(peers),
    ]
    times = {
        (entry.name, entry.library): entry.median for entry in entries if entry.dtype == "float32"
    }
    for name in SHOWN:
        base = times.get((name, "threadwise"))
        if base is None:
            continue
        line = f"| {name.replace(' x ', '×')} | {duration(base)} |"
        for peer in peers:
            time = times.get((name, peer))
            line += " - | - |" if time is None else f" {duration(time)} | {time / base:.2f} |"
        lines.append(line)
    return "\n".join(lines)


def published(page: str, text: str) -> str:
    """Return `page` with `text` between its marks."""
    return between(page, MARKS, text)


def publish(record: Path) -> int:
    """Draw `record` and put its table into the README; return the exit code."""
    page = README.read_text("utf-8")
    README.write_text(published(page, measured(_record.read(record))), "utf-8")
    print(f"written: {README}")
    return bench(["draw", str(record), str(PICTURE)])


def main() -> int:
    """Measure the whole grid, record it, and publish the record if asked to."""
    parser = argparse.ArgumentParser(
        description="Record products of matrices in benches/record: all shapes, all dtypes."
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--publish",
        action="store_true",
        help="then draw docs/img/matmul.png and write the table of README.md",
    )
    which.add_argument(
        "--redraw", action="store_true", help="only that, from the newest record, without measuring"
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PEER=PATH",
        help="the Python that has a peer, if not this one: torch=/opt/torch/bin/python",
    )
    parser.add_argument("--rounds", default="5", metavar="R", help="turns of each library (5)")
    options = parser.parse_args()
    if options.redraw:
        return publish(newest())
    pythons = [word for python in options.python for word in ("--python", python)]
    record = RECORD / _record.file_name()
    code = bench(["matmul", "--rounds", options.rounds, *pythons, "--csv", str(record)])
    return publish(record) if code == 0 and options.publish else code


if __name__ == "__main__":
    raise SystemExit(main())
