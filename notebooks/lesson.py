"""What the lessons share: sentences from measurements, fair timing, units, one look of plots."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
from cycler import cycler
from IPython.display import Markdown, display
from matplotlib.axes import Axes

__all__ = ["bars", "duration", "median_seconds", "quantity", "say", "style", "times"]

COLORS = ("#1f4e79", "#c9624c", "#3a8a5f", "#e8a33d", "#7fb2d6", "#6b6b6b")
"""Of lines and bars. Markers, dashes and hatches tell them apart where there is no color."""

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")

_LOOK: Any = {
    "figure.figsize": (7.2, 3.6),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLORS)
    + cycler(marker=["o", "s", "^", "D", "v", "P"])
    + cycler(linestyle=["-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1))]),
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "hatch.linewidth": 0.6,
}


def say(markdown: str) -> None:
    """Show a sentence, or several, as Markdown. Indentation of the source is taken away."""
    display(Markdown(inspect.cleandoc(markdown)))


def median_seconds(
    *functions: Callable[[], object], rounds: int = 5, at_least: float = 0.005, pause: float = 0.0
) -> list[float]:
    """Return how long a call of each function takes: the median of some rounds, in seconds.

    In each round every function has its turn, so that a machine that slows down for a while slows
    down all of them. Short calls are repeated until a turn takes `at_least` so many seconds, and
    begin with a call that is not timed. Before each turn there is a `pause` in seconds, in which
    threads that an earlier turn left spinning go to sleep.

    >>> [seconds] = median_seconds(lambda: time.sleep(0.001))
    >>> 0.001 <= seconds
    True
    """
    repeats = [max(1, math.ceil(at_least / max(_turn(call, 1), 1e-9))) for call in functions]
    turns: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for call, count, seconds in zip(functions, repeats, turns, strict=True):
            time.sleep(pause)
            if count > 1:
                call()
            seconds.append(_turn(call, count) / count)
    return [statistics.median(seconds) for seconds in turns]


def _turn(call: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    for _ in itertools.repeat(None, count):
        call()
    return time.perf_counter() - began


def quantity(value: float, unit: str) -> str:
    """Return a number to three digits, with the prefix of its unit that makes it short.

    >>> quantity(41.34e9, "FLOP/s"), quantity(0.00073, "s"), quantity(0.0, "B")
    ('41.3 GFLOP/s', '730 µs', '0 B')
    """
    if value == 0:
        return f"0 {unit}"
    exponent = min(max(math.floor(math.log10(abs(float(f"{value:.2e}"))) / 3), -3), 4)
    scaled = value / 1000.0**exponent
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{scaled:.2e}")))))
    prefix = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}[exponent]
    return f"{scaled:.{digits}f} {prefix}{unit}"


def duration(seconds: float) -> str:
    """Return seconds in the unit in which one reads them.

    >>> duration(2.5e-6), duration(12.0)
    ('2.50 µs', '12.0 s')
    """
    return quantity(seconds, "s")


def times(ratio: float) -> str:
    """Return a ratio to two or three digits.

    >>> times(0.874), times(0.00213), times(1.93), times(46.2), times(5139)
    ('0.87×', '0.0021×', '1.9×', '46×', '5,140×')
    """
    if ratio < 0.995:
        return f"{ratio:.2g}×"
    if ratio < 10:
        return f"{ratio:.1f}×"
    return f"{float(f'{ratio:.3g}'):,.0f}×"


@contextlib.contextmanager
def style() -> Iterator[None]:
    """In this block, figures have the look of the lessons, readable in grey."""
    with plt.rc_context(_LOOK):
        yield


def bars(axes: Axes, values: Mapping[str, float], text: Callable[[float], str], label: str) -> None:
    """Draw a bar from the left for each name, from top to bottom, with its value as `text` says it.

    The axis of values is called `label`, which names its unit.
    """
    places = range(len(values))
    drawn = axes.barh(
        places, list(values.values()), height=0.62, edgecolor="0.15", linewidth=0.7,
        color=[COLORS[i % len(COLORS)] for i in places],
        hatch=[HATCHES[i % len(HATCHES)] for i in places],
    )  # fmt: skip
    box = {"facecolor": "white", "pad": 1, "linewidth": 0}
    axes.bar_label(drawn, [text(value) for value in values.values()], padding=5, bbox=box)
    axes.set_yticks(places, list(values))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.16)
    axes.set_xlabel(label)
