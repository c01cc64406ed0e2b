"""`grid_search`: every combination of some settings, scored, ranked, and kept in a journal."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from threadwise._arguments import function
from threadwise._mapped import used
from threadwise._progress import Progress
from threadwise.errors import DomainError, DTypeError, FormatError
from threadwise.parallel.calls import Failure
from threadwise.workflows.journal import Journal
from threadwise.workflows.tasks import run, score_of

__all__ = ["GridSearch", "Trial", "grid_search"]

Grid: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One point of a `GridSearch`."""

    index: int
    """Which one, from 0, in the order of the grid."""
    params: dict[str, Any]
    """The settings."""
    score: float
    """What the function returned; NaN if it failed."""
    seconds: float
    """What it took."""
    error: Exception | None = None
    """What was raised, with ``on_error="collect"``."""
    is_resumed: bool = False
    """Whether the score comes from the journal."""


@dataclass(frozen=True, kw_only=True)
class GridSearch:
    """What `grid_search` found. Printed, it is a table of the best."""

    trials: tuple[Trial, ...]
    """Each point, in the order of the grid."""
    is_maximized: bool
    """Whether the largest score is the best."""
    threads: int
    """How many threads took part."""
    cap: int
    """How many could have: the smaller of points to be scored and threads."""
    seconds: float
    """What all of it took."""

    @property
    def ranking(self) -> tuple[Trial, ...]:
        """The points, best first. Equals are in the grid's order; NaN and failures are last."""

        def key(trial: Trial) -> tuple[int, float]:
            place = 2 if trial.error is not None else int(math.isnan(trial.score))
            return place, 0.0 if place else (-trial.score if self.is_maximized else trial.score)

        return tuple(sorted(self.trials, key=key))

    @property
    def best(self) -> Trial:
        """The best point.

        Raises
        ------
        DomainError
            If none has a score.
        """
        first = self.ranking[0]
        if first.error is not None or math.isnan(first.score):
            count = len(self.trials)
            raise DomainError(f"none of {count} points has a score: see failures") from first.error
        return first

    @property
    def failures(self) -> tuple[Trial, ...]:
        """The points that failed."""
        return tuple(trial for trial in self.trials if trial.error is not None)

    def __str__(self) -> str:
        shown = self.ranking[:10]
        resumed = sum(trial.is_resumed for trial in self.trials)
        counts = [f"{len(self.trials)} points"]
        counts += [f"{resumed} of them from the journal"] if resumed else []
        counts += [f"{len(self.failures)} failed"] if self.failures else []
        lines = [f"{', '.join(counts)} ({used(self.threads, self.cap)}, {self.seconds:.2f} s)"]
        for rank, trial in enumerate(shown, 1):
            point = ", ".join(f"{name}={value!r}" for name, value in trial.params.items())
            found = f"{trial.score:.6g}" if trial.error is None else repr(trial.error)
            lines.append(f"{rank:>3}  {found:>10}  {point}")
        return "\n".join(lines)


