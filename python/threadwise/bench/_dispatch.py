"""``threadwise bench dispatch``: what it costs to hand work over."""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import threadwise as tw
from threadwise.bench import _output
from threadwise.bench._document import Bar, Document, Picture, Table, paragraphs
from threadwise.bench._load import caution
from threadwise.bench._progress import progress
from threadwise.bench._rows import here, times
from threadwise.bench._table import duration
from threadwise.bench._timing import Summary, sample, sample_after, summarize
from threadwise.errors import DomainError
from threadwise.scaling.environment import Environment

__all__ = ["add_options", "run"]

DESCRIPTION = """\
Time what a parallel call costs: a kernel shared with workers that are awake and with workers that
sleep, a task of an executor, an item of a map, next to concurrent.futures and, where it is
installed, joblib. Every result is compared with the plain loop's before anything is timed."""

ABOUT = """\
A product: the smallest square one that threadwise shares among its threads. Its cost is the time on
all threads less the time on one divided by their number, so also what threads take from one
another. awake: calls back to back; asleep: a call after 2 ms without any, on one thread too.

A task: it is submitted and waited for, and does nothing. An item: a share of a map over many
integers, with a function that adds 1; the plain loop is what it is compared with, and what
threadwise's map falls back to. Each is a median over the rounds, ± half the distance between the
quartiles."""

ITEMS = 1000
"""Of a map."""

