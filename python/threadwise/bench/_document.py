"""What a bench found: the tables that people read, the pictures, and the rows behind them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from threadwise.errors import DomainError

__all__ = ["Bar", "Document", "Picture", "Series", "Table", "aligned", "paragraphs"]

_VERSION = 1

WIDTH = 100
"""Characters of a line of text."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Texts in rows."""

    title: str
    cells: Sequence[Sequence[str]]
    """The head, then a row each."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of points."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar, in a group of bars that stand together."""

    group: str
    label: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is drawn, as data."""

    kind: Literal["lines", "bars", "heat map"]
    """Lines over numbers of threads, bars in groups, or the heat map of the rows."""
    title: str
    unit: str = ""
    """What is drawn, and in which unit."""
    lines: Sequence[Series] = ()
    bars: Sequence[Bar] = ()
    cores: float | None = None
    """Threads that have a CPU each: what lies beyond is drawn on gray."""
    logarithmic: bool = False

    def described(self) -> str:
        """Return it in words."""
        said = [
            f"{line.label}: "
            + ", ".join(f"{y:.3g} at {x:g}" for x, y in zip(line.x, line.y, strict=True))
            for line in self.lines
        ]
        said += [f"{bar.group}, {bar.label}: {bar.value:.3g}" for bar in self.bars]
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.title}{unit}. {'; '.join(said)}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Document:
    """What came of a bench."""

    bench: str
    """Its name, as on the command line."""
    title: str
    about: Sequence[str]
    """Paragraphs: what was measured, and how to read it."""
    environment: Mapping[str, Any]
    """Where it was measured, by name."""
    rows: Sequence[Mapping[str, Any]]
    """As the record has them; in JSON with all samples."""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = field(default=())

    def text(self) -> str:
        """Return it for a terminal."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.title
        where = self.environment
        yield f"{where['machine']}, {where['affinity']} CPUs, {where['isa']}, {where['date']}"
        yield ""
        for text in self.about:
            yield from textwrap.wrap(text, WIDTH)
        for table in self.tables:
            yield ""
            if table.title:
                yield table.title
            yield from aligned(table.cells)
        if self.notes:
            yield ""
            for note in self.notes:
                yield from textwrap.wrap(f"note: {note}", WIDTH)

    def json(self) -> str:
        """Return all of it as JSON; numbers that are not finite become null."""
        facts = {"threadwise_bench": _VERSION} | asdict(self)
        return json.dumps(_plain(facts), indent=1, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Document:
        """Return what `json` wrote to the file `path`.

        Raises
        ------
        DomainError
            If it is something else.
        OSError
            If the file cannot be read.
        """
        try:
            found = json.loads(path.read_text("utf-8"))
            if found.pop("threadwise_bench") != _VERSION:
                raise ValueError("it is of another version")
            tables = tuple(Table(**table) for table in found.pop("tables"))
            pictures = tuple(_picture(facts) for facts in found.pop("pictures"))
            return cls(**found, tables=tables, pictures=pictures)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise DomainError(f"{path} is no report of a bench: {why}") from None


def aligned(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table: the first column to the left, others to the right."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for first, *rest in cells:
        line = [first.ljust(widths[0])]
        line += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join(line).rstrip()


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of `text`, each a line."""
    return [" ".join(part.split()) for part in text.split("\n\n")]


def _picture(facts: dict[str, Any]) -> Picture:
    lines = tuple(Series(**line) for line in facts.pop("lines"))
    bars = tuple(Bar(**bar) for bar in facts.pop("bars"))
    return Picture(**facts, lines=lines, bars=bars)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value
