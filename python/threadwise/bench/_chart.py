"""The pictures of a report, which gray paper leaves readable: marks, dashes, hatches."""

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from threadwise.bench._document import Picture, Series

__all__ = ["draw"]

# From dark to light; marks, dashes and hatches tell apart what paper does not.
_INKS = ("#1f4e79", "#b5402b", "#3a8a5f", "#8a5fa8", "#e8a33d", "#7fb2d6")
_MARKS = ("o", "s", "^", "D", "v", "P")
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), "-.", (0, (1, 1)), (0, (8, 2, 1, 2)))
_FACES = ("#1f4e79", "#f2d7a0", "#c9624c", "#d9dde1", "#7fb2d6", "#e8a33d")
_HATCHES = ("", "////", "", "xxxx", "\\\\\\\\", "....")

_ROOM = 1.22
"""Of the axis, by the longest bar: what is beside it holds its number."""


def draw(picture: Picture) -> Figure:
    """Return lines or bars as a figure."""
    return _lines(picture) if picture.kind == "lines" else _bars(picture)


def _lines(picture: Picture) -> Figure:
    figure = Figure(figsize=(7.4, 4.2), layout="constrained")
    axes = figure.subplots()
    counts = sorted({x for line in picture.lines for x in line.x})
    most = counts[-1]
    top = max([1.2, *(y for line in picture.lines for y in line.y)])
    axes.plot(counts, counts, color="0.55", lw=1, ls=(0, (1, 2)), label="as many as threads")
    looks = zip(cycle(_INKS), cycle(_MARKS), cycle(_DASHES), strict=False)
    for line, (ink, mark, dash) in zip(picture.lines, looks, strict=False):
        axes.plot(line.x, line.y, color=ink, marker=mark, ls=dash, lw=1.6, ms=6, label=line.label)
    _label_ends(axes, picture.lines)
    axes.set_xscale("log", base=2)
    if picture.cores is not None and picture.cores < most:
        axes.axvspan(picture.cores * 1.12, most * 1.3, color="0.93", zorder=0, lw=0)
        axes.text(
            *(most * 1.27, 0.02, "more threads than CPUs"), transform=axes.get_xaxis_transform(),
            ha="right", va="bottom", fontsize=8.5, color="0.35",
        )  # fmt: skip
    axes.set_xticks(counts, [f"{count:g}" for count in counts], minor=False)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="threads", ylabel=picture.unit, ylim=(0, 1.12 * top))
    axes.set_xlim(counts[0] / 1.15, max(most * 1.3, counts[0] * 1.5))
    axes.set_title(picture.title, loc="left", fontsize=11)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)
    _tidy(axes, "y")
    return figure


def _label_ends(axes: Axes, lines: Sequence[Series]) -> None:
    """Write its value to the last point of each line, where no other value stands."""
    taken: list[float] = []
    height = max((y for line in lines for y in line.y), default=1)
    for line in sorted(lines, key=lambda each: -each.y[-1]):
        y = line.y[-1]
        if all(abs(y - other) > height / 16 for other in taken):
            taken.append(y)
            axes.annotate(
                f"{y:.2f}", (line.x[-1], y), xytext=(8, -3), textcoords="offset points",
                fontsize=8.5,
            )  # fmt: skip


def _bars(picture: Picture) -> Figure:
    groups = list(dict.fromkeys(bar.group for bar in picture.bars))
    labels = list(dict.fromkeys(bar.label for bar in picture.bars))
    places, at, ticks = {}, 0.0, []
    for group in groups:
        mine = [label for label in labels if any(_is(bar, group, label) for bar in picture.bars)]
        ticks.append(at + (len(mine) - 1) / 2)
        for label in mine:
            places[group, label] = at
            at += 1
        at += 0.7
    figure = Figure(figsize=(8.4, 1.5 + 0.24 * at), layout="constrained")
    axes = figure.subplots()
    for number, label in enumerate(labels):
        mine_of = [bar for bar in picture.bars if bar.label == label]
        values = [bar.value for bar in mine_of]
        reach = [
            [max(bar.value - bar.low, 0) for bar in mine_of],
            [max(bar.high - bar.value, 0) for bar in mine_of],
        ]
        whiskers: dict[str, Any] = {"xerr": reach, "error_kw": {"lw": 1, "capsize": 2}}
        axes.barh(
            [places[bar.group, label] for bar in mine_of], values, height=0.86, label=label,
            color=_FACES[number % len(_FACES)], hatch=_HATCHES[number % len(_HATCHES)],
            edgecolor="0.2", linewidth=0.5, **(whiskers if any(map(any, reach)) else {}),
        )  # fmt: skip
    for bar in picture.bars:
        axes.annotate(
            _short(bar.value), (max(bar.high, bar.value), places[bar.group, bar.label]),
            xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5,
        )  # fmt: skip
    most = max(max(bar.high, bar.value) for bar in picture.bars)
    if picture.logarithmic:
        least = min(bar.value for bar in picture.bars)
        axes.set_xscale("log")
        axes.set_xlim(10 ** math.floor(math.log10(least) - 0.2), most * 2.5)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    else:
        axes.set_xlim(0, most * _ROOM)
    axes.set_yticks(ticks, groups)
    axes.set_ylim(at - 0.9, -0.8)
    axes.set_xlabel(picture.unit)
    axes.set_title(picture.title, loc="left", fontsize=11)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)
    _tidy(axes, "x")
    axes.tick_params(axis="y", length=0)
    return figure


def _is(bar: Any, group: str, label: str) -> bool:
    return bool((bar.group, bar.label) == (group, label))


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _tidy(axes: Axes, axis: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=axis, color="0.9", lw=0.6)
    axes.set_axisbelow(True)
