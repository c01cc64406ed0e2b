"""Training by epochs: it learns, it stops, it goes on where it was."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file

import threadwise as tw
from threadwise.train import (
    MLP,
    SGD,
    AdamW,
    CosineRate,
    EarlyStopping,
    EpochReport,
    WarmupRate,
    fit,
    load_checkpoint,
    save_checkpoint,
)
from threadwise.train.checkpoint import read_tensors, write_tensors


def rings(count: int = 400, seed: int = 0) -> tuple[Any, Any]:
    """Two classes that no line divides."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = 1 + y + rng.normal(0, 0.1, count)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return x.astype(np.float32), y


def bits(model: MLP) -> list[bytes]:
    return [array.tobytes() for array in model.parameters.values()]


def test_it_learns_what_no_line_divides() -> None:
    model = MLP([2, 32, 2])
    history = fit(model, rings(), AdamW(0.01), epochs=40, batch_size=32, validation=rings(200, 1))
    last = history.epochs[-1]
    assert last.validation_accuracy is not None
    assert last.validation_accuracy > 0.95
    assert history.losses[-1] < history.losses[0] / 4
    assert last.steps == 40 * 13
    assert len(history.epochs) == 40


@pytest.mark.parametrize("loss", ["mse", "huber", "bce"])
def test_numbers_are_fitted_by_their_losses(loss: str) -> None:
    x = np.linspace(-1, 1, 200, dtype=np.float32)[:, np.newaxis]
    y = (x[:, 0] > 0.2).astype(np.float32)
    model = MLP([1, 16, 1], "tanh")
    history = fit(model, (x, y), AdamW(0.02), epochs=60, loss=loss)
    assert history.losses[-1] < history.losses[0] / 3
    assert history.epochs[-1].validation_loss is None


def test_threads_do_not_change_a_bit() -> None:
    results = []
    for threads in (1, 2, 3, 4):
        model = MLP([2, 200, 150, 2], dropout=0.1)
        history = fit(model, rings(900), AdamW(0.01), epochs=3, batch_size=256, threads=threads)
        results.append((history.losses, bits(model)))
    assert all(result == results[0] for result in results)


def test_an_epoch_is_its_steps() -> None:
    x, y = rings(100)
    model, other = MLP([2, 8, 2], dropout=0.2), MLP([2, 8, 2], dropout=0.2)
    fit(model, (x, y), SGD(0.1, 0.9), epochs=2, batch_size=32, shuffle=False)
    batches = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 100, 32)]
    optimizer = SGD(0.1, 0.9)
    for _ in range(2):
        for one, two in batches:
            other.train_step(one, two, optimizer)
    assert bits(model) == bits(other)
    made = MLP([2, 8, 2], dropout=0.2)
    history = fit(made, batches, SGD(0.1, 0.9), epochs=2)
    assert bits(made) == bits(model)
    assert history.epochs[-1].steps == 8


def test_the_order_of_rows_is_a_function_of_the_seed() -> None:
    losses = {}
    for key, options in {
        "same": {}, "again": {}, "seed": {"seed": 1}, "none": {"shuffle": False},
    }.items():  # fmt: skip
        model = MLP([2, 8, 2])
        losses[key] = fit(model, rings(), SGD(0.1), epochs=2, **options).losses  # type: ignore[arg-type]
    assert losses["same"] == losses["again"]
    assert len({tuple(each) for each in losses.values()}) == 3


def test_the_rates_are_those_of_the_schedule() -> None:
    rate = WarmupRate(CosineRate(0.1, 30), 5)
    history = fit(MLP([2, 4, 2]), rings(320), SGD(rate), epochs=4, batch_size=32)
    assert [report.lr for report in history.epochs] == [rate(9), rate(19), rate(29), rate(39)]


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_training_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    def make() -> tuple[MLP, Any]:
        optimizer = AdamW(CosineRate(0.01, 100)) if kind == "adamw" else SGD(0.05, 0.9)
        return MLP([2, 16, 2], dropout=0.2, seed=3), optimizer

    options: dict[str, Any] = {
        "batch_size": 64, "validation": 0.25, "early_stopping": EarlyStopping(50),
    }  # fmt: skip
    whole, optimizer = make()
    expected = fit(whole, rings(), optimizer, epochs=6, **options)
    log, folder = tmp_path / "log.jsonl", tmp_path / "training"
    for epochs in (2, 2, 5, 6):
        model, optimizer = make()
        history = fit(
            model,
            rings(),
            optimizer,
            epochs=epochs,
            checkpoint=folder,
            resume=True,
            log=log,
            **options,
        )
    assert bits(model) == bits(whole)
    assert history.losses == expected.losses
    assert history.best_epoch == expected.best_epoch
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(6))
    assert [line["loss"] for line in lines] == expected.losses
    assert len(list(folder.iterdir())) == 2, "the checkpoint and its tensors, nothing else"
    other = MLP([2, 17, 2], dropout=0.2, seed=3)
    with pytest.raises(tw.errors.DomainError, match=r"sizes is \[2, 17, 2\], the checkpoint in"):
        fit(other, rings(), make()[1], epochs=7, checkpoint=folder, resume=True)


