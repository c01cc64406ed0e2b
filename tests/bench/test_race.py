import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_torch import install_torch
from outcomes import result
from threadwise.bench import _worker
from threadwise.bench._cases import Case
from threadwise.bench._check import RESULTS, error
from threadwise.bench._libraries import NumPy, RefusedError, Threadwise, Torch, open_library
from threadwise.bench._load import busy, caution
from threadwise.bench._race import Entrant, Outcome, Pace, Race
from threadwise.bench._table import HEADER, conclusion, row
from threadwise.bench._timing import sample, sample_after

pytestmark = pytest.mark.timing

TINY = Case(m=4, k=3, n=5)
FAST = Pace(rounds=2, budget=0.001)
OURS, NUMPY = Entrant(library="threadwise"), Entrant(library="numpy")


@pytest.fixture(autouse=True)
def no_torch_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)


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


def test_a_slow_call_is_made_once() -> None:
    calls = 0

    def slow() -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.31)

    [seconds] = sample(slow, budget=0.01, count=3)
    assert calls == 1
    assert seconds >= 0.31


def test_what_comes_before_a_call_does_not_count() -> None:
    seconds = sample_after(lambda: time.sleep(0.02), time.sleep, 0.001, budget=0.05)
    assert 1 <= len(seconds) <= 4
    assert 0.001 <= min(seconds) < 0.015


@pytest.mark.parametrize("library", [NumPy, Threadwise])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "case",
    [
        Case(m=3, k=400, n=7),
        Case(operation="linear", m=3, k=400, n=7),
        Case(m=3, k=5, n=7, transposed="ab"),
        Case(m=3, k=5, n=7, left=(2, 3), right=(3,), transposed="b"),
        Case(m=1, k=5, n=7, vector="a"),
        Case(m=3, k=5, n=1, vector="b"),
        Case(m=1, k=5, n=1, vector="ab"),
    ],
    ids=str,
)
def test_results_pass_the_check(library: type[NumPy], dtype: Any, case: Case) -> None:
    assert off(library(), Case(**vars(case) | {"dtype": dtype})) <= 1


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_short_results_pass_the_check(dtype: Any) -> None:
    assert off(NumPy(), Case(dtype=dtype, m=9, k=300, n=8)) <= 1


def off(library: NumPy, case: Case) -> float:
    left, right = library.operands(case)
    answer = library.product(case)(left, right)
    wide = [library.widened(array) for array in (left, right, answer)]
    return error(case, wide[0], wide[1], wide[2], library.dtype(answer))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "int8"])
def test_a_wrong_element_fails_the_check(dtype: Any) -> None:
    case = Case(dtype=dtype, m=4, k=3, n=5)
    random = np.random.default_rng(1)
    left, right = random.integers(-9, 9, (4, 3)) / 1.0, random.integers(-9, 9, (3, 5)) / 1.0
    answer, name = left @ right, RESULTS[case.dtype]
    assert error(case, left, right, answer, name) == 0
    for wrong in (0.5 if dtype == "int8" else 10.0, np.nan, np.inf):
        broken = answer.copy()
        broken[3, 4] += wrong
        assert error(case, left, right, broken, name) > 1
    assert error(case, left, right, answer.T, name) > 1
    assert error(case, left, right, answer, "float128") > 1


