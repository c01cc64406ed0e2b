"""What says how a weight is quantized, checked."""

from typing import Any

from threadwise._arguments import integer
from threadwise.errors import DomainError

__all__ = ["BITS", "GROUP_SIZES", "METHODS", "ZERO_POINTS", "bits_of", "group_of"]

BITS = (2, 3, 4, 8)
"""The bits that a code may have."""

GROUP_SIZES = (16, 32, 64, 128, 256, -1)
"""How many numbers may share a scale; -1 is the whole row."""

METHODS = ("minmax", "mse")
ZERO_POINTS = ("float", "integer")


def bits_of(bits: Any) -> int:
    """Refuse all but the bits that a code may have."""
    return _one_of("bits", bits, BITS)


def group_of(group_size: Any) -> int:
    """Refuse all but the sizes that a group may have."""
    return _one_of("group_size", group_size, GROUP_SIZES)


def _one_of(name: str, number: Any, known: tuple[int, ...]) -> int:
    expected = f"{', '.join(map(str, known[:-1]))} or {known[-1]}"
    found = integer(name, number, expected)
    if found not in known:
        raise DomainError(f"{name} is {number!r}, expected {expected}")
    return found
