"""What each setting of a quantization may be, and how it is written as text."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from threadwise.quant._arguments import BITS, GROUP_SIZES, METHODS, ZERO_POINTS

__all__ = ["SETTINGS", "Setting", "check", "nearest", "words"]

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_UNITS |= {f"{unit}iB": size for unit, size in _UNITS.items() if unit}
_UNITS |= {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class Setting:
    """What a setting may be."""

    expected: str
    """The same in words."""
    accept: Callable[[Any], Any]
    """Returns the value as it is kept; ValueError or TypeError if it makes no sense."""
    parse: Callable[[str], Any]
    """Reads it as it is written on a command line or in the environment; then `accept` looks."""


def check(name: str, value: object) -> Any:
    """Return `value` as the setting `name` keeps it; ValueError says why it makes no sense."""
    setting = SETTINGS[name]
    try:
        return setting.accept(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}, expected {setting.expected}") from None


def nearest(name: str) -> str:
    """Say which setting somebody may have meant by `name`."""
    known = [*SETTINGS, "profile"]
    close = get_close_matches(name.lower(), known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    return f"there is no setting {name!r}; {meant}"


def words(choices: Iterable[object]) -> str:
    """Return `choices` as a sentence names them."""
    allowed = list(choices)
    return ", ".join(map(str, allowed[:-1])) + f" or {allowed[-1]}"


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _numbers(*allowed: int) -> Setting:
    def accept(value: Any) -> int:
        if _integer(value) not in allowed:
            raise ValueError
        return int(value)

    return Setting(words(allowed), accept, int)


def _whole(low: int, high: int | None = None) -> Setting:
    def accept(value: Any) -> int:
        if not low <= _integer(value) <= (value if high is None else high):
            raise ValueError
        return int(value)

    limits = f"of at least {low}" if high is None else f"from {low} to {high}"
    return Setting(f"a whole number {limits}", accept, int)


def _name(*allowed: str) -> Setting:
    def accept(value: Any) -> str:
        if value not in allowed or not isinstance(value, str):
            raise ValueError
        return value

    return Setting(words(allowed), accept, str)


def _flag() -> Setting:
    words = dict.fromkeys(("true", "yes", "on", "1"), True)
    words |= dict.fromkeys(("false", "no", "off", "0"), False)

    def accept(value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError
        return value

    return Setting("true or false", accept, lambda text: words.get(text.lower()))


def _fraction() -> Setting:
    def accept(value: Any) -> float:
        if isinstance(value, (bool, str)) or not 0 <= value <= 1:
            raise ValueError
        return float(value)

    return Setting("a number from 0 to 1", accept, float)


def _size() -> Setting:
    def accept(value: Any) -> int:
        if isinstance(value, str):
            found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?(?:i?B)?)", value.strip())
            if found is None or found[2] not in _UNITS:
                raise ValueError
            value = int(Fraction(found[1]) * _UNITS[found[2]])
        if _integer(value) < 1:
            raise ValueError
        return int(value)

    # Text stays text, so that what is refused is shown as it was written.
    return Setting('a number of bytes, such as "512M"', accept, str)


def _globs() -> Setting:
    def accept(value: Any) -> tuple[str, ...]:
        globs = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(glob, str) and glob for glob in globs):
            raise ValueError
        return globs

    def parse(text: str) -> list[str]:
        return [glob.strip() for glob in text.split(",")]

    return Setting("patterns for names of tensors, such as model.layers.0.*", accept, parse)


def _widths() -> Setting:
    def accept(value: Any) -> dict[str, int]:
        width = _numbers(*BITS)
        if not isinstance(value, Mapping):
            raise TypeError
        if not all(isinstance(glob, str) and glob for glob in value):
            raise ValueError
        return {glob: width.accept(bits) for glob, bits in value.items()}

    def parse(text: str) -> dict[str, int]:
        pairs = [pair.rpartition("=") for pair in text.split(",")]
        return {glob.strip(): int(bits) for glob, _, bits in pairs}

    bits = f"bits ({words(BITS)}) by pattern"
    return Setting(f"{bits}, such as *.down_proj=8", accept, parse)


def _or_none(setting: Setting) -> Setting:
    def accept(value: Any) -> Any:
        return None if value is None else setting.accept(value)

    def parse(text: str) -> Any:
        return None if text.lower() == "none" else setting.parse(text)

    return Setting(f"{setting.expected} or none", accept, parse)


SETTINGS = {
    "bits": _numbers(*BITS),
    "group_size": _numbers(*GROUP_SIZES),
    "symmetric": _flag(),
    "zero_point": _name("auto", *ZERO_POINTS),
    "method": _name(*METHODS),
    "threads": _whole(0, 1024),
    "streaming": _flag(),
    "max_memory": _or_none(_size()),
    "include": _globs(),
    "exclude": _globs(),
    "layer_bits": _widths(),
    "min_cosine": _fraction(),
    "fail_fast": _flag(),
    "calibration_samples": _whole(1),
    "num_time_groups": _whole(1, 100),
    "modality": _or_none(_name("text", "code", "image", "audio")),
}
"""The settings, in the order in which files and tables show them."""