def test_a_worker_answers_each_line(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    case = {"operation": "linear", "dtype": "float64", "m": 2, "k": 3, "n": 4}
    request = {"case": case, "budget": 0.001, "count": 2, "check": True, "limit": 9.0}
    lines = [request, request | {"check": False}, request | {"limit": 0.0}]
    monkeypatch.setattr(sys, "stdin", [json.dumps(line) for line in lines])
    _worker.main("numpy")
    hello, first, second, slow = map(json.loads, capsys.readouterr().out.splitlines())
    assert hello["version"] == np.__version__
    assert {"float32", "float64", "float16", "int8"} <= set(hello["dtypes"])
    assert len(first["seconds"]) == 2
    assert all(seconds > 0 for seconds in first["seconds"])
    assert 0 <= first["error"] <= 1
    assert second["error"] is None
    assert slow["seconds"] == []
    assert slow["note"] == "about 0 s a call"


def test_the_answer_that_is_checked_is_the_sample_of_a_slow_call(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    request = {"case": {"m": 2, "k": 3, "n": 4}, "budget": 0.001, "count": 2, "limit": 9.0}
    monkeypatch.setattr(sys, "stdin", [json.dumps(request | {"check": True})])
    monkeypatch.setattr(_worker, "SLOW", 0.0)
    _worker.main("numpy")
    _, answer = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(answer["seconds"]) == 1
    assert answer["error"] <= 1


def test_a_race_times_each_library_in_each_case() -> None:
    cases = [TINY, Case(operation="linear", m=1, k=8, n=8), Case(m=2, k=3, n=2, left=(2,))]
    with Race([OURS, NUMPY], threads=1) as race:
        found = list(race.run(cases, FAST))
    assert [outcome.case for outcome in found] == cases
    for outcome in found:
        assert outcome.notes == {}
        assert list(outcome.results) == ["threadwise", "numpy"]
        for label, found_by in outcome.results.items():
            assert found_by.library == label
            assert found_by.correct
            assert found_by.threads in (1, None)
            assert 0 < found_by.seconds.low <= found_by.seconds.median <= found_by.seconds.high
            assert found_by.gflops > 0


def test_the_pythons_of_others_need_no_threadwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "threadwise").mkdir()
    (tmp_path / "threadwise" / "__init__.py").write_text("raise ImportError('not for here')")
    install_torch(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Race([Entrant(library="torch")]) as race:
        [outcome] = race.run([TINY], FAST)
    assert outcome.results["torch"].correct
    assert outcome.results["torch"].version == "0.0.fake"
    assert outcome.results["torch"].threads == 7


def test_a_library_that_is_wrong_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", install_torch(tmp_path, off=1e-3))
    with Race([NUMPY, Entrant(library="torch")]) as race:
        [outcome] = race.run([TINY], FAST)
    assert outcome.results["numpy"].correct
    assert not outcome.results["torch"].correct


def test_what_a_library_does_not_take_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", install_torch(tmp_path))
    stack = Case(dtype="int8", m=2, k=2, n=2, left=(2,))
    three, two = (Case(dtype="int8", m=m, k=2, n=2) for m in (3, 2))
    with Race([NUMPY, Entrant(library="torch")]) as race:
        outcomes = list(race.run([stack, three, two], FAST))
    assert [set(outcome.results) for outcome in outcomes] == [{"numpy"}] * 2 + [{"numpy", "torch"}]
    assert "only for two matrices" in outcomes[0].notes["torch"]
    assert outcomes[1].notes["torch"] == "three rows are too many"


def test_a_library_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RefusedError, match=r"PyTorch is left out: .* --python torch=PATH"):
        open_library("torch")


def test_bfloat16_without_ml_dtypes_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadwise.bench._libraries.find_spec", lambda _: None)
    with pytest.raises(RefusedError, match="bfloat16 arrays need ml_dtypes: pip install ml_dtypes"):
        NumPy().operands(Case(dtype="bfloat16", m=1, k=1, n=1))


def test_torch_gets_the_tensors_that_its_user_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install_torch(tmp_path))
    torch = Torch()
    for case in (TINY, Case(operation="linear", m=2, k=3, n=4), Case(dtype="int8", m=2, k=3, n=4)):
        assert off(torch, case) <= 1


def test_a_worker_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADWISE_NUM_THREADS", "many")
    with pytest.raises(RuntimeError, match="times threadwise ended with exit code 1"):
        Race([OURS]).__enter__()


def test_losses_and_wrong_results_are_as_plain_as_wins() -> None:
    def pair(ours: float, theirs: float, error: float = 0.5) -> Outcome:
        results = {
            "threadwise": result(TINY, "threadwise", ours, error),
            "numpy": result(TINY, "numpy", theirs),
        }
        return Outcome(case=TINY, results=results)

    lost, won = pair(3.0, 1.5).results, pair(1.0, 1.5).results
    wrong = pair(1.0, 1.0, error=2.0).results
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
