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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from threadwise.bench._cases import Case
from threadwise.bench._libraries import Name
from threadwise.bench._timing import Summary, summarize
from threadwise.bench._worker import Answer, Hello, Request

__all__ = ["Entrant", "Outcome", "Pace", "Race", "Result"]

_THREADS = (
    "THREADWISE_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)

_BOUND = {"OMP_PROC_BIND": "true"}
"""As PyTorch's tuning guide has it. Unbound, its threads sometimes wake up on one CPU and wait for
each other through whole time slices: a product of microseconds then takes five milliseconds."""

# In the Python of another library, threadwise may not be installed, or be built for another one. So
# there the package is a name for its folder, whose bench imports nothing else of it.
_START = """
import sys, types
package = sys.modules["threadwise"] = types.ModuleType("threadwise")
package.__path__ = [sys.argv[1]]
"""
_WORK = """
import sys
from threadwise.bench.{worker} import main
try:
    main({library!r}, {beside!r}, alternate={alternate!r})
except KeyboardInterrupt:
    sys.exit(130)  # the one who asked says what there is to say
"""


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """Who takes part: a library, in a Python, perhaps with another one beside it."""

    library: Name
    beside: Name | None = None
    alternate: bool = False
    """Whether single calls are timed, as they are beside another library."""
    python: str = sys.executable

    @property
    def label(self) -> str:
        """What results call it."""
        return self.library if self.beside is None else f"{self.library} after {self.beside}"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to take."""

    rounds: int = 5
    """How often each library has its turn, in each case."""
    budget: float = 0.12
    """About how many seconds a turn takes, without preparation, the check and the rest after it."""
    limit: float = 5
    """Seconds a call from which on a library is left out of a case, going by smaller ones."""
    patience: float = 1
    """Seconds after which a library gets no further turns in a case."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one library did in one case."""

    case: Case
    library: str
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


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one case."""

    case: Case
    results: Mapping[str, Result]
    """By the label of who was timed."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """By the label of who was not: why."""


class Race:
    """The processes of those who take part, as a context; `run` times them in turn.

    Parameters
    ----------
    entrants : sequence of Entrant
        The first is needed; others are left out where they are not there.
    threads : int, optional
        How many each library may use, instead of its default.
    worker : str, default "_worker"
        The module whose `main` answers in each process.

    Raises
    ------
    RuntimeError
        If a library's process ends before its time. What it said is on standard error.
    """

    def __init__(
        self,
        entrants: Sequence[Entrant],
        *,
        threads: int | None = None,
        worker: str = "_worker",
    ) -> None:
        self._entrants, self._threads, self._work = entrants, threads, worker
        self.notes: list[str] = []
        """Who and what is left out, and why."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            started = [
                stack.enter_context(_Worker(entrant, self._threads, self._work))
                for entrant in self._entrants
            ]
            for worker in started:
                worker.greet()
                self.notes += [
                    note if note.startswith("PyTorch") else f"{worker.label}: {note}"
                    for note in worker.hello["notes"]
                    if worker is started[0] or note not in started[0].hello["notes"]
                ]
            self.workers = [worker for worker in started if worker.hello["version"] is not None]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def dtypes(self) -> Sequence[str]:
        """The dtypes that the first of them takes."""
        return self.workers[0].hello["dtypes"]

    def run(self, cases: Iterable[Case], pace: Pace | None = None) -> Iterator[Outcome]:
        """Time those who take part in turn, and yield what came of each case."""
        pace = pace or Pace()
        for case in cases:
            answers: dict[str, list[Answer]] = {worker.label: [] for worker in self.workers}
            for turn in range(pace.rounds):
                for worker in self.workers:
                    found = answers[worker.label]
                    took = sum(sum(answer["seconds"]) for answer in found)
                    if took < pace.patience and not any(answer["note"] for answer in found):
                        found.append(worker.ask(case, pace, check=turn == 0))
            notes = {label: found[0]["note"] for label, found in answers.items()}
            yield Outcome(
                case=case,
                results={
                    worker.label: worker.sum_up(case, answers[worker.label])
                    for worker in self.workers
                    if not notes[worker.label]
                },
                notes={label: note for label, note in notes.items() if note},
            )


class _Worker:
    def __init__(self, entrant: Entrant, threads: int | None, worker: str) -> None:
        self.label = entrant.label
        ours = "threadwise" in (entrant.library, entrant.beside)
        program = ("" if ours else _START) + _WORK.format(
            worker=worker,
            library=entrant.library,
            beside=entrant.beside,
            alternate=entrant.alternate,
        )
        self._process = subprocess.Popen(  # noqa: S603 - a Python that the user named, or this one
            [entrant.python, "-c", program, str(Path(__file__).parents[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=(_BOUND if entrant.library == "torch" else {})
            | dict(os.environ)
            | dict.fromkeys(_THREADS if threads else (), str(threads)),
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
        self.hello = cast("Hello", self._read())

    def ask(self, case: Case, pace: Pace, *, check: bool) -> Answer:
        request = Request(
            case=asdict(case), budget=pace.budget, count=3, check=check, limit=pace.limit
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return cast("Answer", self._read())

    def sum_up(self, case: Case, answers: list[Answer]) -> Result:
        return Result(
            case=case,
            library=self.label,
            version=self.hello["version"] or "",
            threads=self.hello["threads"],
            seconds=summarize([second for answer in answers for second in answer["seconds"]]),
            error=max(answer["error"] for answer in answers if answer["error"] is not None),
        )

    def _read(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            message = f"the process that times {self.label} ended with exit code {code}"
            raise RuntimeError(message)
        return json.loads(line)
