import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fake_torch import install_torch
from outcomes import outcome, result
from threadwise.bench import _report, _together
from threadwise.bench.__main__ import main
from threadwise.bench._cases import DTYPES, Case
from threadwise.bench._grid import GRID, QUICK, chosen, group_of
from threadwise.bench._progress import progress
from threadwise.bench._race import Outcome

SMALL, LARGE = Case(m=2, k=2, n=2), Case(m=900, k=900, n=900)
BRIEF = ("matmul", "--quick", "--rounds", "1", "--shapes", "3x5x7,2x2x2", "--threads", "1")


def test_every_shape_has_a_name_of_its_own_and_a_class() -> None:
    shapes = [case for cases in GRID.values() for case in cases]
    assert len({str(case) for case in shapes}) == len(shapes) >= 63
    assert {group_of(case) for case in shapes} == set(GRID)
    assert group_of(Case(m=6, k=6, n=7)) == "others"
    assert {group_of(case) for case in QUICK} == set(GRID)


def test_shapes_are_chosen_by_class_and_by_extents() -> None:
    found = chosen("vectors, 3x5x7,3x5x7", ["float32", "int8"])
    assert found[: len(GRID["vectors"])] == GRID["vectors"]
    assert [str(case) for case in found].count("3 x 5 x 7") == 2
    assert {case.dtype for case in found} == {"float32", "int8"}
    assert len(chosen("all", DTYPES)) == 5 * sum(map(len, GRID.values()))


def test_measures_checks_and_concludes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BRIEF, "--dtypes", "float32,float64", "--peers", "numpy"]) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith(("float32  ", "float64  "))]
    assert [line.split()[:6] for line in rows] == [
        [dtype, *shape.split()]
        for dtype in ("float32", "float64")
        for shape in ("3 x 5 x 7", "2 x 2 x 2")
    ]
    assert "float64, 2 shapes:\n  time of NumPy / threadwise, geometric mean: " in printed
    assert "of 2 shapes" in printed
    assert "all results are as close to a float64 product as rounding allows" in printed


def test_a_peer_that_is_missing_is_a_note(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('No module named torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert main([*BRIEF, "--dtypes", "float32"]) == 0
    printed = capsys.readouterr().out
    [note] = [line for line in printed.splitlines() if line.startswith("note: PyTorch")]
    assert note.startswith("note: PyTorch is left out: No module named torch in this Python")
    assert "PyTorch / threadwise" not in printed


def test_a_peer_may_be_in_another_python_and_its_wrong_results_count_for_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", install_torch(tmp_path, off=1.0))
    other = f"torch={sys.executable}"
    assert main([*BRIEF, "--dtypes", "float32", "--peers", "torch", "--python", other]) == 0
    printed = capsys.readouterr().out
    assert printed.count("WRONG RESULT of PyTorch") == 2
    assert "2 RESULTS ARE WRONG" in printed
    assert "geometric mean" not in printed


def test_together_compares_threadwise_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dtypes", "float32", "--peers", "numpy", "--together"]
    assert main([*BRIEF, *options]) == 0
    printed = capsys.readouterr().out
    assert "alone   after numpy   ratio" in printed
    assert "threadwise after numpy: " in printed
    assert "(geometric mean of 2 shapes), at worst " in printed


def test_together_counts_the_time_that_it_costs() -> None:
    both = outcome(SMALL, None, **{"threadwise": 1.0, "threadwise after numpy": 3.0})
    labels = ["threadwise", "threadwise after numpy"]
    assert "3.00x" in _together.row(both, labels)
    assert "numpy: 3.00 times the time alone" in _together.conclusion([both], labels)


def test_the_conclusion_names_each_shape_that_is_lost() -> None:
    labels = ["threadwise", "numpy", "torch"]
    outcomes = [
        outcome(SMALL, threadwise=1.0, numpy=2.0, torch=0.5),
        outcome(LARGE, threadwise=1.0, numpy=8.0, torch=0.98),
        outcome(Case(m=3, k=3, n=3), threadwise=1.0, numpy=0.5, torch=4.0),
    ]
    text = _report.conclusion(outcomes, labels)
    assert "time of NumPy / threadwise, geometric mean: 2.00" in text
    assert "below 0.97x of the best of the others: 2 of 3 shapes" in text
    assert "0.50x  2 x 2 x 2, against PyTorch" in text
    assert "0.50x  3 x 3 x 3, against NumPy" in text
    assert "900 x 900 x 900" not in text
    rows = [_report.row(one, labels) for one in outcomes]
    assert [line.endswith(" <") for line in rows] == [True, False, True]


def test_wrong_results_win_nothing() -> None:
    results = {
        "threadwise": result(SMALL, "threadwise", 1.0),
        "numpy": result(SMALL, "numpy", 2.0),
        "torch": result(SMALL, "torch", 0.1, error=1.5),
    }
    found = _report.best_peer(Outcome(case=SMALL, results=results))
    assert found is not None
    assert found.library == "numpy"


def test_what_was_too_slow_is_noted_once_with_its_estimates() -> None:
    notes = {"numpy": "about 9 s a call"}
    outcomes = [outcome(SMALL, notes, threadwise=1.0), outcome(LARGE, notes, threadwise=1.0)]
    assert _report.notes(outcomes) == [
        "NumPy, float32: too slow: 2 x 2 x 2 (about 9 s a call), 900 x 900 x 900 (about 9 s a call)"
    ]
    assert _report.row(outcomes[0], ["threadwise", "numpy"]).split()[-1] == "-"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--shapes", "round"], "there are no shapes called 'round'"),
        (["--dtypes", "float8"], "'float8' is none of float32, float64"),
        (["--peers", "abacus"], "'abacus' is none of numpy, torch"),
        (["--threads", "0"], "'0' is not a whole number from 1 on"),
        (["--python", "torch=/nowhere"], "'torch=/nowhere' is not PEER=PATH"),
        (["--together", "--csv", "a.csv"], "--together has no record, report or picture"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["matmul", *options])
    assert sentence in capsys.readouterr().err


def test_a_picture_without_matplotlib_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match="2"):
        main(["matmul", "--plot", "a.png"])
    printed = capsys.readouterr()
    assert 'the picture needs matplotlib: pip install "threadwise[plot]"' in printed.err
    assert printed.out == ""


def test_settings_that_make_no_sense_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THREADWISE_NUM_THREADS", "many")
    program = [sys.executable, "-m", "threadwise.bench", "matmul", "--quick"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("python -m threadwise.bench: THREADWISE_NUM_THREADS is 'many'")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("program", [["threadwise.bench"], ["threadwise", "bench"]])
def test_help_is_the_same_from_both_doors(program: list[str]) -> None:
    command = [sys.executable, "-m", *program, "matmul", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for option in ("--dtypes", "--shapes", "--peers", "--threads", "--rounds", "--quick", "--csv"):
        assert option in done.stdout
    assert "examples:" in done.stdout


def test_progress_is_a_line_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        said: list[str] = []
        stream = SimpleNamespace(isatty=lambda t=terminal: t, write=said.append, flush=list)
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr("threadwise.bench._progress.EVERY", -1.0)
        assert list(progress(["one", "two"])) == ["one", "two"]
        monkeypatch.undo()
        text = "".join(said)
        assert text.startswith("[1/2] one")
        assert "[2/2] two, about 0 s left" in text
        assert ("\r" in text) == terminal
