import json

import pytest

from mistral import SAMPLE
from threadwise.bench.__main__ import main

QUICK = ["--lengths", "4,20", "--batches", "1,3", "--new-tokens", "4", "--rounds", "2"]


def test_prints_how_fast_each_length_and_batch_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", SAMPLE.name, *QUICK, "--threads", "2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line[:5].strip()]
    rows = [row for row in rows if row[0] in ("read", "write")]
    cases = [(length, batch) for length in ("4", "20") for batch in ("1", "3")]
    assert [tuple(row[1:3]) for row in rows] == [*cases, *cases]
    for row in rows:
        median, low, high = float(row[3]), float(row[4]), float(row[6])
        assert 0 < low <= median <= high


def test_prints_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--kv-dtype", "int8", "--quantize", "4", "--activations", "float", "--json"]
    assert main(["model", str(SAMPLE), *QUICK, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kv_dtype"] == "int8"
    assert {"machine", "threads", "version", "busy_cpus", "model"} < found.keys()
    rows = found["tokens_per_second"]
    assert len(rows) == 8
    assert rows[0].keys() == {"what", "length", "batch", "median", "low", "high"}


def test_a_model_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "nowhere"]) == 2
    assert "threadwise.bench: nowhere is not there, expected" in capsys.readouterr().err
