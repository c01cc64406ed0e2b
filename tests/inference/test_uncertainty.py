"""How much the answers of a random model differ."""

import time
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import threadwise as tw
from networks import Dropout
from strategies import Array, normal
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.inference import predict_with_uncertainty

X = normal((11, 4))


def noisy(x: Array, rng: np.random.Generator) -> Array:
    return (x + rng.standard_normal(x.shape)).astype(x.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ddof", [0, 1])
def test_statistics_are_those_of_the_samples(dtype: Any, ddof: int) -> None:
    found = predict_with_uncertainty(noisy, X.astype(dtype), samples=20, ddof=ddof)
    assert found.samples.shape == (20, 11, 4)
    wide = found.samples.astype(np.float64)
    for ours, expected in (
        (found.mean, wide.mean(axis=0)),
        (found.std, wide.std(axis=0, ddof=ddof)),
        (found.quantiles, np.quantile(wide, (0.025, 0.5, 0.975), axis=0)),
    ):
        assert ours.dtype == dtype
        assert_array_equal(ours, expected.astype(dtype))
    assert found.levels == (0.025, 0.5, 0.975)
    assert (found.entropy, found.mutual_information) == (None, None)
    assert (found.std > 0).all()


def test_samples_follow_from_seed_batch_and_sample() -> None:
    expected = predict_with_uncertainty(noisy, X, samples=8, seed=3, batch_size=4).samples
    for threads in (1, 2, 4):
        found = predict_with_uncertainty(noisy, X, samples=8, seed=3, batch_size=4, threads=threads)
        assert_array_equal(found.samples, expected)
        assert found.cap == threads
    noise = (expected - X).reshape(-1)
    assert len(np.unique(noise.round(5))) > 0.95 * noise.size
    more = predict_with_uncertainty(noisy, X, samples=12, seed=3, batch_size=4).samples
    assert_array_equal(more[:8], expected)
    first = predict_with_uncertainty(noisy, X[:4], samples=8, seed=3).samples
    assert_array_equal(first, expected[:, :4])
    other = predict_with_uncertainty(noisy, X, samples=8, seed=4, batch_size=4).samples
    assert (other != expected).all()


def test_models_with_dropout_make_their_own_samples() -> None:
    model = Dropout()
    found = predict_with_uncertainty(model, X, samples=400, seed=5, quantiles=[0.1])
    assert_array_equal(found.samples, model.monte_carlo(X, 400, 5))
    error = found.std / np.sqrt(400)
    assert (abs(found.mean - model.predict(X)) < 5 * error + 1e-5).all()
    assert found.quantiles.shape == (1, 11, 3)
    assert "400 samples of values of shape (11, 3)" in repr(found)


def test_threads_are_a_limit_for_models_too() -> None:
    class Spy(Dropout):
        def monte_carlo(self, x: Array, samples: int, seed: int) -> Array:
            assert tw.get_num_threads() == 3
            return super().monte_carlo(x, samples, seed)

    told: list[tuple[int, int | None]] = []
    found = predict_with_uncertainty(Spy(), X, threads=3, progress=lambda *t: told.append(t))
    assert (found.cap, told) == (3, [(1, 1)])


def test_entropy_and_mutual_information() -> None:
    logits = Dropout().monte_carlo(X, 30, 0)
    found = predict_with_uncertainty(Dropout(), X, samples=30, outputs="logits")
    wide = logits.astype(np.float64)
    p = np.exp(wide) / np.exp(wide).sum(axis=-1, keepdims=True)
    assert_allclose(found.samples, p, rtol=1e-5)
    entropy = -(p.mean(axis=0) * np.log(p.mean(axis=0))).sum(axis=-1)
    expected = -(p * np.log(p)).sum(axis=-1).mean(axis=0)
    assert found.entropy is not None
    assert found.mutual_information is not None
    assert_allclose(found.entropy, entropy, rtol=1e-4)
    assert_allclose(found.mutual_information, entropy - expected, atol=1e-5)
    again = predict_with_uncertainty(
        lambda _, rng: found.samples[rng.integers(30)], X, outputs="probabilities"
    )
    assert again.entropy is not None


def test_models_that_disagree_and_classes_that_overlap() -> None:
    def disagreeing(x: Array, rng: np.random.Generator) -> Array:
        return np.repeat([[1.0, 0.0] if rng.random() < 0.5 else [0.0, 1.0]], len(x), axis=0)

    def overlapping(x: Array, rng: np.random.Generator) -> Array:
        return np.array([[0.5 + 1e-9 * rng.random(), 0.5]] * len(x))

    sure = predict_with_uncertainty(disagreeing, X, samples=2000, outputs="probabilities")
    assert_allclose(sure.entropy, np.log(2), atol=0.01)
    assert_allclose(sure.mutual_information, sure.entropy)
    unsure = predict_with_uncertainty(overlapping, X, samples=10, outputs="probabilities")
    assert_allclose(unsure.entropy, np.log(2), atol=1e-6)
    assert_allclose(unsure.mutual_information, 0, atol=1e-6)


@pytest.mark.parametrize("model", [Dropout(rate=0.0), lambda x, _: x * 2])
def test_nothing_random_is_an_error_and_no_deviation_of_0(model: Any) -> None:
    with pytest.raises(DomainError, match="all 50 samples are the same: nothing in the model is"):
        predict_with_uncertainty(model, X)


def test_no_rows_have_no_uncertainty() -> None:
    found = predict_with_uncertainty(noisy, X[:0], samples=3)
    assert found.mean.shape == (0, 4)
    assert predict_with_uncertainty(Dropout(), X[:0], samples=3).std.shape == (0, 3)


def test_slow_functions_share_threads() -> None:
    def slow(x: Array, rng: np.random.Generator) -> Array:
        time.sleep(0.002)
        return noisy(x, rng)

    found = predict_with_uncertainty(slow, X, samples=60, threads=4)
    assert 1 < found.threads <= found.cap == 4


@pytest.mark.parametrize(
    ("model", "options", "error", "sentence"),
    [
        (noisy, {"samples": 1}, DomainError, "samples is 1, expected a whole number, at least 2"),
        (noisy, {"samples": 2.5}, DTypeError, "samples is 2.5"),
        (noisy, {"seed": -1}, DomainError, "seed is -1"),
        (noisy, {"samples": 3, "ddof": 3}, DomainError, "ddof is 3, expected less than samples, 3"),
        (noisy, {"quantiles": [1.5]}, DomainError, r"quantiles are \(1.5,\), expected from 0 to 1"),
        (noisy, {"outputs": "labels"}, DomainError, "outputs is 'labels', expected 'values', 'lo"),
        (noisy, {"outputs": "probabilities"}, DomainError, "the model's answers are no probabil"),
        (noisy, {"batch_size": 0}, DomainError, "batch_size is 0"),
        (noisy, {"threads": 0}, DomainError, "threads is 0"),
        (Dropout(), {"batch_size": 4}, DomainError, "batch_size is given, expected None for a mod"),
        (3, {}, DTypeError, "model is 3, expected one with monte_carlo, which has dropout, or a"),
        (Dropout, {}, DTypeError, "model is the class Dropout"),
        (lambda x, _: x[:2], {}, ShapeError, r"model answers with shape \(2, 4\) for 11 rows"),
        (lambda _, r: r.random((11, r.integers(1, 9))), {}, ShapeError, "they may differ in the"),
        (lambda x, _: x.astype(str), {}, DTypeError, "model answers with <U"),
        (
            lambda _, r: r.random((11, 1)),
            {"outputs": "logits"},
            ShapeError,
            "expected at least 2 classes along the last axis",
        ),
    ],
)
def test_arguments_that_make_no_sense(
    model: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        predict_with_uncertainty(model, X, **options)


def test_an_x_without_rows_and_a_model_with_other_samples() -> None:
    class Wrong(Dropout):
        def monte_carlo(self, x: Array, samples: int, seed: int) -> Array:
            return super().monte_carlo(x, samples, seed)[1:]

    with pytest.raises(ShapeError, match=r"x has shape \(\), expected rows"):
        predict_with_uncertainty(noisy, 3.0)
    with pytest.raises(ShapeError, match=r"samples have shape \(49, 11, 3\), expected \(50, 11"):
        predict_with_uncertainty(Wrong(), X)


def test_errors_tell_their_call() -> None:
    def failing(*_: object) -> Array:
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError) as caught:
        predict_with_uncertainty(failing, X)
    assert "item 0" in caught.value.__notes__[0]
