"""Measurements in rounds, in which each number of threads has its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from threadwise import _threadwise
from threadwise._arguments import positive
from threadwise.errors import DomainError
from threadwise.scaling import memory
from threadwise.scaling.environment import Environment
from threadwise.scaling.others import Others
from threadwise.scaling.point import ScalingPoint, of_samples
from threadwise.scaling.pools import Pools
from threadwise.scaling.probe import probe, wake_seconds
from threadwise.scaling.result import ScalingResult
from threadwise.scaling.sample import Sample, take
from threadwise.scaling.workload import Workload

__all__ = ["benchmark"]

SHORT = 0.02
"""Seconds of a sample: calls that take less are made several times in a row."""

REST = 0.002
"""Seconds between samples, until nothing of this process is at work any more: threads of BLAS and
OpenMP libraries go on spinning for a while, which would count as CPU time of the next sample. Not
longer than that, for in a long rest CPUs and workers fall asleep, as they do in no program."""

MOST_RESTS = 100
"""After which whoever is still at work is there to stay."""

Progress = Callable[[int, int], object]


def benchmark(
    workload: Callable[..., object],
    threads: Sequence[int] = (1, 2, 4),
    *,
    repeats: int = 7,
    warmup: int = 1,
    weak: bool = False,
    serial: Callable[..., object] | None = None,
    tasks: int | None = None,
    progress: Progress | None = None,
) -> ScalingResult:
    """Measure how a callable of yours scales with threads.

    Parameters
    ----------
    workload : callable
        Called with nothing, or with those of two keyword arguments that it has parameters for.
        ``threads`` is how many threads it may use; calls of threadwise need not be told. ``size``
        is how many times as much work there is to do: with ``weak=True`` the number of threads,
        otherwise 1. What it returns is dropped.
    threads : sequence of int, default (1, 2, 4)
        Numbers of threads, from 1 to 1024. 1 is put in front if it is not among them. One may come
        twice: how far its two points are apart says how far to trust the others.
    repeats : int, default 7
        Rounds, at least 1. In each, every number of threads has one turn.
    warmup : int, default 1
        Rounds that do not count, at least 0. They also tell how many calls make a sample of 20 ms;
        without any, a sample is one call.
    weak : bool, default False
        Whether the work grows with the threads. Then `workload` must have a parameter ``size``.
    serial : callable, optional
        The same work, done without any threads, as one would write it who never thought of them. It
        is called as `workload` is, for one thread and size 1, and has its turn in every round.
    tasks : int, optional
        How many pieces `workload` has for threads to take, if that is fixed (five folds, say): more
        threads than these cannot help, and the result shows that bound. With ``weak=True`` it is
        the number at size 1.
    progress : callable, optional
        Called as ``progress(done, total)`` after each sample. What it raises ends the benchmark.

    Returns
    -------
    ScalingResult
        All samples, and what follows from them. Printed, it is a table.

    Raises
    ------
    DomainError
        If a number makes no sense; if `workload` cannot grow and should; or if it changes the
        number of threads, or shares work among threads while it may use one.
    DTypeError
        If a number is none, or `workload` needs other arguments.

    See Also
    --------
    amdahl_analysis, usl_analysis : for times that were measured elsewhere.

    Notes
    -----
    While a sample is taken, threadwise has exactly that number of threads, in the calling Python
    thread and in all others; so have the BLAS and OpenMP libraries that threadpoolctl finds, if it
    is installed. After each sample all are asked for their numbers, which the result keeps. A pool
    that the workload makes itself it must make of ``threads`` threads;
    `threadwise.parallel.ThreadExecutor` does so by default.

    Rounds are interleaved, and each begins with another number of threads, so that a machine whose
    speed drifts treats all alike. Only numbers above the CPUs have rounds of their own, after the
    others: what threads then lose by waiting makes calls careful for a while. Speedups are ratios
    of medians; their intervals are drawn from whole rounds. Before all that, one look at what else
    keeps the CPUs busy; after it, two probes of what the machine itself adds with each thread.

    Memory is read from the system in the first round, in the order of `threads`.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> a = np.ones((256, 256), np.float32)
    >>> result = tw.scaling.benchmark(lambda: tw.matmul(a, a), threads=(1, 2), repeats=3)
    >>> [point.pools["threadwise"] for point in result.points]
    [1, 2]
    >>> result.speedups[0]
    1.0
    """
    counts = [positive("threads", count, 1024) for count in threads]
    if not counts:
        raise DomainError("threads is empty, expected numbers from 1 to 1024")
    if 1 not in counts:
        counts.insert(0, 1)
    rounds = positive("repeats", repeats, 1 << 20)
    idle_rounds = 0 if warmup == 0 else positive("warmup", warmup, 1 << 20)
    pieces = None if tasks is None else positive("tasks", tasks, 1 << 62)
    work = Workload("workload", workload, grows=weak)
    plain = None if serial is None else Workload("serial", serial, grows=False)
    turns = [_Turn(count, work.call(count, count if weak else 1)) for count in counts]
    if plain is not None:
        turns.append(_Turn(1, plain.call(1, 1)))
    environment = Environment.now()
    run = _Run((idle_rounds + rounds) * len(turns), progress)
    others = Others()
    for crowd in (False, True):
        group = [turn for turn in turns if (turn.threads > environment.cores) is crowd]
        for _ in range(idle_rounds):
            run.round(group, 0)
        run.settle(group)
        for number in range(rounds):
            run.round(group, number)
    disturbed = others.cpus()
    points = [turn.point() for turn in turns]
    more = sorted({min(count, environment.whole_cores) for count in counts} - {1})
    return ScalingResult(
        workload=work.label,
        points=tuple(points[: len(counts)]),
        serial=points[-1] if plain is not None else None,
        weak=weak,
        tasks=pieces,
        calls=run.calls,
        warmup=idle_rounds,
        environment=environment,
        probes=probe(more),
        wake_seconds=wake_seconds(),
        other_cpus=disturbed,
    )


@dataclass
class _Turn:
    """A number of threads, and what was measured with it so far."""

    threads: int
    call: Callable[[], object]
    samples: list[Sample] = field(default_factory=list)
    pools: dict[str, int] = field(default_factory=dict)
    peak_bytes: int | None = None

    def point(self) -> ScalingPoint:
        return of_samples(self.threads, self.pools, self.samples, self.peak_bytes)


class _Run:
    """A benchmark under way."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.calls = 1
        self.is_settled = False
        self.pools = Pools()
        self.total = total
        self.done = 0
        self.progress = progress
        self.before = memory.resident()

    def round(self, turns: list[_Turn], first: int) -> None:
        """Give everybody a turn, beginning with that of this number."""
        for place in range(len(turns)):
            self.measure(turns[(first + place) % len(turns)])
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, self.total)
            _rest()

    def measure(self, turn: _Turn) -> None:
        """Take a sample; in the first round also of memory."""
        is_first = not turn.pools
        with self.pools.of(turn.threads):
            created = _created()
            if self.calls > 1:
                # After the rest CPUs are slow, and workers asleep, for about as long as it takes.
                take(turn.call, self.calls)
            watches = is_first and memory.begin_peak()
            sample = take(turn.call, self.calls)
            if watches:
                turn.peak_bytes = _above(memory.peak(), self.before)
            turn.pools = self.pools.sizes(turn.threads)
            if turn.threads == 1 and _created() > created:
                raise DomainError(
                    "the workload shared work among threads while it might use 1, expected it to "
                    "keep to that: leave out threads= in its calls, or pass on the parameter "
                    "threads"
                )
        turn.samples.append(sample)

    def settle(self, turns: list[_Turn]) -> None:
        """Forget the rounds so far; the first ones say how many calls make a sample."""
        times = [sample.wall for turn in turns for sample in turn.samples]
        if times and not self.is_settled:
            self.calls = max(1, min(1000, round(SHORT / max(min(times), 1e-9))))
        self.is_settled = True
        for turn in turns:
            turn.samples.clear()


def _rest() -> None:
    """Wait until no thread of this process is at work."""
    for _ in range(MOST_RESTS):
        before = time.process_time()
        time.sleep(REST)
        if time.process_time() - before < REST / 4:
            return


def _created() -> int:
    """Return how many pieces of shared work there were so far."""
    return sum(row[1] for row in _threadwise.work_stats())


def _above(peak: int | None, before: int | None) -> int | None:
    return None if peak is None or before is None else max(0, peak - before)
