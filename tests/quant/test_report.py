"""Reports: what follows from the sums, and how they are read and kept."""

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import threadwise as tw
from interpreters import run
from reports import report, tensor
from threadwise.quant import QuantReport, TensorReport


def sums(weights: Any, values: Any) -> dict[str, float]:
    w, v = np.asarray(weights, np.float64), np.asarray(values, np.float64)
    return {
        "squared_weights": float(w @ w),
        "squared_values": float(v @ v),
        "products": float(w @ v),
        "squared_errors": float((w - v) @ (w - v)),
        "max_error": float(np.abs(w - v).max()),
    }


def test_a_tensors_figures_are_those_of_their_definitions() -> None:
    rng = np.random.default_rng(3)
    w = rng.standard_normal(6144)
    v = np.round(w * 4) / 4
    found = tensor("t", **sums(w, v))
    assert found.cosine == pytest.approx(w @ v / np.sqrt(w @ w * (v @ v)), rel=1e-14)
    assert found.relative_error == pytest.approx(np.linalg.norm(w - v) / np.linalg.norm(w))
    assert found.sqnr_db == pytest.approx(10 * np.log10(np.sum(w**2) / np.sum((w - v) ** 2)))
    assert found.max_error == np.abs(w - v).max()
    assert found.weights == 6144
    assert found.bits_per_weight == 8 * (96 * (32 + 5) + 16) / 6144


@pytest.mark.parametrize(
    ("weights", "values", "cosine", "sqnr", "error"),
    [
        ([0.5, -2.0], [0.5, -2.0], 1, float("inf"), 0),
        ([0.0, 0.0], [0.0, 0.0], 1, float("inf"), 0),
        ([0.0, 0.0], [0.0, 1.0], 0, float("-inf"), float("inf")),
        ([3.0, 4.0], [0.0, 0.0], 0, 0, 1),
        ([3.0, 4.0], [-3.0, -4.0], -1, -20 * np.log10(2), 2),
        # Rounding makes the quotient 1 + 2**-52 here.
        ([0.1, 0.7, 0.2], [0.1, 0.7, 0.2], 1, float("inf"), 0),
    ],
)
def test_figures_at_their_limits(
    weights: list[float], values: list[float], cosine: float, sqnr: float, error: float
) -> None:
    found = tensor("t", **sums(weights, values))
    assert (found.cosine, found.relative_error) == (cosine, error)
    assert found.sqnr_db == pytest.approx(sqnr)


def test_totals_count_all_tensors() -> None:
    whole = report(tensor("a", 0.01), tensor("b", 0.3, shape=(96, 32), bytes_before=6144))
    assert whole.weights == 96 * 96
    assert whole.bytes_before == 20_000 + 96 * 64 * 2 + 6144
    assert whole.bytes_after == 20_000 + 2 * (96 * 37 + 16)
    assert whole.bits_per_weight == 8 * 2 * (96 * 37 + 16) / (96 * 96)
    least = whole.least_cosine
    assert least is not None
    assert least.name == "b"
    a, b = (each.cosine for each in whole.tensors)
    assert whole.mean_cosine == pytest.approx((2 * a + b) / 3)


def test_a_model_in_which_nothing_is_quantized_has_a_report() -> None:
    empty = QuantReport(**{**vars(report()), "tensors": ()})
    assert (empty.weights, empty.bits_per_weight, empty.least_cosine) == (0, 0, None)
    assert str(empty).startswith("quantized  0 tensors: 0 B before, 0 B now\n")
    assert QuantReport.from_json(empty.to_json()) == empty
    with pytest.raises(tw.errors.DomainError, match=r"^there is no picture of a report without"):
        empty.plot()


def test_the_table_names_every_tensor_and_what_became_wider() -> None:
    wide = tensor("model.layers.1.mlp.down_proj.weight", 0.004, bits=8, asked_bits=2)
    lines = str(report(tensor("model.layers.0.mlp.down_proj.weight"), wide)).splitlines()
    assert lines[0].split() == [
        *("tensor", "shape", "bits", "bits/weight", "cosine"),
        *("SQNR", "error", "largest", "size", "time"),
    ]
    assert lines[1].split() == [
        *("model.layers.0.mlp.down_proj", "96", "x", "64", "4", "4.646", "0.997559"),
        *("23.1", "dB", "7.00%", "7.00e-03", "3.57", "KB", "2.0", "ms"),
    ]
    assert " 2 > 8 " in lines[2]
    assert len({len(line) for line in lines[:3]}) == 1
    assert "wider      1 of 2 tensors have more bits than asked for, because" in "\n".join(lines)
    assert lines[-1] == "memory     12.3 MB at most, 64.0 MB predicted"


def test_a_long_table_keeps_to_the_tensors_with_the_least_cosines() -> None:
    many = [tensor(f"layers.{i}.weight", 0.1 - i / 1000) for i in range(70)]
    whole = report(*many)
    assert whole.table().count("layers.") == 70 + 1  # the last one names the least cosine
    lines = str(whole).splitlines()
    assert [line.split()[0] for line in lines[1:61]] == [f"layers.{i}" for i in range(60)]
    assert lines[61] == "(the 60 of 70 tensors with the least cosines)"


