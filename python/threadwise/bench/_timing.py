"""How long a call takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter
from timeit import Timer

__all__ = ["SLOW", "Summary", "sample", "sample_after", "summarize"]

WARM_UP = 0.03
"""Seconds of calls before those that count: a processor at rest needs them to reach its speed."""

SLOW = 0.3
"""Seconds a call from which on one call is a sample, and the first is as good as any."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What samples say: the median, and the quartiles on both sides of it. In seconds a call."""

    low: float
    median: float
    high: float


def summarize(seconds: Sequence[float]) -> Summary:
    """Return the quartiles of `seconds`.

    Examples
    --------
    >>> summarize([4.0, 1.0, 3.0, 2.0, 5.0])
    Summary(low=2.0, median=3.0, high=4.0)
    >>> summarize([1.0])
    Summary(low=1.0, median=1.0, high=1.0)
    """
    if len(seconds) == 1:
        return Summary(low=seconds[0], median=seconds[0], high=seconds[0])
    low, median, high = quantiles(seconds, n=4, method="inclusive")
    return Summary(low=low, median=median, high=high)


def sample(
    function: Callable[..., object], *arguments: object, budget: float, count: int = 5
) -> list[float]:
    """Time ``function(*arguments)``.

    Parameters
    ----------
    function : callable
    *arguments : object
    budget : float
        About how many seconds to take, after `WARM_UP`. A function that takes longer than its
        share of that is called `count` times nonetheless, and twice before; one that takes longer
        than `SLOW`, once.
    count : int, default 5
        How many samples.

    Returns
    -------
    list of float
        Seconds a call, one number a sample, each of them the mean of as many calls as fit. Of a
        slow function, the one time that it took.

    Notes
    -----
    Garbage is not collected meanwhile, as in `timeit`, whose loop this is.
    """
    names = {f"a{i}": argument for i, argument in enumerate(arguments)}
    timer = Timer(f"f({', '.join(names)})", globals={"f": function, **names})
    warm = perf_counter() + WARM_UP
    first = timer.timeit(1)  # it allocates and starts threads
    if first > SLOW:
        return [first]
    while perf_counter() < warm:
        timer.timeit(1)
    share = budget / (count + 1)
    calls, took = 1, timer.timeit(1)
    while took < share / 4:  # too short to tell: the clock and the loop would count
        calls *= 2
        took = timer.timeit(calls)
    calls = max(1, round(calls * share / took))
    return [timer.timeit(calls) / calls for _ in range(count)]


def sample_after(
    before: Callable[[], object], function: Callable[..., object], *arguments: object, budget: float
) -> list[float]:
    """Time ``function(*arguments)`` right after ``before()``, again and again.

    Parameters
    ----------
    before : callable
        What is called before each call, and does not count.
    function : callable
    *arguments : object
    budget : float
        About how many seconds to take for all calls together, after `WARM_UP`.

    Returns
    -------
    list of float
        Seconds a call: at least one number and at most a thousand.
    """
    warm = perf_counter() + WARM_UP
    before()
    function(*arguments)
    while perf_counter() < warm:
        before()
        function(*arguments)
    end = perf_counter() + budget
    seconds: list[float] = []
    while not seconds or (perf_counter() < end and len(seconds) < 1000):
        before()
        begin = perf_counter()
        function(*arguments)
        seconds.append(perf_counter() - begin)
    return seconds
