"""Arguments of calls, checked."""

import math
from typing import Any

from threadwise._arguments import integer
from threadwise.errors import DomainError, DTypeError

__all__ = ["number", "whole"]


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return a whole number from `low` to `high`."""
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"
    found = integer(name, value, f"a whole number {limits}")
    if found < low or (high is not None and found > high):
        raise DomainError(f"{name} is {found}, expected a whole number {limits}")
    return found


def number(
    name: str, value: Any, low: float, high: float = math.inf, *, above: bool = False
) -> float:
    """Return a finite number from `low`, or `above` it, to `high`."""
    limits = f"above {low:g}" if above else f"of at least {low:g}"
    limits += "" if high == math.inf else f" and at most {high:g}"
    try:
        found = float(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise DTypeError(f"{name} is {value!r} (a {kind}), expected a number {limits}") from None
    is_low = found > low if above else found >= low
    if not (is_low and found <= high and math.isfinite(found)):
        raise DomainError(f"{name} is {found:g}, expected a number {limits}")
    return found
