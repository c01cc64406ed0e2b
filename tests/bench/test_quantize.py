"""``threadwise bench quantize``: whole models, checked before they are timed, and nothing left."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from threadwise.bench import _job
from threadwise.bench.__main__ import main
from threadwise.bench._generated import NAMED, expect_room, model, write
from threadwise.bench._job import Job, Result
from threadwise.bench._quantize_report import Found, document
from threadwise.bench._record import read
from threadwise.errors import DomainError
from threadwise.scaling.environment import Environment

SMALL = ["quantize", "--sizes", "3x64x256", "--rounds", "2"]
MANY = len(os.sched_getaffinity(0)) + 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where models are generated."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_times_each_job_and_leaves_nothing_but_the_report(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--threads", f"1,{MANY}", "--bits", "2,8", "--streaming-comparison"]
    to = [
        "--folder",
        str(folder),
        "--report",
        str(tmp_path / "r"),
        "--csv",
        str(tmp_path / "a.csv"),
    ]
    assert main([*SMALL, *options, *to]) == 0
    assert list(folder.iterdir()) == []
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    cases = {(row["bits"], row["streaming"], row["threads"]) for row in rows}
    assert len(rows) == len(cases) == 8
    for row in rows:
        assert 0 < float(row["low"]) <= float(row["median_seconds"]) <= float(row["high"])
        assert row["weights"] == str(3 * 64 * 256)
        assert row["oversubscribed"] == str(int(row["threads"] != "1"))
        assert float(row["efficiency"]) == pytest.approx(
            float(row["speedup"]) / int(row["threads"]), rel=1e-3
        )
        assert int(row["memory_bytes"]) < int(row["process_bytes"])
        is_streaming = row["streaming"] == "True"
        assert bool(row["compute_seconds"]) == bool(row["memory_of_ahead"]) == is_streaming
    said = capsys.readouterr().out
    assert "3x64x256 (49,152 weights: 3 x 64 x 256)" in said
    assert f"{MANY}*" in said
    assert "* oversubscribed: more threads than the" in said
    assert said.index("checking 2 bits") < said.index("speedup")
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        *("quantize.csv", "quantize.json", "quantize.txt", "report.html"),
    }
    kept = json.loads((tmp_path / "r" / "quantize.json").read_text("utf-8"))
    assert all(len(row["samples"]) == 2 for row in kept["rows"])
    assert len(read(tmp_path / "r" / "quantize.json")) == len(read(tmp_path / "a.csv")) == 8


def result(seconds: float, compute: float | None, memory: int) -> Result:
    return Result(
        seconds=seconds, compute_seconds=compute, memory_bytes=memory, process_bytes=memory + 100,
        bits_per_weight=4.5, cosine=0.99, version="1",
    )  # fmt: skip


def test_speedups_are_against_one_thread_and_shares_of_the_same_threads() -> None:
    def found(threads: int, *, streaming: bool, results: list[Result]) -> Found:
        job = Job(method="mse", bits=4, threads=threads, streaming=streaming)
        return Found(name="a", label="a (1 weight)", weights=1, job=job, results=results)

    jobs = [
        found(1, streaming=True, results=[result(8, 6, 10), result(8, 6, 12)]),
        found(2, streaming=True, results=[result(5, 3, 20), result(5, 3, 20)]),
        found(1, streaming=False, results=[result(9, None, 60)]),
        found(2, streaming=False, results=[result(6, None, 80)]),
    ]
    rows = document(jobs, Environment.now(), method="mse", rounds=2).rows
    assert [row["speedup"] for row in rows] == ["1", "1.6", "1", "1.5"]
    assert [row["efficiency"] for row in rows] == ["1", "0.8", "1", "0.75"]
    assert [row["compute_speedup"] for row in rows] == ["1", "2", "", ""]
    assert [row["memory_of_ahead"] for row in rows] == ["0.2", "0.25", "", ""]


def test_a_wrong_output_is_no_time(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _job.run

    def spoiling(job: Job, source: Path, target: Path, **_: object) -> Result:
        done = run(job, source, target)
        if target.name == "made":
            file = next(target.glob("*.safetensors"))
            file.write_bytes(file.read_bytes()[:-1] + b"?")
        return done

    monkeypatch.setattr(_job, "run", spoiling)
    assert main([*SMALL, "--bits", "4", "--threads", "1", "--folder", str(folder)]) == 2
    said = capsys.readouterr()
    assert (
        "the output of 4 bits, 1 threads differs from that of the job that was checked" in said.err
    )
    assert "speedup" not in said.out
    assert list(folder.iterdir()) == []


def test_an_output_that_is_not_what_the_job_says_is_not_timed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _job.run

    def lying(job: Job, source: Path, target: Path, **_: object) -> Result:
        done = run(job, source, target)
        return Result(**vars(done) | {"cosine": 0.5})

    monkeypatch.setattr(_job, "run", lying)
    assert main([*SMALL, "--bits", "4", "--threads", "1", "--folder", str(folder)]) == 2
    assert "expected 0.500000 as the job says: nothing is timed" in capsys.readouterr().err


def test_a_job_that_fails_says_why_in_its_own_words(tmp_path: Path) -> None:
    job = Job(method="mse", bits=4, threads=1)
    with pytest.raises(OSError, match=r"a job on .*absent ended early: .*absent"):
        _job.run(job, tmp_path / "absent", tmp_path / "to")


def test_room_on_the_disk_is_checked_before_anything_is_made(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    little = SimpleNamespace(free=(64 << 20) + 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    assert main(["quantize", "--sizes", "100M,7B", "--folder", str(folder)]) == 2
    said = capsys.readouterr()
    assert (
        "quantizing 100M (105 million weights: 50 x 512 x 4096) needs 328 MB on the disk"
        in said.err
    )
    assert "where 1.00 MB are free: make room, or name another place with --folder" in said.err
    assert said.out == ""
    with pytest.raises(DomainError, match=r"needs 2\.00 MB"):
        expect_room("it", 2_000_000, folder)
    expect_room("it", 1_000_000, folder)


def test_labels_carry_the_real_number_of_weights() -> None:
    assert NAMED["7B"].weights == 6_996_099_072
    assert NAMED["7B"].label == "7B (7.00 billion weights: 417 x 2048 x 8192)"
    assert NAMED["600M"].label.startswith("600M (629 million weights")
    assert model("2x3x5").weights == 30


def test_the_same_model_is_generated_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert write(tmp_path / name, model("2x64x96").shapes()) == 2 * 64 * 96
    assert _job.digest(tmp_path / "a") == _job.digest(tmp_path / "b")


def test_a_model_of_ones_own_is_timed_and_stays_as_it_was(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    write(own, {"a.weight": (64, 96), "norm.weight": (96,)})
    before = _job.digest(own)
    options = ["--bits", "4", "--threads", "1", "--rounds", "1", "--folder", str(folder)]
    assert main(["quantize", "--model", str(own), *options]) == 0
    assert _job.digest(own) == before
    assert list(folder.iterdir()) == []
    assert "own (6,240 weights)" in capsys.readouterr().out


def test_llama_cpp_takes_part_in_the_rounds(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Stands in for a Python that has llama-cpp-python: -c PROGRAM FILE TARGET THREADS.
    python = tmp_path / "python"
    said = '{"seconds": 0.5, "version": "9"}'
    python.write_text(f"#!/bin/sh\ntouch \"$4\"\necho '{said}'\n")
    python.chmod(0o755)
    options = ["--bits", "4", "--threads", "1,2", "--rounds", "1", "--folder", str(folder)]
    model = ["--sizes", "2x64x256", "--csv", str(tmp_path / "a.csv")]
    assert main(["quantize", *model, *options, "--llama", str(python), "a.gguf"]) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    [theirs] = [row for row in rows if row["library"] == "llama.cpp"]
    assert (theirs["median_seconds"], theirs["version"], theirs["threads"]) == ("0.5", "9", "2")
    assert theirs["speedup"] == ""
    assert "llama.cpp Q4_0" in capsys.readouterr().out


def test_ctrl_c_removes_what_was_generated(folder: Path) -> None:
    command = [sys.executable, "-m", "threadwise.bench", "quantize", "--sizes", "8x512x4096"]
    process = subprocess.Popen(
        [*command, "--rounds", "50", "--folder", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not list(folder.glob("*/model")) and time.monotonic() < until:
        time.sleep(0.02)
    assert list(folder.glob("*/model"))
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the job too
    out, complaint = process.communicate(timeout=30)
    assert process.returncode == 130, complaint
    assert list(folder.iterdir()) == []
    assert "speedup" not in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--threads", "2,4"], "--threads is 2,4, expected numbers to 1024 with 1 among them"),
        (["--threads", "1,x"], "--threads is 1,x, expected whole numbers from 1 on, with commas"),
        (["--bits", "4,5"], "--bits has 5, expected some of 2, 3, 4 and 8"),
        (["--sizes", "9T"], "--sizes has '9T', expected 100M, 600M, 7B, or LxRxC like"),
        (["--rounds", "0"], "--rounds is 0, expected 1 or more"),
        (["--folder", "absent"], "--folder is absent, expected a directory that is there"),
        (["--model", "absent"], "absent"),
        (["--report", __file__], "is a file, expected a directory"),
    ],
)
def test_what_makes_no_sense_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(["quantize", *arguments]) == 2
    assert sentence in capsys.readouterr().err
