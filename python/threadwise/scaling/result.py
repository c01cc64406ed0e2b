"""All that a benchmark measured, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from threadwise import _file, _notebook
from threadwise._picture import check_drawing
from threadwise.errors import DomainError
from threadwise.scaling.amdahl import AmdahlFit, fit_amdahl
from threadwise.scaling.attribution import Attribution, attribute
from threadwise.scaling.document import fields_of, json_of
from threadwise.scaling.environment import Environment
from threadwise.scaling.gustafson import GustafsonFit, fit_gustafson
from threadwise.scaling.observations import Interval, Observations, interval
from threadwise.scaling.point import ScalingPoint
from threadwise.scaling.probe import Probe
from threadwise.scaling.serial_fraction import implied
from threadwise.scaling.usl import USLFit, fit_usl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ScalingResult"]

T = TypeVar("T", AmdahlFit, GustafsonFit, USLFit)


@dataclass(frozen=True, kw_only=True)
class ScalingResult:
    """What `benchmark` measured. Printed, it is a table.

    Where there is a number for each point, it stands in the order of `points`.

    Examples
    --------
    A result that was kept as JSON comes back whole::

        result = ScalingResult.from_json("scaling.json")
        print(result)
        result.plot("scaling.png")
    """

    workload: str
    """The name of what was measured."""
    points: tuple[ScalingPoint, ...]
    """A point for each number of threads, in the order that was asked for."""
    serial: ScalingPoint | None
    """The same work without any threads, if there was such a baseline."""
    weak: bool
    """Whether the work grew with the threads. Then a speedup is of work a second."""
    tasks: int | None
    """How many pieces the work has, if that was said."""
    calls: int
    """How many calls in a row are a sample."""
    warmup: int
    """Rounds that do not count."""
    environment: Environment
    """Where it was measured."""
    probes: tuple[Probe, ...]
    """What the machine adds with each thread."""
    wake_seconds: float
    """How long it takes until a thread that sleeps runs."""
    other_cpus: float | None
    """CPUs that others kept busy, in the mean, from the first sample to the last: processes, those
    that the workload started among them, and other virtual machines. None where the system does not
    say."""

    @property
    def one(self) -> ScalingPoint:
        """The point of one thread, against which all are compared: the first, if there are more."""
        return next(point for point in self.points if point.threads == 1)

    @property
    def speedups(self) -> tuple[float, ...]:
        """Median time of one thread by that of each point, times the work that grew."""
        return tuple(self._size(point) * self.one.seconds / point.seconds for point in self.points)

    @property
    def speedup_intervals(self) -> tuple[Interval, ...]:
        """Where each speedup is with 95 % confidence, from rounds drawn with replacement.

        Not a number for one round, of which nothing follows; 1 for the point that others are
        compared with.
        """
        return tuple(self._interval(point) for point in self.points)

    @property
    def efficiencies(self) -> tuple[float, ...]:
        """Speedup by number of threads."""
        return tuple(
            speedup / point.threads
            for speedup, point in zip(self.speedups, self.points, strict=True)
        )

    @property
    def serial_speedups(self) -> tuple[float, ...] | None:
        """Median time of the plain serial baseline by that of each point; None without one."""
        if self.serial is None:
            return None
        plain = self.serial.seconds
        return tuple(self._size(point) * plain / point.seconds for point in self.points)

    @property
    def caps(self) -> tuple[int, ...]:
        """What no speedup can exceed: the number of threads, or of tasks if there are fewer."""
        return tuple(
            min(point.threads, self.tasks * self._size(point) if self.tasks else point.threads)
            for point in self.points
        )

    @property
    def oversubscribed(self) -> tuple[bool, ...]:
        """Whether a point has more threads than could run at a time."""
        return tuple(point.threads > self.environment.cores for point in self.points)

    @property
    def serial_fractions(self) -> tuple[float, ...]:
        """The serial fraction that each speedup implies (`karp_flatt`)."""
        return tuple(
            implied(point.threads, speedup)
            for point, speedup in zip(self.points, self.speedups, strict=True)
        )

    @property
    def attribution(self) -> tuple[Attribution, ...]:
        """Where the time of the threads went at each point.

        Measured are the time and the CPU time, from which follows how long threads were idle, and
        how much more CPU time they needed than one thread. Both are handed out to causes: idle time
        to CPUs that are not there, to imbalance (from `threadwise.work_stats`, or for equal tasks
        from their number), to waking threads, and the rest to a serial part; CPU time to looking
        for work, to cores and to memory, each at most as much as a probe of the machine was slower,
        and the rest to dispatch.
        """
        return tuple(self._attributed(point) for point in self.points)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before anything is concluded from the numbers."""
        from threadwise.scaling.notes import notes  # noqa: PLC0415 - it reads the result

        return notes(self)

    def amdahl(self, *, oversubscribed: bool = False) -> AmdahlFit:
        """Fit Amdahl's law.

        Parameters
        ----------
        oversubscribed : bool, default False
            Whether points with more threads than CPUs count, too.

        Raises
        ------
        DomainError
            If the work grew with the threads, or no point with more than one thread is left.
        """
        if self.weak:
            raise DomainError(
                "the work grew with the threads, for which Amdahl's law says nothing: use "
                "gustafson(), or measure with weak=False"
            )
        return self._fit(fit_amdahl, oversubscribed=oversubscribed)

    def gustafson(self, *, oversubscribed: bool = False) -> GustafsonFit:
        """Fit Gustafson's law.

        Parameters
        ----------
        oversubscribed : bool, default False
            Whether points with more threads than CPUs count, too.

        Raises
        ------
        DomainError
            If the work did not grow with the threads, or no point with more than one is left.
        """
        if not self.weak:
            raise DomainError(
                "the work was the same for every number of threads, for which Gustafson's law says "
                "nothing: use amdahl(), or measure with weak=True"
            )
        return self._fit(fit_gustafson, oversubscribed=oversubscribed)

    def usl(self, *, oversubscribed: bool = False) -> USLFit:
        """Fit the universal scalability law, to work a second if the work grew with the threads.

        Parameters
        ----------
        oversubscribed : bool, default False
            Whether points with more threads than CPUs count, too.

        Raises
        ------
        DomainError
            If there are not two different numbers of threads above 1.
        """
        return self._fit(fit_usl, oversubscribed=oversubscribed)

    def table(self) -> str:
        """Return the result as text."""
        from threadwise.scaling.text import text  # noqa: PLC0415 - not needed to measure

        return text(self)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        gains = ", ".join(
            f"{speedup:.2f}x with {point.threads}"
            for point, speedup in zip(self.points, self.speedups, strict=True)
        )
        return f"<ScalingResult of {self.workload}: {gains}>"

    def _repr_html_(self) -> str:
        return _notebook.table(self.table())

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return a row for each point as CSV, and write it to the file `path` if there is one.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        from threadwise.scaling.text import rows  # noqa: PLC0415 - not needed to measure

        return _kept(rows(self), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Return all samples and what follows from them as JSON, and write it to `path` if given.

        Numbers that are not finite are null in it.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        return _kept(json_of(self), path)

    @classmethod
    def from_json(cls, file: str | Path) -> ScalingResult:
        """Return the result that `to_json` wrote.

        Parameters
        ----------
        file : str or Path
            Where the file is, or its text, which begins with a brace.

        Raises
        ------
        DomainError
            If it is no such result.
        OSError
            If the file cannot be read.
        """
        text, name = _file.text(file)
        facts = fields_of(text, name)
        try:
            return cls(**facts)
        except TypeError as error:
            raise DomainError(f"{name} is no result that threadwise wrote: {error}") from None

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a page with everything in one file, and write it to `path` if there is one.

        Without matplotlib it has no pictures.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        from threadwise.scaling.page import page  # noqa: PLC0415 - not needed to measure

        return _kept(page(self), path)

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the speedups with the laws that fit them, and where the time of the threads went.

        Parameters
        ----------
        path : str or Path, optional
            A file to write, of the kind that its ending says.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        DomainError
            If matplotlib does not know the ending.
        ModuleNotFoundError
            If matplotlib is not installed.
        OSError
            If the file cannot be written.
        """
        check_drawing()
        from threadwise.scaling.picture import draw  # noqa: PLC0415 - an extra

        return draw(self, None if path is None else Path(path))

    def fits(self) -> Iterator[AmdahlFit | GustafsonFit | USLFit]:
        """Yield each law that can be fitted, without points that have more threads than CPUs."""
        first: Callable[[], AmdahlFit | GustafsonFit] = self.gustafson if self.weak else self.amdahl
        for law in (first, self.usl):
            try:
                yield law()
            except DomainError:
                continue

    def _size(self, point: ScalingPoint) -> int:
        return point.threads if self.weak else 1

    def _interval(self, point: ScalingPoint) -> Interval:
        if point is self.one:
            return (1.0, 1.0)
        if len(point.wall) == 1:
            return interval(None)
        times = np.stack([self.one.wall, point.wall], axis=1)
        size = float(self._size(point))
        ones = np.array([point.threads], np.float64)
        seen = Observations(ones, ones, times, is_weak=False)
        again = seen.again(ones, 1)
        return interval(None if again is None else size * again[:, 0])

    def _fit(self, law: Callable[[Observations], T], *, oversubscribed: bool) -> T:
        kept = [
            point
            for point, over in zip(self.points, self.oversubscribed, strict=True)
            if oversubscribed or not over
        ]
        if all(point.threads == 1 for point in kept):
            whole = self.environment.whole_cores
            if whole == 1:
                raise DomainError(
                    "no two threads have a CPU each here, so there is no speedup to fit: measure "
                    "on a machine with more, or fit with oversubscribed=True"
                )
            raise DomainError(
                f"there is no point with more than 1 and at most {whole} threads, as many as there "
                "are CPUs: measure some, or fit with oversubscribed=True"
            )
        threads = [point.threads for point in kept]
        times = np.stack([point.wall for point in kept], axis=1)
        return law(Observations.of(threads, times, weak=self.weak))

    def _attributed(self, point: ScalingPoint) -> Attribution:
        most = min(point.threads, self.environment.whole_cores)
        return attribute(
            point,
            self.one,
            size=self._size(point),
            cores=self.environment.cores,
            others=self.other_cpus or 0.0,
            tasks=self.tasks,
            probe=next((probe for probe in self.probes if probe.threads == most), None),
            wake_seconds=self.wake_seconds,
        )


def _kept(text: str, path: str | Path | None) -> str:
    if path is not None:
        _file.write(Path(path), text)
    return text
