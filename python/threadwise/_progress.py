"""How far work is that is counted in items: for programs as numbers, for people as a line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from time import monotonic
from typing import Any, TypeAlias

from threadwise.errors import DTypeError

__all__ = ["Progress", "Tell", "counting", "in_notebook"]

Tell: TypeAlias = Callable[[int, int | None], object]
"""Called with how many items are done, and of how many, if that is known."""

Progress: TypeAlias = bool | Tell | None
"""What an argument ``progress`` may be: True for a bar, a function, or nothing."""

_EVERY = 5.0
"""Seconds between two lines where there is no line that can move."""


@contextmanager
def counting(progress: Progress, what: str) -> Iterator[Tell | None]:
    """Give what is to be called for an argument ``progress``; `what` is being counted.

    Raises
    ------
    DTypeError
        If it is neither a function, nor True, False or None.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        line = _Line(what)
        try:
            yield line.tell
        finally:
            line.close()
    elif callable(progress):
        yield progress
    else:
        expected = "expected a function of two arguments, True, False or None"
        raise DTypeError(f"progress is {progress!r}, {expected}")


class _Line:
    """A bar of tqdm on a terminal and in a notebook, else a line on standard error now and then."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.bar: Any = None
        self.said = monotonic()
        self.moves = find_spec("tqdm") is not None and (sys.stderr.isatty() or in_notebook())

    def tell(self, done: int, total: int | None) -> None:
        if self.moves:
            if self.bar is None:
                from tqdm.auto import tqdm  # noqa: PLC0415 - an extra

                self.bar = tqdm(total=total, desc=self.what, dynamic_ncols=True)
            self.bar.update(done - self.bar.n)
        elif monotonic() - self.said >= _EVERY:
            self.said = monotonic()
            of = "" if total is None else f" of {total}"
            print(f"{self.what}: {done}{of}", file=sys.stderr, flush=True)  # noqa: T201

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def in_notebook() -> bool:
    """Return whether this is a kernel of Jupyter, where bars are widgets."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
