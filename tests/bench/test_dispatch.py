"""``threadwise bench dispatch``: what it costs to hand work over."""

import csv
from pathlib import Path

import pytest

from threadwise import parallel
from threadwise.bench.__main__ import main


def test_times_products_tasks_and_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dispatch", "--quick", "--threads", "2", "--csv", str(tmp_path / "a.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    found = {(row["operation"], row["library"]) for row in rows}
    assert {
        ("dispatch task", "threadwise"),
        ("dispatch task", "concurrent.futures"),
        ("dispatch item", "python"),
        ("dispatch item", "threadwise"),
        ("dispatch item", "concurrent.futures"),
        ("dispatch item", "joblib"),
    } <= found
    for row in rows:
        assert 0 < float(row["low"]) <= float(row["median_seconds"]) <= float(row["high"])
    said = capsys.readouterr().out
    assert "threadwise's map: " in said
    products = {(row["name"], row["threads"]) for row in rows if "product" in row["operation"]}
    assert len(products) == 4 or "no product is timed" in said
    assert ("sharing it costs" in said) == (len(products) == 4)


def test_without_joblib_there_is_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threadwise.bench._dispatch.find_spec", lambda _: None)
    assert main(["dispatch", "--quick"]) == 0
    assert "note: joblib is left out: it is not installed" in capsys.readouterr().out


def test_more_threads_than_cpus_are_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dispatch", "--quick", "--threads", "64"]) == 0
    assert "oversubscribed: 64 threads on" in capsys.readouterr().out


def test_a_wrong_answer_is_not_timed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "map", lambda _, items: [0 for _ in items])
    assert main(["dispatch", "--quick"]) == 2
    said = capsys.readouterr()
    assert "the map of threadwise differs from the plain loop's: nothing is timed" in said.err
    assert said.out == ""


@pytest.mark.parametrize("arguments", [["--threads", "2000"], ["--rounds", "0"]])
def test_what_makes_no_sense_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["dispatch", *arguments]) == 2
    assert "expected 1 or more, and 1 to 1024" in capsys.readouterr().err
