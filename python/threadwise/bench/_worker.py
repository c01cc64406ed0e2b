"""One library in a process of its own: ``main(LIBRARY)``, in a Python that `_race` starts.

The first line that it writes says what it is. Then, for each line that it reads, a case and how
long to take, it writes one with what it measured. Both are JSON. It ends when its input does.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypedDict, cast

from threadwise.bench._cases import DTYPES, Case, DType
from threadwise.bench._check import error
from threadwise.bench._libraries import Name, NumPy, RefusedError, open_library
from threadwise.bench._timing import SLOW, sample, sample_after

__all__ = ["Answer", "Hello", "Request", "main"]

REST = 0.05
LONG_REST = 0.15
"""Seconds of rest after work, and after work by NumPy. OpenBLAS's threads spin for some 120 ms before they
sleep, and would take the CPU from whoever is timed next."""


class Hello(TypedDict):
    """The first line."""

    version: str | None
    """Nothing if the library is not there; then `notes` says why."""
    threads: int | None
    dtypes: list[DType]
    notes: list[str]


class Request(TypedDict):
    """A case as its fields, and how long to take."""

    case: dict[str, Any]
    budget: float
    count: int
    check: bool
    limit: float
    """Seconds a call from which on a case is not begun."""


class Answer(TypedDict):
    """What was measured."""

    seconds: list[float]
    error: float | None
    note: str
    """Why there are no seconds, if there are none."""


def main(library: Name, beside: Name | None = None, *, alternate: bool = False) -> None:
    """Answer requests until there are none.

    Parameters
    ----------
    library : {"threadwise", "numpy", "torch"}
        What is timed.
    beside : str, optional
        A library that makes the same product before each call that is timed.
    alternate : bool, default False
        Time single calls even if there is nothing beside them.
    """
    try:
        timed = open_library(library)
        other = open_library(beside) if beside else None
        _write(_hello(timed))
    except RefusedError as refusal:
        _write(Hello(version=None, threads=None, dtypes=[], notes=[str(refusal)]))
        return
    bench = _Bench(timed, other, alternate=alternate or other is not None)
    for line in sys.stdin:
        _write(bench.answer(cast("Request", json.loads(line))))


class _Bench:
    """A library, the case it is at, and how fast it has been so far."""

    def __init__(self, timed: NumPy, beside: NumPy | None, *, alternate: bool) -> None:
        self._timed, self._beside, self._alternate = timed, beside, alternate
        self._case: Case | None = None
        self._pace: dict[DType, tuple[int, float]] = {}

    def answer(self, request: Request) -> Answer:
        case = Case(**request["case"])
        try:
            about = self._estimate(case)
            if about > request["limit"]:
                return Answer(seconds=[], error=None, note=f"about {about:.0f} s a call")
            return self._measure(case, request)
        except self._timed.refusals as refusal:
            return Answer(seconds=[], error=None, note=_line(refusal))

    def _measure(self, case: Case, request: Request) -> Answer:
        if self._case != case:
            self._operands = self._timed.operands(case)
            self._before = _before(self._beside, case)
            self._case = case
        function = self._timed.product(case)
        off, took = None, 0.0
        if request["check"]:
            begin = time.perf_counter()
            result = function(*self._operands)
            took = time.perf_counter() - begin
            left, right, wide = map(self._timed.widened, (*self._operands, result))
            off = error(case, left, right, wide, self._timed.dtype(result))
            time.sleep(LONG_REST)  # the check uses NumPy, whichever library is timed
        budget = request["budget"]
        if took > SLOW:
            seconds = [took]
        elif self._alternate:
            seconds = sample_after(self._before, function, *self._operands, budget=budget)
        else:
            seconds = sample(function, *self._operands, budget=budget, count=request["count"])
        time.sleep(LONG_REST if type(self._timed) is NumPy else REST)
        if case.flops >= self._pace[case.dtype][0]:
            self._pace[case.dtype] = case.flops, min(seconds)
        return Answer(seconds=seconds, error=off, note="")

    def _estimate(self, case: Case) -> float:
        """Return how long a call will take, at the pace of the largest case so far."""
        if case.dtype not in self._pace:
            small = Case(dtype=case.dtype, m=64, k=64, n=64)
            function, operands = self._timed.product(small), self._timed.operands(small)
            self._pace[case.dtype] = (
                small.flops,
                min(sample(function, *operands, budget=0, count=1)),
            )
        flops, seconds = self._pace[case.dtype]
        return seconds / flops * case.flops


def _before(beside: NumPy | None, case: Case) -> Callable[[], object]:
    if beside is None:
        return lambda: None
    function, operands = beside.product(case), beside.operands(case)
    return lambda: function(*operands)


def _hello(library: NumPy) -> Hello:
    """Say which dtypes the library takes, by trying."""
    dtypes: list[DType] = []
    notes = []
    for dtype in DTYPES:
        one = Case(dtype=dtype, m=1, k=1, n=1)
        try:
            library.product(one)(*library.operands(one))
        except library.refusals as refusal:
            notes.append(f"{dtype} is left out: {_line(refusal)}")
        else:
            dtypes.append(dtype)
    return Hello(version=library.version, threads=library.threads(), dtypes=dtypes, notes=notes)


def _line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _write(line: Hello | Answer) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
