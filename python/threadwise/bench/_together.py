"""What other libraries cost us in one process: our calls right after theirs, against ours alone.

After a call, the threads of a BLAS or of OpenMP go on spinning for a while, on the CPUs that the
next call of another library needs. Programs that use both live with that; this says how much it is.
"""

from collections.abc import Sequence
from math import exp, fsum, log

from threadwise.bench._libraries import Name
from threadwise.bench._race import Entrant, Outcome
from threadwise.bench._table import duration

__all__ = ["EXPLANATION", "conclusion", "entrants", "header", "row"]

EXPLANATION = """\
threadwise's time alone in a process, and in one where another library makes the same product before
each of its calls. Times are medians of single calls. The ratio is the time after the other over the
time alone: 1 is undisturbed."""


def entrants(peers: Sequence[Name]) -> list[Entrant]:
    """Return those who take part: threadwise alone, and after each of `peers`, in this Python."""
    alone = Entrant(library="threadwise", alternate=True)
    return [alone, *(Entrant(library="threadwise", beside=peer) for peer in peers)]


def header(labels: Sequence[str]) -> str:
    """Return the line above the rows."""
    after = "".join(f"{label.removeprefix('threadwise '):>14}{'ratio':>8}" for label in labels[1:])
    return f"{'dtype':<9}{'shape':<34}{'alone':>12}{after}"


def row(outcome: Outcome, labels: Sequence[str]) -> str:
    """Return the line of one case."""
    alone = outcome.results.get("threadwise")
    line = f"{outcome.case.dtype:<9}{outcome.case!s:<34}"
    line += f"{'-' if alone is None else duration(alone.seconds.median):>12}"
    for label in labels[1:]:
        result, ratio = outcome.results.get(label), _ratio(outcome, label)
        time = "-" if result is None else duration(result.seconds.median)
        line += f"{time:>14}{'-' if ratio is None else f'{ratio:.2f}x':>8}"
    wrong = [result.library for result in outcome.results.values() if not result.correct]
    return line + (f"  WRONG RESULT of {' and '.join(wrong)}" if wrong else "")


def conclusion(outcomes: Sequence[Outcome], labels: Sequence[str]) -> str:
    """Return what the rows come to."""
    lines = []
    for label in labels[1:]:
        ratios = [r for outcome in outcomes if (r := _ratio(outcome, label)) is not None]
        if ratios:
            mean = exp(fsum(map(log, ratios)) / len(ratios))
            lines.append(
                f"{label}: {mean:.2f} times the time alone (geometric mean of {len(ratios)} "
                f"shapes), at worst {max(ratios):.2f} times"
            )
    return "\n".join(lines) or "nothing could be compared"


def _ratio(outcome: Outcome, label: str) -> float | None:
    alone, after = outcome.results.get("threadwise"), outcome.results.get(label)
    if alone is None or after is None:
        return None
    return after.seconds.median / alone.seconds.median
