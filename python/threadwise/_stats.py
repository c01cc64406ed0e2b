"""What was counted while threads shared work."""

from collections.abc import Iterator
from dataclasses import dataclass

from threadwise import _threadwise

__all__ = ["WorkStats", "WorkerStats", "reset_work_stats", "work_stats"]


@dataclass(frozen=True, kw_only=True)
class WorkerStats:
    """What one worker did, or all calling threads together."""

    name: str
    """The name of its thread, or ``"caller"``."""
    tasks_home: int
    """Pieces of work that it did of those that were given to it."""
    tasks_stolen: int
    """Pieces that it did of those that were given to another."""
    parts_taken: int
    """Parts that it took of pieces that another was at."""
    busy_seconds: float
    """How long it was at work."""
    idle_seconds: float
    """How long it was not, since it began or the last reset.

    0 for the caller: what a calling thread does outside of calls is its own.
    """


@dataclass(frozen=True, kw_only=True)
class WorkStats:
    """What `work_stats` found. Printed, it is a small table."""

    tasks_created: int
    """Pieces that work was cut into, in calls that threads shared."""
    run_at_home: int
    """Pieces done by the thread that they were given to."""
    stolen: int
    """Pieces done by another, which had nothing left to do itself."""
    parts_taken: int
    """Parts that a thread took of a piece which another was at, when no whole piece was left.

    Rows of large products: a piece counts for the thread that began it.
    """
    workers: tuple[WorkerStats, ...]
    """Who did them: first all calling threads together, then each worker."""

    @property
    def steal_ratio(self) -> float:
        """`stolen` by `tasks_created`; 0.0 where there were none."""
        return self.stolen / self.tasks_created if self.tasks_created else 0.0

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield (
            f"{self.tasks_created} tasks: {self.run_at_home} run at home, {self.stolen} stolen "
            f"({self.steal_ratio:.1%}), {self.parts_taken} parts taken"
        )
        width = max(len(worker.name) for worker in self.workers)
        yield f"{'':<{width}} {'home':>10} {'stolen':>10} {'parts':>10} {'busy':>12} {'idle':>12}"
        for worker in self.workers:
            yield (
                f"{worker.name:<{width}} {worker.tasks_home:>10} {worker.tasks_stolen:>10} "
                f"{worker.parts_taken:>10} "
                f"{worker.busy_seconds:>10.3f} s {worker.idle_seconds:>10.3f} s"
            )


def work_stats() -> WorkStats:
    """Say how the work of this process was shared among threads.

    Returns
    -------
    WorkStats
        Counted since the process began or the last `reset_work_stats`. Its fields are for programs;
        printed, it is a small table.

    See Also
    --------
    reset_work_stats

    Notes
    -----
    Only calls that threads share are counted; the plain loop has nothing to share. At rest
    `run_at_home` and `stolen` add up to `tasks_created`, but for calls that were stopped before
    their end. While calls are under way, each number is right for some moment in them.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.reset_work_stats()
    >>> tw.work_stats().steal_ratio
    0.0
    """
    rows = _threadwise.work_stats()
    return WorkStats(
        tasks_created=sum(created for _, created, *_ in rows),
        run_at_home=sum(home for _, _, home, *_ in rows),
        stolen=sum(stolen for _, _, _, stolen, *_ in rows),
        parts_taken=sum(taken for *_, taken, _, _ in rows),
        workers=tuple(
            WorkerStats(
                name=name,
                tasks_home=home,
                tasks_stolen=stolen,
                parts_taken=taken,
                busy_seconds=busy,
                idle_seconds=idle,
            )
            for name, _, home, stolen, taken, busy, idle in rows
        ),
    )


def reset_work_stats() -> None:
    """Count from now on, in `work_stats`.

    See Also
    --------
    work_stats

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.reset_work_stats()
    >>> tw.work_stats().tasks_created
    0
    """
    _threadwise.reset_work_stats()
