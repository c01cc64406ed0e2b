"""``python -m threadwise.bench matmul``."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import threadwise as tw
from threadwise._picture import NEED, can_draw
from threadwise.bench import _output, _record, _report, _together
from threadwise.bench._cases import DTYPES, Case, DType
from threadwise.bench._document import Document, Picture, Table, paragraphs
from threadwise.bench._grid import GRID, QUICK, chosen, in_dtypes
from threadwise.bench._libraries import PEERS, Name
from threadwise.bench._load import caution
from threadwise.bench._progress import progress
from threadwise.bench._race import Entrant, Outcome, Pace, Race
from threadwise.scaling.environment import Environment

__all__ = ["add_options", "add_peers", "add_python", "entrants", "run"]

DESCRIPTION = """\
Time products of matrices: threadwise against NumPy, and against PyTorch where it is installed.

Every result is checked before it is timed. Each library runs alone in a process of its own, in
turns. The last lines say what it comes to, and name each shape at which threadwise is slower."""

EXAMPLES = """\
examples:
  python -m threadwise.bench matmul --quick                     a shape of each kind, in two minutes
  python -m threadwise.bench matmul --dtypes float32            the whole grid, in less than ten
  python -m threadwise.bench matmul --shapes rows,64x784x128    one class, and one shape more
  python -m threadwise.bench matmul --csv all.csv --plot all.png
  python -m threadwise.bench matmul --quick --together          what spinning threads of others cost
"""

QUICKLY = Pace(rounds=3, budget=0.03, limit=0.5, patience=0.3)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this bench."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    every = ",".join(DTYPES)
    add("--dtypes", type=_dtypes, default=DTYPES, metavar="LIST", help=f"of {every} (all of them)")
    add(
        "--shapes",
        metavar="LIST",
        help=f"all (the default), of {','.join(GRID)}, or MxKxN, separated by commas",
    )
    add_peers(parser)
    add(
        "--quick",
        action="store_true",
        help="three short turns, and unless --shapes says otherwise a shape or two of each class",
    )
    add("--together", action="store_true", help="time threadwise after calls of its peers instead")
    _output.add_options(parser)
    add("--plot", type=Path, metavar="FILE", help="draw it as a heat map: .png, .svg, .pdf")
    parser.set_defaults(run=run, parser=parser)


def add_peers(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who takes part, and how."""
    add = parser.add_argument
    add("--peers", type=_peers, default=PEERS, metavar="LIST", help="of numpy,torch (both)")
    add_python(parser)
    add(
        "--threads",
        type=_positive,
        metavar="N",
        help="of each library (default: what each takes by itself)",
    )
    add("--rounds", type=_positive, metavar="R", help="turns of each library in each case (5)")


