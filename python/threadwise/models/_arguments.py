"""Arguments of calls, checked."""

import math
from operator import index
from typing import Any

from threadwise.errors import DomainError, DTypeError

__all__ = ["number", "whole", "word"]


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return a whole number from `low` to `high`."""
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        kind = type(value).__name__
        raise DTypeError(f"{name} is {value!r} (a {kind}), expected a whole number {limits}")
    if index(value) < low or (high is not None and index(value) > high):
        raise DomainError(f"{name} is {index(value)}, expected a whole number {limits}")
    return index(value)


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


def word(name: str, value: Any, known: tuple[str, ...]) -> str:
    """Return one of the known words."""
    expected = ", ".join(map(repr, known[:-1])) + f" or {known[-1]!r}"
    if not isinstance(value, str):
        kind = type(value).__name__
        raise DTypeError(f"{name} is {value!r} (a {kind}), expected {expected}")
    if value not in known:
        raise DomainError(f"{name} is {value!r}, expected {expected}")
    return value
