"""What was measured at one number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, quantiles

from threadwise.scaling.sample import Sample

__all__ = ["ScalingPoint", "of_samples"]


@dataclass(frozen=True, kw_only=True)
class ScalingPoint:
    """What was measured at one number of threads. Times are seconds a call."""

    threads: int
    """How many a call might use."""
    pools: dict[str, int]
    """How many threads each library had meanwhile, by its name, as they were asked after each
    sample: ``{"threadwise": 2, "openblas": 2}``."""
    wall: tuple[float, ...]
    """Seconds that passed, one number a round."""
    cpu: tuple[float, ...]
    """Seconds that CPUs worked for this process, one number a round."""
    busy: tuple[float, ...]
    """Seconds that threads were at pieces of shared work, as `threadwise.work_stats` counts them,
    in the mean of the rounds: of the caller first, and of each worker that had some. Empty if no
    call was shared."""
    wakes: float | None
    """How often threads went to sleep, in the mean; None where the system does not say."""
    peak_bytes: int | None
    """Memory of the process at its highest in the first run, beyond what it had before all of them;
    None where the system does not say."""

    @property
    def seconds(self) -> float:
        """The median of `wall`."""
        return median(self.wall)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Those of `wall`: half of the rounds are between them."""
        return _quartiles(self.wall)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a part of the median."""
        low, high = self.quartiles
        return (high - low) / 2 / self.seconds

    @property
    def cpu_seconds(self) -> float:
        """The median of `cpu`."""
        return median(self.cpu)

    @property
    def cpus(self) -> float:
        """How many CPUs were at work, in the mean of a call: CPU time by time."""
        return self.cpu_seconds / self.seconds


def of_samples(
    threads: int, pools: dict[str, int], samples: Sequence[Sample], peak_bytes: int | None
) -> ScalingPoint:
    """Return the point that these samples make."""
    most = max(len(sample.busy) for sample in samples)
    # The busiest worker of one round need not be that of the next; what counts is how uneven it is.
    shares = [
        (
            *sample.busy[:1],
            *sorted(sample.busy[1:], reverse=True),
            *[0.0] * (most - len(sample.busy)),
        )
        for sample in samples
    ]
    wakes = [sample.wakes for sample in samples if sample.wakes is not None]
    return ScalingPoint(
        threads=threads,
        pools=pools,
        wall=tuple(sample.wall for sample in samples),
        cpu=tuple(sample.cpu for sample in samples),
        busy=tuple(fmean(column) for column in zip(*shares, strict=True)),
        wakes=fmean(wakes) if wakes else None,
        peak_bytes=peak_bytes,
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) == 1:
        return (values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return (low, high)
