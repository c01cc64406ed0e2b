"""`rms_norm` against its formula, in every layout, and what it refuses."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

import threadwise as tw

shapes = st.tuples(st.integers(0, 5), st.integers(1, 67))  # no rows; whole vectors, every tail
dtypes = st.sampled_from([np.float32, np.float64])


def rows(dtype: Any, shape: Any) -> st.SearchStrategy[Any]:
    width = 8 * np.dtype(dtype).itemsize
    elements = st.floats(-1e3, 1e3, width=width, allow_subnormal=False)
    return arrays(dtype, shape, elements=elements)


def definition(x: Any, weight: Any, eps: float) -> Any:
    """As the formula reads, in float64."""
    wide = x.astype(np.float64)
    return weight * wide / np.sqrt(np.mean(wide**2, axis=-1, keepdims=True) + eps)


def tolerance(d: int, dtype: Any) -> dict[str, Any]:
    """γ of d/2 + 6 roundings (`rms_norm`'s notes), once for us and once for the definition.

    Numbers below the smallest normal one have fewer digits.
    """
    units = 2 * (d / 2 + 6) * float(np.finfo(dtype).eps) / 2
    return {"rtol": units / (1 - units), "atol": float(np.finfo(dtype).tiny)}


def normal(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(7).standard_normal(shape).astype(dtype)


@given(st.data(), dtypes, shapes)
def test_agrees_with_the_definition_to_rounding(data: Any, dtype: Any, shape: Any) -> None:
    x, weight = data.draw(rows(dtype, shape)), data.draw(rows(dtype, shape[1]))
    actual = tw.nn.rms_norm(x, weight, eps=1e-6)
    assert actual.dtype == dtype
    assert_allclose(actual, definition(x, weight, 1e-6), **tolerance(shape[1], dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares_that_overflow_are_no_exception(dtype: Any) -> None:
    x = normal(3, 100, dtype=dtype) * dtype(np.finfo(dtype).max / 10)
    expected = definition(x / np.finfo(dtype).max, np.ones(100), 0.0)
    actual = tw.nn.rms_norm(x, np.ones(100, dtype))
    assert_allclose(actual, expected, **tolerance(100, dtype))


def test_a_row_of_zeros_stays_zero() -> None:
    assert_array_equal(tw.nn.rms_norm(np.zeros((2, 9)), np.ones(9)), np.zeros((2, 9)))


@pytest.mark.parametrize("shape", [(0,), (5, 0), (0, 5), (3, 0, 2)])
def test_nothing_gives_nothing(shape: tuple[int, ...]) -> None:
    assert tw.nn.rms_norm(np.ones(shape), np.ones(shape[-1])).shape == shape


@pytest.mark.parametrize("shape", [(7,), (3000, 100), (1, 5, 70_000), (4, 3, 2, 5)])
def test_threads_and_layouts_do_not_change_a_bit(shape: tuple[int, ...]) -> None:
    x, weight = normal(*shape), normal(shape[-1])
    expected = tw.nn.rms_norm(x, weight, threads=1)
    read_only = x.copy()
    read_only.flags.writeable = False
    spread = np.zeros((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2]
    spread[...] = x
    layouts = [x, x.T.copy().T, x[..., ::-1].copy()[..., ::-1], read_only, spread]
    for threads in (1, 2, 3, 4):
        for layout in layouts:
            assert_array_equal(tw.nn.rms_norm(layout, weight, threads=threads), expected)
    assert_array_equal(tw.nn.rms_norm(x, np.repeat(weight, 2)[::2]), expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_result_goes_where_it_is_sent(order: Any) -> None:
    x, weight = normal(40, 30), normal(30)
    out = np.full((40, 60), np.nan, np.float32, order=order)
    returned = tw.nn.rms_norm(x, weight, out=out[:, ::2])
    assert returned.base is out
    assert_array_equal(out[:, ::2], tw.nn.rms_norm(x, weight))
    assert np.isnan(out[:, 1::2]).all()


def test_float32_beside_float64_gives_float64() -> None:
    x, weight = normal(4, 5), normal(5, dtype=np.float64)
    expected = tw.nn.rms_norm(x.astype(np.float64), weight)
    assert_array_equal(tw.nn.rms_norm(x, weight), expected)
    assert expected.dtype == np.float64


X, WEIGHT = np.ones((2, 4), np.float32), np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("x", "weight", "sentence"),
    [
        (
            X,
            np.ones(3, np.float32),
            r"^weight has 3 elements \(shape \(3,\)\), x has 4 columns \(shape \(2, 4\)\): they",
        ),
        (X[0], np.ones(3), r", x has 4 elements \(shape \(4,\)\): they must be equal$"),
        (np.float32(1), WEIGHT, r"^x has shape \(\), expected at least one axis, the row$"),
        (X, X, r"^weight has shape \(2, 4\), expected one axis, a factor for each column of x$"),
    ],
)
def test_refuses_shapes_that_do_not_fit(x: Any, weight: Any, sentence: str) -> None:
    with pytest.raises(tw.errors.ShapeError, match=sentence):
        tw.nn.rms_norm(x, weight)


@pytest.mark.parametrize("eps", [0, -1e-6, np.nan, np.inf, 1e-50, pytest.param(10**400, id="huge")])
def test_refuses_an_eps_that_is_not_positive_and_finite(eps: Any) -> None:
    out = np.full_like(X, np.nan)
    with pytest.raises(tw.errors.DomainError, match=r"^eps is .*, expected a positive and finite"):
        tw.nn.rms_norm(X, WEIGHT, eps=eps, out=out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("eps", ["1e-6", None, 1j])
def test_refuses_an_eps_that_is_no_number(eps: Any) -> None:
    with pytest.raises(tw.errors.DTypeError, match=r"^eps is .* \(a .*\), expected a number$"):
        tw.nn.rms_norm(X, WEIGHT, eps=eps)


def test_refuses_other_dtypes() -> None:
    with pytest.raises(
        tw.errors.DTypeError, match=r"^x has dtype int64, expected float32 or float"
    ):
        tw.nn.rms_norm(np.ones((2, 4), np.int64), WEIGHT)


def test_refuses_an_out_of_another_shape_or_over_its_input() -> None:
    with pytest.raises(tw.errors.ShapeError, match=r"^out has shape \(4, 2\), expected \(2, 4\)$"):
        tw.nn.rms_norm(X, WEIGHT, out=np.empty((4, 2), np.float32))
    x = X.copy()
    with pytest.raises(tw.errors.LayoutError, match=r"^out overlaps x in memory"):
        tw.nn.rms_norm(x, WEIGHT, out=x)
    assert_array_equal(x, X)


def test_refuses_a_number_of_threads_that_makes_no_sense() -> None:
    with pytest.raises(tw.errors.DomainError, match=r"^threads is 0, expected a whole number"):
        tw.nn.rms_norm(X, WEIGHT, threads=0)