def grid_search(
    fn: Callable[..., Any],
    grid: Grid,
    *,
    maximize: bool = True,
    threads: int | None = None,
    progress: Progress = None,
    on_error: Literal["raise", "collect"] = "raise",
    journal: str | os.PathLike[str] | None = None,
) -> GridSearch:
    """Call a function with every combination of some settings, and rank what it returns.

    Parameters
    ----------
    fn : callable
        Called once for each point, ``fn(**settings)``, and returns a score: a number, or what is
        one by ``float()``, as the result of `cross_validate`.
    grid : mapping, or sequence of mappings
        The values to be tried of each setting, by its name; all combinations are points, of which
        the last name's values change fastest. Of several mappings, first all points of the first.
    maximize : bool, default True
        Whether the largest score is the best, or the smallest.
    threads : int, optional
        How many points at a time, from 1 to 1024. By default what `threadwise.get_num_threads`
        says.
    progress : bool or callable, optional
        True for a bar, or a function called as ``progress(done, points)`` on the calling thread.
        Points of the journal are not counted.
    on_error : {"raise", "collect"}, default "raise"
        What happens when a point raises an `Exception`. With ``"raise"`` that of the first such
        point is raised, with a note; with ``"collect"`` the point has it, and NaN for its score.
    journal : path, optional
        A file to which each score is added when it is known. Points that have one there are not
        tried again: a search that was ended goes on, also with a larger grid. Those that failed are
        tried again. Values must be what JSON has: numbers, texts, truth values, None, lists.

    Returns
    -------
    GridSearch
        Points, ranking, best, failures, threads used.

    Raises
    ------
    DomainError
        If a setting has no values, there is no point, or an argument is out of range.
    DTypeError
        If `fn` cannot be called, a score is no number, or a value has no JSON and there is a
        journal.
    FormatError
        If the journal is a file of something else.
    StorageError
        If the journal cannot be read or written.

    Notes
    -----
    The journal has a line of JSON for each score, written whole and synced: what a killed process
    left of a line is cut off. It does not know `fn`: another function wants another file.

    Within `fn`, kernels and workflows of threadwise have a part of the budget, so that threads do
    not multiply.

    Examples
    --------
    >>> import threadwise as tw
    >>> found = tw.workflows.grid_search(lambda a, b: a * b, {"a": [1, 2], "b": [3, -3]})
    >>> found.best.params, found.best.score
    ({'a': 2, 'b': 3}, 6.0)
    >>> [trial.score for trial in found.ranking]
    [6.0, 3.0, -3.0, -6.0]
    """
    function("fn", fn, "a function of settings by name")
    points = list(_points(grid))
    keys = [None if journal is None else _key(point) for point in points]
    log = None if journal is None else Journal(journal, "grid_search")
    with nullcontext() if log is None else closing(log):
        known = {} if log is None else _scores(log)
        left = [index for index, key in enumerate(keys) if key not in known]

        def score(index: int) -> tuple[float, float]:
            begin = time.perf_counter()
            found, seconds = score_of(fn(**points[index])), time.perf_counter() - begin
            if log is not None:
                log.write({"params": _plain(points[index]), "score": found, "seconds": seconds})
            return found, seconds

        outcome = run(
            score,
            left,
            what="points",
            name=lambda task: f"threadwise.workflows.grid_search, point {points[left[task]]}",
            threads=threads,
            progress=progress,
            on_error=on_error,
        )
    fresh = dict(zip(left, outcome.results, strict=True))
    return GridSearch(
        trials=tuple(
            _trial(index, point, fresh[index], is_resumed=False)
            if index in fresh
            else _trial(index, point, known[keys[index]], is_resumed=True)
            for index, point in enumerate(points)
        ),
        is_maximized=bool(maximize),
        threads=outcome.threads,
        cap=outcome.cap,
        seconds=outcome.seconds,
    )


def _trial(index: int, params: dict[str, Any], found: Any, *, is_resumed: bool) -> Trial:
    error = found.error if isinstance(found, Failure) else None
    score, seconds = (float("nan"), 0.0) if error is not None else found
    return Trial(
        index=index,
        params=params,
        score=score,
        seconds=seconds,
        error=error,
        is_resumed=is_resumed,
    )


def _points(grid: Grid) -> Iterator[dict[str, Any]]:
    grids = [grid] if isinstance(grid, Mapping) else list(grid)
    if not grids:
        raise DomainError("grid is empty, expected the values of at least one setting")
    for each in grids:
        if not isinstance(each, Mapping):
            expected = "expected a mapping of names to values, or several"
            raise DTypeError(f"grid has {each!r} (a {type(each).__name__}), {expected}")
        for name, values in each.items():
            if not isinstance(name, str):
                raise DTypeError(f"grid has the name {name!r}, expected a text")
            if isinstance(values, str) or not hasattr(values, "__len__"):
                raise DTypeError(f"grid[{name!r}] is {values!r}, expected a list of values")
            if len(values) == 0:
                raise DomainError(f"grid[{name!r}] is empty, expected at least one value")
        for combination in itertools.product(*each.values()):
            yield dict(zip(each, combination, strict=True))


def _scores(log: Journal) -> dict[str | None, tuple[float, float]]:
    found: dict[str | None, tuple[float, float]] = {}
    for line, record in enumerate(log.records, 2):
        try:
            key = json.dumps(record["params"], sort_keys=True)
            found[key] = (float(record["score"]), float(record["seconds"]))
        except (KeyError, TypeError, ValueError):
            expected = "expected params, score and seconds"
            raise FormatError(f"{log.path}, line {line}: it has {record}, {expected}") from None
    return found


def _key(point: dict[str, Any]) -> str:
    return json.dumps(_plain(point), sort_keys=True)


def _plain(point: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON makes of a point: the same for 0.1 and NumPy's 0.1."""
    plain = {}
    for name, value in point.items():
        try:
            plain[name] = json.loads(json.dumps(value, default=_of_numpy))
        except (TypeError, ValueError):
            raise DTypeError(
                f"grid[{name!r}] has {value!r}, which a journal cannot hold: expected numbers, "
                "texts, truth values, None, or lists of them"
            ) from None
    return plain


def _of_numpy(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError
