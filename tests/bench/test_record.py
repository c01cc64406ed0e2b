import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from outcomes import outcome, result
from threadwise.bench import _plot, _record
from threadwise.bench.__main__ import main
from threadwise.bench._cases import Case
from threadwise.bench._race import Outcome

ROOT = Path(__file__).parents[2]
CASES = [
    Case(m=4, k=4, n=4),
    Case(dtype="float64", m=4, k=4, n=4),
    Case(m=6, k=6, n=7, left=(2,)),
]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    slow = {"torch": "about 9 s a call"}
    outcomes = [outcome(case, slow, threadwise=1e-6, numpy=5e-7) for case in CASES]
    path = tmp_path / "new" / "record.csv"
    _record.write(outcomes, path, busy_cpus=0.014)
    return path


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benches" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return _script("matmul")


def test_a_record_comes_back_as_it_was(record: Path) -> None:
    entries = _record.read(record)
    assert [(entry.name, entry.dtype, entry.library) for entry in entries] == [
        (str(case), case.dtype, library)
        for case in CASES
        for library in ("threadwise", "numpy", "torch")
    ]
    assert [entry.median for entry in entries] == [1e-6, 5e-7, None] * 3
    assert [entry.note for entry in entries] == ["", "", "about 9 s a call"] * 3
    assert [entry.group for entry in entries[::3]] == ["squares", "squares", "others"]
    assert {entry.machine for entry in entries} == {_record.machine()}
    assert list(_record.libraries(entries)) == ["threadwise", "numpy"]


def test_a_record_is_written_as_a_whole_with_its_columns(record: Path) -> None:
    with record.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == _record.COLUMNS
    assert {row["busy_cpus"] for row in rows} == {"0.01"}
    assert float(rows[0]["low"]) <= float(rows[0]["median_seconds"]) <= float(rows[0]["high"])
    assert rows[6]["products"] == "2"
    assert [path.name for path in record.parent.iterdir()] == ["record.csv"]


def test_wrong_results_are_recorded_as_wrong(tmp_path: Path) -> None:
    case = CASES[0]
    results = {"numpy": result(case, "numpy", 1e-6, error=9.0)}
    _record.write([Outcome(case=case, results=results)], tmp_path / "a.csv", busy_cpus=None)
    [entry] = _record.read(tmp_path / "a.csv")
    assert (entry.median, entry.note) == (None, "wrong")


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("one,two\n1,2\n")
    with pytest.raises(ValueError, match="is not a record: expected rows with cores, date, dtype"):
        _record.read(tmp_path / "a.csv")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_is_drawn_from_a_record(record: Path, tmp_path: Path, ending: str) -> None:
    picture = tmp_path / "img" / f"matmul.{ending}"
    assert main(["draw", str(record), str(picture)]) == 0
    assert picture.stat().st_size > 5000
    if ending == "png":
        assert np.asarray(Image.open(picture).convert("L")).std() > 10  # something is on it


def test_cells_say_the_ratio_and_frame_what_is_lost(record: Path) -> None:
    figure = _plot.heat_map(_record.read(record))
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("0.50 ▼") == 1 + 3  # one in the key of colors
    assert "4×4×4" in texts
    assert "(2,6,6) @ (6,7)" in texts


def test_a_picture_of_one_library_alone_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record.write([outcome(CASES[0], threadwise=1.0)], tmp_path / "a.csv", busy_cpus=None)
    with pytest.raises(SystemExit, match="2"):
        main(["draw", str(tmp_path / "a.csv"), str(tmp_path / "a.png")])
    assert "the record has only one of them" in capsys.readouterr().err


def test_a_bench_writes_both(tmp_path: Path) -> None:
    files = [tmp_path / "a.csv", tmp_path / "a.png"]
    options = ["--dtypes", "float32", "--shapes", "2x2x2", "--peers", "numpy", "--rounds", "1"]
    written = ["--csv", str(files[0]), "--plot", str(files[1])]
    assert main(["matmul", "--quick", *options, *written]) == 0
    assert all(file.stat().st_size for file in files)
    assert [entry.library for entry in _record.read(files[0])] == ["threadwise", "numpy"]


def test_the_readme_shows_the_newest_record(script: ModuleType) -> None:
    page = script.README.read_text("utf-8")
    assert script.published(page, script.measured(_record.read(script.newest()))) == page


@pytest.mark.parametrize(("page", "made"), [("README", "table"), ("TRAINING", "training")])
def test_pages_show_the_newest_records_of_other_benches(page: str, made: str) -> None:
    script = _script("published")
    text = getattr(script, page).read_text("utf-8")
    assert script.published(text, getattr(script, made)()) == text


def test_the_table_of_training_leaves_out_what_the_record_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _script("published")
    folder = tmp_path / "training"
    folder.mkdir()
    rows = [
        *("library,case,median_seconds,value", "threadwise,1000 empty tasks,0.0014,"),
        *("threadwise,mean of 8 gradients,0.01,", "torch,mean of 8 gradients,0.25,"),
        *('threadwise,"digits, 50 epochs",0.2,', "threadwise,accuracy of digits,,0.9321"),
    ]
    (folder / "a.csv").write_text("\n".join(rows))
    monkeypatch.setattr(script, "RECORD", tmp_path)
    mean = "| mean of 8 gradients of 10 million numbers | 10.0 ms "
    assert script.training().splitlines()[2:] == [
        f"{mean}| PyTorch, `stack` and `mean`: 250 ms | 25.0 |",
        "| the same | 10.0 ms | | |",
        "| 50 epochs of (128, 64) on digits | 200 ms, 93.2 % right | | |",
        "| an empty task of `ThreadExecutor` | 1.4 µs | | |",
    ]


def test_the_picture_of_the_documentation_is_there_and_small(script: ModuleType) -> None:
    assert 5000 < script.PICTURE.stat().st_size < 200_000


def test_a_page_without_marks_is_refused(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="once each"):
        script.published("# threadwise", "a table")
