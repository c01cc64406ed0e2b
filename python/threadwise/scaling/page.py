"""A result as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from threadwise._picture import can_draw
from threadwise.scaling.text import columns, heading, setting, shares

if TYPE_CHECKING:
    from threadwise.scaling.result import ScalingResult

__all__ = ["page"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd;
  white-space: nowrap; }
th { border-bottom: 2px solid #888; }
.facts th, .facts td { text-align: left; white-space: normal; }
.facts th { border-bottom: 1px solid #ddd; font-weight: 600; }
"""

_PARTS = """<p>All threads together have their number times the time of the run to spend.
<b>work</b> is what one thread takes for the same; <b>serial</b> is waiting for what one thread
does; <b>imbalance</b> is waiting for the one that has most to do; <b>dispatch</b> is handing work
out; <b>memory</b> and <b>cores</b> are work that takes longer because of others beside it.</p>"""


def page(result: ScalingResult) -> str:
    """Return the page."""
    title = escape(heading(result))
    laws = "".join(f"<li>{escape(str(fit))}</li>" for fit in result.fits())
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    lost = shares(result)
    parts = [
        f"<h1>{title}</h1><p>{escape(setting(result))}</p>",
        _picture(result),
        "<h2>Measured</h2>",
        _table(columns(result)),
        "<p>* more threads than CPUs: in no fit</p>" if any(result.oversubscribed) else "",
        f"<h2>Where the time went</h2>{_PARTS}{_table(lost)}" if len(lost) > 1 else "",
        f"<h2>Laws</h2><ul>{laws}</ul>" if laws else "",
        f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
        f"<h2>Where it was measured</h2>{_facts(result)}",
        f"<h2>All samples</h2><p>Seconds a call, a column a round.</p>{_table(_samples(result))}",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _picture(result: ScalingResult) -> str:
    if not can_draw():
        return '<p>There is no picture: pip install "threadwise[plot]" for one.</p>'
    from threadwise.scaling.picture import draw  # noqa: PLC0415 - an extra

    with io.BytesIO() as drawn:
        draw(result, None).savefig(drawn, format="svg")
        text = base64.b64encode(drawn.getvalue()).decode()
    said = ", ".join(
        f"{speedup:.2f} at {point.threads}"
        for point, speedup in zip(result.points, result.speedups, strict=True)
    )
    alt = f"Speedups by number of threads: {said}. Beside them bars of where the time went."
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{text}">'


def _table(cells: list[list[str]]) -> str:
    head, *rows = cells
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


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
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    return f'<table class="facts">{rows}</table>'


def _samples(result: ScalingResult) -> list[list[str]]:
    rounds = range(1, len(result.one.wall) + 1)
    named = [] if result.serial is None else [("serial", result.serial)]
    named += [(str(point.threads), point) for point in result.points]
    rows = [[name, *(f"{seconds:.4g}" for seconds in point.wall)] for name, point in named]
    return [["threads", *map(str, rounds)], *rows]
