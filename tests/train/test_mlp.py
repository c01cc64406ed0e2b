"""Networks: outputs by definition, gradients by differences and closed forms, bits by threads."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import threadwise as tw
from threadwise.train import MLP, SGD, AdamW, Huber

LOSSES: list[Any] = ["cross_entropy", "mse", "huber", Huber(0.3), "bce"]


def rows(
    count: int, model: MLP, seed: int = 0
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    """Return inputs, labels, and a share for each output."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, model.sizes[0])).astype(model.dtype)
    labels = rng.integers(0, model.sizes[-1], count)
    return x, labels, rng.random((count, model.sizes[-1])).astype(model.dtype)


def function(name: str, z: NDArray[Any]) -> Any:
    s = 1 / (1 + np.exp(-z))
    if name == "relu":
        return np.maximum(z, 0)
    if name == "gelu_tanh":
        return z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2
    values: dict[str, NDArray[Any]] = {
        "silu": z * s, "tanh": np.tanh(z), "logistic": s, "identity": z,
    }  # fmt: skip
    return values[name]


def outputs(model: MLP, x: NDArray[Any]) -> NDArray[Any]:
    """Return what the definition says, in NumPy."""
    for i in range(len(model.sizes) - 1):
        x = x @ model.parameters[f"{i}.weight"].T + model.parameters[f"{i}.bias"]
        if i < len(model.sizes) - 2:
            x = function(model.activation, x)
    return x


@pytest.mark.parametrize(
    "activation", ["relu", "gelu_tanh", "silu", "tanh", "logistic", "identity"]
)
@pytest.mark.parametrize("count", [1, 7, 100])
def test_outputs_are_those_of_the_definition(activation: str, count: int) -> None:
    model = MLP([11, 40, 30, 4], activation, dtype=np.float64)
    x, _, _ = rows(count, model)
    assert_allclose(model.predict(x), outputs(model, x), rtol=1e-12, atol=1e-13)


def test_a_row_has_the_same_outputs_in_every_batch() -> None:
    model = MLP([600, 150, 5])
    x, _, _ = rows(90, model)
    whole = model.predict(x)
    for part in [slice(0, 1), slice(3, 20), slice(20, 90)]:
        assert_array_equal(model.predict(x[part]), whole[part])
    assert_array_equal(model.predict(x[::-1]), whole[::-1])
    out = np.full_like(whole, np.nan)
    assert model.predict(np.asfortranarray(x), out=out, threads=2) is out
    assert_array_equal(out, whole)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
