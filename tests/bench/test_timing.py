import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from threadwise.bench._cases import LIBRARIES, Case, Library, call, error, operands
from threadwise.bench._load import busy, caution
from threadwise.bench._race import Result, race
from threadwise.bench._table import HEADER, conclusion, row
from threadwise.bench._timing import Summary, sample

TINY = Case(m=4, k=3, n=5)


def pair(ours: float, theirs: float, error: float = 0.5) -> dict[Library, Result]:
    def result(library: Library, median: float, error: float) -> Result:
        seconds = Summary(low=median - 0.01, median=median, high=median + 0.01)
        return Result(
            case=TINY, library=library, version="1", threads=2, seconds=seconds, error=error
        )

    return {"threadwise": result("threadwise", ours, error), "numpy": result("numpy", theirs, 0.5)}


def ask(library: str, *requests: dict[str, object]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "threadwise.bench._worker", library],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_sample_is_the_time_of_one_call() -> None:
    seconds = sample(time.sleep, 0.004, budget=0.04, count=3)
    assert len(seconds) == 3
    assert 0.004 <= min(seconds) < 0.05


def test_short_calls_are_repeated_until_they_fill_the_budget() -> None:
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    seconds = sample(count, budget=0.02, count=2)
    assert calls > 1000
    assert 0 < min(seconds) <= max(seconds) < 1e-3


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation", ["matmul", "linear"])
def test_results_pass_the_check(library: Any, dtype: Any, operation: Any) -> None:
    case = Case(operation=operation, dtype=dtype, m=3, k=400, n=7)
    left, right = operands(case)
    assert error(case, left, right, call(library, case)(left, right)) <= 1


def test_a_wrong_element_fails_the_check() -> None:
    left, right = operands(TINY)
    result = left @ right
    for wrong in (1e-4, np.nan, np.inf):
        broken = result.copy()
        broken[3, 4] += wrong
        assert error(TINY, left, right, broken) > 1
    assert error(TINY, left, right, result.T) > 1
    assert error(TINY, left, right, result.astype(np.float64)) > 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_worker_says_who_it_is_and_answers_each_line(library: str) -> None:
    case = {"operation": "linear", "dtype": "float64", "m": 2, "k": 3, "n": 4}
    request = {"case": case, "budget": 0.001, "count": 2, "check": True}
    hello, first, second = ask(library, request, request | {"check": False})
    assert set(hello) == {"library", "version", "threads"}
    assert hello["library"] == library
    assert hello["threads"] is None or hello["threads"] >= 1
    assert len(first["seconds"]) == 2
    assert all(seconds > 0 for seconds in first["seconds"])
    assert 0 <= first["error"] <= 1
    assert second["error"] is None


def test_a_race_times_each_library_in_each_case() -> None:
    cases = [TINY, Case(operation="linear", m=1, k=8, n=8)]
    found = list(race(cases, rounds=2, budget=0.001, threads=1))
    assert [results["numpy"].case for results in found] == cases
    for results in found:
        assert set(results) == set(LIBRARIES)
        for library, result in results.items():
            assert result.library == library
            assert result.correct
            assert result.threads in (1, None)
            assert 0 < result.seconds.low <= result.seconds.median <= result.seconds.high
            assert result.gflops > 0


def test_a_worker_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADWISE_NUM_THREADS", "many")
    with pytest.raises(RuntimeError, match="times threadwise ended with exit code 1"):
        next(race([TINY]))


def test_losses_and_wrong_results_are_as_plain_as_wins() -> None:
    lost, won, wrong = pair(3.0, 1.5), pair(1.0, 1.5), pair(1.0, 1.0, error=2.0)
    assert "0.50x  slower" in row(lost)
    assert "1.50x  faster" in row(won)
    assert "1.00x  unclear  WRONG RESULT of threadwise" in row(wrong)
    assert len(HEADER) == len(row(won))
    text = conclusion([lost, won, wrong])
    assert "slower than NumPy at 1 of 3 shapes (0.50x)" in text
    assert "1 RESULTS ARE WRONG" in text


def test_a_busy_machine_is_a_caution_and_a_quiet_one_is_not() -> None:
    measured = busy(0.05)
    assert measured is None or 0 <= measured <= (os.cpu_count() or 1)
    assert caution(None) == caution(0.1) == ""
    assert "other processes kept 1.5 of " in caution(1.5)
