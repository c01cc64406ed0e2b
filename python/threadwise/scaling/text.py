"""A result as people and programs read it: a table, and rows of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from math import isnan
from typing import TYPE_CHECKING, Any

from threadwise.bench._table import duration
from threadwise.quant._report_text import size
from threadwise.scaling.attribution import PARTS

if TYPE_CHECKING:
    from threadwise.scaling.point import ScalingPoint
    from threadwise.scaling.result import ScalingResult

__all__ = ["columns", "heading", "rows", "setting", "shares", "text"]


def text(result: ScalingResult) -> str:
    """Return the table, and what is concluded from it."""
    return "\n".join(_lines(result))


def _lines(result: ScalingResult) -> Iterator[str]:
    yield heading(result)
    yield setting(result)
    yield str(result.environment)
    yield ""
    yield from _aligned(columns(result))
    lost = shares(result)
    if len(lost) > 1:
        yield ""
        yield "where the time of all threads went"
        yield from _aligned(lost)
    yield ""
    fits = list(result.fits())
    yield from (str(fit) for fit in fits)
    if not fits:
        yield "no law is fitted: there is no point with more than one thread, and a CPU for each"
    yield from (f"note: {note}" for note in result.notes)


def heading(result: ScalingResult) -> str:
    """Return what was measured."""
    kind = "weak scaling, the work grows with the threads" if result.weak else "strong scaling"
    return f"{result.workload}: {kind}"


def setting(result: ScalingResult) -> str:
    """Return how it was measured."""
    rounds = len(result.one.wall)
    calls = "1 call" if result.calls == 1 else f"{result.calls} calls"
    tasks = "" if result.tasks is None else f", {result.tasks} tasks"
    return f"{rounds} rounds after {result.warmup} of warm-up, {calls} a sample{tasks}"


def columns(result: ScalingResult) -> list[list[str]]:
    """Return the cells of the table of points, its head first."""
    head = ["threads", "time", "spread", "CPU time", "peak memory", "speedup", "95 %"]
    head += ["efficiency", "Karp-Flatt", "cap"]
    head += [] if result.serial is None else ["over serial"]
    table = [head]
    if result.serial is not None:
        # A number of its own has only who is compared with the one thread.
        blanks = [""] * (len(head) - 6)
        ratio = result.one.seconds / result.serial.seconds
        table.append(["serial", *_times(result.serial), f"{ratio:.2f}x", *blanks[1:], "1.00x"])
    for number, point in enumerate(result.points):
        low, high = result.speedup_intervals[number]
        fraction = result.serial_fractions[number]
        row = [
            f"{point.threads}{'*' if result.oversubscribed[number] else ''}",
            *_times(point),
            f"{result.speedups[number]:.2f}x",
            "" if isnan(low) or point is result.one else f"{low:.2f} to {high:.2f}",
            f"{result.efficiencies[number]:.0%}",
            "" if isnan(fraction) else f"{fraction:.3f}",
            f"{result.caps[number]}x",
        ]
        over = result.serial_speedups
        table.append(row + ([] if over is None else [f"{over[number]:.2f}x"]))
    return table


def shares(result: ScalingResult) -> list[list[str]]:
    """Return the cells of the table of where time went, its head first; nothing for one thread."""
    table = [["threads", *PARTS]]
    for part in result.attribution:
        if part.threads > 1:
            values = part.parts()
            row = [str(part.threads), *(f"{values[name]:.1%}" for name in PARTS)]
            if not part.is_imbalance_known:
                row[1 + PARTS.index("imbalance")] = "unknown"
            table.append(row)
    return table


def rows(result: ScalingResult) -> str:
    """Return CSV, a row a point."""
    with io.StringIO(newline="") as file:
        found = [_row(result, number) for number in range(len(result.points))]
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
        return file.getvalue()


def _row(result: ScalingResult, number: int) -> dict[str, Any]:
    point, environment = result.points[number], result.environment
    low, high = point.quartiles
    speedup_low, speedup_high = result.speedup_intervals[number]
    over = result.serial_speedups
    parts = result.attribution[number].parts()
    facts = {
        "date": environment.date,
        "machine": environment.machine,
        "cpus": environment.affinity,
        "workload": result.workload,
        "scaling": "weak" if result.weak else "strong",
        "threads": point.threads,
        "oversubscribed": int(result.oversubscribed[number]),
        "rounds": len(point.wall),
        "median_seconds": point.seconds,
        "low": low,
        "high": high,
        "cpu_seconds": point.cpu_seconds,
        "peak_bytes": point.peak_bytes,
        "speedup": result.speedups[number],
        "speedup_low": speedup_low,
        "speedup_high": speedup_high,
        "efficiency": result.efficiencies[number],
        "over_serial": None if over is None else over[number],
        "karp_flatt": result.serial_fractions[number],
        "cap": result.caps[number],
        **{f"part_{name}": parts[name] for name in PARTS},
    }
    return {name: _cell(value) for name, value in facts.items()}


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _times(point: ScalingPoint) -> list[str]:
    peak = "" if point.peak_bytes is None else size(point.peak_bytes)
    return [duration(point.seconds), f"±{point.spread:.0%}", duration(point.cpu_seconds), peak]


def _aligned(table: list[list[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
