"""Arguments that several modules check in the same words."""

from operator import index
from typing import Any

from threadwise import _threadwise
from threadwise.errors import DomainError, DTypeError

__all__ = ["function", "integer", "positive", "thread_count", "whole", "word"]


def integer(name: str, value: Any, expected: str) -> int:
    """Return a whole number of any type as Python's; `expected` says what it should be.

    Raises
    ------
    DTypeError
        If it is no whole number.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise DTypeError(f"{name} is {value!r} (a {type(value).__name__}), expected {expected}")
    return index(value)


def whole(name: str, value: Any, least: int = 0) -> int:
    """Check that an argument is a whole number of at least `least`.

    Raises
    ------
    DTypeError
        If it is no whole number.
    DomainError
        If it is less.
    """
    expected = f"a whole number, at least {least}"
    found = integer(name, value, expected)
    if found < least:
        raise DomainError(f"{name} is {value!r}, expected {expected}")
    return found


def positive(name: str, value: Any, most: int) -> int:
    """Check that an argument is a whole number from 1 to `most`.

    Raises
    ------
    DTypeError
        If it is no whole number.
    DomainError
        If it is out of that range.
    """
    found = integer(name, value, f"a whole number from 1 to {most}")
    if not 1 <= found <= most:
        raise DomainError(f"{name} is {found}, expected from 1 to {most}")
    return found


def thread_count(threads: Any) -> int:
    """Return how many threads may be used, for an argument ``threads``; `None` is the budget.

    Raises
    ------
    DTypeError, DomainError
        If it is neither `None` nor a whole number from 1 to 1024.
    """
    if threads is None:
        return _threadwise.get_num_threads()
    number = whole("threads", threads, 1)
    if number > 1024:
        raise DomainError(f"threads is {number}, expected from 1 to 1024")
    return number


def word(name: str, value: Any, known: tuple[str, ...]) -> str:
    """Check that an argument is one of the known words.

    Raises
    ------
    DTypeError
        If it is no text.
    DomainError
        If it is another.
    """
    expected = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
    if not isinstance(value, str):
        raise DTypeError(f"{name} is {value!r} (a {type(value).__name__}), expected {expected}")
    if value not in known:
        raise DomainError(f"{name} is {value!r}, expected {expected}")
    return value


def function(name: str, value: Any, call: str) -> None:
    """Check that an argument can be called; `call` shows how.

    Raises
    ------
    DTypeError
        If it cannot.
    """
    if not callable(value):
        raise DTypeError(f"{name} is {value!r} (a {type(value).__name__}), expected {call}")
