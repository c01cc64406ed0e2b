"""Libraries against one another, each alone in its process.

In one process they would disturb each other: after each call the threads of NumPy's OpenBLAS spin
for milliseconds, on the CPUs that the other library is then timed on. So each has a process, they
take turns, and whoever is not timed sleeps. A machine whose speed drifts treats all alike, because
each case goes around several times.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self, cast

from threadwise.bench._cases import LIBRARIES, Case, Library
from threadwise.bench._timing import Summary, summarize
from threadwise.bench._worker import Answer, Hello, Request

__all__ = ["Result", "race"]

_THREADS = (
    "THREADWISE_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one library did in one case."""

    case: Case
    library: Library
    version: str
    threads: int | None
    """How many it may use, where that is known."""
    seconds: Summary
    error: float
    """Of its result: 1 is the most that rounding explains."""

    @property
    def gflops(self) -> float:
        """Billions of multiplications and additions a second."""
        return self.case.flops / self.seconds.median / 1e9

    @property
    def correct(self) -> bool:
        """Whether rounding explains the error."""
        return self.error <= 1


def race(
    cases: Iterable[Case],
    *,
    rounds: int = 5,
    budget: float = 0.12,
    threads: int | None = None,
) -> Iterator[dict[Library, Result]]:
    """Time the libraries in turn.

    Parameters
    ----------
    cases : iterable of Case
    rounds : int, default 5
        How often each library has its turn, in each case.
    budget : float, default 0.12
        About how many seconds a turn takes, without preparation, the check and the rest after it.
    threads : int, optional
        How many each library may use, instead of its default.

    Yields
    ------
    dict of Result
        By library: one such for each case.

    Raises
    ------
    RuntimeError
        If a library's process ends before its time. What it said is on standard error.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker(library, threads)) for library in LIBRARIES]
        for worker in workers:
            worker.greet()
        for case in cases:
            answers: dict[Library, list[Answer]] = {worker.library: [] for worker in workers}
            for turn in range(rounds):
                for worker in workers:
                    answers[worker.library].append(worker.ask(case, budget, check=turn == 0))
            yield {
                worker.library: worker.sum_up(case, answers[worker.library]) for worker in workers
            }


class _Worker:
    def __init__(self, library: Library, threads: int | None) -> None:
        self.library: Library = library
        self._process = subprocess.Popen(  # noqa: S603 - this Python
            [sys.executable, "-m", "threadwise.bench._worker", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ) | dict.fromkeys(_THREADS if threads else (), str(threads)),
        )

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        self._process.__exit__(kind, error, traceback)

    def greet(self) -> None:
        self._hello = cast("Hello", self._read())

    def ask(self, case: Case, budget: float, *, check: bool) -> Answer:
        request = Request(case=asdict(case), budget=budget, count=3, check=check)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return cast("Answer", self._read())

    def sum_up(self, case: Case, answers: list[Answer]) -> Result:
        return Result(
            case=case,
            library=self.library,
            version=self._hello["version"],
            threads=self._hello["threads"],
            seconds=summarize([second for answer in answers for second in answer["seconds"]]),
            error=max(answer["error"] for answer in answers if answer["error"] is not None),
        )

    def _read(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            message = f"the process that times {self.library} ended with exit code {code}"
            raise RuntimeError(message)
        return json.loads(line)
