"""Whether threads would make a loop faster, and why: measured, and said in a sentence."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from threadwise import _threadwise
from threadwise._arguments import positive
from threadwise._picture import check_drawing
from threadwise.errors import DomainError
from threadwise.parallel.cost import ROUNDS, Cost, nothing
from threadwise.parallel.executor import ThreadExecutor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Advice", "Checked", "advise"]

Strategy = Literal["serial", "threads", "processes", "vectorize"]

SLOW = 1e-6
"""Seconds of a call that Python itself may take: what a call does in less is hardly more."""

PROCESS = 150e-6
"""Seconds to hand a chunk to a process that runs, to and fro, beside what its bytes take."""

START = 0.1
"""Seconds until processes are there."""

HELD = 0.5
"""The share of its time with Python's lock from which a call is said to hold it."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What `advise` found. Printed, it is a few lines."""

    items: int
    """How many there are."""
    threads: int
    """For how many threads, or processes, the predictions are."""
    item_seconds: float
    """What a call takes on one thread."""
    dispatch_seconds: float
    """What it costs to hand a task to a thread that waits."""
    gil_share: float
    """The part of its time in which a call holds Python's lock, from 0 to 1."""
    slowdown: float
    """How much longer a call takes while another runs beside it that does not need the lock, at
    least 1: the rest is waiting for memory, or for CPUs that are busy."""
    is_memory_bound: bool
    """Whether calls that do not hold the lock disturb each other so much that memory must be what
    they wait for."""
    speedups: dict[Strategy, float]
    """Predicted, against the loop; "vectorize" is there if calls are so small that Python is most
    of their time."""
    best: Strategy
    """What is predicted to be fastest; the simplest of what is as good."""
    reason: str
    """Why, in a sentence."""
    function: Callable[[Any], Any] = field(repr=False, compare=False)
    """What was asked about."""
    sample: Sequence[Any] = field(repr=False, compare=False)
    """Items that were tried."""

    def __str__(self) -> str:
        share = f"{self.gil_share:.0%} of it with Python's lock"
        predicted = ", ".join(f"{name} {value:.2f}x" for name, value in self.speedups.items())
        return (
            f"{self.reason}\n"
            f"a call takes {_time(self.item_seconds)}, {share}; a task costs "
            f"{_time(self.dispatch_seconds)}\n"
            f"predicted for {self.items} items and {self.threads} threads: {predicted}"
        )

    def measure(self) -> Checked:
        """Run the sample in a loop and on threads, and say how far the prediction was off.

        Returns
        -------
        Checked
            The medians of three runs each, in turns.
        """
        sample = list(self.sample)
        enough = max(1, min(2000, int(0.05 / max(self.item_seconds * len(sample), 1e-9)) + 1))
        work = sample * enough
        serial, threaded = [], []
        size = max(1, len(work) // (4 * self.threads))
        with ThreadExecutor(self.threads, name="threadwise-advise") as executor:
            for task in [executor.submit(nothing) for _ in range(4 * self.threads)]:
                task.result()
            for _ in range(ROUNDS):
                begin = time.perf_counter()
                for item in work:
                    self.function(item)
                middle = time.perf_counter()
                chunks = [work[i : i + size] for i in range(0, len(work), size)]
                for task in [executor.submit(_loop, self.function, chunk) for chunk in chunks]:
                    task.result()
                serial.append(middle - begin)
                threaded.append(time.perf_counter() - middle)
        speedup = statistics.median(serial) / statistics.median(threaded)
        cost = Cost(self.item_seconds, self.gil_share, self.slowdown, 0.0)
        predicted = _threads(cost, len(work), self.threads)
        return Checked(speedup=speedup, predicted=predicted, error=predicted / speedup - 1)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the predicted speedups as bars, and the loop as a line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to. By default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        if ax is None:
            check_drawing()
            import matplotlib.pyplot as plt  # noqa: PLC0415 - optional, and slow to import

            _, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
        names = list(self.speedups)[::-1]
        values = [self.speedups[name] for name in names]
        colors = ["#1f4e79" if name == self.best else "#b8c4d0" for name in names]
        bars = ax.barh(names, values, color=colors)
        ax.bar_label(bars, labels=[f"{value:.2f}x" for value in values], padding=4)
        ax.axvline(1, color="black", linewidth=1)
        ax.set_xlim(0, max(*values, 1.0) * 1.15)
        ax.set_xlabel(f"predicted speedup over the loop, {self.threads} threads or processes")
        ax.spines[["top", "right"]].set_visible(False)
        return ax


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What became of a prediction."""

    speedup: float
    """Of threads, measured against the loop."""
    predicted: float
    """What was predicted for as many items."""
    error: float
    """How far it was off: 0.1 means that it promised a tenth too much."""

    def __str__(self) -> str:
        return f"threads {self.speedup:.2f}x, predicted {self.predicted:.2f}x ({self.error:+.0%})"


def advise(fn: Callable[[Any], Any], items: Iterable[Any], *, threads: int | None = None) -> Advice:
    """Say whether threads, processes or neither would make ``[fn(x) for x in items]`` faster.

    Parameters
    ----------
    fn : callable
        Called with some of the items, each several times, also on two threads at once.
    items : iterable
        At least one. A generator is used up: what is beyond its first 64 items is counted.
    threads : int, optional
        For how many to predict, from 1 to 1024. By default what `threadwise.get_num_threads` says.

    Returns
    -------
    Advice
        What was measured, the predictions, and the advice in a sentence.

    Raises
    ------
    DomainError
        If there are no items, or `threads` is out of range.

    See Also
    --------
    map : does what is faster.

    Notes
    -----
    Takes about a quarter of a second, and longer where one call takes longer than 20 ms. Measured
    are, as medians of three: a call alone; handing a task to a thread; how much of the lock a call
    leaves to a thread that wants nothing else, which tells how long it holds it; and a call beside
    another one. Threads are predicted as customers who wait for one server, the lock, by mean value
    analysis [1]_, with the slowdown beside each other, less the dispatch; processes, which share no
    lock, by their number, less the cost of starting them and of handing chunks over. Sending large
    items or results costs more than that, which is not predicted.

    References
    ----------
    .. [1] M. Reiser, S. S. Lavenberg, *Mean-Value Analysis of Closed Multichain Queuing Networks*,
       Journal of the ACM 27(2), 1980.

    Examples
    --------
    >>> import threadwise as tw
    >>> advice = tw.parallel.advise(lambda x: x + 1, range(1000))
    >>> advice.best
    'vectorize'
    """
    most = _threadwise.get_num_threads() if threads is None else positive("threads", threads, 1024)
    supply = iter(items)
    sample = list(itertools.islice(supply, 64))
    if not sample:
        raise DomainError("items is empty, expected at least one")
    count = len(sample) + sum(1 for _ in supply)
    cost = Cost.measure(fn, sample, most)
    speedups: dict[Strategy, float] = {
        "serial": 1.0,
        "threads": _threads(cost, count, most),
        "processes": _processes(cost, count, most),
    }
    if cost.item < SLOW:
        speedups["vectorize"] = cost.item / (SLOW / 50)
    best = _best(speedups)
    advice = Advice(
        items=count,
        threads=most,
        item_seconds=cost.item,
        dispatch_seconds=cost.dispatch,
        gil_share=cost.held,
        slowdown=cost.slowdown,
        is_memory_bound=cost.slowdown > 1.5 and cost.held < HELD,
        speedups=speedups,
        best=best,
        reason="",
        function=fn,
        sample=sample,
    )
    return replace(advice, reason=f"{best}: {_REASONS[best](advice)}")


def _loop(fn: Callable[[Any], Any], items: list[Any]) -> None:
    for item in items:
        fn(item)


def _threads(cost: Cost, count: int, threads: int) -> float:
    at_once = min(threads, count)
    if at_once == 1:
        return 1.0
    free, held = cost.item * (1 - cost.held) * cost.slowdown, cost.item * cost.held
    waiting, rate = 0.0, 1 / cost.item
    for queue in range(1, at_once + 1):
        with_lock = held * (1 + waiting)
        rate = queue / (with_lock + free)
        waiting = rate * with_lock
    rounds = -(-count // at_once) * at_once  # the last round may leave some without work
    return cost.item * count / (rounds / rate + cost.dispatch)


def _processes(cost: Cost, count: int, processes: int) -> float:
    at_once = min(processes, count)
    rounds = -(-count // at_once) * at_once
    work = cost.item * rounds * (cost.slowdown if at_once > 1 else 1) / at_once
    return cost.item * count / (work + START + PROCESS * min(count, 4 * processes))


def _best(speedups: dict[Strategy, float]) -> Strategy:
    """Return the fastest, or the simplest of those that are as good."""
    most = max(speedups.values())
    if "vectorize" in speedups:
        return "vectorize"
    if most < 1.1:
        return "serial"
    return next(name for name in ("serial", "threads", "processes") if speedups[name] > 0.9 * most)


def _why_vectorize(advice: Advice) -> str:
    return (
        f"a call takes {_time(advice.item_seconds)}, most of which is Python's own; one NumPy call "
        "for all items has no such cost, and no thread takes it away"
    )


def _why_threads(advice: Advice) -> str:
    count, threads = advice.items, advice.threads
    cap = f", which {count} items cap at {count}" if count < threads else ""
    return (
        f"calls leave Python's lock free for {1 - advice.gil_share:.0%} of their time, so that "
        f"{threads} threads are {advice.speedups['threads']:.1f}x as fast as the loop{cap}"
    )


def _why_processes(advice: Advice) -> str:
    return (
        f"calls hold Python's lock for {advice.gil_share:.0%} of their time, so that threads take "
        f"turns; processes do not, and are {advice.speedups['processes']:.1f}x as fast as the loop"
    )


def _why_serial(advice: Advice) -> str:
    all_of_it = advice.item_seconds * advice.items
    if advice.threads == 1:
        return "there is one CPU to use"
    if all_of_it < max(10 * advice.dispatch_seconds, 1e-3):
        cost = f"the {_time(advice.dispatch_seconds)} that a task costs"
        return f"all of it takes {_time(all_of_it)}, which is too little for {cost}"
    if advice.is_memory_bound:
        return "calls beside each other wait for memory, which one thread already keeps busy"
    if advice.gil_share >= HELD:
        return (
            f"calls hold Python's lock for {advice.gil_share:.0%} of their time, so that threads "
            f"take turns, and {_time(all_of_it)} of work does not pay for starting processes"
        )
    return "neither threads nor processes are predicted to gain a tenth"


_REASONS: dict[Strategy, Callable[[Advice], str]] = {
    "serial": _why_serial,
    "threads": _why_threads,
    "processes": _why_processes,
    "vectorize": _why_vectorize,
}


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
