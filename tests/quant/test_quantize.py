"""`threadwise.quant.quantize`: weights in few bits."""

from typing import Any, Literal

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import threadwise as tw
from quantization import codes_of, extremes, relative_error, values
from strategies import LAYOUTS, Shape, misaligned, normal

BITS = (2, 3, 4, 8)
SIZES = (16, 32, 64, 128, 256, -1)
KINDS = ("symmetric", "float", "integer")
METHODS = ("minmax", "mse")
DTYPES = (np.float32, np.float16, ml_dtypes.bfloat16)


def kind_of(kind: str) -> dict[str, Any]:
    return {"symmetric": True} if kind == "symmetric" else {"zero_point": kind}


def quantize(weight: Any, bits: int, size: int, kind: str, method: str, **more: Any) -> Any:
    options = kind_of(kind) | {"group_size": size, "method": method} | more
    return tw.quant.quantize(weight, bits, **options)


schemes = st.tuples(
    st.sampled_from(BITS), st.sampled_from(SIZES), st.sampled_from(KINDS), st.sampled_from(METHODS)
)
shapes = st.one_of(
    st.tuples(st.integers(0, 70)),
    st.tuples(st.integers(0, 70), st.integers(0, 70)),
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 40)),
)


def bound(weight: Any, q: Any) -> Any:
    """Say how far a value may be off: half a step, rounding, and what float16 adds.

    With integer zero points it is a whole step, because they are rounded. A scale of float16 is
    off by 2**-11 of itself or 2**-25, and so are minima.
    """
    step, least = extremes(weight, q.bits, q.group_size, q.zero_point)
    steps = 2**q.bits - 1
    off = np.maximum(2.0**-11 * step, 2.0**-25) * steps + np.maximum(
        2.0**-11 * np.abs(least), 2.0**-25
    )
    part = 1.0 if q.zero_point == "integer" else 0.5
    columns = weight.shape[-1]
    group = columns if q.group_size == -1 else q.group_size
    wide = np.repeat(part * step * (1 + 2.0**-10) + 2 * off, group, axis=-1)
    return wide[..., :columns]


@given(shapes, schemes, st.sampled_from(DTYPES), st.integers(-6, 5), st.integers(0, 99))
def test_values_are_within_half_a_step_and_what_the_layout_says(
    shape: Shape, scheme: Any, dtype: Any, scale: int, seed: int
) -> None:
    least = -6 if dtype is not np.float16 else -3
    scale = max(least, min(scale, 3 if dtype is np.float16 else 5))  # float16 ends at 65504
    weight = (normal(shape, np.float64, seed) * 10.0**scale).astype(dtype)
    if not np.isfinite(weight.astype(np.float32)).all():
        return
    bits, size, kind, _ = scheme
    q = quantize(weight, bits, size, kind, "minmax")
    assert (q.shape, q.bits, q.group_size, q.zero_point) == (shape, bits, size, kind)
    made = np.asarray(q)
    assert made.dtype == np.float32
    if weight.size:
        assert_array_equal(made, values(q))
        assert (np.abs(made - weight.astype(np.float64)) <= bound(weight, q)).all()


@given(shapes, schemes, st.sampled_from(DTYPES), st.integers(0, 99))
def test_threads_layouts_and_narrow_types_do_not_change_a_bit(
    shape: Shape, scheme: Any, dtype: Any, seed: int
) -> None:
    weight = normal(shape, np.float64, seed).astype(dtype)
    q = quantize(weight, *scheme, threads=1)
    assert q == quantize(weight, *scheme, threads=3)
    assert q == quantize(weight.astype(np.float32), *scheme)
    assert q == quantize(np.asfortranarray(weight), *scheme)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", BITS)
def test_a_large_weight_has_the_same_bits_for_any_number_of_threads(bits: int, kind: str) -> None:
    weight = normal((515, 1030)) * np.float32(0.02)
    for size, method in [(32, "mse"), (-1, "minmax"), (-1, "mse")]:
        one = quantize(weight, bits, size, kind, method, threads=1)
        for threads in (2, 3, 4):
            assert one == quantize(weight, bits, size, kind, method, threads=threads)
        back = one.dequantize(threads=1)
        assert back.tobytes() == one.dequantize(threads=4).tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout(layout: str, dtype: Any) -> None:
    weight = normal((3, 33, 40)).astype(dtype)
    q = tw.quant.quantize(weight, 4)
    assert q == tw.quant.quantize(LAYOUTS[layout](weight), 4)


NEEDED = {("float", 4): 0.0049, ("float", 3): 0.0214, ("float", 2): 0.091} | {
    ("integer", 4): 0.0060,
    ("integer", 3): 0.0260,
    ("integer", 2): 0.111,
}
"""Relative mean square errors of normal numbers in groups of 32, at most."""


@pytest.mark.parametrize(("kind", "bits"), NEEDED)
def test_the_search_is_as_good_as_it_should_be(kind: str, bits: int) -> None:
    weight = normal((1024, 1024)) * np.float32(0.02)
    q = quantize(weight, bits, 32, kind, "mse")
    assert relative_error(weight, q) <= NEEDED[kind, bits]
    if (kind, bits) == ("float", 2):
        made = np.asarray(q, np.float64).ravel()
        wide = weight.astype(np.float64).ravel()
        assert made @ wide / np.sqrt(made @ made * (wide @ wide)) >= 0.953


@given(shapes, schemes, st.integers(0, 99))
def test_the_search_is_never_worse_than_the_extremes(shape: Shape, scheme: Any, seed: int) -> None:
    weight = normal(shape, np.float32, seed)
    bits, size, kind, _ = scheme
    if weight.size:
        found = relative_error(weight, quantize(weight, bits, size, kind, "mse"))
        plain = relative_error(weight, quantize(weight, bits, size, kind, "minmax"))
        # Compared where sums are float32, of at most so many chunks and terms.
        assert found <= plain * (1 + 1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", BITS)
def test_all_codes_are_used_and_the_size_is_that_of_the_bits(bits: int, kind: str) -> None:
    weight = normal((256, 1024)) * np.float32(0.02)
    for method in METHODS:
        q = quantize(weight, bits, 32, kind, method)
        assert set(np.unique(codes_of(q.codes, 1024, bits))) == set(range(2**bits))
        groups = weight.size // 32
        zeros = {"symmetric": 0, "float": 16, "integer": bits}[kind]
        assert q.nbytes == (bits * weight.size + groups * (16 + zeros)) // 8
        assert q.bits_per_weight == bits + (16 + zeros) / 32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e-7, 1e6])
def test_scales_are_float32_where_float16_cannot_hold_them(size: float, kind: str) -> None:
    weight = normal((40, 64)) * np.float32(size)
    for method in METHODS:
        q = quantize(weight, 4, 32, kind, method)
        assert q.scales.dtype == np.float32
        assert relative_error(weight, q) < 0.011
    assert quantize(weight / np.float32(size), 4, 32, kind, "minmax").scales.dtype == np.float16


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", BITS)
def test_constant_groups(bits: int, method: str, kind: str) -> None:
    for constant in (0.0, 0.5, -0.75):
        weight = np.full((3, 70), constant, np.float32)
        q = quantize(weight, bits, 32, kind, method)
        if kind == "float" or constant == 0:
            assert_array_equal(np.asarray(q), weight)
        elif kind == "symmetric" and method == "minmax":
            # Its range is as long on either side, and the extreme is half a step beyond a code.
            half = np.abs(q.scales).max().astype(np.float32) * 0.501
            np.testing.assert_allclose(np.asarray(q), weight, rtol=2.0**-10, atol=half)
        else:
            np.testing.assert_allclose(np.asarray(q), weight, rtol=2.0**-10)


