"""Results of benchmarks that were never run."""

from collections.abc import Sequence
from typing import Any

from threadwise.scaling import Environment, Probe, ScalingPoint, ScalingResult

__all__ = ["environment", "point", "result"]

UNEVEN = (1.0, 0.99, 1.02, 1.0, 0.98, 1.01, 1.0)
"""What each round takes, as a part of the median."""


def environment(cpus: int = 8, **facts: Any) -> Environment:
    """Return a machine with so many CPUs."""
    given: dict[str, Any] = {
        "date": "2026-01-02T03:04:05+00:00",
        "machine": "A CPU <of> ours",
        "system": "Linux 6.1, x86_64",
        "cpus": cpus,
        "affinity": cpus,
        "quota": None,
        "isa": "avx512",
        "python": "3.11.7",
        "numpy": "2.4.6",
        "threadwise": "0.1.0",
        "busy_cpus": 0.01,
        "load": 0.2,
    }
    return Environment(**given | facts)


def point(threads: int, seconds: float, cpu: float | None = None, **facts: Any) -> ScalingPoint:
    """Return a point whose median is `seconds`, with `cpu` seconds of CPU time."""
    given: dict[str, Any] = {
        "pools": {"threadwise": threads},
        "wall": tuple(seconds * part for part in UNEVEN),
        "cpu": (threads * seconds if cpu is None else cpu,) * len(UNEVEN),
        "busy": (),
        "wakes": 0.0,
        "peak_bytes": 1_000_000 * threads,
    }
    return ScalingPoint(threads=threads, **given | facts)


def result(
    points: Sequence[ScalingPoint],
    *,
    cpus: int = 8,
    machine: Environment | None = None,
    **facts: Any,
) -> ScalingResult:
    """Return the result that these points make, on so many CPUs."""
    given: dict[str, Any] = {
        "workload": "lessons.work",
        "serial": None,
        "weak": False,
        "tasks": None,
        "calls": 3,
        "warmup": 1,
        "environment": machine or environment(cpus),
        "probes": tuple(
            Probe(threads=n, compute=1.02, memory=1 + 0.1 * n, bandwidth=1e10)
            for n in range(2, cpus + 1)
        ),
        "wake_seconds": 1e-5,
        "other_cpus": 0.0,
    }
    return ScalingResult(points=tuple(points), **given | facts)
