"""The picture of a report: a column a layer, a row a kind of tensor; bits, and error as shade."""

import re
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from threadwise._picture import save
from threadwise.errors import DomainError
from threadwise.quant.report import QuantReport, TensorReport

__all__ = ["draw"]

_CELL, _ROW, _BAR, _TOP, _BOTTOM, _RIGHT, _LETTER = 0.46, 0.42, 1.1, 1.2, 0.55, 0.95, 0.075
"""Inches: width and height of a cell; height of the bars; margins; width of a letter of a name."""
# Light to dark in one color: the order stays the same in grey.
_COLORS = mpl.colormaps["Blues"]


def draw(report: QuantReport, path: Path | None) -> Figure:
    """Return the picture of `report`, and write it to the file `path` if there is one."""
    if not report.tensors:
        raise DomainError("there is no picture of a report without tensors")
    figure = _figure(report)
    if path is not None:
        save(figure, path)
    return figure


def _place(tensor: TensorReport) -> tuple[str, int | None]:
    """Return row and column of a tensor: its name without its first number, and that number."""
    name = tensor.name.removesuffix(".weight")
    found = re.search(r"(?<![^.])\d+(?![^.])", name)
    if found is None:
        return name, None
    return f"{name[: found.start()]}*{name[found.end() :]}", int(found[0])


def _figure(report: QuantReport) -> Figure:
    places = {_place(tensor): tensor for tensor in report.tensors}
    rows = list(dict.fromkeys(row for row, _ in places))
    numbers = sorted({column for _, column in places if column is not None})
    # What is in no layer stands after them.
    columns = [*numbers, *([None] if any(column is None for _, column in places) else [])]
    names = _short(rows)
    left = 0.35 + _LETTER * max(len(name) for name in names)
    width = max(left + _CELL * len(columns) + _RIGHT, 6.2)
    cells = (width - left - _RIGHT) / len(columns)
    height = _TOP + _ROW * len(rows) + 0.2 + _BAR + _BOTTOM
    figure = Figure(figsize=(width, height))

    def axes(bottom: float, tall: float) -> Axes:
        box = (left / width, bottom / height, cells * len(columns) / width, tall / height)
        return figure.add_axes(box, xlim=(0, len(columns)))

    errors = axes(_BOTTOM + _BAR + 0.2, _ROW * len(rows))
    shade = _Shade.of(report)
    for (row, column), tensor in places.items():
        _cell(errors, columns.index(column), rows.index(row), tensor, shade)
    errors.set(ylim=(len(rows), 0), xticks=[], yticks=[i + 0.5 for i in range(len(rows))])
    errors.set_yticklabels(names, fontsize=9)
    errors.tick_params(length=0)
    errors.set_frame_on(False)
    _scale(figure, errors, shade, width)
    by_layer = [[t for (_, c), t in places.items() if c == column] for column in columns]
    _bars(axes(_BOTTOM, _BAR), by_layer, columns)
    _title(figure, report)
    return figure


def _short(rows: list[str]) -> list[str]:
    """Return names without the beginning up to the number, where all that have one agree on it."""
    heads = {row.partition("*.")[0] for row in rows if "*." in row}
    return [row.partition("*.")[2] or row for row in rows] if len(heads) == 1 else rows


@dataclass(frozen=True)
class _Shade:
    """Which color an error has: from light to dark in proportion to its logarithm."""

    low: float
    high: float

    @classmethod
    def of(cls, report: QuantReport) -> "_Shade":
        seen = [
            tensor.relative_error for tensor in report.tensors if 0 < tensor.relative_error < 10
        ]
        low, high = min(seen, default=1e-3), max(seen, default=1e-2)
        # At least a factor of two from end to end, so that small differences look small.
        middle = (low * high) ** 0.5
        return cls(min(low, middle / 2**0.5), max(high, middle * 2**0.5))

    def at(self, part: float) -> float:
        """Return the error whose color is `part` of the way from light to dark."""
        return float(self.low * (self.high / self.low) ** part)

    def color(self, error: float) -> tuple[float, float, float, float]:
        inside = min(max(error, self.low), self.high)
        return _COLORS(0.05 + 0.8 * log(inside / self.low) / log(self.high / self.low))


def _cell(axes: Axes, x: int, y: int, tensor: TensorReport, shade: _Shade) -> None:
    face = shade.color(tensor.relative_error)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor="white", lw=1.2))
    bits = f"{tensor.asked_bits}→{tensor.bits}" if tensor.fell_back else f"{tensor.bits}"
    bright = 0.299 * face[0] + 0.587 * face[1] + 0.114 * face[2]
    ink = "white" if bright < 0.55 else "black"
    middle: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
    weight = "bold" if tensor.fell_back else "normal"
    axes.text(x + 0.5, y + 0.34, bits, fontsize=9, weight=weight, **middle)
    error = 100 * tensor.relative_error
    digits = 0 if error >= 9.95 else 1 if error >= 0.95 else 2
    axes.text(x + 0.5, y + 0.72, f"{error:.{digits}f}%", fontsize=6.5, **middle)


def _scale(figure: Figure, beside: Axes, shade: _Shade, width: float) -> None:
    box = beside.get_position()
    axes = figure.add_axes((box.x1 + 0.12 / width, box.y0, 0.14 / width, box.height))
    for a, b in pairwise(shade.at(i / 64) for i in range(65)):
        face = shade.color((a * b) ** 0.5)
        axes.add_patch(Rectangle((0, a), 1, b - a, facecolor=face, lw=0))
    axes.set(xlim=(0, 1), yscale="log", ylim=(shade.low, shade.high), xticks=[])
    axes.yaxis.tick_right()
    marks = [shade.at(i / 3) for i in range(4)]
    axes.set_yticks(marks, [f"{mark:.2%}" for mark in marks], fontsize=8)
    axes.set_yticks([], minor=True)
    for side in axes.spines.values():
        side.set_linewidth(0.5)


def _bars(axes: Axes, layers: list[list[TensorReport]], columns: list[int | None]) -> None:
    heights = [
        8 * sum(t.bytes_after for t in layer) / max(sum(t.weights for t in layer), 1)
        for layer in layers
    ]
    middles = [i + 0.5 for i in range(len(layers))]
    axes.bar(middles, heights, width=0.72, color="0.45")
    for x, tall in zip(middles, heights, strict=True):
        axes.text(x, tall, f"{tall:.2f}", ha="center", va="bottom", fontsize=8)
    axes.set(ylim=(0, max(heights) * 1.3), xlabel="layer")
    axes.set_xticks(middles, ["none" if c is None else str(c) for c in columns], fontsize=9)
    axes.set_ylabel("bits a weight", fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _title(figure: Figure, report: QuantReport) -> None:
    height = figure.get_figheight()
    figure.text(
        *(0.02, 1 - 0.3 / height, f"{Path(report.source).name}, quantized"),
        fontsize=13,
        weight="bold",
    )
    config = report.config
    group = "rows" if config.group_size == -1 else f"groups of {config.group_size}"
    lines = [
        f"{config.bits} bits, {group}, {config.method}: {report.weights / 1e6:.2f} million weights",
        f"{report.bits_per_weight:.2f} bits a weight, mean cosine {report.mean_cosine:.5f}",
        "In each cell: bits of a code; relative error √(Σ(w-v)² / Σw²), also as shade",
    ]
    top = 1 - 0.4 / height
    figure.text(0.02, top, "\n".join(lines), fontsize=9, va="top", linespacing=1.4)