def test_at_a_prompt_it_is_a_line_and_in_a_notebook_the_table() -> None:
    found = report()
    assert repr(found) == (
        "<QuantReport of 4 tensors in models/small-4bit: 4.65 bits a weight, mean cosine 0.9976>"
    )
    shown = found._repr_html_()
    assert html.unescape(shown).count(str(found)) == 1


def test_json_brings_everything_back(tmp_path: Path) -> None:
    exact = tensor("exact", 0.0)
    assert exact.sqnr_db == float("inf")
    whole = report(exact, tensor("other", bits=2), measured_peak_bytes=None)
    text = whole.to_json(tmp_path / "report.json")
    assert QuantReport.from_json(tmp_path / "report.json") == whole
    assert QuantReport.from_json(text) == whole
    found = json.loads(text, parse_constant=pytest.fail)
    assert found["tensors"][0]["sqnr_db"] == "inf"
    assert found["tensors"][1]["bits_per_weight"] == whole.tensors[1].bits_per_weight
    assert found["totals"]["bytes_after"] == whole.bytes_after
    assert found["config"]["layer_bits"] == {"*.v_proj": 8}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ("{}", "it has no 'threadwise_report'"),
        ('{"threadwise_report": 2}', "its version is 2"),
        ('{"threadwise_report": 1, "tensors": [{"shape": [1]}]}', "it has no 'config'"),
        ('{"threadwise_report": 1, "tensors": 5, "config": {}}', "'int' object is not iterable"),
        ('{"threadwise_report": 1, "tensors": [{"shape": [1]}], "config": {}}', "it has no 'name'"),
        ('{"threadwise_report": 1, "tensors": [], "config": {"bits": 1}}', "bits is 1, expected"),
    ],
)
def test_another_json_is_refused(text: str, why: str) -> None:
    with pytest.raises(tw.errors.DomainError) as caught:
        QuantReport.from_json(text)
    assert str(caught.value).startswith(f"the text is no report that threadwise wrote: {why}")


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_is_of_the_kind_that_its_ending_says(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"report.{kind}"
    figure = report().plot(path)
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert path.read_bytes().startswith(begins)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    if kind == "png":
        height, width = imread(path).shape[:2]
        assert (width, height) == pytest.approx(figure.get_size_inches() * 144, abs=1)


def words(whole: QuantReport) -> list[str]:
    figure = whole.plot()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    labels = [label.get_text() for axes in figure.axes[:1] for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in figure.axes[2].get_xticklabels()]
    return [*texts, *labels, *columns]


def test_the_picture_says_bits_and_error_of_every_tensor() -> None:
    wide = tensor("model.layers.1.mlp.down_proj.weight", 0.0042, bits=8, asked_bits=4)
    shown = words(report(tensor("model.layers.0.mlp.down_proj.weight", 0.123), wide))
    assert {"4", "12%", "4→8", "0.42%", "mlp.down_proj", "0", "1", "4.65", "8.65"} == set(shown)


def test_tensors_outside_of_layers_have_a_column_of_their_own() -> None:
    shown = words(report(tensor("layers.7.fc.weight"), tensor("head.weight"), tensor("conv1x1")))
    assert {"fc", "head", "conv1x1", "7", "none"} <= set(shown)


def test_darker_is_worse() -> None:
    errors = [0.3, 0.07, 0.07, 0.001]
    figure = report(*(tensor(f"l.{i}.w", error) for i, error in enumerate(errors))).plot()
    shades = [sum(to_rgb(patch.get_facecolor())) for patch in figure.axes[0].patches]
    assert shades[0] < shades[1] == shades[2] < shades[3]


def test_a_kind_of_file_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tw.errors.DomainError, match=r"report.xyz ends in '.xyz', expected one of"):
        report().plot(tmp_path / "report.xyz")
    assert list(tmp_path.iterdir()) == []


def test_only_the_picture_needs_matplotlib() -> None:
    program = """
        import sys
        sys.modules["matplotlib"] = None
        sys.path.insert(0, "tests")
        from reports import report
        print(len(str(report())) > 0)
        try:
            report().plot()
        except ModuleNotFoundError as error:
            print(error)
    """
    assert run(program, cwd=Path(__file__).parents[2]).splitlines() == [
        "True",
        'the picture needs matplotlib: pip install "threadwise[plot]"',
    ]


def test_a_field_that_is_missing_is_named() -> None:
    facts = {name: 1 for name in TensorReport.__dataclass_fields__ if name != "cosine"}
    text = json.dumps({"threadwise_report": 1, "config": {}, "tensors": [facts | {"shape": [1]}]})
    with pytest.raises(tw.errors.DomainError, match=r"it has no 'cosine'$"):
        QuantReport.from_json(text)
