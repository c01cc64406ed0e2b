"""``threadwise bench compare``: what became slower from one record to another."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import fmean, median

import numpy as np

from threadwise.bench import _record
from threadwise.bench._load import caution
from threadwise.bench._record import Entry
from threadwise.bench._table import duration

__all__ = ["Change", "Comparison", "add_options", "compare", "run"]

DESCRIPTION = """\
Compare two records of one machine, case by case, and say what became slower beyond noise. A record
is a CSV file of any bench, the JSON of a report, or the directory of one, with all that is in it.

A case is slower if its time grew by more than --tolerance percent, and the middle half of its times
lies above that of the old ones. Times of the other libraries, whose code did not change, say how
much the machine itself changed; that is taken off. The exit code is 1 if anything became slower or
wrong, 2 if the records cannot be compared."""

OURS = "threadwise"

ENOUGH = 5
"""Cases of other libraries from which on they say how much the machine changed."""

REPLICAS = 2000
"""How often cases are drawn with replacement for the interval of their mean."""

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A case that is in both records."""

    old: Entry
    new: Entry
    ratio: float
    """New time by old time, less what the machine changed."""
    interval: Interval
    """The same, from the fastest quarter now by the slowest then, to the reverse."""

    def slower(self, tolerance: float) -> bool:
        """Say whether it became slower beyond noise."""
        return self.ratio > 1 + tolerance and self.interval[0] > 1

    def faster(self, tolerance: float) -> bool:
        """Say whether it became faster beyond noise."""
        return self.ratio < 1 / (1 + tolerance) and self.interval[1] < 1


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two records, case by case."""

    changes: tuple[Change, ...]
    drift: float
    """How much longer the other libraries took: what the machine changed. 1 if there were few."""
    drift_interval: Interval | None
    """Where that is with 95 % confidence, by the cases; None if there were few."""
    broken: tuple[Entry, ...]
    """Cases that were timed in the old record and in the new are wrong, or too slow to be timed."""
    missing: tuple[Entry, ...]
    """Cases of the old record that the new one has not."""
    busy: tuple[float, float]
    """CPUs that other processes kept busy when each was begun; 0 where that is unknown."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("old", type=Path, help="the old record: .csv, .json or a directory")
    parser.add_argument("new", type=Path, help="the new one")
    parser.add_argument(
        "--tolerance",
        type=_percent,
        default=0.05,
        metavar="PERCENT",
        help="by how much a time may grow (5)",
    )
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Compare, print; return the exit code."""
    try:
        found = compare(_record.read(options.old), _record.read(options.new))
    except (OSError, ValueError) as problem:
        options.parser.error(str(problem))
    print("\n".join(_lines(found, options.tolerance)))
    slower = any(change.slower(options.tolerance) for change in found.changes)
    return 1 if slower or found.broken else 0


def compare(old: Sequence[Entry], new: Sequence[Entry]) -> Comparison:
    """Compare two records.

    Raises
    ------
    ValueError
        If they are of different machines, or have no case of ours in common.
    """
    machines = [{f"{entry.machine}, {entry.cores} CPUs" for entry in each} for each in (old, new)]
    if machines[0] != machines[1]:
        then, now = (" and ".join(sorted(each)) for each in machines)
        message = f"the records are of {then} and of {now}, expected one machine"
        raise ValueError(message)
    before, after = ({_case(entry): entry for entry in each} for each in (old, new))
    pairs = [(entry, after[case]) for case, entry in before.items() if case in after]
    others = [
        log(now.median / then.median)
        for then, now in pairs
        if then.library != OURS and then.version == now.version and then.median and now.median
    ]
    drift = exp(median(others)) if len(others) >= ENOUGH else 1.0
    ours = [(then, now) for then, now in pairs if then.library == OURS and then.median]
    changes = tuple(_change(then, now, drift) for then, now in ours if now.median)
    lost = [
        entry
        for case, entry in before.items()
        if entry.library == OURS and entry.median and case not in after
    ]
    # A row without a time does not say with how many threads there is none.
    untimed = {_case(entry)[:-1]: entry for entry in new if not entry.threads}
    broken = (
        *(now for _, now in ours if not now.median),
        *(untimed[_case(entry)[:-1]] for entry in lost if _case(entry)[:-1] in untimed),
    )
    if not ours and not broken:
        message = "the records have no case of threadwise in common, expected the same cases"
        raise ValueError(message)
    return Comparison(
        changes=changes,
        drift=drift,
        drift_interval=_interval(others, np.median) if len(others) >= ENOUGH else None,
        broken=broken,
        missing=tuple(entry for entry in lost if _case(entry)[:-1] not in untimed),
        busy=(_busy(old), _busy(new)),
    )


def _busy(entries: Sequence[Entry]) -> float:
    return max((entry.busy_cpus or 0.0 for entry in entries), default=0.0)


def _case(entry: Entry) -> tuple[str, ...]:
    return (entry.library, entry.operation, entry.dtype, entry.name, entry.threads)


def _change(old: Entry, new: Entry, drift: float) -> Change:
    then, now = old.median or 1.0, new.median or 1.0
    low = (new.low or now) / (old.high or then) / drift
    high = (new.high or now) / (old.low or then) / drift
    return Change(old=old, new=new, ratio=now / then / drift, interval=(low, high))


def _interval(logs: Sequence[float], middle: object = np.mean) -> Interval:
    """Return where the mean, or another middle, is with 95 % confidence, as a ratio."""
    assert callable(middle)
    values = np.asarray(logs)
    drawn = values[np.random.default_rng(0).integers(0, len(values), (REPLICAS, len(values)))]
    low, high = np.quantile(middle(drawn, axis=1), [0.025, 0.975])
    return (float(np.exp(low)), float(np.exp(high)))


def _lines(found: Comparison, tolerance: float) -> Iterator[str]:
    first = found.changes[0] if found.changes else None
    if first is not None:
        yield f"{first.new.machine}, {first.new.cores} CPUs"
        yield (
            f"old: {first.old.date}, threadwise {first.old.version}; new: {first.new.date}, "
            f"threadwise {first.new.version}"
        )
    yield _machine(found)
    yield "ratios are new time / old time: above 1 is slower\n"
    yield from _means(found)
    for word, chosen in (
        ("slower", [c for c in found.changes if c.slower(tolerance)]),
        ("faster", [c for c in found.changes if c.faster(tolerance)]),
    ):
        yield f"{word} beyond noise, and by more than {tolerance:.0%}: {len(chosen)}"
        for change in sorted(chosen, key=lambda each: each.ratio, reverse=word == "slower"):
            yield f"  {_text(change)}"
    for entry in found.broken:
        yield f"no longer timed: {entry.dtype} {entry.name}: {entry.note or 'no time'}"
    for name, cpus in zip(("old", "new"), found.busy, strict=True):
        if caution(cpus):
            yield (
                f"CAUTION: other processes kept {cpus:.1f} CPUs busy when the {name} record was "
                "begun, so its times mean little"
            )
    if found.missing:
        names = ", ".join(f"{entry.dtype} {entry.name}" for entry in found.missing[:5])
        more = f" and {len(found.missing) - 5} more" if len(found.missing) > 5 else ""
        yield f"not in the new record: {names}{more}"


def _machine(found: Comparison) -> str:
    if found.drift_interval is None:
        return "nothing says how much the machine changed: too few times of other libraries"
    low, high = found.drift_interval
    return (
        f"other libraries took {found.drift:.3f} times as long ({low:.3f} to {high:.3f}): that is "
        "the machine, and taken off"
    )


def _means(found: Comparison) -> Iterator[str]:
    kinds = [_kind(change.new) for change in found.changes]
    for kind in dict.fromkeys(kinds):
        logs = [
            log(change.ratio)
            for change, its in zip(found.changes, kinds, strict=True)
            if its == kind
        ]
        low, high = _interval(logs)
        cases = "1 case" if len(logs) == 1 else f"{len(logs)} cases"
        where = f" (95 %: {low:.3f} to {high:.3f})" if len(logs) > 1 else ""
        yield f"{kind}, {cases}: geometric mean {exp(fmean(logs)):.3f}{where}"


def _kind(entry: Entry) -> str:
    """Return what it is about; products go by their dtype."""
    operation = "" if entry.operation in ("matmul", "linear") else entry.operation
    return " ".join(word for word in (operation, entry.dtype) if word)


def _text(change: Change) -> str:
    """Return the sentence about a case."""
    low, high = change.interval
    new, threads = change.new, change.new.threads
    by = "" if threads in ("", "1") else f", {threads} threads"
    by = ", 1 thread" if threads == "1" else by
    return (
        f"{_kind(new)} {new.name}{by}, takes {duration(new.median or 0)} instead of "
        f"{duration(change.old.median or 0)}, {change.ratio:.2f} times as long "
        f"({low:.2f} to {high:.2f})"
    )


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        message = f"{text!r} is no number of percent from 0 on"
        raise argparse.ArgumentTypeError(message)
    return value / 100
