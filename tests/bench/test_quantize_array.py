"""``python -m threadwise.bench quantize-array``."""

import csv
from pathlib import Path

import pytest

from threadwise.bench.__main__ import main
from threadwise.bench._record import read


def test_writes_a_row_for_each_case_and_agrees_with_numpy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "a" / "b.csv"
    size = ["--rows", "128", "--columns", "64", "--budget", "0.001"]
    assert main(["quantize-array", *size, "--csv", str(record)]) == 0
    rows = list(csv.DictReader(record.read_text("utf-8").splitlines()))
    assert len(read(record)) == len(rows)
    assert {row["library"] for row in rows} == {"threadwise", "numpy"}
    assert {row["operation"] for row in rows} == {"quantize", "dequantize"}
    cases = {(row["bits"], row["zero_point"], row["method"]) for row in rows}
    assert len(cases) == 4 * 3 * 2
    for row in rows:
        assert 0 < float(row["low"]) <= float(row["median_seconds"]) <= float(row["high"])
        assert 0 < float(row["error"]) < 0.5
    assert "Gweights/s" in capsys.readouterr().out
