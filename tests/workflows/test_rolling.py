"""Statistics of each window, from its own numbers alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import DTYPES, normal
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.workflows import rolling, windows

STATISTICS = ("mean", "std", "min", "max", "sum")


def definition(x: Any, size: int, statistic: str) -> Any:
    rows = windows(x, size).astype(np.float64)
    return getattr(np, statistic)(rows, axis=1)


@given(st.integers(1, 80), st.data(), st.sampled_from(STATISTICS), st.sampled_from(DTYPES))
def test_agrees_with_the_definition(n: int, data: Any, statistic: Any, dtype: Any) -> None:
    size = data.draw(st.integers(1, n))
    x = normal((n, 2), dtype)
    found = rolling(x, size, statistic).values
    assert found.dtype == dtype
    expected = definition(x, size, statistic)
    assert_allclose(found, expected, rtol=2 * np.finfo(dtype).eps, atol=bound(size, statistic))


def bound(size: int, statistic: str) -> float:
    """`size` roundings of a sum of numbers below 5; for deviations of squares, under the root."""
    rounding = 2 * size * 2.0**-53
    if statistic == "std":
        return float(np.sqrt(rounding * 3 * 25))
    return rounding * 5 * (size if statistic == "sum" else 1)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("size", [1, 7, 1000, 99_999, 100_000])
def test_long_series_are_cut_without_a_seam(statistic: Any, size: int) -> None:
    x = normal((100_000,), np.float64)
    found = rolling(x, size, statistic, threads=3).values
    for start in {0, len(found) // 3, len(found) // 2, len(found) - 1}:
        expected = getattr(np, statistic)(x[start : start + size])
        assert_allclose(found[start], expected, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_threads_change_no_bit(statistic: Any) -> None:
    x = normal((60_000, 3))
    found = [rolling(x, 50, statistic, threads=threads) for threads in (1, 2, 4)]
    assert len({each.values.tobytes() for each in found}) == 1
    assert [each.cap for each in found] == [1, 2, 3]


def test_nothing_of_large_numbers_is_left_in_windows_after_them() -> None:
    x = np.ones(1000)
    x[:100] = 1e16
    assert_array_equal(rolling(x, 10).values[100:], np.ones(891))
    assert_array_equal(rolling(x, 10, "std").values[100:], np.zeros(891))
    assert_array_equal(rolling(x, 10, "sum").values[100:], np.full(891, 10))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_odd_numbers_are_seen_by_the_windows_that_have_them(statistic: Any, odd: float) -> None:
    x = normal((40,), np.float64)
    x[17] = odd
    found = rolling(x, 6, statistic).values
    inside = np.zeros(35, bool)
    inside[12:18] = True
    if statistic != "min" or np.isnan(odd):
        assert not np.isfinite(found[inside]).any()
    assert np.isfinite(found[~inside]).all()


def test_windows_are_views() -> None:
    x = normal((10, 3))
    found = windows(x, 4, step=3)
    assert found.shape == (3, 4, 3)
    assert np.shares_memory(found, x)
    assert not found.flags.writeable
    assert_array_equal(found, [x[0:4], x[3:7], x[6:10]])


def test_degrees_of_freedom() -> None:
    x = normal((20,), np.float64)
    assert_allclose(rolling(x, 5, "std", ddof=1).values[3], x[3:8].std(ddof=1))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((np.ones(3), 4), {}, ShapeError, r"x has shape \(3,\), expected at least the 4 rows"),
        ((np.ones(3), 0), {}, DomainError, "size is 0"),
        ((np.ones(3), 2, "mode"), {}, DomainError, "statistic is 'mode', expected 'mean'"),
        ((np.ones(3), 2, "std"), {"ddof": 2}, DomainError, "ddof is 2, expected less than size"),
        ((["a", "b"], 2), {}, DTypeError, "x is <U1"),
        ((np.ones(3), 2), {"threads": 0}, DomainError, "threads is 0"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        rolling(*arguments, **options)


def test_windows_that_make_no_sense() -> None:
    with pytest.raises(DomainError, match="step is 0"):
        windows(np.ones(3), 2, step=0)
    with pytest.raises(ShapeError, match="at least the 4 rows"):
        windows(np.ones(3), 4)
