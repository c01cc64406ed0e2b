"""How far long work is, on standard error."""

import sys
from collections.abc import Collection, Iterator
from time import monotonic
from typing import TypeVar

__all__ = ["progress"]

T = TypeVar("T")

EVERY = 15.0
"""Seconds between two lines where there is no terminal, whose one line is written over."""


def progress(items: Collection[T]) -> Iterator[T]:
    """Yield `items`, and say on standard error which of them is being worked at.

    On a terminal that is one line, erased at each turn, so that whoever works can print; elsewhere
    a line now and then.
    """
    terminal = sys.stderr.isatty()
    begin = said = monotonic()
    for done, item in enumerate(items):
        now = monotonic()
        left = f", {_span((now - begin) / done * (len(items) - done))} left" if done else ""
        text = f"[{done + 1}/{len(items)}] {item}{left}"
        if terminal:
            sys.stderr.write(text)
            sys.stderr.flush()
        elif now - said > EVERY:
            said = now
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        yield item
        if terminal:
            sys.stderr.write("\r" + " " * len(text) + "\r")
            sys.stderr.flush()


def _span(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds > 90 else f"about {seconds:.0f} s"
