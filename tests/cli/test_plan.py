"""``threadwise calibrate`` and ``threadwise explain``."""

from pathlib import Path

import pytest

from interpreters import threadwise


def test_calibrate_prints_the_table_and_the_file(tmp_path: Path) -> None:
    here = {"XDG_CACHE_HOME": str(tmp_path), "THREADWISE_CALIBRATION": "on"}
    done = threadwise("calibrate", environment=here)
    assert (done.returncode, done.stderr) == (0, "")
    [file] = (tmp_path / "threadwise").iterdir()
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("measured", f"kept in {file}")
    assert any(line.startswith("float32 ") and line.endswith(" GFLOP/s") for line in lines)
    # Where lines are filled no path is cut, so the doctor's can be compared with all spaces gone.
    printed = threadwise("doctor", environment=here).stdout
    assert f"measured,in{file}" in "".join(printed.split())


def test_calibrate_says_if_it_is_switched_off(tmp_path: Path) -> None:
    off = {"XDG_CACHE_HOME": str(tmp_path), "THREADWISE_CALIBRATION": "off"}
    done = threadwise("calibrate", environment=off)
    assert done.returncode == 0
    assert done.stdout.startswith("assumed\n")
    assert done.stdout.endswith("\nnothing was measured: THREADWISE_CALIBRATION is off\n")
    assert list(tmp_path.iterdir()) == []


def test_explain_prints_a_plan() -> None:
    done = threadwise("explain", "2x300x4", "--dtype", "float64", "--threads", "1")
    assert (done.returncode, done.stderr) == (0, "")
    kernel, reason, source = done.stdout.splitlines()
    assert "-f64-" in kernel
    assert kernel.endswith(", threads: 1, pieces of work: 1")
    assert reason.startswith("1 thread: ")
    assert source == "(constants of this machine: assumed; tw.calibrate() measures them)"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["2x3"], "the shape is 2x3, expected MxKxN like 64x512x1024"),
        (
            ["2x3x4", "--dtype", "int64"],
            "dtype is int64, expected one of float32, float64, float16, int8",
        ),
        (
            ["2x3x4", "--threads", "0"],
            "threads is 0, expected a whole number from 1 to 1024 or None",
        ),
    ],
)
def test_explain_refuses_in_one_sentence(arguments: list[str], sentence: str) -> None:
    done = threadwise("explain", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"threadwise: {sentence}\n"