@pytest.mark.parametrize("shape", [(0,), (0, 0), (0, 5), (5, 0), (2, 0, 3), (1,), (7,), (5, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_empty_rows_and_columns(shape: Shape, kind: str) -> None:
    weight = normal(shape)
    q = quantize(weight, 3, 32, kind, "mse")
    assert np.asarray(q).shape == shape
    assert q == quantize(weight, 3, 32, kind, "mse", threads=2)
    np.testing.assert_allclose(np.asarray(q), weight, atol=0.5)


@pytest.mark.parametrize("method", METHODS)
def test_importance_is_what_counts(method: Literal["minmax", "mse"]) -> None:
    weight = normal((64, 256))
    importance = np.where(np.arange(256) % 4 == 0, 100.0, 1.0).astype(np.float32)
    plain = np.asarray(tw.quant.quantize(weight, 3, method=method))
    q = tw.quant.quantize(weight, 3, method=method, importance=importance)
    each = np.broadcast_to(importance, weight.shape)
    assert q == tw.quant.quantize(weight, 3, method=method, importance=each.copy())
    assert q == tw.quant.quantize(weight, 3, method=method, importance=each, threads=2)
    weighted = [float((each * (made - weight) ** 2).sum()) for made in (np.asarray(q), plain)]
    if method == "mse":
        assert weighted[0] < 0.7 * weighted[1]
    else:
        assert weighted[0] == weighted[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_refuses_what_is_not_finite_and_says_where(bad: float, dtype: Any) -> None:
    weight = normal((2, 300, 300)).astype(dtype)
    weight[1, 290, 299] = weight[1, 291, 0] = bad
    sentence = rf"^weight\[1, 290, 299\] is {bad}, expected finite numbers$"
    with pytest.raises(tw.errors.DomainError, match=sentence.replace("nan", "[nN]a[nN]")):
        tw.quant.quantize(weight)
    with pytest.raises(tw.errors.DomainError, match=r"^weight\[3\] is "):
        tw.quant.quantize(np.array([1, 2, 3, bad, bad], dtype))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"bits": 5}, r"^bits is 5, expected 2, 3, 4 or 8$"),
        ({"group_size": 0}, r"^group_size is 0, expected 16, 32, 64, 128, 256 or -1$"),
        ({"zero_point": "none"}, r"^zero_point is 'none', expected 'float' or 'integer'$"),
        ({"method": "best"}, r"^method is 'best', expected 'minmax' or 'mse'$"),
        ({"threads": 0}, r"^threads is 0, expected"),
        ({"importance": [1.0, -1.0]}, r"^importance is -1.0, expected finite numbers that are"),
        ({"importance": [1.0, np.nan]}, r"^importance is NaN, expected finite"),
    ],
)
def test_refuses_values_that_make_no_sense(options: Any, sentence: str) -> None:
    with pytest.raises(tw.errors.DomainError, match=sentence):
        tw.quant.quantize(normal((3, 2)), **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"bits": "4"}, r"^bits is '4' \(a str\), expected 2, 3, 4 or 8$"),
        ({"bits": True}, r"^bits is True \(a bool\), expected"),
        ({"group_size": 32.0}, r"^group_size is 32.0 \(a float\), expected"),
        ({"method": 3}, r"^method is 3 \(a int\), expected"),
        ({"importance": [1, 2]}, r"^importance has dtype int64, expected float32"),
    ],
)
def test_refuses_other_types(options: Any, sentence: str) -> None:
    with pytest.raises(tw.errors.DTypeError, match=sentence):
        tw.quant.quantize(normal((3, 2)), **options)


def test_refuses_other_weights() -> None:
    for dtype in (np.float64, np.int8):
        with pytest.raises(tw.errors.DTypeError, match=r"^weight has dtype .*, expected float32, "):
            tw.quant.quantize(np.ones((2, 3), dtype))
    with pytest.raises(tw.errors.ShapeError, match=r"^weight has shape \(\), expected at least"):
        tw.quant.quantize(np.float32(1))
    with pytest.raises(tw.errors.ShapeError, match=r"^importance has shape \(3,\), expected"):
        tw.quant.quantize(normal((3, 2)), importance=np.ones(3, np.float32))
    with pytest.raises(tw.errors.LayoutError, match=r"^weight is not aligned"):
        tw.quant.quantize(misaligned((3, 4)))


@settings(max_examples=30)
@given(st.sampled_from(BITS), st.sampled_from(KINDS), st.integers(0, 99))
def test_what_is_exact_stays_exact(bits: int, kind: str, seed: int) -> None:
    # Codes times a power of two: both ends of the range are there, which give it back.
    random = np.random.default_rng(seed)
    codes = random.integers(0, 2**bits, (5, 64))
    codes[:, [0, 33]], codes[:, [1, 32]] = 0, 2**bits - 1
    weight = ((codes - 2 ** (bits - 1)) * 0.25).astype(np.float32)
    if kind != "symmetric":
        assert_array_equal(np.asarray(quantize(weight, bits, 32, kind, "minmax")), weight)
    if kind != "symmetric" or bits < 8:  # then it is among the ranges that are tried
        assert_array_equal(np.asarray(quantize(weight, bits, 32, kind, "mse")), weight)