def test_gradients_are_what_differences_say(activation: str, loss: Any) -> None:
    model = MLP([6, 12, 9, 3], activation, dtype=np.float64, seed=3)
    x, labels, shares = rows(17, model)
    y: Any = labels if loss == "cross_entropy" else shares
    gradients = model.gradients(x, y, loss)
    for name, array in model.parameters.items():
        flat, exact = array.reshape(-1), gradients[name].reshape(-1)
        slopes = np.empty_like(exact)
        for j in range(len(flat)):
            before = flat[j]
            values = []
            for step in (-2e-4, -1e-4, 1e-4, 2e-4):
                flat[j] = before + step
                values.append(model.gradients(x, y, loss).loss)
            flat[j] = before
            # The rule of fourth order: off by h⁴, some 1e-15, and by a rounding over h, 1e-12.
            slopes[j] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-4
        assert_allclose(exact, slopes, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


def test_gradients_of_one_layer_are_the_closed_forms() -> None:
    model = MLP([5, 3], dtype=np.float64)
    x, labels, values = rows(8, model)
    z = outputs(model, x)
    gradients = model.gradients(x, values, "mse")
    d = 2 * (z - values) / z.size
    assert_allclose(gradients["0.weight"], d.T @ x, rtol=1e-12)
    assert_allclose(gradients["0.bias"], d.sum(axis=0), rtol=1e-12)
    assert_allclose(gradients.loss, np.mean((z - values) ** 2), rtol=1e-12)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    gradients = model.gradients(x, labels)
    d = (p - np.eye(3)[labels]) / 8
    assert_allclose(gradients["0.weight"], d.T @ x, rtol=1e-12, atol=1e-16)
    assert_allclose(gradients.loss, -np.log(p[np.arange(8), labels]).mean(), rtol=1e-12)
    shares = np.eye(3)[labels]
    soft = model.gradients(x, shares, "cross_entropy")
    assert_allclose(soft["0.weight"], gradients["0.weight"], rtol=1e-12, atol=1e-16)
    assert gradients.rows == 8


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_gradients_of_rows_have_those_of_the_batch_as_their_mean(loss: Any) -> None:
    model = MLP([6, 12, 3], "silu", dtype=np.float64)
    x, labels, shares = rows(9, model)
    y: Any = labels if loss == "cross_entropy" else shares
    whole, each = model.gradients(x, y, loss), model.sample_gradients(x, y, loss)
    for name in model.parameters:
        assert each[name].shape == (9, *model.parameters[name].shape)
        assert_allclose(each[name].mean(axis=0), whole[name], rtol=1e-11, atol=1e-15)
        alone = model.gradients(x[4:5], y[4:5], loss)[name]
        assert_allclose(each[name][4], alone, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_threads_do_not_change_a_bit_of_what_is_trained(dtype: Any, clip: float | None) -> None:
    def train(threads: int) -> list[Any]:
        model = MLP([100, 200, 60, 10], "gelu", dropout=0.2, seed=1, dtype=dtype)
        x, labels, _ = rows(300, model)
        optimizer = AdamW(0.01, clip_norm=clip)
        losses = [model.train_step(x, labels, optimizer, threads=threads) for _ in range(4)]
        return [losses, *(a.tobytes() for a in model.parameters.values())]

    one = train(1)
    for threads in (2, 3, 4):
        assert train(threads) == one, threads


@pytest.mark.parametrize("count", [30, 128, 200, 700])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_gradients_of_float32_are_those_of_float64_but_for_rounding(
    count: int, activation: str
) -> None:
    # Also where products are made from pieces of bfloat16: those alone would be off by 2**-9.
    wide = MLP([70, 150, 45, 10], activation, seed=3, dtype=np.float64)
    model = MLP([70, 150, 45, 10], activation, seed=3)
    for name, array in model.parameters.items():
        wide.parameters[name][:] = array
    x, labels, shares = rows(count, model)
    targets: list[tuple[Any, Any]] = [(labels, None), (shares, "mse")]
    for y, loss in targets:
        exact = wide.gradients(x, y if loss is None else y.astype(np.float64), loss)
        for name, actual in model.gradients(x, y, loss).items():
            error = np.linalg.norm(actual - exact[name]) / np.linalg.norm(exact[name])
            # A few roundings of terms that partly cancel, for each of three products.
            assert error < 40 * np.finfo(np.float32).eps, f"{name}: {error}"


def test_a_step_is_that_of_the_gradients() -> None:
    model = MLP([30, 50, 4], "silu", dtype=np.float64)
    x, labels, _ = rows(70, model)
    other = model.copy()
    for clip in (None, 0.01):
        ours, theirs = SGD(0.1, 0.9, clip_norm=clip), SGD(0.1, 0.9, clip_norm=clip)
        for _ in range(3):
            gradients = other.gradients(x, labels)
            assert model.train_step(x, labels, ours) == gradients.loss
            theirs.step(other.parameters, gradients)
        for name, array in model.parameters.items():
            assert_allclose(array, other.parameters[name], rtol=1e-12)
            if clip is None:
                assert_array_equal(array, other.parameters[name])


def test_dropout_scales_what_it_keeps_and_depends_on_the_step() -> None:
    model = MLP([4, 2000, 1], "identity", dropout=0.25, dtype=np.float64, seed=9)
    model.parameters["1.weight"][...] = 1
    x = np.ones((3, 4))
    hidden = x[0] @ model.parameters["0.weight"].T
    for number, row in [(0, 0), (0, 1), (5, 2)]:
        # Units in blocks of eight, half a word each, as `numpy.random.Philox` draws them.
        words = []
        for block in range(2000 // 8):
            # NumPy adds one to the counter before it draws.
            counter = block + (row << 64) + (0 << 128) + (number << 192) - 1
            counter %= 1 << 256
            parts = [counter >> 64 * i & (2**64 - 1) for i in range(4)]
            key = np.array([7, 2], np.uint64)
            words.append(
                np.random.Philox(key=key, counter=np.array(parts, np.uint64)).random_raw(4)
            )
        halves = np.array(words, np.uint64).view("<u4").ravel()
        kept = halves >= round(0.25 * 2**32)
        expected = (hidden * kept / 0.75).sum() + model.parameters["1.bias"][0]
        actual = model.sample(x, number, seed=7)[row, 0]
        assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)
    losses = {model.gradients(x, np.ones((3, 1))).loss for _ in range(2)}
    assert len(losses) == 1, "gradients have no masks"
    still = SGD(0.0)
    steps = {model.train_step(x, np.ones((3, 1)), still) for _ in range(4)}
    assert len(steps) == 4, "steps have masks of their own"


@pytest.mark.parametrize("dropout", [0.3, [0.0, 0.4], [0.5, 0.0], 0.0])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_samples_are_whole_passes_bit_for_bit(dropout: Any, activation: str) -> None:
    model = MLP([30, 70, 20, 3], activation, dropout)
    x, _, _ = rows(13, model)
    samples = model.monte_carlo(x, 25, seed=4)
    assert samples.shape == (25, 13, 3)
    for number in range(25):
        assert_array_equal(samples[number], model.sample(x, number, seed=4))
    for threads in (1, 2, 4):
        assert_array_equal(model.monte_carlo(x, 25, seed=4, threads=threads), samples)
    parts = [model.monte_carlo(x[:5], 25, seed=4), model.monte_carlo(x[5:], 25, 4, first_row=5)]
    assert_array_equal(np.concatenate(parts, axis=1), samples)
    is_random = np.any(np.asarray(dropout) > 0)
    assert (np.ptp(samples, axis=0).max() > 0) == is_random
    if is_random:
        assert not np.array_equal(model.monte_carlo(x, 25, seed=5), samples)


def test_threads_are_as_many_as_were_asked_for() -> None:
    model = MLP([500, 600, 600, 10])
    x, labels, _ = rows(500, model)
    optimizer = SGD(0.01)
    for threads in (1, 2):
        tw.reset_work_stats()
        for _ in range(5):
            model.train_step(x, labels, optimizer, threads=threads)
        busy = [w for w in tw.work_stats().workers if w.tasks_home + w.tasks_stolen]
        assert len(busy) <= (threads if threads > 1 else 0), "one thread is the plain loop"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([4],), "sizes is .4., expected at least two"),
        (([4, 0, 2],), "sizes is"),
        (([4, 3, 2], "step"), "activation is 'step', expected one of 'relu'"),
        (([4, 3, 2], "relu", 1.0), "dropout is 1.0, expected a number from 0 to less than 1"),
        (([4, 3, 2], "relu", [0.1, 0.2]), "one for each of 1 hidden layers"),
        (([4, 3, 2], "relu", 0.0, -1), "seed is -1, expected 0 to"),
    ],
)
def test_refuses_settings_that_make_no_network(arguments: Any, match: str) -> None:
    with pytest.raises(tw.errors.DomainError, match=match):
        MLP(*arguments)
    with pytest.raises(tw.errors.DTypeError, match=r"sizes is \[2.5, 1\], expected whole numbers"):
        MLP([2.5, 1])  # type: ignore[list-item]
    with pytest.raises(tw.errors.DTypeError, match="dtype is int32, expected float32 or float64"):
        MLP([2, 2], dtype=np.int32)


