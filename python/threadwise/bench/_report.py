"""What people read of a race over the grid: a line a case, and what the lines come to."""

from collections.abc import Iterable, Iterator, Sequence
from math import exp, fsum, log

from threadwise.bench._race import Outcome, Result
from threadwise.bench._table import duration

__all__ = [
    "EXPLANATION",
    "LOSS",
    "best_peer",
    "cells",
    "conclusion",
    "header",
    "mean_ratio",
    "notes",
    "row",
]

LOSS = 0.97
"""The ratio below which a shape is counted as lost. What is above is within the noise of most
machines."""

NAMES = {"threadwise": "threadwise", "numpy": "NumPy", "torch": "PyTorch"}

EXPLANATION = """\
Each library runs alone in its own process, in turns. Every result was checked against a product in
float64 before it was timed. Times are medians, ± half the distance between the quartiles. The ratio
is the time of the fastest other library over threadwise's: above 1, threadwise is faster; "<" marks
less than 0.97. A dash: not timed, with the reason among the notes."""


def header(labels: Sequence[str]) -> str:
    """Return the line above the rows; `labels` are those of the race, threadwise first."""
    times = "".join(f"{NAMES.get(label, label):>17}" for label in labels)
    return f"{'dtype':<9}{'shape':<34}{times}{'GFLOP/s':>10}{'ratio':>9}"


def row(outcome: Outcome, labels: Sequence[str]) -> str:
    """Return the line of one case."""
    ours = outcome.results.get("threadwise")
    times = "".join(f"{_time(outcome.results.get(label)):>17}" for label in labels)
    rate = "-" if ours is None else f"{ours.gflops:.4g}"
    ratio = _ratio(outcome)
    against = "-" if ratio is None else f"{ratio:.2f}x"
    mark = " <" if ratio is not None and ratio < LOSS else ""
    wrong = [NAMES.get(r.library, r.library) for r in outcome.results.values() if not r.correct]
    tail = f"  WRONG RESULT of {' and '.join(wrong)}" if wrong else mark
    return f"{outcome.case.dtype:<9}{outcome.case!s:<34}{times}{rate:>10}{against:>9}{tail}"


def cells(outcomes: Iterable[Outcome], labels: Sequence[str]) -> Iterator[list[str]]:
    """Yield the same as the cells of a table, its head first."""
    yield ["shape", "dtype", *(NAMES.get(label, label) for label in labels), "GFLOP/s", "ratio"]
    for outcome in outcomes:
        ours, ratio = outcome.results.get("threadwise"), _ratio(outcome)
        yield [
            *(str(outcome.case), outcome.case.dtype),
            *(_time(outcome.results.get(label)) for label in labels),
            "-" if ours is None else f"{ours.gflops:.4g}",
            "-" if ratio is None else f"{ratio:.2f}x{' <' if ratio < LOSS else ''}",
        ]


def best_peer(outcome: Outcome) -> Result | None:
    """Return the fastest of the others whose results are right, if there is any."""
    peers = [r for r in outcome.results.values() if r.library != "threadwise" and r.correct]
    return min(peers, key=lambda result: result.seconds.median, default=None)


def mean_ratio(outcomes: Iterable[Outcome], peer: str) -> float | None:
    """Return the geometric mean of the time of `peer` over ours, where both are right."""
    logs = [
        log(outcome.results[peer].seconds.median / outcome.results["threadwise"].seconds.median)
        for outcome in outcomes
        if {peer, "threadwise"} <= outcome.results.keys()
        and outcome.results[peer].correct
        and outcome.results["threadwise"].correct
    ]
    return exp(fsum(logs) / len(logs)) if logs else None


def conclusion(outcomes: Sequence[Outcome], labels: Sequence[str]) -> str:
    """Return what the rows come to, dtype by dtype: each shape that is lost by its name."""
    lines = []
    for dtype in dict.fromkeys(outcome.case.dtype for outcome in outcomes):
        rows = [outcome for outcome in outcomes if outcome.case.dtype == dtype]
        lines.append(f"{dtype}, {len(rows)} shapes:")
        for peer in labels:
            mean = None if peer == "threadwise" else mean_ratio(rows, peer)
            if mean is not None:
                name = NAMES.get(peer, peer)
                lines.append(f"  time of {name} / threadwise, geometric mean: {mean:.2f}")
        lines += _losses(rows)
    wrong = [
        f"{NAMES.get(result.library, result.library)} at {outcome.case.dtype} {outcome.case}"
        for outcome in outcomes
        for result in outcome.results.values()
        if not result.correct
    ]
    lines.append(
        f"{len(wrong)} RESULTS ARE WRONG, further off than rounding explains: {'; '.join(wrong)}"
        if wrong
        else "all results are as close to a float64 product as rounding allows"
    )
    return "\n".join(lines)


def notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Return why cases were not timed: a sentence a reason."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for outcome in outcomes:
        for label, note in outcome.notes.items():
            reason = "too slow" if note.endswith("s a call") else note
            where = f"{outcome.case}" + (f" ({note})" if reason != note else "")
            name = NAMES.get(label, label)
            found.setdefault((name, outcome.case.dtype, reason), []).append(where)
    return [
        f"{name}, {dtype}: {reason}: {', '.join(cases)}"
        for (name, dtype, reason), cases in found.items()
    ]


def _losses(rows: Sequence[Outcome]) -> list[str]:
    compared = [(ratio, outcome) for outcome in rows if (ratio := _ratio(outcome)) is not None]
    lost = sorted(
        ((ratio, outcome) for ratio, outcome in compared if ratio < LOSS), key=lambda pair: pair[0]
    )
    return [
        f"  below {LOSS}x of the best of the others: {len(lost)} of {len(compared)} shapes",
        *(
            f"    {ratio:.2f}x  {outcome.case}, against {NAMES.get(peer.library, peer.library)}"
            for ratio, outcome in lost
            if (peer := best_peer(outcome))
        ),
    ]


def _ratio(outcome: Outcome) -> float | None:
    ours, best = outcome.results.get("threadwise"), best_peer(outcome)
    if ours is None or best is None or not ours.correct:
        return None
    return best.seconds.median / ours.seconds.median


def _time(result: Result | None) -> str:
    if result is None:
        return "-"
    seconds = result.seconds
    spread = (seconds.high - seconds.low) / 2 / seconds.median
    return f"{duration(seconds.median)} ±{min(spread, 9.99):4.0%}"