def test_a_failure_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    def fail(report: EpochReport) -> None:
        if report.epoch == 2:
            raise RuntimeError("stop here")

    model = MLP([2, 8, 2])
    with pytest.raises(RuntimeError, match="stop here"):
        fit(model, rings(), SGD(0.1), epochs=5, checkpoint=tmp_path, callbacks=[fail])
    assert len(load_checkpoint(tmp_path).extra["epochs"]) == 2
    again, straight = MLP([2, 8, 2]), MLP([2, 8, 2])
    fit(again, rings(), SGD(0.1), epochs=5, checkpoint=tmp_path, resume=True)
    fit(straight, rings(), SGD(0.1), epochs=5)
    assert bits(again) == bits(straight)


def test_it_stops_when_the_loss_does_not_get_smaller() -> None:
    x, y = rings(100)
    model = MLP([2, 32, 2])
    stop = EarlyStopping(3)
    held_out = (x, 1 - y)
    history = fit(model, (x, y), AdamW(0.02), epochs=100, early_stopping=stop, validation=held_out)
    assert history.stopped_early
    assert history.best_epoch is not None
    assert len(history.epochs) == history.best_epoch + 4
    best = history.epochs[history.best_epoch].validation_loss
    assert model.gradients(x, 1 - y).loss == pytest.approx(best)
    calls: list[int] = []
    history = fit(
        MLP([2, 8, 2]), (x, y), SGD(0.1), epochs=9, progress=lambda r: calls.append(r.epoch),
        callbacks=[lambda report: report.epoch == 2],
    )  # fmt: skip
    assert calls == [0, 1, 2]
    assert history.stopped_early


def test_a_share_of_the_rows_is_held_out() -> None:
    x, y = rings(200)
    seen: list[Any] = []
    history = fit(
        MLP([2, 8, 2]), (x, y), SGD(0.1), epochs=1, batch_size=10, validation=0.25,
        callbacks=[seen.append],
    )  # fmt: skip
    assert history.epochs[0].steps == 15
    assert seen == history.epochs
    for share in (0.0, 1.0, 0.0001):
        with pytest.raises(tw.errors.DomainError, match="validation is"):
            fit(MLP([2, 8, 2]), (x, y), SGD(0.1), validation=share)


def test_tensors_are_those_of_the_format(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {
        "a": np.arange(6.0).reshape(2, 3).T,
        "b": np.float32(2).reshape(()),
        "c": np.ones((0, 2)),
    }
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors)
    for read in (load_file(path), read_tensors(path)):
        assert set(read) == set(tensors)
        for name, tensor in tensors.items():
            assert_array_equal(read[name], tensor)
            assert read[name].dtype == tensor.dtype
    model, optimizer = MLP([2, 3, 2]), AdamW()
    model.train_step(*rings(10), optimizer)
    for _ in range(2):
        save_checkpoint(tmp_path / "twice", model, optimizer, {"note": 1}, {"k": np.ones(2)})
    found = load_checkpoint(tmp_path / "twice")
    assert bits(found.model) == bits(model)
    assert found.optimizer.describe() == optimizer.describe()
    assert found.extra == {"note": 1}
    assert_array_equal(found.tensors["k"], np.ones(2))
    for name, arrays in optimizer.state.items():
        for ours, theirs in zip(arrays, found.optimizer.state[name], strict=True):
            assert_array_equal(ours, theirs)


def test_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(tw.errors.StorageError, match=r"state.json cannot be read"):
        load_checkpoint(tmp_path)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(tw.errors.FormatError, match="is not JSON"):
        load_checkpoint(tmp_path)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(tw.errors.FormatError, match="not a checkpoint of training"):
        load_checkpoint(tmp_path)
    model, optimizer = MLP([2, 3, 2]), SGD(0.1)
    save_checkpoint(tmp_path, model, optimizer)
    tensors = next(tmp_path.glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-8])
    with pytest.raises(tw.errors.FormatError, match="not a whole safetensors file"):
        load_checkpoint(tmp_path)
    with pytest.raises(tw.errors.StorageError, match="cannot be written"):
        save_checkpoint(tmp_path / "state.json" / "below", model, optimizer)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"epochs": -1}, tw.errors.DomainError, "epochs is -1 and batch_size 32"),
        ({"batch_size": 0}, tw.errors.DomainError, "batch_size 0"),
        ({"resume": True}, tw.errors.DomainError, "resume is True and checkpoint None"),
        ({"data": iter([])}, tw.errors.DTypeError, "data is a list_iterator, expected a tuple"),
        ({"data": []}, tw.errors.ShapeError, "data has no rows"),
        ({"data": [], "validation": 0.5}, tw.errors.DomainError, "validation is a share"),
    ],
)
def test_refuses_options_that_make_no_sense(options: Any, error: Any, match: str) -> None:
    data = options.pop("data", rings(10))
    with pytest.raises(error, match=match):
        fit(MLP([2, 2]), data, SGD(0.1), **options)
    with pytest.raises(tw.errors.DomainError, match="patience is 0"):
        EarlyStopping(0)
