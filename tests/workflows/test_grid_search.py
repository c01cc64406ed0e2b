"""Every point is scored once, ranked, and not forgotten."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strategies import normal
from threadwise.errors import DomainError, DTypeError, FormatError, StorageError
from threadwise.workflows import cross_validate, grid_search

GRID = {"a": [1, 2, 3], "b": [0.5, -1.0]}


def product(a: float, b: float) -> float:
    return a * b


def test_all_combinations_are_scored_in_the_order_of_the_grid() -> None:
    found = grid_search(product, GRID)
    assert [(trial.params["a"], trial.params["b"]) for trial in found.trials] == [
        (a, b) for a in (1, 2, 3) for b in (0.5, -1.0)
    ]
    assert [trial.index for trial in found.trials] == list(range(6))
    assert [trial.score for trial in found.trials] == [0.5, -1, 1, -2, 1.5, -3]
    assert found.best.params == {"a": 3, "b": 0.5}
    assert [trial.score for trial in found.ranking] == [1.5, 1, 0.5, -1, -2, -3]
    least = grid_search(product, GRID, maximize=False)
    assert [trial.score for trial in least.ranking] == [-3, -2, -1, 0.5, 1, 1.5]


def test_several_grids_follow_each_other() -> None:
    found = grid_search(lambda a, b=0: a + b, [{"a": [1]}, {"a": [2], "b": [3, 4]}])
    assert [trial.params for trial in found.trials] == [
        {"a": 1},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]


def test_equals_keep_their_order_and_nan_comes_last() -> None:
    found = grid_search(lambda a: [2, float("nan"), 3, 2][a], {"a": range(4)})
    assert [trial.index for trial in found.ranking] == [2, 0, 3, 1]
    nothing = grid_search(lambda a: float("nan"), {"a": [1]})  # noqa: ARG005
    with pytest.raises(DomainError, match="none of 1 points has a score"):
        _ = nothing.best


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_nothing(threads: int) -> None:
    x, y = normal((60, 3), np.float64), normal((60,), np.float64)

    def score(ridge: float, cv: int) -> Any:
        def fold(train: Any, test: Any) -> float:
            (a, b), (c, d) = train.take(), test.take()
            weights = np.linalg.solve(a.T @ a + ridge * np.eye(3), a.T @ b)
            return -float(np.square(c @ weights - d).mean())

        return cross_validate(fold, x, y, cv=cv)

    grid = {"ridge": [0.1, 1.0, 10.0], "cv": [2, 3]}
    found = grid_search(score, grid, threads=threads)
    expected = grid_search(score, grid, threads=1)
    assert [trial.score for trial in found.trials] == [trial.score for trial in expected.trials]
    assert found.cap == threads
    assert 1 <= found.threads <= threads
    assert f"6 points ({found.threads} thread" in str(found)


def failing(a: int) -> int:
    if a in {1, 2}:
        raise ArithmeticError(f"not {a}")
    return a


@pytest.mark.parametrize("threads", [1, 3])
def test_errors_tell_their_point(threads: int) -> None:
    with pytest.raises(ArithmeticError, match="not 1") as caught:
        grid_search(failing, {"a": range(5)}, threads=threads)
    assert caught.value.__notes__ == [
        "threadwise.workflows.grid_search, point {'a': 1}: this was raised for it"
    ]
    found = grid_search(failing, {"a": range(5)}, threads=threads, on_error="collect")
    assert [trial.index for trial in found.failures] == [1, 2]
    assert [trial.index for trial in found.ranking] == [4, 3, 0, 1, 2]
    assert "5 points, 2 failed" in str(found)
    assert "ArithmeticError('not 1')  a=1" in str(found)
    with pytest.raises(DomainError, match="none of 2 points") as nothing:
        _ = grid_search(failing, {"a": [1, 2]}, on_error="collect").best
    assert isinstance(nothing.value.__cause__, ArithmeticError)


def test_a_journal_spares_what_was_done(tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []

    def score(**point: Any) -> float:
        calls.append(point)
        return float(point["a"] / 3)

    journal = tmp_path / "search.jsonl"
    first = grid_search(score, {"a": [1, 2]}, journal=journal)
    assert len(calls) == 2
    second = grid_search(score, {"a": [np.int64(1), 2, 5]}, journal=journal)
    assert calls[2:] == [{"a": 5}]
    assert [trial.is_resumed for trial in second.trials] == [True, True, False]
    assert [trial.score for trial in second.trials[:2]] == [trial.score for trial in first.trials]
    assert "3 points, 2 of them from the journal" in str(second)
    header, *lines = journal.read_text().splitlines()
    assert json.loads(header) == {"threadwise": "grid_search", "version": 1}
    assert [json.loads(line)["params"] for line in lines] == [{"a": 1}, {"a": 2}, {"a": 5}]
    third = grid_search(score, {"a": [1, 2, 5]}, journal=journal)
    assert len(calls) == 3
    assert (third.threads, third.cap) == (0, 1)


def test_failures_are_tried_again(tmp_path: Path) -> None:
    journal = tmp_path / "search.jsonl"
    with pytest.raises(ArithmeticError):
        grid_search(failing, {"a": [0, 1]}, journal=journal, threads=1)
    found = grid_search(lambda a: a, {"a": [0, 1]}, journal=journal)
    assert [trial.is_resumed for trial in found.trials] == [True, False]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_what_was_half_written_is_cut_off(tmp_path: Path, cut: int) -> None:
    journal = tmp_path / "search.jsonl"
    whole = grid_search(product, GRID, journal=journal, threads=1)
    text = journal.read_bytes()
    journal.write_bytes(text[:-cut])
    again = grid_search(product, GRID, journal=journal, threads=1)
    assert [trial.score for trial in again.trials] == [trial.score for trial in whole.trials]
    assert any(trial.is_resumed for trial in again.trials)
    assert len(journal.read_text().splitlines()) == 7
    for line in journal.read_text().splitlines():
        json.loads(line)


CHILD = """
    import time
    from threadwise.workflows import grid_search

    def score(a):
        time.sleep(0.02)
        return a / 7

    found = grid_search(score, {"a": list(range(40))}, journal="journal", threads=2)
    print([trial.score for trial in found.trials] == [a / 7 for a in range(40)])
    print(sum(trial.is_resumed for trial in found.trials))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_it_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CHILD)]
    child = subprocess.Popen(command, cwd=tmp_path)
    journal = tmp_path / "journal"
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if journal.exists() and journal.read_bytes().count(b"\n") > 6:
            break
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    is_right, resumed = done.stdout.split()
    assert is_right == "True"
    assert 6 <= int(resumed) < 40


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,score\n", 'line 1: expected {"threadwise": "grid_search", "version": 1}, or no'),
        ("something", "is no journal of grid_search, expected one, or no file"),
        ('{"threadwise": "grid_search", "version": 1}\nx\n', "line 2: Expecting value"),
        ('{"threadwise": "grid_search", "version": 1}\n3\n', "line 2: expected an object"),
        ('{"threadwise": "grid_search", "version": 1}\n{}\n', "line 2: it has {}, expected params"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(
    tmp_path: Path, text: str, sentence: str
) -> None:
    journal = tmp_path / "journal"
    journal.write_text(text)
    with pytest.raises(FormatError, match=sentence):
        grid_search(product, GRID, journal=journal)
    assert journal.read_text() == text


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        grid_search(product, GRID, journal=tmp_path / "nowhere" / "journal")


@pytest.mark.parametrize(
    ("grid", "options", "error", "sentence"),
    [
        ([], {}, DomainError, "grid is empty"),
        ([3], {}, DTypeError, r"grid has 3 \(a int\), expected a mapping"),
        ({"a": []}, {}, DomainError, r"grid\['a'\] is empty"),
        ({"a": 3}, {}, DTypeError, r"grid\['a'\] is 3, expected a list of values"),
        ({"a": "xyz"}, {}, DTypeError, r"grid\['a'\] is 'xyz', expected a list"),
        ({3: [1]}, {}, DTypeError, "grid has the name 3, expected a text"),
        ({"a": [1]}, {"threads": -1}, DomainError, "threads is -1"),
    ],
)
def test_arguments_that_make_no_sense(
    grid: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        grid_search(product, grid, **options)


def test_values_that_a_journal_cannot_hold(tmp_path: Path) -> None:
    grid = {"a": [abs], "b": [1]}
    assert grid_search(lambda a, b: a(b), grid).best.score == 1
    with pytest.raises(DTypeError, match=r"grid\['a'\] has <built-in function abs>, which a jour"):
        grid_search(product, grid, journal=tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


def test_what_is_no_score_and_no_function() -> None:
    with pytest.raises(DTypeError, match="the score is None"):
        grid_search(lambda a: None, {"a": [1]})  # noqa: ARG005
    with pytest.raises(DTypeError, match="fn is 3"):
        grid_search(3, {"a": [1]})  # type: ignore[arg-type]
