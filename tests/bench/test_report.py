"""The report of benches: one page that needs nothing else, and records that compare."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pages import Page
from threadwise.bench import _all, _output
from threadwise.bench.__main__ import main
from threadwise.bench._document import Bar, Document, Picture, Series, Table
from threadwise.bench._record import read
from threadwise.bench._rows import here, save
from threadwise.errors import DomainError
from threadwise.scaling.environment import Environment

pytest.importorskip("matplotlib")


def row(name: str, seconds: float, threads: int = 2, **others: Any) -> dict[str, Any]:
    return here(0.0) | {
        "library": "threadwise", "version": "1", "threads": threads, "operation": "quantize model",
        "dtype": "4 bits", "name": name, "median_seconds": seconds, "low": seconds * 0.99,
        "high": seconds * 1.01, "note": "", "samples": [seconds],
    } | others  # fmt: skip


def made(bench: str = "quantize", seconds: float = 1.0) -> Document:
    return Document(
        bench=bench,
        title=f"The bench <{bench}>",
        about=["What & how."],
        environment=Environment.now().facts(),
        rows=[row("a", seconds), row("b", 2.0, 1)],
        tables=[Table(title="A table", cells=[["x", "y"], ["<1>", "2"]])],
        pictures=[
            Picture(
                kind="lines", title="Lines", unit="speedup", cores=2.0,
                lines=[
                    Series(label="4 bits", x=[1, 2, 4], y=[1, 1.9, 1.8]),
                    Series(label="8 bits", x=[1, 2, 4], y=[1, 1.8, 1.8]),
                ],
            ),
            Picture(
                kind="bars", title="Bars", unit="ms", logarithmic=True,
                bars=[
                    Bar(group="one", label=label, value=value, low=value * 0.9, high=value * 1.1)
                    for label, value in (("ours", 1.0), ("theirs", 20.0))
                ],
            ),
        ],
        notes=["A note."],
    )  # fmt: skip


def report(document: Document, folder: Path) -> str:
    """Add it to the report in `folder`, and return the page."""
    _output.add(document, folder)
    return _output.show(folder).read_text("utf-8")


def test_the_page_is_whole_and_refers_to_nothing(tmp_path: Path) -> None:
    text = report(made(), tmp_path / "r")
    page = Page(text)
    assert page.open == []
    assert "The bench <quantize>" in page.words
    assert "What & how." in page.words
    assert "<1>" in page.words
    assert "A note." in page.words
    images = [attrs for tag, attrs in page.seen if tag == "img"]
    assert len(images) == 2
    for image in images:
        assert (image["src"] or "").startswith("data:image/svg+xml;base64,")
    assert images[0]["alt"] == (
        "Lines (speedup). 4 bits: 1 at 1, 1.9 at 2, 1.8 at 4; 8 bits: 1 at 1, 1.8 at 2, 1.8 at 4"
    )
    assert "http" not in text
    assert not {tag for tag, _ in page.seen} & {"link", "script", "iframe"}


@pytest.mark.parametrize(("cpus", "count"), [(1.5, 1), (0.0, 0), (None, 0)])
def test_the_page_of_a_busy_machine_says_so(tmp_path: Path, cpus: float | None, count: int) -> None:
    document = made()
    busy = replace(document, environment={**document.environment, "busy_cpus": cpus})
    assert report(busy, tmp_path).count("CAUTION: other processes kept 1.5 of") == count


def test_benches_of_one_directory_share_a_page(tmp_path: Path) -> None:
    report(made("train"), tmp_path)
    text = report(made("quantize"), tmp_path)
    page = Page(text)
    assert [attrs["href"] for tag, attrs in page.seen if tag == "a"] == ["#quantize", "#train"]
    assert {attrs.get("id") for tag, attrs in page.seen if tag == "h1"} == {
        None,
        "quantize",
        "train",
    }
    # The same bench again takes the place of what it was.
    assert report(made("train"), tmp_path).count("<h1 id=") == 2


def test_without_matplotlib_the_page_has_no_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("_output", "_report_page"):
        monkeypatch.setattr(f"threadwise.bench.{module}.find_spec", lambda _: None)
    assert "There is no picture" in report(made(), tmp_path)
    assert 'pip install "threadwise[plot]"' in capsys.readouterr().out


def test_a_document_comes_back_whole(tmp_path: Path) -> None:
    document = made()
    _output.add(document, tmp_path)
    assert Document.read(tmp_path / "quantize.json").json() == document.json()
    (tmp_path / "quantize.json").write_text("{}")
    with pytest.raises(DomainError, match=r"quantize\.json is no report of a bench: it has no"):
        Document.read(tmp_path / "quantize.json")


def test_rows_go_to_a_file_or_to_one_of_today_in_a_directory(tmp_path: Path) -> None:
    assert _output.place(tmp_path / "a.csv") == tmp_path / "a.csv"
    assert _output.place(tmp_path).parent == tmp_path
    assert _output.place(tmp_path).suffix == ".csv"
    assert _output.place(tmp_path / "train").parent == tmp_path / "train"
    save([row("a", 1.0), row("b", 2.0, extra=3)], tmp_path / "x" / "a.csv")
    rows = list(csv.DictReader((tmp_path / "x" / "a.csv").read_text("utf-8").splitlines()))
    assert [each["extra"] for each in rows] == ["", "3"]
    assert "samples" not in rows[0]


@pytest.mark.parametrize("kind", ["quantize.csv", "quantize.json", "."])
def test_reports_are_compared_case_by_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    _output.add(made(), tmp_path / "old")
    _output.add(made(seconds=1.5), tmp_path / "new")
    pair = [str(tmp_path / "old" / kind), str(tmp_path / "new" / kind)]
    assert main(["compare", *pair]) == 1
    said = capsys.readouterr().out
    assert (
        "\n  quantize model 4 bits a, 2 threads, takes 1.50 s instead of 1.00 s, 1.50 times as "
        "long (1.47 to 1.53)\n"
    ) in said
    assert "quantize model 4 bits, 2 cases: geometric mean 1.225" in said
    assert main(["compare", pair[0], pair[0]]) == 0


def test_what_is_no_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is no CSV file in"):
        read(tmp_path / "empty")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(SystemExit, match="2"):
        main(["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")])
    assert "is no report of a bench" in capsys.readouterr().err


@pytest.mark.timeout(300)  # a bench after another
def test_all_runs_every_bench_into_one_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {
        "matmul": ["--shapes", "3x5x7", "--dtypes", "float32", "--peers", "numpy", "--quick"],
        "quantize": ["--sizes", "2x64x256", "--threads", "1", "--quick", "--rounds", "1"],
        "quantize-array": ["--rows", "64", "--columns", "64", "--budget", "0.001"],
        "quantized": ["--shape", "64x32", "--bits", "4", "--rows", "1", "--rounds", "1"],
        "model": ["stdlib-mistral-2.8m", "--quick", "--new-tokens", "4", "--rounds", "1"],
        "train": ["--quick", "--peers", "numpy", "--rounds", "1", "--only", "aggregates"],
        "dispatch": ["--quick"],
    }
    assert small.keys() == _all.QUICKLY.keys()
    monkeypatch.setattr(_all, "QUICKLY", small)
    monkeypatch.setattr("threadwise.bench._quantized.ROTATED", 1)
    to = tmp_path / "r"
    assert main(["all", "--report", str(to)]) == 0
    page = Page((to / "report.html").read_text("utf-8"))
    assert page.open == []
    assert {attrs["href"] for tag, attrs in page.seen if tag == "a"} == {f"#{n}" for n in small}
    assert {path.stem for path in to.glob("*.csv")} == small.keys()
    assert "the report of all: " in capsys.readouterr().out
    assert main(["compare", str(to), str(to)]) == 0
    # A bench that fails does not hide behind those that do not.
    shutil.rmtree(to)
    monkeypatch.setattr(_all, "QUICKLY", {"quantize": ["--bits", "9"], "dispatch": ["--quick"]})
    assert main(["all", "--report", str(to)]) == 2
    assert main(["all", "--only", "nothing"]) == 2
    assert "--only has 'nothing', expected some of quantize, dispatch" in capsys.readouterr().err
