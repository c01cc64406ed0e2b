"""The picture of a result: speedups with the laws that fit them, and where the time went."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from threadwise._picture import save
from threadwise.scaling.attribution import PARTS

if TYPE_CHECKING:
    from threadwise.scaling.result import ScalingResult

__all__ = ["draw"]

# From dark to light and in their own hatches, so that they are told apart in grey.
_LOOKS: dict[str, tuple[str, str]] = {
    "work": ("#1f4e79", ""),
    "serial": ("#c9624c", ""),
    "imbalance": ("#e8a33d", "////"),
    "dispatch": ("#f2d7a0", "...."),
    "memory": ("#7fb2d6", "\\\\\\\\"),
    "cores": ("#d9dde1", "xxxx"),
}

_LINES = {"AmdahlFit": "Amdahl", "GustafsonFit": "Gustafson", "USLFit": "USL"}
_DASHES: dict[str, Any] = {"Amdahl": "-", "Gustafson": "-", "USL": (0, (5, 2))}
_INK = {"Amdahl": "#b5402b", "Gustafson": "#b5402b", "USL": "#3a8a5f"}

_NARROW = 0.045
"""Of a bar: what is less has no number in it."""


def draw(result: ScalingResult, path: Path | None) -> Figure:
    """Return the picture, and write it to the file `path` if there is one."""
    figure = Figure(figsize=(10.5, 5.0))
    left = figure.add_axes((0.065, 0.235, 0.42, 0.565))
    right = figure.add_axes((0.565, 0.235, 0.30, 0.565))
    _speedups(left, result)
    _parts(right, result)
    _title(figure, result)
    if path is not None:
        save(figure, path)
    return figure


def _speedups(axes: Axes, result: ScalingResult) -> None:
    counts = sorted({point.threads for point in result.points})
    most, cores = counts[-1], result.environment.cores
    end = most + max(0.4, most / 8)
    highest = 1.12 * max([*result.speedups, min(cores, most), 1.2])
    line = np.linspace(1, end, 200)
    axes.plot(line, line, color="0.55", lw=1, ls=(0, (1, 2)), label="as many times as threads")
    if result.tasks is not None and not result.weak and result.tasks < min(most, highest):
        label = f"no more, with {result.tasks} tasks"
        axes.axhline(result.tasks, color="0.35", lw=1, ls="-.", label=label)
    for fit in result.fits():
        name = _LINES[type(fit).__name__]
        curve = [fit.speedup(count) for count in line]
        axes.plot(line, curve, color=_INK[name], ls=_DASHES[name], lw=1.6, label=name)
    if cores < most:
        axes.axvspan(cores + 0.12, end, color="0.93", zorder=0, lw=0)
        top = axes.get_xaxis_transform()
        axes.text(
            *(end, 0.02, "more threads than CPUs "), transform=top, fontsize=8, color="0.35",
            ha="right", va="bottom",
        )  # fmt: skip
    _measured(axes, result)
    axes.set(xlim=(1 - (end - 1) * 0.06, end), ylim=(0, highest))
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("threads")
    kind = "work a second" if result.weak else "speedup"
    axes.set_ylabel(f"{kind}, against one thread")
    axes.set_title("measured, and the laws that fit", loc="left", fontsize=10)
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.02, -0.15), ncols=2, fontsize=8.5, frameon=False
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", lw=0.6)
    axes.set_axisbelow(True)


def _measured(axes: Axes, result: ScalingResult) -> None:
    """Draw the points; those in no fit are hollow."""
    labels = {False: "measured, with 95 % interval", True: "the same, in no fit"}
    for number, point in enumerate(result.points):
        over, speedup = result.oversubscribed[number], result.speedups[number]
        low, high = result.speedup_intervals[number]
        reach = (
            [[0.0], [0.0]] if isnan(low) else [[max(speedup - low, 0)], [max(high - speedup, 0)]]
        )
        axes.errorbar(
            [point.threads], [speedup], yerr=reach, fmt="o", ms=6.5, capsize=4, lw=1.3,
            color="black", mfc="white" if over else "black", label=labels.pop(over, None), zorder=5,
        )  # fmt: skip
        axes.annotate(
            f"{speedup:.2f}×", (point.threads, speedup), xytext=(8, -11),
            textcoords="offset points", fontsize=8.5,
        )  # fmt: skip


def _parts(axes: Axes, result: ScalingResult) -> None:
    bars = result.attribution
    places = range(len(bars))
    below = [0.0] * len(bars)
    for name in PARTS:
        face, hatch = _LOOKS[name]
        heights = [bar.parts()[name] for bar in bars]
        axes.bar(
            places, heights, bottom=below, width=0.66, color=face, hatch=hatch, label=name,
            edgecolor="white" if name in ("work", "serial") else "0.25", linewidth=0.4,
        )  # fmt: skip
        for place, height, start in zip(places, heights, below, strict=True):
            if height >= _NARROW:
                dark = name in ("work", "serial")
                box = None if dark else {"facecolor": "white", "pad": 1.2, "lw": 0, "alpha": 0.85}
                axes.text(
                    place, start + height / 2, f"{100 * height:.0f}", ha="center", va="center",
                    fontsize=8.5, color="white" if dark else "black", bbox=box,
                )  # fmt: skip
        below = [start + height for start, height in zip(below, heights, strict=True)]
    axes.set(ylim=(0, 1), xlim=(-0.6, len(bars) - 0.4), xlabel="threads")
    over = result.oversubscribed
    axes.set_xticks(places, [f"{bar.threads}{'*' * over[i]}" for i, bar in enumerate(bars)])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel("of the time of all threads")
    axes.set_title("where the time went, in percent", loc="left", fontsize=10)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9,
        frameon=False, handleheight=1.6, handlelength=1.8,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _title(figure: Figure, result: ScalingResult) -> None:
    from threadwise.scaling.text import heading, setting  # noqa: PLC0415 - it reads the result

    environment = result.environment
    figure.text(0.012, 0.95, heading(result), fontsize=12.5, weight="bold", va="center")
    below = (
        f"{environment.machine}, {environment.cores:g} CPUs, {environment.date[:10]}; "
        f"{setting(result)}"
    )
    figure.text(0.012, 0.895, below, fontsize=8.5, va="center", color="0.25")
