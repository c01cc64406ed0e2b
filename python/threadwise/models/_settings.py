"""Settings of a file, each taken with what it may be."""

import math
from collections.abc import Mapping
from typing import Any

from threadwise.errors import FormatError

__all__ = ["Settings"]


class Settings:
    """Values by name, of which some are asked for; a sentence refuses what one may not be."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._values = values

    def get(self, name: str) -> Any:
        """Return the value as it stands, None if there is none."""
        return self._values.get(name)

    def whole(self, name: str, default: int | None = None, *, low: int = 1) -> int:
        """Return a whole number of at least `low`."""
        value = self._taken(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.refusal(name, f"a whole number of at least {low}")
        return value

    def positive(self, name: str, default: float | None = None) -> float:
        """Return a positive number."""
        value = self._taken(name, default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= 0:
            raise self.refusal(name, "a positive number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self._taken(name, default)
        if not isinstance(value, bool):
            raise self.refusal(name, "true or false")
        return value

    def word(self, name: str, known: tuple[str, ...], default: str) -> str:
        """Return one of the known words."""
        value = self._taken(name, default)
        if value not in known:
            raise self.refusal(name, " or ".join(map(repr, known)))
        return str(value)

    def tokens(self, name: str) -> tuple[int, ...]:
        """Return the token or the tokens, in a tuple; none for null."""
        value = self._values.get(name)
        found = [] if value is None else value if isinstance(value, list) else [value]
        if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in found):
            raise self.refusal(name, "a token, a list of tokens or null")
        return tuple(found)

    def refusal(self, name: str, expected: str) -> FormatError:
        """Return what to raise where the value is not what it may be."""
        value = repr(self._values[name]) if self._values.get(name) is not None else "not there"
        return FormatError(f"{self.where}: {name} is {value}, expected {expected}")

    def _taken(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        return default if value is None else value
