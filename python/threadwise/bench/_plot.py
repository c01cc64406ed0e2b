"""The heat map of a record: a row a shape, a column a dtype and peer."""

import io
from collections.abc import Sequence
from math import log2
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from threadwise.bench._grid import GRID
from threadwise.bench._record import Entry, libraries
from threadwise.bench._report import LOSS, NAMES

__all__ = ["draw", "heat_map"]

_SHORT = {"float32": "f32", "float64": "f64", "bfloat16": "bf16", "float16": "f16", "int8": "int8"}
_SPAN = 3.0
"""Powers of two on both sides of 1 that colors tell apart: from 1/8 to 8."""
# Orange to purple: told apart without red and green, and pale around 1 in grey too.
_COLORS = "PuOr"
_ROW, _COLUMN, _NAMES, _TOP, _BOTTOM, _LEAST = 0.2, 0.62, 2.75, 2.2, 0.2, 7.0
"""Inches: of a cell, of the names on its left, of what is above and below, the least width."""


def draw(entries: Sequence[Entry], path: Path) -> None:
    """Draw the heat map of `entries` into the file `path`, of the kind that its ending says.

    Raises
    ------
    ValueError
        If there is nothing to compare in them, or matplotlib does not know the ending.
    """
    figure = heat_map(entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".png":
        figure.savefig(path)
        return
    with io.BytesIO() as drawn:
        figure.savefig(drawn, format="png", dpi=98)
        # A palette says all that cells and letters have, in a quarter of the bytes.
        Image.open(drawn).convert("RGB").quantize(256).save(path, optimize=True)


def heat_map(entries: Sequence[Entry]) -> Figure:
    """Return the heat map of `entries`; `ValueError` if there is nothing to compare in them."""
    found = libraries(entries)
    times = {(entry.dtype, entry.name, entry.library): entry.median for entry in entries}
    peers = [library for library in found if library != "threadwise"]
    dtypes = list(dict.fromkeys(entry.dtype for entry in entries))
    columns = [(dtype, peer) for dtype in dtypes for peer in peers]
    order = [*GRID, "others"]
    shapes = sorted(
        dict.fromkeys((entry.group, entry.name) for entry in entries),
        key=lambda shape: order.index(shape[0]) if shape[0] in order else len(order),
    )
    if "threadwise" not in found or not columns:
        message = "a picture compares threadwise with others, and the record has only one of them"
        raise ValueError(message)
    groups = {group for group, _ in shapes}
    figure, axes = _sheet(len(shapes) + len(groups), len(columns))
    y, last = 0.0, ""
    for group, name in shapes:
        if group != last:
            axes.text(-0.12, y + 0.78, group, weight="bold", ha="right", va="bottom", fontsize=9)
            y, last = y + 1, group
        axes.text(-0.12, y + 0.5, name.replace(" x ", "×"), ha="right", va="center", fontsize=8)
        for x, (dtype, peer) in enumerate(columns):
            ours, theirs = times.get((dtype, name, "threadwise")), times.get((dtype, name, peer))
            _cell(axes, x, y, theirs / ours if ours and theirs else None)
        y += 1
    _heads(axes, columns, y)
    _title(figure, found)
    return figure


def _sheet(rows: int, columns: int) -> tuple[Figure, Axes]:
    height, width = rows * _ROW, columns * _COLUMN
    figure = Figure(figsize=(max(_NAMES + width + 0.3, _LEAST), _BOTTOM + height + _TOP))
    return figure, _place(figure, _NAMES, _BOTTOM, columns, rows)


def _place(figure: Figure, left: float, bottom: float, columns: int, rows: int) -> Axes:
    """Return axes whose unit is a cell, `left` and `bottom` inches from the corner."""
    width, height = figure.get_size_inches()
    box = (left / width, bottom / height, columns * _COLUMN / width, rows * _ROW / height)
    axes = figure.add_axes(box)
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.axis("off")
    return axes


def _cell(axes: Axes, x: int, y: float, ratio: float | None) -> None:
    if ratio is None:
        axes.text(x + 0.5, y + 0.5, "–", ha="center", va="center", fontsize=8, color="0.5")
        return
    # In steps, so that all colors have a place in the palette of a file.
    place = Normalize(-_SPAN, _SPAN, clip=True)(round(log2(ratio) * 5) / 5)
    face = mpl.colormaps[_COLORS](0.08 + 0.84 * place)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor="white", linewidth=1))
    lost = ratio < LOSS
    if lost:
        box = Rectangle((x + 0.04, y + 0.08), 0.92, 0.84, fill=False, edgecolor="black", lw=1.3)
        axes.add_patch(box)
    text = f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}" if ratio < 99.95 else f"{ratio:.0f}"
    bright = 0.299 * face[0] + 0.587 * face[1] + 0.114 * face[2]
    axes.text(
        *(x + 0.5, y + 0.53, text + (" ▼" if lost else "")),
        ha="center",
        va="center",
        fontsize=8,
        color="white" if bright < 0.5 else "black",
        weight="bold" if lost else "normal",
    )


def _heads(axes: Axes, columns: Sequence[tuple[str, str]], bottom: float) -> None:
    peers = len({peer for _, peer in columns})
    for x, (dtype, peer) in enumerate(columns):
        axes.text(x + 0.5, -0.15, NAMES.get(peer, peer), ha="center", va="bottom", fontsize=8)
        if x % peers == 0:
            name = _SHORT.get(dtype, dtype)
            axes.text(
                x + peers / 2, -1.15, name, ha="center", va="bottom", fontsize=10, weight="bold"
            )
        if x % peers == 0 and x:
            axes.plot([x, x], [-1.9, bottom], color="black", lw=0.8, clip_on=False)


def _title(figure: Figure, found: dict[str, Entry]) -> None:
    ours = found["threadwise"]
    versions = ", ".join(
        f"{NAMES.get(name, name)} {entry.version} ({entry.threads or '?'} threads)"
        for name, entry in found.items()
    )
    lines = [
        f"{ours.machine}, {ours.cores} CPUs, {ours.date}",
        versions,
        "Time of the other library / time of threadwise. Above 1 (purple): threadwise is faster.",
        f"Below {LOSS}, in a frame with ▼ (orange): threadwise is slower. A dash: not timed.",
    ]
    height = figure.get_figheight()
    figure.text(0.02, 1 - 0.28 / height, "Products of matrices", fontsize=13, weight="bold")
    top = 1 - 0.38 / height
    figure.text(0.02, top, "\n".join(lines), fontsize=8, va="top", linespacing=1.4)
    key = (1 / 8, 1 / 4, 1 / 2, 0.8, 1.0, 1.25, 2.0, 4.0, 8.0)
    axes = _place(figure, 0.02 * figure.get_figwidth(), height - 1.35, len(key), 1)
    for x, ratio in enumerate(key):
        _cell(axes, x, 0, ratio)
