"""What to know before anything is concluded from a result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadwise.scaling.result import ScalingResult

__all__ = ["notes"]

BUSY = 0.2
"""CPUs that other work keeps busy from which on it disturbs."""

SPREAD = 0.1
"""Half the distance of quartiles, as a part of the median, from which on times are uneven."""

MORE = 1.2
"""CPUs at work for each thread from which on somebody else's threads must be among them."""


def notes(result: ScalingResult) -> tuple[str, ...]:
    """Return sentences, the most important first."""
    return tuple(_notes(result))


def _notes(result: ScalingResult) -> Iterator[str]:
    if result.other_cpus is not None and result.other_cpus > BUSY:
        yield f"others kept {result.other_cpus:.1f} CPUs busy meanwhile: times mean little"
    for point in result.points:
        if point.cpus > MORE * point.threads:
            yield (
                f"{_threads(point.threads)} kept {point.cpus:.1f} CPUs busy: other threads "
                "work, too, and speedups mean little"
            )
            break
    sizes = {
        f"{name} had {size} threads instead of {point.threads}"
        for point in result.points
        for name, size in point.pools.items()
        if size != point.threads
    }
    yield from sorted(sizes)
    uneven = [point for point in result.points if point.spread > SPREAD]
    if uneven:
        where = _threads(*(point.threads for point in uneven))
        yield (
            f"times vary by more than {SPREAD:.0%} at {where}: close other programs, or repeat more"
        )
    over = [p.threads for p, each in zip(result.points, result.oversubscribed, strict=True) if each]
    if over:
        where = ", ".join(map(str, over))
        cores = result.environment.cores
        cpus = "one CPU" if cores == 1 else f"{cores:g} CPUs"
        yield f"{where} threads: more than the {cpus}, so in no fit"
    if result.tasks is not None:
        few = [
            point.threads
            for point, cap in zip(result.points, result.caps, strict=True)
            if cap < point.threads
        ]
        if few:
            where = ", ".join(map(str, few))
            yield f"{result.tasks} tasks give at most {result.tasks} threads work, of {where}"
    better = [
        point.threads
        for point, speedup in zip(result.points, result.speedups, strict=True)
        if speedup > 1.05 * point.threads
    ]
    if better:
        where = ", ".join(map(str, better))
        yield (
            f"more is gained than the number of threads, at {where}: caches hold more "
            "together, or the time of one thread is too long"
        )


def _threads(*counts: int) -> str:
    return f"{', '.join(map(str, counts))} {'thread' if counts == (1,) else 'threads'}"
