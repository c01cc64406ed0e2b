"""``threadwise scaling``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["scaling"]


def scaling(
    workload: Annotated[str, typer.Argument(help="MODULE:FUNCTION, for example lessons:fit.")],
    *,
    threads: Annotated[str, typer.Option(metavar="LIST", help="Numbers of threads.")] = "1,2,4",
    repeats: Annotated[int, typer.Option(help="Rounds, each with a turn for every number.")] = 7,
    warmup: Annotated[int, typer.Option(help="Rounds before that do not count.")] = 1,
    weak: Annotated[
        bool, typer.Option("--weak", help="Call with size=, work that grows with the threads.")
    ] = False,
    serial: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="The same without any threads.")
    ] = None,
    tasks: Annotated[int | None, typer.Option(help="How many pieces the work has.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a row for each number of threads.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with all of it.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it: .png .svg .pdf.")
    ] = None,
) -> None:
    """Measure how a function of yours scales with threads.

    It is called with nothing, or with threads= and size= if it has such parameters. Modules are
    also looked for in the current directory.
    """
    from threadwise import scaling as tools
    from threadwise.scaling.workload import found

    for path in (csv, html, plot):
        _check(path, is_picture=path is plot)
    result = tools.benchmark(
        found(workload),
        _numbers(threads),
        repeats=repeats,
        warmup=warmup,
        weak=weak,
        serial=None if serial is None else found(serial),
        tasks=tasks,
        progress=_say if sys.stderr.isatty() else None,
    )
    if csv is not None:
        result.to_csv(csv)
    if html is not None:
        result.to_html(html)
    if plot is not None:
        result.plot(plot)
    print(result.to_json() if json else result, end="" if json else "\n")


def _numbers(text: str) -> list[int]:
    from threadwise.errors import DomainError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise DomainError(f"--threads is {text}, expected whole numbers with commas, like 1,2,4")
    return [int(word) for word in words]


def _say(done: int, total: int) -> None:
    """Keep a line on standard error, until all is done."""
    text = f"sample {done} of {total}"
    typer.echo(f"\r{text}" if done < total else f"\r{' ' * len(text)}\r", err=True, nl=False)


def _check(path: Path | None, *, is_picture: bool) -> None:
    """Refuse a file that could not be written, before any work."""
    from threadwise._picture import check_drawing
    from threadwise.errors import DomainError

    if path is None:
        return
    if not path.absolute().parent.is_dir():
        raise DomainError(f"{path} cannot be written: there is no directory {path.parent}")
    if is_picture and path.suffix not in (".pdf", ".png", ".svg"):
        raise DomainError(f"--plot is {path}, expected a name that ends in .png, .svg or .pdf")
    if is_picture:
        check_drawing()
