"""``python -m threadwise.bench quantized``: what it prints and writes is what it measured."""

import csv
from pathlib import Path

import pytest

from threadwise.bench import _quantized
from threadwise.bench.__main__ import main
from threadwise.bench._record import read

SMALL = ["quantized", "--shape", "70x50", "--bits", "3,4", "--rows", "1,40", "--rounds", "2"]


def test_it_times_each_kind_for_each_width_and_number_of_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_quantized, "ROTATED", 1)
    file = tmp_path / "rows.csv"
    assert main([*SMALL, "--group-size", "16", "--threads", "1", "--csv", str(file)]) == 0
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    found = {(row["dtype"], row["name"]) for row in rows}
    kinds = ["float32", *(f"{bits} bits, {how}" for bits in (3, 4) for how in ("int8", "float"))]
    assert found == {(kind, f"{m} x 70 x 50") for m in (1, 40) for kind in kinds}
    assert len(rows) == len(found) == len(read(file))
    for row in rows:
        assert 0 < float(row["low"]) <= float(row["median_seconds"]) <= float(row["high"])
    printed = capsys.readouterr().out
    assert "GB/s on 1 threads" in printed
    assert printed.count("bits, int8") == 4


def test_wrong_products_are_not_timed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_quantized, "ROTATED", 1)
    monkeypatch.setattr(_quantized, "_right", lambda *_: False)
    assert main(SMALL) == 1
    assert "the product of 1 rows, 3 bits, is wrong" in capsys.readouterr().out
