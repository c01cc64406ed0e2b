"""``threadwise demo``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from threadwise.bench._cases import Case

__all__ = ["cases", "demo", "run"]


def demo() -> None:
    """Multiply matrices, next to NumPy.

    Small ones and large ones, in about half a minute. The exit code is 1 if a result is wrong.
    """
    raise typer.Exit(0 if run(cases()) else 1)


def cases() -> list["Case"]:
    """Return cubes, and the products of a language model that writes one word at a time."""
    from threadwise.bench._cases import Case

    cubes = [Case(m=size, k=size, n=size) for size in (4, 32, 128, 512, 1024, 2048)]
    decode = [Case(m=rows, k=4096, n=4096) for rows in (1, 4)]
    return [*cubes, *decode, Case(operation="linear", m=1, k=4096, n=4096)]


def run(cases: Sequence["Case"], *, rounds: int = 5, budget: float = 0.12) -> bool:
    """Print the table for `cases`, and what it ran on; return whether all results are right."""
    import numpy as np

    import threadwise as tw
    from threadwise.bench._load import busy, caution
    from threadwise.bench._race import Entrant, Pace, Race
    from threadwise.bench._table import EXPLANATION, HEADER, conclusion, row

    tw.get_num_threads()  # raises where the environment makes no sense
    print(f"threadwise {tw.__version__} and NumPy {np.__version__}, multiplying matrices\n")
    print(f"{EXPLANATION}\n\n{HEADER}", flush=True)
    others, pairs = busy(), []
    with Race([Entrant(library="threadwise"), Entrant(library="numpy")]) as race:
        for outcome in race.run(cases, Pace(rounds=rounds, budget=budget)):
            print(row(outcome.results), flush=True)
            pairs.append(outcome.results)
    print(f"\n{conclusion(pairs)}{caution(others)}\n\n{tw.info()}")
    return all(result.correct for pair in pairs for result in pair.values())