def add_python(parser: argparse.ArgumentParser) -> None:
    """Add the option that says in which Python a peer is."""
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        type=_python,
        metavar="PEER=PATH",
        help="the Python that has a peer, if not this one: torch=/opt/torch/bin/python",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, print, and write what is asked for; return the exit code."""
    _refuse(options)
    pace = QUICKLY if options.quick else Pace()
    pace = Pace(**vars(pace) | ({"rounds": options.rounds} if options.rounds else {}))
    tw.get_num_threads()  # raises where the environment makes no sense
    environment = Environment.now()
    others = environment.busy_cpus
    racers = _together.entrants(options.peers) if options.together else entrants(options)
    report = _together if options.together else _report
    outcomes: list[Outcome] = []
    with Race(racers, threads=options.threads) as race:
        labels = [worker.label for worker in race.workers]
        cases = _cases(options, [dtype for dtype in options.dtypes if dtype in race.dtypes])
        print(f"{_setting(race)}\n\n{report.EXPLANATION}\n\n{report.header(labels)}", flush=True)
        for outcome in race.run(progress(cases), pace):
            print(report.row(outcome, labels), flush=True)
            outcomes.append(outcome)
        left_out = race.notes
    print(f"\n{report.conclusion(outcomes, labels)}")
    for note in [*left_out, *_report.notes(outcomes)]:
        print(f"note: {note}")
    print(caution(others), end="")
    if not all(_right(outcome) for outcome in outcomes):
        print("nothing is written: threadwise's own results are wrong")
        return 1
    notes = [*left_out, *_report.notes(outcomes)]
    _write(options, outcomes, environment, (labels, notes))
    return 0


def _refuse(options: argparse.Namespace) -> None:
    """End with a sentence if the options do not go together or something is missing for them."""
    error = options.parser.error
    _output.check(options)
    if options.together and (options.csv or options.plot or options.report):
        error("--together has no record, report or picture: leave out --csv, --report and --plot")
    if options.together and options.python:
        error("--together runs all in one process, so --python cannot name another")
    if options.plot and not can_draw():
        error(NEED)
    try:
        chosen(options.shapes or "all", DTYPES)
    except ValueError as problem:
        error(str(problem))


def _cases(options: argparse.Namespace, dtypes: Sequence[DType]) -> list[Case]:
    if options.quick and not options.shapes:
        return in_dtypes(QUICK, dtypes)
    return chosen(options.shapes or "all", dtypes)


def entrants(options: argparse.Namespace) -> list[Entrant]:
    """Return threadwise, and its peers in their Pythons."""
    pythons = dict(options.python)
    peers = [
        Entrant(library=peer, python=pythons.get(peer, sys.executable)) for peer in options.peers
    ]
    return [Entrant(library="threadwise"), *peers]


def _setting(race: Race) -> str:
    """Return where and with what this is measured."""
    libraries = ", ".join(
        f"{_report.NAMES.get(worker.label, worker.label)} {worker.hello['version']} "
        f"({worker.hello['threads'] or 'unknown'} threads)"
        for worker in race.workers
    )
    return f"{_record.machine()}, {tw.info().isa_used}\n{libraries}"


def _right(outcome: Outcome) -> bool:
    return all(
        result.correct
        for label, result in outcome.results.items()
        if label.startswith("threadwise")
    )


def _write(
    options: argparse.Namespace,
    outcomes: Sequence[Outcome],
    environment: Environment,
    found: tuple[Sequence[str], Sequence[str]],
) -> None:
    others = environment.busy_cpus
    if options.csv or options.report:
        _output.keep(_document(outcomes, environment, *found), options)
    if options.plot:
        from threadwise.bench._plot import draw  # noqa: PLC0415 - needs matplotlib

        with tempfile.TemporaryDirectory() as folder:
            record = Path(folder) / "record.csv"
            _record.write(outcomes, record, busy_cpus=others)
            draw(_record.read(record), options.plot)
        print(f"\nwritten: {options.plot}")


def _document(
    outcomes: Sequence[Outcome],
    environment: Environment,
    labels: Sequence[str],
    notes: Sequence[str],
) -> Document:
    cells = list(_report.cells(outcomes, labels))
    about = [*paragraphs(_report.EXPLANATION), *_report.conclusion(outcomes, labels).split("\n")]
    found = {label for outcome in outcomes for label in outcome.results}
    pictures = [Picture(kind="heat map", title="Times of the others / threadwise's")]
    return Document(
        bench="matmul",
        title="Products of matrices",
        about=about,
        environment=environment.facts(),
        rows=list(_record.rows(outcomes, environment.busy_cpus)),
        tables=[Table(title="", cells=cells)],
        pictures=pictures if len(found) > 1 else [],
        notes=notes,
    )


def _dtypes(text: str) -> Sequence[DType]:
    return cast("Sequence[DType]", _members(text, DTYPES))


def _peers(text: str) -> Sequence[Name]:
    return cast("Sequence[Name]", _members(text, PEERS))


def _members(text: str, known: Sequence[str]) -> Sequence[str]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            message = f"{word!r} is none of {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
    return list(dict.fromkeys(words))


def _python(text: str) -> tuple[str, str]:
    peer, _, path = text.partition("=")
    if peer not in PEERS or not Path(path).is_file():
        message = (
            f"{text!r} is not PEER=PATH, with a peer of {', '.join(PEERS)} and a Python's file"
        )
        raise argparse.ArgumentTypeError(message)
    return peer, path


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        message = f"{text!r} is not a whole number from 1 on"
        raise argparse.ArgumentTypeError(message)
    return int(text)
