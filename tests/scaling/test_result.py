"""What follows from a result, and the forms that it takes."""

import csv
import html
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import threadwise as tw
from pages import Page
from scalings import environment, point, result
from threadwise.scaling import ScalingResult

REASONS = "caches hold more together, or the time of one thread is too long"
TIMES = {1: 1.0, 2: 0.55, 4: 0.325, 8: 0.2125, 16: 0.25}


def measured(**facts: object) -> ScalingResult:
    """Return a tenth of serial work on 8 CPUs, with 16 threads too many."""
    points = [point(threads, seconds) for threads, seconds in TIMES.items()]
    return result(points, **facts)  # type: ignore[arg-type]


def test_speedups_are_against_the_measured_one_thread() -> None:
    found = measured()
    assert_allclose(found.speedups, [1 / seconds for seconds in TIMES.values()])
    assert_allclose(found.efficiencies, [1 / (n * t) for n, t in TIMES.items()])
    assert_allclose(found.serial_fractions[1:4], 0.1)
    assert math.isnan(found.serial_fractions[0])
    assert found.serial_speedups is None
    low, high = found.speedup_intervals[2]
    assert low <= found.speedups[2] <= high


def test_speedups_are_also_against_a_plain_baseline() -> None:
    found = measured(serial=point(1, 0.8))
    assert found.serial_speedups is not None
    assert_allclose(found.serial_speedups, [0.8 / seconds for seconds in TIMES.values()])


def test_one_round_tells_no_interval() -> None:
    points = [point(1, 1.0, wall=(1.0,)), point(2, 1.0, wall=(0.6,))]
    found = result(points)
    assert np.isnan(found.speedup_intervals[1]).all()
    assert (found.one.quartiles, found.one.spread) == ((1.0, 1.0), 0.0)
    assert "95 %" in str(found)


def test_the_median_of_an_even_number_is_between_two() -> None:
    assert point(1, 1.0, wall=(4.0, 1.0, 3.0, 2.0)).seconds == 2.5


def test_grown_work_counts_as_often_as_it_grew() -> None:
    found = result([point(1, 1.0), point(2, 1.0), point(4, 1.25)], weak=True)
    assert_allclose(found.speedups, [1, 2, 3.2])
    assert found.gustafson().speedups == pytest.approx((2, 3.2))
    assert found.usl().speedups == pytest.approx((2, 3.2))
    with pytest.raises(tw.errors.DomainError, match=r"Amdahl's law says nothing: use gustafson"):
        found.amdahl()
    with pytest.raises(tw.errors.DomainError, match=r"Gustafson's law says nothing: use amdahl"):
        measured().gustafson()


def test_points_above_the_cpus_are_marked_and_in_no_fit() -> None:
    found = measured()
    assert found.oversubscribed == (False, False, False, False, True)
    assert found.amdahl().threads == (2, 4, 8)
    assert found.amdahl().parallel_fraction == pytest.approx(0.9)
    assert found.usl().threads == (2, 4, 8)
    assert "\n    16*" in str(found)
    assert "16 threads: more than the 8 CPUs, so in no fit" in found.notes


def test_points_above_the_cpus_are_fitted_if_asked_for() -> None:
    found = measured()
    assert found.amdahl(oversubscribed=True).threads == (2, 4, 8, 16)
    assert found.amdahl(oversubscribed=True).parallel_fraction < 0.9
    assert found.usl(oversubscribed=True).coherency > 0


def test_a_quota_counts_as_cpus_do() -> None:
    machine = environment(8, quota=3.5)
    assert (machine.cores, machine.whole_cores) == (3.5, 3)
    assert measured(machine=machine).oversubscribed == (False, False, True, True, True)
    machine = environment(8, quota=0.5)
    assert measured(machine=machine).oversubscribed == (False, True, True, True, True)


def test_without_a_point_to_fit_a_sentence_says_so() -> None:
    found = measured(cpus=1)
    with pytest.raises(tw.errors.DomainError, match=r"no two threads have a CPU each here"):
        found.amdahl()
    assert "2, 4, 8, 16 threads: more than the one CPU, so in no fit" in found.notes
    found = result([point(1, 1.0), point(16, 0.5)])
    with pytest.raises(tw.errors.DomainError, match=r"no point with more than 1 and at most 8"):
        found.amdahl()
    found = measured(cpus=1)
    assert list(found.fits()) == []
    assert "no law is fitted" in str(found)


def test_the_cap_is_the_number_of_tasks_if_that_is_less() -> None:
    found = measured(tasks=5)
    assert found.caps == (1, 2, 4, 5, 5)
    assert "5 tasks give at most 5 threads work, of 8, 16" in found.notes
    assert measured().caps == (1, 2, 4, 8, 16)
    assert result([point(1, 1.0), point(8, 1.0)], tasks=5, weak=True).caps == (1, 8)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"other_cpus": 0.7}, "others kept 0.7 CPUs busy meanwhile: times mean little"),
        (
            {"points": [point(1, 1.0, cpu=1.9)]},
            "1 thread kept 1.9 CPUs busy: other threads work, too, and speedups mean little",
        ),
        (
            {"points": [point(1, 1.0), point(2, 1.0, pools={"threadwise": 2, "openblas": 1})]},
            "openblas had 1 threads instead of 2",
        ),
        (
            {"points": [point(1, 1.0), point(2, 1.0, wall=(0.5, 0.5, 0.8, 1.0, 1.0, 1.1, 1.5))]},
            "times vary by more than 10% at 2 threads: close other programs, or repeat more",
        ),
        (
            {"points": [point(1, 1.0), point(2, 0.3)]},
            f"more is gained than the number of threads, at 2: {REASONS}",
        ),
    ],
)
def test_what_makes_numbers_doubtful_is_noted(facts: dict[str, object], sentence: str) -> None:
    points = facts.pop("points", [point(1, 1.0)])
    found = result(points, **facts)  # type: ignore[arg-type]
    assert found.notes == (sentence,)
    assert f"note: {sentence}" in str(found)


