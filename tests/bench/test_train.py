"""``threadwise bench train``: steps whose results are compared with float64 first."""

import csv
from pathlib import Path

import numpy as np
import pytest

from threadwise.bench import _train, _train_worker
from threadwise.bench.__main__ import main
from threadwise.bench._record import read
from threadwise.bench._train_cases import Network, TrainCase
from threadwise.bench._train_worker import error

SMALL = [
    TrainCase(optimizer="sgd", sizes=(7, 5, 3), batch=4),
    TrainCase(optimizer="adamw", sizes=(7, 5, 3), batch=4),
    TrainCase(operation="aggregate", shards=3, length=100),
]


@pytest.mark.parametrize("case", SMALL, ids=str)
@pytest.mark.parametrize("library", ["threadwise", "numpy"])
def test_answers_pass_the_check(case: TrainCase, library: str) -> None:
    assert error(case, library) <= 1  # type: ignore[arg-type]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_wrong_answers_do_not(case: TrainCase, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Network):
        def step(self) -> float:
            loss = super().step()
            self.parameters[0] += np.float32(1e-3)
            return loss

    monkeypatch.setattr(_train_worker, "_Ours", Wrong)
    right = _train_worker.mean
    monkeypatch.setattr(
        _train_worker, "mean", lambda library, case: lambda: right(library, case)() + 1e-6
    )
    assert error(case, "threadwise") > 1


def test_steps_of_the_definition_follow_the_gradient() -> None:
    case = TrainCase(optimizer="sgd", sizes=(6, 5, 4), batch=8)
    network = Network(case, np.float64)
    shifted = Network(case, np.float64)
    shifted.parameters[0][1, 2] += 1e-6
    before = network.parameters[0][1, 2]
    loss, near = network.step(), shifted.step()
    slope = (before - network.parameters[0][1, 2]) / 1e-3  # the rate
    assert (near - loss) / 1e-6 == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_prints_and_writes_what_each_library_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_train, "QUICK", SMALL)
    options = ["--quick", "--peers", "numpy", "--rounds", "1", "--csv", str(tmp_path / "a.csv")]
    assert main(["train", *options]) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert {(row["library"], row["name"]) for row in rows} == {
        (library, str(case)) for case in SMALL for library in ("threadwise", "numpy")
    }
    assert {row["operation"] for row in rows} == {"train step", "aggregate"}
    assert all(float(row["median_seconds"]) > 0 for row in rows)
    assert len(read(tmp_path / "a.csv")) == 6
    said = capsys.readouterr().out
    assert "7-5-3, batch 4, adamw" in said
    assert "time of NumPy / threadwise, geometric mean: " in said


def test_a_peer_that_is_not_there_is_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_train, "QUICK", SMALL[:1])
    monkeypatch.setenv("PYTHONPATH", "")
    assert main(["train", "--quick", "--rounds", "1", "--only", "steps"]) == 0
    said = capsys.readouterr().out
    assert "note: PyTorch is left out" in said or "PyTorch" in said.split("\n\n")[2]
