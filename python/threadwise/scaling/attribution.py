"""Where the time of threads goes that are not faster by their number."""

from __future__ import annotations

from dataclasses import dataclass

from threadwise.scaling.point import ScalingPoint
from threadwise.scaling.probe import Probe

__all__ = ["PARTS", "Attribution", "attribute"]

PARTS = ("work", "serial", "imbalance", "dispatch", "memory", "cores")
"""What the time of all threads consists of, in the order in which it is shown."""


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Where the time of n threads went: parts of n times the run's, which add up to 1."""

    threads: int
    """n."""
    work: float
    """What one thread takes for the same: the efficiency, at most 1."""
    serial: float
    """Waiting for what is done by one thread, or by some of them: a serial part, a lock, a disk.
    Idle time that nothing else explains."""
    imbalance: float
    """Waiting for a thread that has more to do, or has it later."""
    dispatch: float
    """Handing work out: waking threads, looking for work, and CPU time that nothing else
    explains."""
    memory: float
    """Work that takes longer because others use memory and caches too, as far as a copy of memory
    takes longer."""
    cores: float
    """Work that takes longer because others use the same cores, or that waits for one: as far as
    plain computing takes longer, and threads beyond the CPUs that others leave."""
    is_imbalance_known: bool
    """Whether it was measured or follows from the number of tasks; otherwise it is in `serial`."""

    @property
    def loss(self) -> float:
        """All but the work."""
        return 1 - self.work

    def parts(self) -> dict[str, float]:
        """Return the parts by name; they add up to 1."""
        return {name: float(getattr(self, name)) for name in PARTS}


def attribute(
    point: ScalingPoint,
    one: ScalingPoint,
    *,
    size: int,
    cores: float,
    others: float,
    tasks: int | None,
    probe: Probe | None,
    wake_seconds: float,
) -> Attribution:
    """Attribute what a point lost against the point of one thread.

    Parameters
    ----------
    point, one : ScalingPoint
    size : int
        How many times the work of `one` the point had.
    cores : float
        How many threads could run at a time.
    others : float
        How many of these others kept busy.
    tasks : int or None
        How many pieces the work had, if somebody said so.
    probe : Probe or None
        Of that number of threads, or of as many as there are cores.
    wake_seconds : float
        What it takes until a thread that sleeps runs.

    Notes
    -----
    All in seconds of threads. n threads have n·T to spend, and spend W·T₁ on the work. The rest
    was either idle or CPU time beyond that of one thread, which is an identity:

        n·T - W·T₁  =  [(n·T - C) - W·(T₁ - C₁)]  +  [C - W·C₁]

    Both are handed out in turn to what was measured, each part at most as much as it can explain
    and as is left; the last to be asked gets the rest. Idle time: CPUs that are not there,
    imbalance, waking; the rest is serial. CPU time: looking for work, which is what was not spent
    on pieces and took no time; then cores and memory, as far as the probes were slower; the rest
    is dispatch.
    """
    threads, whole = point.threads, point.threads * point.seconds
    work = size * one.seconds
    lost = max(0.0, whole - work)
    waiting = whole - point.cpu_seconds - size * (one.seconds - one.cpu_seconds)
    idle = _Rest(min(max(waiting, 0.0), lost))
    extra = _Rest(lost - idle.left)
    compute = size * one.cpu_seconds

    # Threads lack a CPU while all CPUs are at work; those that sleep lack none.
    free = max(cores - others, 1e-9)
    at_work = min(1.0, point.cpu_seconds / (free * point.seconds))
    lacking = idle.take(max(0.0, threads - free) * point.seconds * at_work)
    uneven = _uneven(point, tasks, size, work)
    imbalance = idle.take(uneven or 0.0)
    dispatch = idle.take((point.wakes or 0.0) * wake_seconds)
    if uneven is not None:
        # Who finds no more work looks for some before going to sleep.
        imbalance += extra.take(uneven - imbalance)
    dispatch += extra.take(_searching(point) - max(0.0, (uneven or 0.0)))
    sharing = extra.take(compute * (probe.compute - 1)) if probe else 0.0
    memory = extra.take(compute * (probe.memory - 1)) if probe else 0.0
    parts = {
        "serial": idle.left,
        "imbalance": imbalance,
        "dispatch": dispatch + extra.left,
        "memory": memory,
        "cores": lacking + sharing,
    }
    shares = {name: part / whole for name, part in parts.items()}
    return Attribution(
        threads=threads,
        work=1 - sum(shares.values()),
        is_imbalance_known=uneven is not None,
        **shares,
    )


class _Rest:
    """Seconds that are handed out until none are left."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def take(self, most: float) -> float:
        taken = min(max(most, 0.0), self.left)
        self.left -= taken
        return taken


def _uneven(point: ScalingPoint, tasks: int | None, size: int, work: float) -> float | None:
    """Return how long threads waited for the one with most to do, if that is known.

    From the counters of shared work; where there are none, from tasks that all are alike.
    """
    if point.busy:
        longest = min(max(point.busy), point.seconds)
        return max(0.0, point.threads * longest - sum(point.busy))
    if tasks is not None:
        each, rounds = work / (size * tasks), -(-size * tasks // point.threads)
        return (point.threads * rounds - size * tasks) * each
    return None


def _searching(point: ScalingPoint) -> float:
    """Return CPU time outside of pieces that the time outside of pieces cannot hold."""
    if not point.busy:
        return 0.0
    outside = point.seconds - min(max(point.busy), point.seconds)
    return max(0.0, point.cpu_seconds - sum(point.busy) - outside)
