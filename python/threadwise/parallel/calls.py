"""Calls of a map: in chunks, and with errors for results where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Collecting", "Failure", "chunk", "note", "nothing", "numbered", "renumbered"]


@dataclass(frozen=True)
class Failure:
    """What `map` answers for an item whose call raised, with ``on_error="collect"``."""

    index: int
    """Which item, from 0."""
    error: Exception
    """What was raised."""


class Collecting:
    """A function whose errors are results; picklable if the function is."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, item: Any) -> Any:
        """Call it; an error is an unnumbered `Failure`."""
        try:
            return self.function(item)
        except Exception as error:  # noqa: BLE001 - collected
            return Failure(-1, error)


def numbered(function: Callable[[Any], Any], items: Iterable[Any], first: int) -> Iterator[Any]:
    """Call `function` with each item, and number its failures from `first`."""
    for index, item in enumerate(items, first):
        found = function(item)
        yield Failure(index, found.error) if type(found) is Failure else found


def renumbered(found: list[Any], first: int) -> Iterator[Any]:
    """Give the failures among results their numbers, from `first`."""
    for index, each in enumerate(found, first):
        yield Failure(index, each.error) if type(each) is Failure else each


def note(error: Exception, index: int) -> None:
    """Write onto an error for which item it was raised."""
    error.add_note(f"threadwise.parallel.map: this was raised for item {index}")


def chunk(
    function: Callable[[Any], Any], items: list[Any], collects: bool
) -> tuple[list[Any], Exception | None]:
    """Return the results of a chunk, up to an error, and that error."""
    results: list[Any] = []
    try:
        results.extend(function(item) for item in items)
    except Exception as error:
        if collects:
            raise
        return results, error
    return results, None


def nothing() -> None:
    """Do nothing, to see what handing a call over costs."""
