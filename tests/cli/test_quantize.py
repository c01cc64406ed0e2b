"""``threadwise quantize``."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

import threadwise as tw
from interpreters import threadwise
from mistral import SAMPLE
from threadwise.cli._app import app
from threadwise.quant import Progress, QuantReport

MODEL = SAMPLE

quantize = partial(threadwise, "quantize")

WRONG = """2 settings make no sense:
  bits is 5, expected 2, 3, 4 or 8
  layer_bits is {'': '*.v_proj'}, expected bits (2, 3, 4 or 8) by pattern, such as *.down_proj=8"""


def test_a_model_becomes_one_of_few_bits(tmp_path: Path) -> None:
    to, kept = tmp_path / "small", tmp_path / "report.json"
    done = quantize(MODEL, to, "--threads", "1", "--report", kept)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        f"model      {MODEL}: 57 tensors, 5.51 MB",
        "settings   4 bits, groups of 32, integer zero points, mse",
    ]
    # What is needed is said before the work, what was needed after it.
    assert lines[2].startswith("memory     ")
    assert lines[2].endswith(" MB at most")
    assert lines[3].startswith("tensor ")
    assert sum(line.startswith("model.layers.") for line in lines) == 42
    assert lines[-1] == f"report     {kept}"
    report = QuantReport.from_json(kept)
    assert (report.threads, len(report.tensors), report.weights) == (1, 42, 2_359_296)
    assert str(report) in done.stdout
    assert (to / "tokenizer.json").read_bytes() == (MODEL / "tokenizer.json").read_bytes()
    assert json.loads((to / "config.json").read_text())["quantization_config"]


def test_settings_come_from_everywhere_in_order(tmp_path: Path) -> None:
    file = tmp_path / "quant.yaml"
    file.write_text("group_size: 64\nmethod: minmax\nmin_cosine: 0.5\n")
    quantized = quantize(
        *(MODEL, tmp_path / "small", "--profile", "cloud", "--config", file),
        *("--method", "mse", "--layer-bits", "*.down_proj=3", "--layer-bits", "*.v_proj=2"),
        *("--include", "*.0.*_proj", "--include", "*.5.*_proj", "--exclude", "*.gate_proj"),
        *("--report", tmp_path / "report.json"),
        environment={
            "THREADWISE_QUANT_GROUP_SIZE": "16",
            "THREADWISE_QUANT_METHOD": "minmax",
        },
    )
    assert quantized.returncode == 0, quantized.stderr
    report = QuantReport.from_json(tmp_path / "report.json")
    found = report.config
    assert (found.bits, found.group_size, found.method, found.min_cosine) == (8, 16, "mse", 0.5)
    assert {tensor.name.split(".")[2] for tensor in report.tensors} == {"0", "5"}
    bits = {tensor.name.split(".")[-2]: tensor.bits for tensor in report.tensors}
    assert bits == {
        **dict.fromkeys(("q_proj", "k_proj", "o_proj", "up_proj"), 8),
        "v_proj": 2,
        "down_proj": 3,
    }
    assert "settings   8 bits, groups of 16, integer zero points, mse\n" in quantized.stdout


def test_every_option_of_the_quantizer_reaches_it(tmp_path: Path) -> None:
    done = quantize(
        *(MODEL, tmp_path / "small", "--bits", "3", "--group-size", "-1", "--symmetric"),
        *("--threads", "2", "--max-memory", "512M", "--no-streaming", "--min-cosine", "0.25"),
        *("--report", tmp_path / "report.json", "--report", tmp_path / "report.txt"),
        *("--report", tmp_path / "report.png"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "settings   3 bits, whole rows, symmetric, mse\n" in done.stdout
    report = QuantReport.from_json(tmp_path / "report.json")
    assert report.config.max_memory == 512 * 2**20
    assert not report.config.streaming
    assert report.threads == 2
    assert {(t.bits, t.group_size, t.zero_point) for t in report.tensors} == {(3, -1, "symmetric")}
    assert (tmp_path / "report.txt").read_text() == f"{report.table()}\n"
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_fail_fast_stops_where_others_get_wider_bits(tmp_path: Path) -> None:
    options = ("--bits", "2", "--min-cosine", "0.99", "--report", tmp_path / "report.json")
    assert quantize(MODEL, tmp_path / "wider", *options).returncode == 0
    report = QuantReport.from_json(tmp_path / "report.json")
    assert {tensor.bits for tensor in report.tensors} <= {3, 4, 8}
    assert all(tensor.cosine >= 0.99 and tensor.fell_back for tensor in report.tensors)
    stopped = quantize(MODEL, tmp_path / "stopped", *options, "--fail-fast")
    assert stopped.returncode == 2
    assert stopped.stderr.startswith("threadwise: ")
    assert "model.layers.0." in stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1
    assert not (tmp_path / "stopped").exists()


def test_a_directory_that_is_there_is_replaced_only_if_that_is_wanted(tmp_path: Path) -> None:
    to = tmp_path / "small"
    to.mkdir()
    (to / "mine").touch()
    refused = quantize(MODEL, to, "--method", "minmax")
    assert refused.returncode == 2
    assert str(to) in refused.stderr
    assert "--overwrite" in refused.stderr or "overwrite" in refused.stderr
    assert [each.name for each in to.iterdir()] == ["mine"]
    assert quantize(MODEL, to, "--method", "minmax", "--overwrite").returncode == 0
    assert not (to / "mine").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--bits", "5", "--layer-bits", "*.v_proj"],
            WRONG,
        ),
        (
            ["--symmetric", "--zero-point", "float"],
            "zero_point is 'float', expected auto for symmetric quantization, which has none",
        ),
        (["--profile", "huge"], "profile is 'huge', expected edge, local, cloud or base"),
        (["--config", "absent.yaml"], "absent.yaml: No such file or directory"),
        (
            ["--report", "a.doc"],
            "--report is a.doc, expected a name that ends in .json, .txt, .pdf, .png or .svg",
        ),
        (
            ["--report", "absent/a.json"],
            "--report is absent/a.json, but there is no directory absent",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    done = quantize(MODEL, tmp_path / "small", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"threadwise: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_or_broken_is_one_sentence(tmp_path: Path) -> None:
    absent = quantize(tmp_path / "absent", tmp_path / "small")
    broken = tmp_path / "broken"
    shutil.copytree(MODEL, broken)
    (broken / "model.safetensors").write_bytes(b"\x00" * 100)
    hostile = quantize(broken, tmp_path / "small")
    for done, name in ((absent, "absent"), (hostile, "model.safetensors")):
        assert done.returncode == 2
        assert done.stderr.startswith("threadwise: ")
        assert name in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "small").exists()


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tw.quant, "quantize_model", interrupted)
    done = CliRunner().invoke(app, ["quantize", "from", "to"])
    assert done.exit_code == 130
    assert done.stderr == "threadwise: stopped; the same command goes on from here\n"


def test_a_run_that_was_stopped_is_announced_as_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"bytes_done": 5_000_000, "bytes_total": 8_000_000, "bytes_resumed": 5_000_000}
    begin = Progress(
        tensor="", tensors_done=3, tensors_total=8, seconds=0.0, predicted_peak_bytes=64, **facts
    )

    def quantize_model(*_: object, progress: Callable[[Progress], None], **options: object) -> str:
        assert options == {"overwrite": False, "resume": True}
        progress(begin)
        return "the report"

    monkeypatch.setattr(tw.quant, "quantize_model", quantize_model)
    done = CliRunner().invoke(app, ["quantize", "from", "to", "--resume", "--group-size", "-1"])
    assert done.stdout.splitlines() == [
        "model      from: 8 tensors, 8.00 MB",
        "settings   4 bits, whole rows, integer zero points, mse",
        "resumed    3 tensors were finished before",
        "memory     64 B at most",
        "the report",
    ]
