"""``threadwise bench train``: steps of networks, and means of gradients."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, cast

import threadwise as tw
from threadwise.bench import _matmul, _output
from threadwise.bench._cases import Case
from threadwise.bench._document import Bar, Document, Picture, Table, paragraphs
from threadwise.bench._load import caution
from threadwise.bench._progress import progress
from threadwise.bench._race import Outcome, Pace, Race
from threadwise.bench._report import NAMES, best_peer, mean_ratio, notes
from threadwise.bench._rows import here, times
from threadwise.bench._table import duration
from threadwise.bench._train_cases import AGGREGATES, QUICK, STEPS, TrainCase
from threadwise.scaling.environment import Environment

__all__ = ["add_options", "run"]

DESCRIPTION = """\
Time training: steps of three networks by SGD and AdamW, and means of the gradients of shards, next
to NumPy and to PyTorch where it is installed.

The losses and the parameters after some steps are compared with the same in float64 before anything
is timed. Each library runs alone in a process of its own, in turns."""

ABOUT = """\
A step: forward, cross entropy, backward, optimizer, with ReLU in float32. An aggregate: the mean of
the gradients of some shards. Each library runs alone in its own process, in turns. Losses and
parameters after two steps were compared with the same in float64 before anything was timed, means
within the bound of rounding.

Times are medians, ± half the distance between the quartiles. The ratio is the time of the fastest
other library over threadwise's: above 1, threadwise is faster. A dash: not timed."""

CHOICES = {"steps": STEPS, "aggregates": AGGREGATES}

QUICKLY = Pace(rounds=3, budget=0.1)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this bench."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--only", choices=tuple(CHOICES), help="one kind (both)")
    _matmul.add_peers(parser)
    add("--quick", action="store_true", help="without the largest, in short turns")
    _output.add_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, and write what is asked for; return the exit code."""
    _output.check(options)
    tw.get_num_threads()  # raises where the environment makes no sense
    every = QUICK if options.quick else [*STEPS, *AGGREGATES]
    cases = [case for case in every if case in CHOICES.get(options.only, every)]
    pace = QUICKLY if options.quick else Pace(budget=0.4, patience=4)
    pace = Pace(**vars(pace) | ({"rounds": options.rounds} if options.rounds else {}))
    environment = Environment.now()
    entrants = _matmul.entrants(options)
    with Race(entrants, threads=options.threads, worker="_train_worker") as race:
        labels = [worker.label for worker in race.workers]
        outcomes = list(race.run(cast("Any", progress(cases)), pace))
        left_out = race.notes
    made = Document(
        bench="train",
        title="Training steps, and means of gradients",
        about=paragraphs(ABOUT),
        environment=environment.facts(),
        rows=list(_rows(outcomes, environment)),
        tables=[Table(title="", cells=list(_cells(outcomes, labels)))],
        pictures=list(_pictures(outcomes)),
        notes=[*left_out, *notes(outcomes), *_means(outcomes, labels)],
    )
    print(f"{made.text()}{caution(environment.busy_cpus)}")
    wrong = [
        f"{result.library} at {outcome.case}"
        for outcome in outcomes
        for result in outcome.results.values()
        if not result.correct
    ]
    if wrong:
        print(f"nothing is written: further off than the check allows: {', '.join(wrong)}")
        return 1
    _output.keep(made, options)
    return 0


def _cells(outcomes: Sequence[Outcome], labels: Sequence[str]) -> Iterator[list[str]]:
    yield ["", *(NAMES.get(label, label) for label in labels), "ratio"]
    for outcome in outcomes:
        ours, best = outcome.results.get("threadwise"), best_peer(outcome)
        ratio = best.seconds.median / ours.seconds.median if ours and best else None
        cells = [str(outcome.case)]
        for label in labels:
            result = outcome.results.get(label)
            if result is None:
                cells.append("-")
                continue
            spread = (result.seconds.high - result.seconds.low) / 2 / result.seconds.median
            wrong = "" if result.correct else " WRONG"
            cells.append(f"{duration(result.seconds.median)} ±{min(spread, 9.99):3.0%}{wrong}")
        yield [*cells, "-" if ratio is None else f"{ratio:.2f}x"]


def _means(outcomes: Sequence[Outcome], labels: Sequence[str]) -> Iterator[str]:
    for label in labels[1:]:
        mean = mean_ratio(outcomes, label)
        if mean is not None:
            yield f"time of {NAMES.get(label, label)} / threadwise, geometric mean: {mean:.2f}"


def _pictures(outcomes: Sequence[Outcome]) -> Iterator[Picture]:
    for operation, title in (("train step", "A training step"), ("aggregate", "A mean")):
        bars = [
            Bar(
                group=str(outcome.case),
                label=NAMES.get(label, label),
                value=result.seconds.median * 1e3,
                low=result.seconds.low * 1e3,
                high=result.seconds.high * 1e3,
            )
            for outcome in outcomes
            if outcome.case.operation == operation
            for label, result in outcome.results.items()
            if result.correct
        ]
        if bars:
            yield Picture(kind="bars", title=title, unit="ms", bars=bars, logarithmic=True)


def _rows(outcomes: Sequence[Outcome], environment: Environment) -> Iterator[dict[str, Any]]:
    for outcome in outcomes:
        case: Case | TrainCase = outcome.case
        everywhere = here(environment.busy_cpus) | {
            "operation": case.operation,
            "dtype": case.dtype,
            "name": str(case),
        }
        for result in outcome.results.values():
            yield (
                everywhere
                | {
                    "library": result.library,
                    "version": result.version,
                    "threads": result.threads or "",
                    "note": "" if result.correct else "wrong",
                }
                | times(result.seconds)
            )
        for library, note in outcome.notes.items():
            yield everywhere | {"library": library, "version": "", "threads": "", "note": note}