PAUSE = 2e-3
"""Seconds after which workers sleep: they look for work for 40 us."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something that is called."""

    operation: str
    name: str
    library: str
    version: str
    call: Callable[[], Any]
    parts: int = 1
    """By how much its time is divided: tasks or items."""
    pause: bool = False
    """Whether there is a rest before each call."""
    threads: int = 1

    def seconds(self, budget: float) -> list[float]:
        """Time it, once a sample."""
        if self.pause:
            found = sample_after(partial(time.sleep, PAUSE), self.call, budget=budget)
            return [statistics.median(found)]
        return [each / self.parts for each in sample(self.call, budget=budget, count=1)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this bench."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--threads", type=int, metavar="N", help="(what threadwise takes by itself)")
    add("--rounds", type=int, default=9, metavar="R", help="turns of each (9)")
    add("--quick", action="store_true", help="three short rounds")
    _output.add_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, and write what is asked for; return the exit code."""
    threads = options.threads or tw.get_num_threads()
    rounds, budget = (3, 0.03) if options.quick else (options.rounds, 0.1)
    if rounds < 1 or not 1 <= threads <= 1024:
        raise DomainError(
            f"--rounds is {rounds} and --threads {threads}, expected 1 or more, and 1 to 1024"
        )
    _output.check(options)
    environment = Environment.now()
    with ExitStack() as stack:
        stack.enter_context(tw.threads(threads))
        notes: list[str] = []
        cases = [*_products(threads, notes), *_tasks(threads, stack, notes)]
        found: dict[int, list[float]] = {number: [] for number in range(len(cases))}
        turns = [f"round {turn + 1}, {case.name}" for turn in range(rounds) for case in cases]
        for at, _ in enumerate(progress(turns)):
            found[at % len(cases)] += cases[at % len(cases)].seconds(budget)
    if threads > environment.whole_cores:
        notes.append(
            f"oversubscribed: {threads} threads on {environment.cores:g} CPUs take turns, so their "
            "costs are those of waiting"
        )
    results = [(case, found[number]) for number, case in enumerate(cases)]
    made = Document(
        bench="dispatch",
        title=f"What it costs to hand work over, {threads} threads",
        about=paragraphs(ABOUT),
        environment=environment.facts(),
        rows=list(_rows(results, environment)),
        tables=[Table(title="", cells=list(_cells(results)))],
        pictures=[_picture(results)],
        notes=[*notes, *_costs(results, threads)],
    )
    print(f"{made.text()}{caution(environment.busy_cpus)}")
    _output.keep(made, options)
    return 0


def _products(threads: int, notes: list[str]) -> Iterator[Case]:
    """Yield the smallest product that is shared, on one thread and on all, without and with rest.

    Raises
    ------
    DomainError
        If the bits of the two differ.
    """
    for size in range(16, 1025, 16):
        a = np.random.default_rng(size).standard_normal((size, size), np.float32)
        if tw.explain(tw.matmul, a, a).threads > 1:
            break
    else:
        notes.append("no product is timed: threadwise shares none up to 1024 x 1024 here")
        return
    calls = {
        count: partial(tw.matmul, a, a, out=np.empty_like(a), threads=count)
        for count in (1, threads)
    }
    _expect("the product", calls[threads]().tolist(), calls[1]().tolist())
    for pause in (False, True):
        for count, call in calls.items():
            yield Case(
                operation="product",
                name=f"{size} x {size} x {size}, {'asleep' if pause else 'awake'}",
                library="threadwise",
                version=tw.__version__,
                call=call,
                pause=pause,
                threads=count,
            )


def _tasks(threads: int, stack: ExitStack, notes: list[str]) -> Iterator[Case]:
    """Yield tasks and maps, of threadwise and of others."""
    ours = stack.enter_context(tw.parallel.ThreadExecutor(threads))
    pool = stack.enter_context(ThreadPoolExecutor(threads))
    numbers = range(ITEMS)
    wanted = [_more(number) for number in numbers]
    python = "concurrent.futures"
    version = platform.python_version()
    maps: list[tuple[str, str, str, Callable[[], Any]]] = [
        ("plain loop", "python", version, lambda: [_more(number) for number in numbers]),
        ("map", "threadwise", tw.__version__, partial(tw.parallel.map, _more, numbers)),
        ("executor's map", "threadwise", tw.__version__, lambda: list(ours.map(_more, numbers))),
        ("executor's map", python, version, lambda: list(pool.map(_more, numbers))),
    ]
    tasks: list[tuple[str, str, Callable[[], Any]]] = [
        ("threadwise", tw.__version__, lambda: ours.submit(_more, 1).result()),
        (python, version, lambda: pool.submit(_more, 1).result()),
    ]
    if find_spec("joblib") is None:
        notes.append("joblib is left out: it is not installed")
    else:
        import joblib  # noqa: PLC0415 - optional

        parallel = stack.enter_context(joblib.Parallel(n_jobs=threads, prefer="threads"))
        delayed = joblib.delayed(_more)
        by_joblib = partial(_by_joblib, parallel, delayed, numbers)
        maps.append(("Parallel, prefer=threads", "joblib", joblib.__version__, by_joblib))
    for library, its, submit in tasks:
        _expect(f"a task of {library}", [submit()], [2])
        yield Case(
            operation="task", name="submit and result", library=library, version=its,
            call=submit, threads=threads,
        )  # fmt: skip
    for name, library, its, call in maps:
        _expect(f"the {name} of {library}", call(), wanted)
        yield Case(
            operation="item", name=name, library=library, version=its, call=call, parts=ITEMS,
            threads=1 if library == "python" else threads,
        )  # fmt: skip


def _more(number: int) -> int:
    return number + 1


def _by_joblib(parallel: Any, delayed: Any, numbers: range) -> Any:
    return parallel(delayed(number) for number in numbers)


def _expect(what: str, found: Sequence[Any], wanted: Sequence[Any]) -> None:
    if found != wanted:
        raise DomainError(f"{what} differs from the plain loop's: nothing is timed")


def _cells(results: Sequence[tuple[Case, list[float]]]) -> Iterator[list[str]]:
    yield ["", "library", "threads", "time"]
    for case, each in results:
        seconds = summarize(each)
        spread = (seconds.high - seconds.low) / 2 / seconds.median
        yield [
            f"{case.operation}: {case.name}",
            case.library,
            str(case.threads),
            f"{duration(seconds.median)} ±{spread:3.0%}",
        ]


def _costs(results: Sequence[tuple[Case, list[float]]], threads: int) -> Iterator[str]:
    """Yield what follows: the cost of sharing a product, and maps by the loop."""
    medians: dict[tuple[str, str, int], Summary] = {
        (case.name, case.library, case.threads): summarize(each) for case, each in results
    }
    for name in dict.fromkeys(case.name for case, _ in results if case.operation == "product"):
        one = medians[name, "threadwise", 1].median
        if threads == 1:
            continue
        many = medians[name, "threadwise", threads].median
        cost = many - one / threads
        yield (
            f"{name}: {duration(one)} on one thread, {duration(many)} on {threads}: "
            + (f"sharing it costs {duration(cost)}" if cost > 0 else "sharing it costs nothing")
        )
    loop = next(summarize(each).median for case, each in results if case.name == "plain loop")
    for case, each in results:
        if case.operation == "item" and case.library != "python":
            ratio = summarize(each).median / loop
            yield f"{case.library}'s {case.name}: {ratio:.2f} times the plain loop, by item"


def _picture(results: Sequence[tuple[Case, list[float]]]) -> Picture:
    bars = []
    for case, each in results:
        if case.operation == "product":
            continue
        seconds = summarize(each)
        what = "a task" if case.operation == "task" else "an item"
        bars.append(
            Bar(
                group=f"{what}: {case.name}",
                label=case.library,
                value=seconds.median * 1e6,
                low=seconds.low * 1e6,
                high=seconds.high * 1e6,
            )
        )
    return Picture(
        kind="bars", title="A task, and an item of a map, that do nothing", unit="us", bars=bars,
        logarithmic=True,
    )  # fmt: skip


def _rows(
    results: Sequence[tuple[Case, list[float]]], environment: Environment
) -> Iterator[dict[str, Any]]:
    for case, each in results:
        yield here(environment.busy_cpus) | {
            "library": case.library,
            "version": case.version,
            "threads": case.threads,
            "operation": f"dispatch {case.operation}",
            "dtype": "",
            "name": case.name,
            **times(summarize(each)),
            "note": "",
            "samples": each,
        }
