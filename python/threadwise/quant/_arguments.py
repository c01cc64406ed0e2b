"""What says how a weight is quantized, checked."""

from operator import index
from typing import Any

from threadwise.errors import DomainError, DTypeError

__all__ = ["BITS", "GROUP_SIZES", "METHODS", "ZERO_POINTS", "bits_of", "group_of", "word_of"]

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


def word_of(name: str, word: Any, known: tuple[str, ...]) -> str:
    """Refuse all but the known words."""
    expected = " or ".join(repr(each) for each in known)
    if not isinstance(word, str):
        raise DTypeError(f"{name} is {word!r} (a {type(word).__name__}), expected {expected}")
    if word not in known:
        raise DomainError(f"{name} is {word!r}, expected {expected}")
    return word


def _one_of(name: str, number: Any, known: tuple[int, ...]) -> int:
    expected = f"{', '.join(map(str, known[:-1]))} or {known[-1]}"
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise DTypeError(f"{name} is {number!r} (a {type(number).__name__}), expected {expected}")
    if index(number) not in known:
        raise DomainError(f"{name} is {number!r}, expected {expected}")
    return index(number)
