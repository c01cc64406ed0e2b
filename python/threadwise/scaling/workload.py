"""What is measured: a callable, and what it is called with."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from threadwise.errors import DomainError, DTypeError

__all__ = ["Workload", "found"]

_GIVEN = ("threads", "size")


class Workload:
    """A callable that gets those of ``threads`` and ``size`` that it has parameters for.

    Parameters
    ----------
    name : str
        Of the argument, for sentences.
    function : callable
    grows : bool
        Whether it must have a parameter ``size``.

    Raises
    ------
    DTypeError
        If it cannot be called, or not with these.
    DomainError
        If it has to grow and cannot.
    """

    def __init__(self, name: str, function: Callable[..., object], *, grows: bool) -> None:
        if not callable(function):
            kind = type(function).__name__
            raise DTypeError(f"{name} is {function!r} (a {kind}), expected a callable")
        self.function = function
        self.label = _label(function)
        self._takes = _parameters(name, function)
        if grows and "size" not in self._takes:
            raise DomainError(
                f"{name} is {self.label}, which has no parameter size, expected one with "
                "weak=True: it is called with how many times as much work there is to do"
            )

    def call(self, threads: int, size: int) -> Callable[[], object]:
        """Return the call on so many threads, of so many times the work."""
        values = {"threads": threads, "size": size}
        given = {name: value for name, value in values.items() if name in self._takes}
        return partial(self.function, **given) if given else self.function


def found(text: str) -> Callable[..., object]:
    """Return the callable that ``"MODULE:FUNCTION"`` names; modules are also looked for here.

    Raises
    ------
    DomainError
        If there is none of that name.
    """
    module, _, function = text.partition(":")
    if not module or not function:
        raise DomainError(f"the workload is {text!r}, expected MODULE:FUNCTION")
    here = os.getcwd()  # noqa: PTH109 - as Python itself puts it there
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        place: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Another one than that: a module that is there lacks something of its own.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise DomainError(
            f"the workload is {text!r}, but there is no module {error.name}, neither installed nor "
            f"in {here}"
        ) from None
    for name in function.split("."):
        if not hasattr(place, name):
            raise DomainError(f"the workload is {text!r}, but {module} has no {function}")
        place = getattr(place, name)
    if not callable(place):
        raise DomainError(f"the workload is {text!r}, which is no callable")
    return place  # type: ignore[no-any-return]


def _parameters(name: str, function: Callable[..., object]) -> set[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built in, and silent about it
        return set()
    named = {
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and (each.name not in _GIVEN or each.kind is each.POSITIONAL_ONLY)
    ]
    if needed:
        raise DTypeError(
            f"{name} needs {', '.join(needed)}, expected a callable that needs nothing but threads "
            "or size: bind the rest with functools.partial"
        )
    return named & set(_GIVEN)


def _label(function: Callable[..., object]) -> str:
    while isinstance(function, partial):
        function = function.func
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", type(function).__name__)
    return name if module in (None, "__main__", "builtins") else f"{module}.{name}"
