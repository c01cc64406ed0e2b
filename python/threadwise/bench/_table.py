"""The table that people read: threadwise against NumPy, a line a case."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from threadwise.bench._race import Result

__all__ = ["EXPLANATION", "HEADER", "between", "conclusion", "row"]

Pair = Mapping[str, Result]

EXPLANATION = """\
Each library runs alone in its own process, in turns, because NumPy's threads spin for a while after
each call and would take the CPU from the other. Times are medians. The ratio is NumPy's time over
threadwise's: above 1, threadwise is faster. "unclear": the middle halves of their times overlap.
The error is threadwise's largest, against float64: 1 is the most that rounding explains."""

HEADER = (
    f"{'operation':<11}{'dtype':<8}{'m x k x n':>18}{'threadwise':>12}{'NumPy':>10}"
    f"{'GFLOP/s':>9}{'(NumPy)':>9}{'ratio':>8}  {'':<7}{'error':>6}"
)


def row(pair: Pair) -> str:
    """Return the line of one case."""
    ours, theirs = pair["threadwise"], pair["numpy"]
    wrong = [result.library for result in pair.values() if not result.correct]
    return (
        f"{ours.case.operation:<11}{ours.case.dtype:<8}{ours.case!s:>18}"
        f"{duration(ours.seconds.median):>12}{duration(theirs.seconds.median):>10}"
        f"{ours.gflops:>9.1f}{theirs.gflops:>9.1f}{_ratio(pair):>7.2f}x  {verdict(pair):<7}"
        + (f"{ours.error:>6.3f}" if not wrong else f"  WRONG RESULT of {' and '.join(wrong)}")
    )


def conclusion(pairs: Sequence[Pair]) -> str:
    """Return what the rows come to: losses as plainly as wins."""
    lines = []
    for word, text in (
        ("faster", "threadwise is faster than NumPy"),
        ("slower", "threadwise is slower than NumPy"),
        ("unclear", "which is faster is unclear"),
    ):
        found = [pair for pair in pairs if verdict(pair) == word]
        lines.append(f"{text} at {len(found)} of {len(pairs)} shapes" + _span(found))
    wrong = sum(not result.correct for pair in pairs for result in pair.values())
    lines.append(
        f"{wrong} RESULTS ARE WRONG: further from NumPy in float64 than rounding explains"
        if wrong
        else "all results agree with NumPy's in float64 as closely as rounding allows"
    )
    return "\n".join(lines)


def verdict(pair: Pair) -> Literal["faster", "slower", "unclear"]:
    """Return what threadwise is, where the middle halves of the times do not overlap."""
    ours, theirs = pair["threadwise"].seconds, pair["numpy"].seconds
    if ours.high < theirs.low:
        return "faster"
    return "slower" if ours.low > theirs.high else "unclear"


def duration(seconds: float) -> str:
    """Return `seconds` with three digits and a unit.

    Examples
    --------
    >>> [duration(seconds) for seconds in (4.1234e-7, 9.999e-5, 0.0123, 1.5)]
    ['0.412 us', '100 us', '12.3 ms', '1.50 s']
    """
    value, unit = seconds, "s"
    for smaller in ("ms", "us"):
        if float(f"{value:.3g}") >= 1:
            break
        value, unit = value * 1e3, smaller
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2 if value >= 0.9995 else 3
    return f"{value:.{digits}f} {unit}"


def _ratio(pair: Pair) -> float:
    return pair["numpy"].seconds.median / pair["threadwise"].seconds.median


def _span(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    low, high = min(map(_ratio, pairs)), max(map(_ratio, pairs))
    return f" ({low:.2f}x)" if len(pairs) == 1 else f" ({low:.2f}x to {high:.2f}x)"


def between(page: str, marks: tuple[str, str], text: str) -> str:
    """Return `page` with `text` between its two marks.

    Raises
    ------
    ValueError
        If one of them is not there, or more than once.
    """
    begin, end = marks
    if page.count(begin) != 1 or page.count(end) != 1:
        message = f"the page must have {begin} and {end} once each"
        raise ValueError(message)
    pattern = f"({re.escape(begin)}\n).*?({re.escape(end)})"
    return re.sub(pattern, lambda found: f"{found[1]}{text}\n{found[2]}", page, flags=re.DOTALL)
