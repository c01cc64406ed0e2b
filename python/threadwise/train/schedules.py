"""Learning rates that change from step to step."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from threadwise.errors import DomainError

__all__ = [
    "ConstantRate",
    "CosineRate",
    "OneCycleRate",
    "Schedule",
    "StepRate",
    "WarmupRate",
    "schedule",
]


class Schedule:
    """A learning rate as a function of the step: call it with a number from 0 on."""

    def __call__(self, step: int) -> float:
        """Return the rate of step `step`, the first being 0."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Return its settings, with its name under "kind": what a checkpoint keeps of it."""
        return {"kind": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


def _positive(**settings: float) -> None:
    for name, value in settings.items():
        if not (value > 0 and math.isfinite(value)):
            raise DomainError(f"{name} is {value}, expected a positive and finite number")


@dataclass(frozen=True)
class ConstantRate(Schedule):
    """The same rate `lr` at every step."""

    lr: float
    """0 or more."""

    def __post_init__(self) -> None:
        if not (self.lr >= 0 and math.isfinite(self.lr)):
            raise DomainError(f"lr is {self.lr}, expected a finite number, 0 or more")

    def __call__(self, step: int) -> float:  # noqa: ARG002, the same at every step
        """Return the rate."""
        return self.lr


@dataclass(frozen=True)
class StepRate(Schedule):
    """`lr` times `factor` to the power of ``step // every``."""

    lr: float
    """The first rate."""
    every: int
    """Steps between two changes."""
    factor: float = 0.1
    """What the rate is multiplied with."""

    def __post_init__(self) -> None:
        _positive(lr=self.lr, every=self.every, factor=self.factor)

    def __call__(self, step: int) -> float:
        """Return the rate of step `step`, the first being 0."""
        return float(self.lr * self.factor ** (step // self.every))


@dataclass(frozen=True)
class CosineRate(Schedule):
    """From `lr` to `final` along half a cosine of `steps` steps, then `final`.

    I. Loshchilov, F. Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017,
    without restarts.
    """

    lr: float
    """The first rate."""
    steps: int
    """Steps to the last one."""
    final: float = 0.0
    """The last rate."""

    def __post_init__(self) -> None:
        _positive(lr=self.lr, steps=self.steps)

    def __call__(self, step: int) -> float:
        """Return the rate of step `step`, the first being 0."""
        share = min(step / self.steps, 1.0)
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class WarmupRate(Schedule):
    """The rates of `after`, whose first `steps` steps grow from nothing in a line.

    Step s < `steps` has ``(s + 1) / steps`` of the first rate of `after`; step `steps` is its step
    0.
    """

    after: Schedule
    """What follows."""
    steps: int
    """How many steps it takes to get there."""

    def __post_init__(self) -> None:
        _positive(steps=self.steps)

    def __call__(self, step: int) -> float:
        """Return the rate of step `step`, the first being 0."""
        if step < self.steps:
            return self.after(0) * (step + 1) / self.steps
        return self.after(step - self.steps)

    def describe(self) -> dict[str, Any]:
        """Return its settings, as `Schedule.describe` does."""
        return {"kind": "WarmupRate", "after": self.after.describe(), "steps": self.steps}


@dataclass(frozen=True)
class OneCycleRate(Schedule):
    """Up from ``lr / start`` to `lr` in the first `rise` of `steps`, then down to ``lr / end``.

    Both ways along half a cosine. L. Smith, N. Topin, *Super-Convergence*, 2018, arXiv:1708.07120.
    """

    lr: float
    """The highest rate."""
    steps: int
    """Steps in all."""
    rise: float = 0.3
    """The part of them that goes up, between 0 and 1."""
    start: float = 25.0
    """How many times lower than the highest the first rate is."""
    end: float = 1e4
    """How many times lower the last one is."""

    def __post_init__(self) -> None:
        _positive(lr=self.lr, steps=self.steps, start=self.start, end=self.end)
        if not 0 < self.rise < 1:
            raise DomainError(f"rise is {self.rise}, expected a number between 0 and 1")

    def __call__(self, step: int) -> float:
        """Return the rate of step `step`, the first being 0."""
        top = self.rise * self.steps
        if step < top:
            low, high, share = self.lr / self.start, self.lr, step / top
        else:
            low, high = self.lr, self.lr / self.end
            share = min((step - top) / (self.steps - top), 1.0)
        return low + (high - low) * (1 - math.cos(math.pi * share)) / 2


_KINDS = {kind.__name__: kind for kind in (ConstantRate, StepRate, CosineRate, OneCycleRate)}


def schedule(description: dict[str, Any]) -> Schedule:
    """Return the schedule that `Schedule.describe` said this of."""
    settings = dict(description)
    kind = settings.pop("kind", None)
    if kind == "WarmupRate":
        return WarmupRate(schedule(settings["after"]), settings["steps"])
    if kind not in _KINDS:
        raise DomainError(f"there is no schedule {kind!r}, expected one of {sorted(_KINDS)}")
    made: Schedule = _KINDS[kind](**settings)
    return made
