"""One library in a process of its own: ``python -m threadwise.bench._worker LIBRARY``.

The first line that it writes says what it is. Then, for each line that it reads, a case and how
long to take, it writes one with what it measured. Both are JSON. It ends when its input does.
"""

import json
import sys
import time
from typing import TypedDict, cast

import numpy as np

import threadwise as tw
from threadwise.bench._cases import LIBRARIES, Case, Library, call, error, operands
from threadwise.bench._timing import sample

__all__ = ["Answer", "Hello", "Request", "main"]

REST = 0.05
"""Seconds of rest after work. OpenBLAS's threads spin for some 20 ms before they sleep, and would
take the CPU from whoever is timed next."""


class Hello(TypedDict):
    """The first line."""

    library: str
    version: str
    threads: int | None


class Request(TypedDict):
    """A case as its fields, and how long to take."""

    case: dict[str, str | int]
    budget: float
    count: int
    check: bool


class Answer(TypedDict):
    """What was measured."""

    seconds: list[float]
    error: float | None


def main(library: Library) -> None:
    """Answer requests until there are none."""
    _write(_hello(library))
    held = None
    for line in sys.stdin:
        request = cast("Request", json.loads(line))
        case = Case(**request["case"])  # type: ignore[arg-type] # what the asker's fields are
        if held is None or held[0] != case:
            held = case, operands(case)
        left, right = held[1]
        function = call(library, case)
        off = error(case, left, right, function(left, right)) if request["check"] else None
        if request["check"]:
            time.sleep(REST)  # the check uses NumPy, whichever library is timed
        seconds = sample(function, left, right, budget=request["budget"], count=request["count"])
        time.sleep(REST)
        _write(Answer(seconds=seconds, error=off))


def _write(line: Hello | Answer) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _hello(library: Library) -> Hello:
    found = tw.info()
    if library == "threadwise":
        return Hello(library=library, version=found.version, threads=found.threads)
    others = [pool.threads for pool in found.pools or () if pool.library != "threadwise"]
    return Hello(library=library, version=np.__version__, threads=next(iter(others), None))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LIBRARIES:
        sys.exit(f"usage: python -m threadwise.bench._worker {{{','.join(LIBRARIES)}}}")
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)  # the one who asked says what there is to say
