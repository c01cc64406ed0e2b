"""A result as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from threadwise._picture import can_draw
from threadwise.bench import _html
from threadwise.scaling.text import columns, heading, setting, shares

if TYPE_CHECKING:
    from threadwise.scaling.result import ScalingResult

__all__ = ["page"]

_PARTS = """<p>All threads together have their number times the time of the run to spend.
<b>work</b> is what one thread takes for the same; <b>serial</b> is waiting for what one thread
does; <b>imbalance</b> is waiting for the one that has most to do; <b>dispatch</b> is handing work
out; <b>memory</b> and <b>cores</b> are work that takes longer because of others beside it.</p>"""


def page(result: ScalingResult) -> str:
    """Return the page."""
    laws = [str(fit) for fit in result.fits()]
    lost = shares(result)
    parts = [
        f"<h1>{escape(heading(result))}</h1><p>{escape(setting(result))}</p>",
        _picture(result),
        "<h2>Measured</h2>",
        _html.table(columns(result)),
        "<p>* more threads than CPUs: in no fit</p>" if any(result.oversubscribed) else "",
        f"<h2>Where the time went</h2>{_PARTS}{_html.table(lost)}" if len(lost) > 1 else "",
        f"<h2>Laws</h2>{_html.items(laws)}" if laws else "",
        f"<h2>Notes</h2>{_html.items(result.notes)}" if result.notes else "",
        f"<h2>Where it was measured</h2>{_facts(result)}",
        "<h2>All samples</h2><p>Seconds a call, a column a round.</p>",
        _html.table(_samples(result)),
    ]
    return _html.page(heading(result), "\n".join(part for part in parts if part))


def _picture(result: ScalingResult) -> str:
    if not can_draw():
        return '<p>There is no picture: pip install "threadwise[plot]" for one.</p>'
    from threadwise.scaling.picture import draw  # noqa: PLC0415 - an extra

    said = ", ".join(
        f"{speedup:.2f} at {point.threads}"
        for point, speedup in zip(result.points, result.speedups, strict=True)
    )
    alt = f"Speedups by number of threads: {said}. Beside them bars of where the time went."
    return _html.image(draw(result, None), alt)


def _facts(result: ScalingResult) -> str:
    facts = {
        name.replace("_", " "): "unknown" if value is None else str(value)
        for name, value in result.environment.facts().items()
    }
    facts["pools of threads"] = "; ".join(
        f"{point.threads}: " + ", ".join(f"{name} {size}" for name, size in point.pools.items())
        for point in result.points
    )
    if result.other_cpus is not None:
        facts["CPUs that others kept busy meanwhile"] = f"{result.other_cpus:.2f}"
    for probe in result.probes:
        facts[f"machine, {probe.threads} threads"] = (
            f"computing takes {probe.compute:.2f} times as long for each as alone, copying memory "
            f"{probe.memory:.2f} times ({probe.bandwidth / 1e9:.1f} GB/s together)"
        )
    facts["waking a thread"] = f"{result.wake_seconds * 1e6:.1f} us"
    return _html.facts(facts)


def _samples(result: ScalingResult) -> list[list[str]]:
    rounds = range(1, len(result.one.wall) + 1)
    named = [] if result.serial is None else [("serial", result.serial)]
    named += [(str(point.threads), point) for point in result.points]
    rows = [[name, *(f"{seconds:.4g}" for seconds in point.wall)] for name, point in named]
    return [["threads", *map(str, rounds)], *rows]