def test_refuses_rows_that_do_not_fit() -> None:
    model = MLP([4, 3])
    x, labels, values = rows(5, model)
    labels[0] = 2
    before = {name: array.copy() for name, array in model.parameters.items()}
    optimizer = SGD(1.0)
    cases: list[tuple[Any, Any, Any, Any, str]] = [
        (
            x[:, :3],
            labels,
            None,
            tw.errors.ShapeError,
            r"x has shape \(5, 3\), expected \(rows, 4\)",
        ),
        (x[0], labels, None, tw.errors.ShapeError, r"x has shape \(4,\)"),
        (
            x.astype(float),
            labels,
            None,
            tw.errors.DTypeError,
            "x has dtype float64, expected float32",
        ),
        (x[:4], labels, None, tw.errors.ShapeError, "x has 4 rows, y has 5: they must be equal"),
        (x[:0], labels[:0], None, tw.errors.ShapeError, "x has no rows"),
        (
            x,
            labels + 1,
            None,
            tw.errors.DomainError,
            r"y\[0\] is 3, expected whole numbers from 0 to 2",
        ),
        (
            x,
            values[:, :2],
            "mse",
            tw.errors.ShapeError,
            r"y has shape \(5, 2\), expected \(rows, 3\)",
        ),
        (x, values.astype(float), "mse", tw.errors.DTypeError, "y has dtype float64"),
        (x, labels, "hinge", tw.errors.DomainError, "loss is 'hinge', expected one of"),
    ]
    for one, two, loss, error, match in cases:
        with pytest.raises(error, match=match):
            model.train_step(one, two, optimizer, loss)
        with pytest.raises(error, match=match):
            model.gradients(one, two, loss)
    assert optimizer.steps == 0
    for name, array in model.parameters.items():
        assert_array_equal(array, before[name])
    with pytest.raises(tw.errors.DomainError, match="delta is 0, expected a positive"):
        Huber(0)
    with pytest.raises(tw.errors.DomainError, match="samples is -1"):
        model.monte_carlo(x, -1)


def test_a_model_says_how_to_make_it() -> None:
    model = MLP([4, 3, 2], "tanh", 0.5, 7, np.float64)
    settings = model.describe()
    assert MLP(**settings).describe() == settings
    assert repr(model).startswith("MLP([4, 3, 2], activation='tanh'")
    assert (model.sizes, model.dropout, model.seed) == ((4, 3, 2), (0.5,), 7)
    assert list(model.parameters) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert model.parameters["0.weight"].shape == (3, 4)
