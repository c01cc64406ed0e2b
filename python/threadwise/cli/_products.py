"""Products next to NumPy's, for ``threadwise demo``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadwise.bench._cases import Case

__all__ = ["cases", "race"]


def cases() -> list["Case"]:
    """Return a small cube, a larger one, and what a language model multiplies for each word."""
    from threadwise.bench._cases import Case

    return [*(Case(m=size, k=size, n=size) for size in (4, 512)), Case(m=1, k=4096, n=4096)]


def race(cases: Sequence["Case"], *, rounds: int = 3, budget: float = 0.1) -> bool:
    """Print the table for `cases`; return whether all results are right."""
    from threadwise.bench._load import busy, caution
    from threadwise.bench._race import Entrant, Pace, Race
    from threadwise.bench._table import EXPLANATION, HEADER, conclusion, row

    print(f"{EXPLANATION}\n\n{HEADER}", flush=True)
    others, pairs = busy(), []
    with Race([Entrant(library="threadwise"), Entrant(library="numpy")]) as contest:
        for outcome in contest.run(cases, Pace(rounds=rounds, budget=budget)):
            print(row(outcome.results), flush=True)
            pairs.append(outcome.results)
    print(f"\n{conclusion(pairs)}{caution(others)}")
    return all(result.correct for pair in pairs for result in pair.values())
