"""Columns on one scale."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from strategies import DTYPES, normal
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.workflows import min_max, standardize


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 3), (7, 3), (50_000, 5), (3000, 4, 11), (200_000,)])
def test_columns_have_mean_0_and_deviation_1(dtype: Any, shape: tuple[int, ...]) -> None:
    x = (normal(shape, np.float64) * 3 + 100).astype(dtype)
    found = standardize(x)
    assert found.values.dtype == dtype
    wide = x.astype(np.float64)
    std = np.where(wide.std(axis=0) == 0, 1, wide.std(axis=0))
    assert_allclose(found.shift, wide.mean(axis=0), rtol=1e-12)
    assert_allclose(found.scale, std, rtol=1e-10)
    rtol = 1e-6 if dtype == np.float32 else 1e-9
    assert_allclose(found.values, (wide - wide.mean(axis=0)) / std, rtol=rtol, atol=rtol)
    assert_allclose(found.invert(found.values), x, rtol=10 * np.finfo(dtype).eps)
    assert_allclose(np.asarray(found), found.apply(x), rtol=rtol)


def test_they_are_those_of_scikit_learn() -> None:
    x = normal((500, 6), np.float64) * 5 + 2
    assert_allclose(standardize(x).values, StandardScaler().fit_transform(x), atol=1e-13)
    theirs = MinMaxScaler((-1, 3)).fit_transform(x)
    assert_allclose(min_max(x, low=-1, high=3).values, theirs, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_reach_from_low_to_high(dtype: Any) -> None:
    x = normal((30_000, 4), dtype)
    found = min_max(x)
    assert_array_equal(found.values.min(axis=0), np.zeros(4))
    assert_array_equal(found.values.max(axis=0), np.ones(4))
    assert found.values.dtype == dtype
    other = min_max(x, low=-2, high=5).values
    assert_allclose([other.min(axis=0), other.max(axis=0)], [[-2] * 4, [5] * 4], rtol=1e-6)


@pytest.mark.parametrize("scale", [standardize, min_max])
def test_threads_change_no_bit(scale: Any) -> None:
    x = normal((100_000, 7))
    results = [scale(x, threads=threads) for threads in (1, 2, 4)]
    assert len({found.values.tobytes() for found in results}) == 1
    assert len({found.shift.tobytes() + found.scale.tobytes() for found in results}) == 1
    assert [found.cap for found in results] == [1, 2, 4]


@pytest.mark.parametrize("columns", [(), (0,), (1,), (3, 2), (511,), (600,)])
@pytest.mark.parametrize("count", [1, 5, 700])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_any_width_in_any_layout(columns: Any, count: int, dtype: Any) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(3.0, 2.0, (2 * count, *columns)).astype(dtype)[::2]
    scaled = standardize(x)
    wide = x.astype(np.float64)
    deviation = np.where(count == 1, 1.0, wide.std(axis=0))
    eps = float(np.finfo(dtype).eps)
    # Sums of so many numbers, in either order, of which the mean is some deviations large.
    atol = 8 * eps + 8 * count * float(np.finfo(np.float64).eps)
    assert_allclose(scaled.values, (wide - wide.mean(axis=0)) / deviation, rtol=eps, atol=atol)
    assert_array_equal(scaled.apply(x), scaled.values)
    stretched = min_max(x)
    assert_array_equal(stretched.shift, x.min(axis=0))
    assert_array_equal(stretched.apply(x), stretched.values)


@given(st.data(), st.integers(1, 60), st.integers(1, 9), st.sampled_from(DTYPES))
def test_any_numbers_agree_with_the_definition(
    data: Any, count: int, width: int, dtype: Any
) -> None:
    elements = st.floats(-1e6, 1e6, width=32) | st.just(float("nan")) | st.just(3.0)
    x = data.draw(arrays(dtype, (count, width), elements=elements))
    wide, found = x.astype(np.float64), min_max(x)
    assert_array_equal(found.shift, wide.min(axis=0))
    reach = wide.max(axis=0) - wide.min(axis=0)
    assert_array_equal(found.scale, np.where(reach == 0, 1, reach))
    standard = standardize(x)
    # Sums of so many numbers below 10^6, in either order; deviations are roots of such sums.
    bound = 4 * (count + 8) * 2.0**-53 * 1e6
    assert_allclose(standard.shift, wide.mean(axis=0), rtol=0, atol=bound)
    is_constant = (wide == wide[0]).all(axis=0)
    deviation = np.where(is_constant, 1, wide.std(axis=0))
    assert_allclose(standard.scale**2, deviation**2, rtol=1e-12, atol=4 * bound * bound)
    assert_array_equal(standard.apply(x), standard.values)


@pytest.mark.parametrize("number", [0.0, 0.1, 1e30])
def test_constant_columns_become_constant(number: float) -> None:
    x = np.full((70_001, 2), number)
    x[:, 1] = np.arange(70_001)
    assert_array_equal(standardize(x).values[:, 0], np.zeros(len(x)))
    assert_array_equal(min_max(x).values[:, 0], np.zeros(len(x)))
    assert standardize(x).scale[0] == min_max(x).scale[0] == 1


def test_a_nan_is_seen_in_its_column_alone() -> None:
    x = normal((100, 2))
    x[50, 0] = np.nan
    for found in (standardize(x).values, min_max(x).values):
        assert np.isnan(found[:, 0]).all()
        assert np.isfinite(found[:, 1]).all()


def test_whole_numbers_and_degrees_of_freedom() -> None:
    x = np.arange(10)
    assert standardize(x).values.dtype == np.float64
    assert standardize(x, ddof=1).scale == pytest.approx(x.std(ddof=1))


@pytest.mark.parametrize(
    ("x", "options", "error", "sentence"),
    [
        (np.ones((0, 3)), {}, ShapeError, r"x has shape \(0, 3\), expected at least one row"),
        (3.0, {}, ShapeError, r"x has shape \(\)"),
        (np.ones(3, np.float16), {}, DTypeError, "x is float16, expected float32, float64 or"),
        (["a"], {}, DTypeError, "x is <U1"),
        (np.ones(3), {"ddof": 3}, DomainError, "ddof is 3, expected less than the 3 rows"),
        (np.ones(3), {"threads": 0}, DomainError, "threads is 0"),
    ],
)
def test_arguments_that_make_no_sense(
    x: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        standardize(x, **options)


def test_scales_and_rows_that_make_no_sense() -> None:
    with pytest.raises(DomainError, match="low is 1, high is 1: expected finite numbers"):
        min_max([1.0], low=1, high=1)
    with pytest.raises(DomainError, match="high is inf"):
        min_max([1.0], high=np.inf)
    with pytest.raises(ShapeError, match=r"x has rows of shape \(3,\), expected \(2,\)"):
        standardize(np.ones((4, 2))).apply(np.ones((4, 3)))
