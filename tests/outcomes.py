"""Outcomes of races that were never run."""

from threadwise.bench._cases import Case
from threadwise.bench._race import Outcome, Result
from threadwise.bench._timing import Summary

__all__ = ["outcome", "result"]


def result(case: Case, library: str, median: float, error: float = 0.5) -> Result:
    """Return what a library did in `median` seconds, a tenth more or less."""
    seconds = Summary(low=median * 0.9, median=median, high=median * 1.1)
    return Result(case=case, library=library, version="1", threads=2, seconds=seconds, error=error)


def outcome(case: Case, notes: dict[str, str] | None = None, /, **medians: float) -> Outcome:
    """Return what came of `case`, by library."""
    results = {library: result(case, library, median) for library, median in medians.items()}
    return Outcome(case=case, results=results, notes=notes or {})
