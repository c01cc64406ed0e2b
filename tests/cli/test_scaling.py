"""``threadwise scaling``."""

import json
import subprocess
from pathlib import Path

import pytest

from interpreters import threadwise
from threadwise.cli.scaling import _say
from threadwise.scaling import ScalingResult

LESSONS = """
import time


class Lesson:
    @staticmethod
    def nap(threads):
        time.sleep(0.02 / threads)


def grow(size, threads):
    time.sleep(0.01)


def plain():
    time.sleep(0.02)


answer = 42
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "lessons.py").write_text(LESSONS)
    (tmp_path / "lacking.py").write_text("import there_is_no_such_module")
    return tmp_path


def scaling(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return threadwise("scaling", *arguments, cwd=here)


def test_a_function_is_measured_and_kept_in_files(here: Path) -> None:
    files = ["--csv", "a.csv", "--html", "a.html", "--plot", "a.png"]
    quick = ["--threads", "1,2", "--repeats", "2", "--warmup", "0"]
    serial = ["--serial", "lessons:plain", "--tasks", "2"]
    done = scaling(here, "lessons:Lesson.nap", *quick, *serial, *files)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "lessons.Lesson.nap: strong scaling",
        "2 rounds after 0 of warm-up, 1 call a sample, 2 tasks",
    ]
    assert any(line.split()[:1] == ["serial"] for line in lines)
    assert any(line.startswith("Amdahl: ") for line in lines)
    assert (here / "a.csv").read_text().count("\n") == 3
    assert (here / "a.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert (here / "a.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_a_result(here: Path) -> None:
    quick = ["--threads", "2", "--repeats", "3", "--weak", "--json"]
    done = scaling(here, "lessons:grow", *quick)
    assert (done.returncode, done.stderr) == (0, "")
    result = ScalingResult.from_json(done.stdout)
    assert [point.threads for point in result.points] == [1, 2]
    assert (result.weak, result.warmup, len(result.one.wall)) == (True, 1, 3)
    assert json.loads(done.stdout)["derived"]["efficiencies"][1] > 0.3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lessons"], "the workload is 'lessons', expected MODULE:FUNCTION"),
        (["lessons:nap"], "the workload is 'lessons:nap', but lessons has no nap"),
        (["lessons:answer"], "the workload is 'lessons:answer', which is no callable"),
        (["absent:f"], "the workload is 'absent:f', but there is no module absent, neither inst"),
        (["lacking:f"], "No module named 'there_is_no_such_module'"),
        (["lessons:plain", "--threads", "1,two"], "--threads is 1,two, expected whole numbers"),
        (["lessons:plain", "--threads", "0"], "threads is 0, expected from 1 to 1024"),
        (["lessons:plain", "--weak"], "lessons.plain, which has no parameter size, expected one"),
        (["lessons:plain", "--plot", "a.txt"], "--plot is a.txt, expected a name that ends in"),
        (["lessons:plain", "--csv", "no/a.csv"], "no/a.csv cannot be written: there is no dir"),
    ],
)
def test_what_makes_no_sense_is_refused(here: Path, arguments: list[str], sentence: str) -> None:
    done = scaling(here, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("threadwise: ")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_hears_how_far_it_is_until_it_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for done in (1, 2, 3):
        _say(done, 3)
    lines = capsys.readouterr().err.split("\r")
    assert lines[1:3] == ["sample 1 of 3", "sample 2 of 3"]
    assert "".join(lines[3:]).strip() == ""
