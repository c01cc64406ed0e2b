"""How long training and workflows take, next to PyTorch and scikit-learn. See README.md.

Usage: python benches/training.py [--rounds 3] [--torch PYTHON] [--csv FILE]

Each library runs in a process of its own, in turns. With `--torch`, a Python that has PyTorch makes
the same steps; the Python of the bench has scikit-learn.
"""

import argparse
import csv
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import threadwise as tw
from threadwise.bench._load import busy, caution
from threadwise.bench._record import machine

COLUMNS = (
    *("date", "machine", "cores", "library", "version", "threads", "case"),
    *("median_seconds", "low", "high", "value", "busy_cpus"),
)

WORK = Path(__file__).with_name("training_work.py")

VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


def said(python: str, *arguments: str) -> str:
    """Return what a Python prints."""
    made = subprocess.run(  # noqa: S603 - a Python that the user named
        [python, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return made.stdout


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Let all libraries work in turns; yield what is known of each case."""
    pythons = {"threadwise": sys.executable, "torch": options.torch, "sklearn": sys.executable}
    packages = {"sklearn": "scikit-learn"}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(options.rounds):
        for library, python in pythons.items():
            if python is None:
                continue
            for line in said(python, str(WORK), library).splitlines():
                told = json.loads(line)
                known = found.setdefault((library, told["case"]), {"seconds": [], "value": ""})
                known["seconds"] += told.get("seconds", [])
                known["value"] = told.get("value", "")
    for (library, case), known in found.items():
        seconds, value = known["seconds"], known["value"]
        python = pythons[library]
        yield {
            "library": library,
            "version": said(python, "-c", VERSION, packages.get(library, library)).strip(),
            "threads": tw.get_num_threads(),
            "case": case,
            "median_seconds": f"{statistics.median(seconds):.6f}" if seconds else "",
            "low": f"{min(seconds):.6f}" if seconds else "",
            "high": f"{max(seconds):.6f}" if seconds else "",
            "value": f"{value:.4f}" if value != "" else "",
        }


def main() -> None:
    """Time it, print the rows, and write them where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", metavar="PYTHON")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    cpus = busy()
    everywhere = {
        "date": dt.datetime.now(dt.UTC).date(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "busy_cpus": "" if cpus is None else f"{cpus:.2f}",
    }
    made = [everywhere | row for row in rows(options)]
    for row in made:
        print(*(row[name] for name in COLUMNS[3:-1]), sep="  ")
    print(caution(cpus), end="")
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(made)


if __name__ == "__main__":
    main()
