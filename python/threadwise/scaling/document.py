"""A result as JSON, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from threadwise.errors import DomainError
from threadwise.scaling.environment import Environment
from threadwise.scaling.point import ScalingPoint
from threadwise.scaling.probe import Probe

if TYPE_CHECKING:
    from threadwise.scaling.result import ScalingResult

__all__ = ["fields_of", "json_of"]

_VERSION = 1


def json_of(result: ScalingResult) -> str:
    """Return all that was measured, and what follows from it."""
    derived = {
        "speedups": result.speedups,
        "speedup_intervals": result.speedup_intervals,
        "efficiencies": result.efficiencies,
        "serial_speedups": result.serial_speedups,
        "caps": result.caps,
        "oversubscribed": result.oversubscribed,
        "serial_fractions": result.serial_fractions,
        "attribution": [asdict(each) for each in result.attribution],
        "fits": {type(fit).__name__: asdict(fit) for fit in result.fits()},
        "notes": result.notes,
    }
    facts = {"threadwise_scaling": _VERSION} | asdict(result) | {"derived": derived}
    return json.dumps(_plain(facts), indent=1, allow_nan=False) + "\n"


def fields_of(text: str, name: object) -> dict[str, Any]:
    """Return the fields of the result whose JSON is `text`, of which sentences speak as `name`.

    Raises
    ------
    DomainError
        If it is no such result.
    """
    try:
        found: dict[str, Any] = json.loads(text)
        if found.pop("threadwise_scaling") != _VERSION:
            raise ValueError("it is of another version")
        del found["derived"]  # it follows from the rest
        serial = found["serial"]
        parts = {
            "points": tuple(_point(each) for each in found["points"]),
            "serial": None if serial is None else _point(serial),
            "environment": Environment(**found["environment"]),
            "probes": tuple(Probe(**each) for each in found["probes"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise DomainError(f"{name} is no result that threadwise wrote: {why}") from None
    return found | parts


def _plain(value: Any) -> Any:
    """Return what JSON can say."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def _point(facts: dict[str, Any]) -> ScalingPoint:
    lists = {name: tuple(facts[name]) for name in ("wall", "cpu", "busy")}
    return ScalingPoint(**facts | lists)
