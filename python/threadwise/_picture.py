"""What all pictures share: the package that draws them, and how they become files."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import TYPE_CHECKING

from threadwise._file import write
from threadwise.errors import DomainError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

__all__ = ["NEED", "can_draw", "check_drawing", "save"]

NEED = 'the picture needs matplotlib: pip install "threadwise[plot]"'
"""What is said where it is missing."""


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def check_drawing() -> None:
    """Refuse to draw where matplotlib is not installed.

    Raises
    ------
    ModuleNotFoundError
        If it is not.
    """
    if not can_draw():
        raise ModuleNotFoundError(NEED, name="matplotlib")


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to the file `path`, of the kind that its ending says.

    Raises
    ------
    DomainError
        If matplotlib does not know the ending.
    OSError
        If the file cannot be written.
    """
    known = figure.canvas.get_supported_filetypes()
    kind = path.suffix.removeprefix(".").lower()
    if kind not in known:
        raise DomainError(f"{path} ends in {path.suffix!r}, expected one of {', '.join(known)}")
    with io.BytesIO() as drawn:
        figure.savefig(drawn, format=kind, dpi=144)
        write(path, drawn.getvalue())
