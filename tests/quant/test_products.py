"""Products with quantized weights against those with the values that they stand for."""

from typing import Any, Literal

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import definitions
import threadwise as tw
from bounds import ACTIVATION_ROUNDINGS, STEEPEST, assert_within, gamma
from definitions import ACTIVATIONS
from quantized import Weight, quantized
from strategies import LAYOUTS, WRITABLE_LAYOUTS, Array, normal

Activations = Literal["int8", "float"]

RUN = 32  # inputs that share a scale
FEW = 32  # rows up to which inputs are rounded to bytes, and not to bfloat16
BFLOAT16 = 2.0**-7 + 2.0**-16  # two factors of bfloat16


def _bound(x: Array, weight: Weight, activations: str) -> Array:
    """Bound the error of a product as the notes of `linear` do."""
    x = np.abs(np.atleast_2d(x).astype(np.float64))
    terms, values = np.abs(weight.scaled) + np.abs(weight.zero), np.abs(weight.values)
    k = x.shape[-1]
    roundings = gamma(k + k // 512 + 24, np.float32)
    if activations == "float":
        return np.asarray(roundings * (x @ terms.T))
    runs = np.pad(x, ((0, 0), (0, -k % RUN))).reshape(len(x), -1, RUN)
    off = np.repeat(runs.max(2, initial=0) / 253, RUN, axis=1)[:, :k]
    bytes_ = off @ values.T + roundings * ((x + off) @ terms.T)
    if len(x) <= FEW:
        return np.asarray(bytes_)
    narrow = (BFLOAT16 + roundings) * (x @ values.T) + roundings * (x @ terms.T)
    return np.asarray(np.maximum(bytes_, narrow))


def _check(y: Array, x: Array, weight: Weight, activations: str) -> None:
    expected = np.atleast_2d(definitions.matmul(x, weight.values.T))
    assert_within(np.atleast_2d(y), expected, _bound(x, weight, activations))


weights = st.builds(
    quantized,
    st.tuples(st.integers(1, 40), st.integers(0, 70) | st.integers(71, 700)),
    st.sampled_from([2, 3, 4, 8]),
    st.sampled_from([16, 32, 64, 128, 256, -1]),
    zero_point=st.sampled_from(["symmetric", "float", "integer"]),
    dtype=st.sampled_from([np.float16, ml_dtypes.bfloat16, np.float32]),
)


@given(weights, st.integers(1, 40), st.sampled_from(["int8", "float"]))
def test_agrees_with_the_values_within_the_bound(
    weight: Weight, m: int, activations: Activations
) -> None:
    n, k = weight.shape
    x = normal((m, k))
    y = tw.linear(x, weight, activations=activations)
    assert (y.shape, y.dtype) == ((m, n), np.float32)
    _check(y, x, weight, activations)


@pytest.mark.parametrize("activations", ["int8", "float"])
@pytest.mark.parametrize("m", [1, 4, 32, 33, 100, 300])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_large_ones_too_with_the_same_bits_for_any_number_of_threads(
    bits: int, m: int, activations: Activations
) -> None:
    weight = quantized((1030, 2100), bits, zero_point="integer")
    x = normal((m, 2100))
    y = tw.linear(x, weight, activations=activations, threads=1)
    _check(y, x, weight, activations)
    for threads in (2, 3, 4):
        assert_array_equal(tw.linear(x, weight, activations=activations, threads=threads), y)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("m", [3, 40])
def test_bias_and_activation_come_last(m: int, activation: Any) -> None:
    weight, x, bias = quantized((50, 90), 4), normal((m, 90)), normal((50,), seed=1)
    plain = tw.linear(x, weight).astype(np.float64) + bias
    rounding = ACTIVATION_ROUNDINGS * 2.0**-24 * (1 + np.abs(plain))
    y = tw.linear(x, weight, bias, activation=activation)
    assert_within(y, ACTIVATIONS[activation](plain), STEEPEST * rounding)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("m", [1, 5, 40])
def test_narrow_inputs_give_results_of_their_type(m: int, dtype: type) -> None:
    weight, x, bias = quantized((60, 130), 4), normal((m, 130), dtype), normal((60,), np.float32)
    y = tw.linear(x, weight, bias, activation="relu")
    assert y.dtype == dtype
    wide = tw.linear(x.astype(np.float32), weight, bias, activation="relu")
    assert_array_equal(y, wide.astype(dtype))
    assert_array_equal(tw.linear(x, weight, bias.astype(dtype)).dtype, np.dtype(dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(90,), (3, 90), (2, 3, 90), (2, 18, 90), (0, 90)])
def test_inputs_may_lie_as_they_like(layout: str, shape: tuple[int, ...]) -> None:
    weight, x = quantized((40, 90), 3), normal(shape)
    expected = tw.linear(x.reshape(-1, 90), weight).reshape(*shape[:-1], 40)
    assert_array_equal(tw.linear(LAYOUTS[layout](x), weight), expected)


@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
@pytest.mark.parametrize("m", [2, 40])
def test_out_is_filled_however_it_lies(layout: str, m: int) -> None:
    weight, x = quantized((300, 90), 4), normal((m, 90))
    out = WRITABLE_LAYOUTS[layout](np.full((m, 300), np.nan, np.float32))
    assert tw.linear(x, weight, out=out) is out
    assert_array_equal(out, tw.linear(x, weight))


def test_from_the_left_it_multiplies_as_its_values_do() -> None:
    weight = quantized((40, 90), 4, zero_point="float")
    for shape in [(90,), (90, 7), (2, 90, 3), (90, 40)]:
        x = normal(shape)
        expected = tw.linear(x.swapaxes(-1, -2), weight).swapaxes(-1, -2) if x.ndim > 1 else None
        y = weight @ x
        assert y.shape == np.matmul(weight.values, x).shape
        assert_array_equal(y, tw.linear(x, weight) if expected is None else expected)
        out = np.full(y.shape, np.nan, np.float32)
        assert tw.matmul(weight, x, out=out, threads=1) is out
        assert_array_equal(out, y)


def test_float_activations_are_closer() -> None:
    weight, x = quantized((64, 4096), 4), normal((1, 4096))
    expected = definitions.matmul(x, weight.values.T)
    errors = {
        activations: np.abs(tw.linear(x, weight, activations=activations) - expected).mean()
        for activations in ("int8", "float")
    }
    assert errors["float"] < errors["int8"] / 100
    assert_array_equal(tw.linear(x, weight), tw.linear(x, weight, activations="int8"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_does_not_get_lost(bad: float) -> None:
    weight, x = quantized((5, 90), 4), normal((3, 90))
    x[1, 40] = bad
    for activations in ("int8", "float"):
        y = tw.linear(x, weight, activations=activations)
        assert not np.isfinite(y[1]).any()
        assert np.isfinite(y[[0, 2]]).all()


def test_refusals_name_what_is_wrong() -> None:
    weight, x = quantized((5, 64), 4), normal((2, 64))
    out = np.full((2, 5), np.nan, np.float32)
    with pytest.raises(tw.errors.ShapeError, match="x has 63"):
        tw.linear(x[:, 1:], weight)
    with pytest.raises(tw.errors.DTypeError, match="x has dtype float64, expected float32"):
        tw.linear(x.astype(np.float64), weight)
    with pytest.raises(tw.errors.DTypeError, match="bias has dtype float16, expected the same"):
        tw.linear(x, weight, np.ones(5, np.float16))
    with pytest.raises(tw.errors.DomainError, match="activations is 'int4', expected None, 'int8'"):
        tw.linear(x, weight, activations="int4", out=out)  # type: ignore[arg-type]
    with pytest.raises(tw.errors.DomainError, match="activations is 'int8', expected None beside"):
        tw.linear(x, normal((5, 64)), activations="int8", out=out)
    with pytest.raises(tw.errors.ShapeError, match="out has shape"):
        tw.linear(x, weight, out=out[:1])
    with pytest.raises(tw.errors.ShapeError, match="arrays of a quantized weight"):
        tw.linear(x, Weight(**{**vars(weight), "codes": weight.codes[:4]}), out=out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("zero_point", ["float", "integer"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_what_quantize_makes_is_a_weight(bits: int, zero_point: Any) -> None:
    x = normal((3, 200))
    for symmetric in (True, False):
        q = tw.quant.quantize(normal((50, 200)), bits, symmetric=symmetric, zero_point=zero_point)
        expected = x.astype(np.float64) @ q.dequantize().T
        for y in (tw.linear(x, q, activations="float"), (q @ x.T).T):
            off = np.abs(x).max() / 253 * np.abs(q.dequantize()).sum(1)
            assert_within(y, expected, off + 1e-4)
    with pytest.raises(tw.errors.ShapeError, match="weight has shape \\(2, 3, 40\\), expected two"):
        tw.linear(normal((40,)), tw.quant.quantize(normal((2, 3, 40))))
    with pytest.raises(tw.errors.DTypeError, match="there is no plan of products with quantized"):
        tw.explain(tw.linear, x, q)
