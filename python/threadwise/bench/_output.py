"""Where the results of a bench go: rows to a record, and all of it to the directory of a report."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from threadwise._file import write
from threadwise.bench._document import Document
from threadwise.bench._report_page import page
from threadwise.bench._rows import file_name, save
from threadwise.errors import DomainError

__all__ = ["PAGE", "add", "add_options", "check", "keep", "place", "show"]

PAGE = "report.html"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where results go."""
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="PATH",
        help="write what was measured as rows: to a file, or to one of today in a directory",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write text, JSON and rows there, and a page of all benches in it: report.html",
    )
    parser.add_argument("--no-page", action="store_true", help="leave report.html as it is, or out")


def check(options: argparse.Namespace) -> None:
    """Refuse, before any work, what could not be written.

    Raises
    ------
    DomainError
        If there is a file where a directory is wanted.
    """
    for name in ("csv", "report"):
        path: Path | None = getattr(options, name)
        if path is None:
            continue
        above = path.absolute() if name == "report" else path.absolute().parent
        while not above.exists():
            above = above.parent
        if not above.is_dir():
            raise DomainError(f"--{name} is {path}, but {above} is a file, expected a directory")


def place(path: Path) -> Path:
    """Return the file that `path` is, or that of today if it is a directory or has no ending."""
    return path / file_name() if path.is_dir() or not path.suffix else path


def keep(document: Document, options: argparse.Namespace) -> None:
    """Write what the options of `add_options` ask for, and say so."""
    if options.csv:
        to = place(options.csv)
        save(document.rows, to)
        print(f"\nwritten: {to}")
    if options.report:
        add(document, options.report)
        made = options.report if options.no_page else show(options.report)
        print(f"\nwritten: {made}")


def add(document: Document, folder: Path) -> None:
    """Write text, JSON and rows of `document` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    name = document.bench
    write(folder / f"{name}.txt", document.text() + "\n")
    write(folder / f"{name}.json", document.json())
    save(document.rows, folder / f"{name}.csv")


def show(folder: Path) -> Path:
    """Write the page of all documents in `folder`, and return where it is."""
    found = [Document.read(path) for path in sorted(folder.glob("*.json"))]
    write(folder / PAGE, page(found))
    if find_spec("matplotlib") is None:
        print('the page has no pictures: pip install "threadwise[plot]" for them')
    return folder / PAGE