def test_the_table_shows_what_was_measured() -> None:
    text = measured(serial=point(1, 0.9)).table()
    lines = [line.split() for line in text.splitlines()]
    assert lines[0][0] == "lessons.work:"
    assert ["serial", "900", "ms", "±1%", "900", "ms", "1.00", "MB", "1.11x", "1.00x"] in lines
    row = next(line for line in lines if line[:2] == ["4", "325"])
    assert row[8] == "3.08x"
    assert row[-5:] == ["3.08", "77%", "0.100", "4x", "2.77x"]
    assert ["threads", "work", "serial", "imbalance", "dispatch", "memory", "cores"] in lines
    assert "Amdahl: parallel fraction 0.9000 (0.9000 to 0.9000), at most 10x; off by 0.0%" in text


def test_at_a_prompt_it_is_a_line_and_in_a_notebook_the_table() -> None:
    found = measured()
    assert repr(found) == (
        "<ScalingResult of lessons.work: 1.00x with 1, 1.82x with 2, 3.08x with 4, 4.71x with 8, "
        "4.00x with 16>"
    )
    shown = found._repr_html_()
    assert shown.startswith("<pre style=")
    assert "A CPU &lt;of&gt; ours" in shown
    assert html.unescape(shown).count(found.table()) == 1


def test_json_comes_back_whole(tmp_path: Path) -> None:
    found = measured(serial=point(1, 0.9), tasks=5)
    text = found.to_json(tmp_path / "a.json")
    assert ScalingResult.from_json(text) == found
    assert ScalingResult.from_json(tmp_path / "a.json") == found
    facts = json.loads(text)
    assert facts["derived"]["speedups"] == list(found.speedups)
    assert facts["derived"]["fits"]["AmdahlFit"]["parallel_fraction"] == pytest.approx(0.9)
    assert facts["points"][1]["wall"] == list(found.points[1].wall)
    assert facts["derived"]["serial_fractions"][0] is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "text",
    ["{}", '{"threadwise_scaling": 9}', "{", '{"threadwise_scaling": 1, "derived": 0, "x": 1}'],
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(tw.errors.DomainError, match=r"^the text is no result that threadwise wr"):
        ScalingResult.from_json(text)


def test_csv_has_a_row_for_each_point(tmp_path: Path) -> None:
    found = measured()
    text = found.to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["threads"]) for row in rows] == list(TIMES)
    assert [row["oversubscribed"] for row in rows] == ["0", "0", "0", "0", "1"]
    assert_allclose([float(row["speedup"]) for row in rows], found.speedups, rtol=1e-5)
    assert rows[0]["karp_flatt"] == rows[0]["over_serial"] == ""
    parts = [value for name, value in rows[2].items() if name.startswith("part_")]
    assert sum(map(float, parts)) == pytest.approx(1, abs=1e-5)


def test_the_page_is_whole_and_in_one_file(tmp_path: Path) -> None:
    found = measured(tasks=5)
    text = found.to_html(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text("utf-8") == text
    page = Page(text)
    assert page.open == []
    assert "A CPU <of> ours" in page.words  # and no tag
    assert "3.08x" in page.words
    assert str(found.amdahl()) in page.words
    assert set(found.notes) <= set(page.words.splitlines()) or found.notes[0] in page.words
    [image] = [attrs for tag, attrs in page.seen if tag == "img"]
    assert (image["src"] or "").startswith("data:image/svg+xml;base64,")
    assert "3.08 at 4" in (image["alt"] or "")
    assert "http" not in text


def test_without_matplotlib_the_page_has_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "There is no picture" in measured().to_html()


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_drawn(tmp_path: Path, ending: str) -> None:
    measured(tasks=5).plot(tmp_path / f"a.{ending}")
    assert (tmp_path / f"a.{ending}").stat().st_size > 5000


def test_the_picture_shows_points_laws_and_parts() -> None:
    speedups, bars = measured(tasks=3).plot().axes
    labels = speedups.get_legend_handles_labels()[1]
    assert {"Amdahl", "USL", "as many times as threads", "no more, with 3 tasks"} <= set(labels)
    texts = [text.get_text() for text in speedups.texts]
    assert {"1.00×", "3.08×", "more threads than CPUs "} <= set(texts)
    assert [text.get_text() for text in bars.get_xticklabels()] == ["1", "2", "4", "8", "16*"]
    heights = np.array([[bar.get_height() for bar in part] for part in bars.containers])
    assert_allclose(heights.sum(axis=0), 1)


def test_an_ending_that_matplotlib_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tw.errors.DomainError, match=r"a\.txt ends in '\.txt', expected one of"):
        measured().plot(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "threadwise\[plot\]"'):
        measured().plot()
