"""``python -m threadwise.bench draw``."""

import argparse
from pathlib import Path

from threadwise._picture import NEED, can_draw
from threadwise.bench import _record

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.description = "Draw the heat map of a record that --csv wrote."
    parser.add_argument("record", type=Path, help="the CSV file")
    parser.add_argument("picture", type=Path, help="what to write: .png, .svg, .pdf")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Draw; return the exit code."""
    if not can_draw():
        options.parser.error(NEED)
    from threadwise.bench._plot import draw  # noqa: PLC0415 - needs matplotlib

    try:
        draw(_record.read(options.record), options.picture)
    except (OSError, ValueError) as problem:
        options.parser.error(str(problem))
    print(f"written: {options.picture}")
    return 0
