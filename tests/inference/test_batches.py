"""What a model says of many batches."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import threadwise as tw
from mistral import SAMPLE
from networks import Dropout
from strategies import Array, normal
from threadwise.data import DataLoader
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.inference import Predictions, predict_batches
from threadwise.parallel import Failure


class Language:
    """What a language model looks like from here."""

    def forward(self, input_ids: Array) -> Array:
        """Return logits."""
        return np.asarray(input_ids)[..., None] * np.ones(3)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_predictions_are_those_of_a_loop(threads: int) -> None:
    model = Dropout()
    x = normal((100, 4))
    batches = [x[i : i + 9] for i in range(0, 100, 9)]
    found = predict_batches(model, batches, threads=threads)
    assert len(found) == len(batches)
    for ours, batch in zip(found, batches, strict=True):
        assert_array_equal(ours, model.predict(batch))
    assert_array_equal(found.concatenate(), np.concatenate([model.predict(b) for b in batches]))
    assert found.cap == threads
    from_loader = predict_batches(model, DataLoader(x, 9), threads=threads)
    assert_array_equal(from_loader.concatenate(), found.concatenate())
    assert_array_equal(predict_batches(model.predict, iter(batches))[3], found[3])


def test_kernels_without_pythons_lock() -> None:
    weight = normal((300, 300))
    batches = [normal((64, 300), seed=seed) for seed in range(20)]
    found = predict_batches(lambda x: tw.linear(x, weight), batches, threads=2)
    for ours, batch in zip(found, batches, strict=True):
        assert_array_equal(ours, tw.linear(batch, weight))


def test_language_models_go_forward() -> None:
    found = predict_batches(Language(), [np.array([1, 2]), np.array([3])])
    assert [each.shape for each in found] == [(2, 3), (1, 3)]


@pytest.mark.parametrize("bits", [None, 4])
def test_models_of_files_go_forward_whole_and_quantized(bits: int | None, tmp_path: Path) -> None:
    folder = SAMPLE
    if bits is not None:
        folder = tmp_path / "quantized"
        tw.quant.quantize_model(SAMPLE, folder, bits=bits)
    model = tw.models.load(folder)
    batches = [np.array([[1, 2, 3]]), np.array([[4, 5, 6], [7, 8, 9]])]
    found = predict_batches(model, batches, threads=2)
    for each, ids in zip(found, batches, strict=True):
        assert_array_equal(each, model.forward(ids))


def test_slow_models_get_several_batches_at_a_time() -> None:
    names = set()

    def slow(batch: int) -> int:
        names.add(threading.get_ident())
        time.sleep(0.002)
        return -batch

    told: list[tuple[int, int | None]] = []
    found = predict_batches(slow, range(80), threads=4, progress=lambda *t: told.append(t))
    assert list(found) == [-batch for batch in range(80)]
    assert found.threads == len(names) > 1
    assert told[-1] == (80, 80)
    assert repr(found).startswith(f"Predictions(80 items, {found.threads} threads of at most 4, ")


def failing(batch: int) -> Any:
    return np.full(batch, 6 // (batch - 2))


def test_errors_tell_their_batch() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        predict_batches(failing, range(1, 5))
    assert "item 1" in caught.value.__notes__[0]
    found = predict_batches(failing, range(1, 5), on_error="collect")
    assert isinstance(found[1], Failure)
    assert len(found.concatenate()) == 1 + 3 + 4


def test_predictions_that_do_not_go_together() -> None:
    with pytest.raises(ShapeError, match="there are no predictions"):
        predict_batches(np.sin, []).concatenate()
    ragged = predict_batches(np.sin, [np.ones((1, 2)), np.ones((1, 3))])
    with pytest.raises(ShapeError, match=r"prediction 1 has shape \(1, 3\), prediction 0 has"):
        ragged.concatenate()
    assert isinstance(ragged, Predictions)


@pytest.mark.parametrize(
    ("model", "options", "error", "sentence"),
    [
        (3, {}, DTypeError, "model is 3, expected an object with predict, or a function"),
        (Dropout, {}, DTypeError, "model is the class Dropout"),
        (np.sin, {"threads": 0}, DomainError, "threads is 0"),
        (np.sin, {"progress": "yes"}, DTypeError, "progress is 'yes'"),
        (np.sin, {"on_error": "skip"}, DomainError, "on_error is 'skip'"),
    ],
)
def test_arguments_that_make_no_sense(
    model: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        predict_batches(model, [np.ones(1)], **options)
