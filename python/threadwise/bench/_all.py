"""``threadwise bench all``: every bench in its quick form, and one report."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from threadwise.bench import _matmul, _output
from threadwise.errors import DomainError

__all__ = ["QUICKLY", "add_options"]

DESCRIPTION = """\
Run every bench in its quick form, and write one report: a page of all, and text, JSON and rows of
each. `compare` takes the directories of two such reports."""

QUICKLY: dict[str, list[str]] = {
    "matmul": ["--quick"],
    "quantize": ["--quick", "--sizes", "100M", "--streaming-comparison"],
    "quantize-array": ["--quick"],
    "quantized": ["--quick"],
    "model": ["stdlib-mistral-2.8m", "--quick"],
    "train": ["--quick"],
    "dispatch": ["--quick"],
}
"""Each bench, and what makes it quick."""

PEERS = ("matmul", "train")
"""Those that time other libraries, perhaps in other Pythons."""

Main = Callable[[Sequence[str]], int]


def add_options(parser: argparse.ArgumentParser, main: Main) -> None:
    """Add the options of this bench; `main` runs another one by its arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "--report",
        type=Path,
        default=Path("threadwise-bench"),
        metavar="DIR",
        help="where it goes (%(default)s)",
    )
    add("--only", metavar="LIST", help=f"of {','.join(QUICKLY)} (all of them)")
    _matmul.add_python(parser)
    parser.set_defaults(run=lambda options: run(options, main), parser=parser)


def run(options: argparse.Namespace, main: Main) -> int:
    """Run them one after another; return the largest exit code."""
    chosen = options.only.split(",") if options.only else list(QUICKLY)
    for name in chosen:
        if name not in QUICKLY:
            raise DomainError(f"--only has {name!r}, expected some of {', '.join(QUICKLY)}")
    pythons = [word for peer, path in options.python for word in ("--python", f"{peer}={path}")]
    codes = []
    for name in chosen:
        print(f"== {name} ==\n", flush=True)
        more = pythons if name in PEERS else []
        to = ["--report", str(options.report), "--no-page"]
        codes.append(main([name, *QUICKLY[name], *more, *to]))
        print()
    if any(options.report.glob("*.json")):
        print(f"the report of all: {_output.show(options.report)}")
    return max(codes)
