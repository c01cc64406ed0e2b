"""`threadwise.matmul`: NumPy's shapes and types, and values within the rounding bound."""

import warnings
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import DTypeLike

import definitions
import threadwise as tw
from bounds import assert_within, matmul_bound
from strategies import (
    DTYPES,
    LAYOUTS,
    LONG,
    Shape,
    arrays,
    dtypes,
    matmul_shapes,
    normal,
    repeated,
)


@given(st.data(), matmul_shapes(), dtypes, dtypes)
def test_agrees_with_the_definition_to_rounding(
    data: st.DataObject, shapes: tuple[Shape, Shape], left: type, right: type
) -> None:
    a, b = data.draw(arrays(shapes[0], left)), data.draw(arrays(shapes[1], right))
    before = a.copy(), b.copy()
    c = tw.matmul(a, b)
    assert_within(c, definitions.matmul(a, b), matmul_bound(a, b))
    assert c.dtype == np.result_type(left, right)
    assert_array_equal(a, before[0])
    assert_array_equal(b, before[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "k", "n"), LONG)
@pytest.mark.parametrize("threads", [1, 3])
def test_agrees_around_the_edges_of_blocks(
    m: int, k: int, n: int, dtype: type, threads: int
) -> None:
    a, b = normal((m, k), dtype), normal((k, n), dtype, seed=1)
    c = tw.matmul(a, b, threads=threads)
    assert_within(c, definitions.matmul(a, b), matmul_bound(a, b))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((7, 40, 50), (50, 60)),
        ((40, 50), (7, 50, 60)),
        ((3, 1, 40, 50), (5, 50, 60)),
        ((2, 200, 210), (2, 210, 220)),
        ((300, 5, 6), (300, 6, 7)),
        ((3000, 8, 9), (9, 10)),
        ((50,), (90, 50, 60)),
        ((90, 40, 50), (50,)),
    ],
)
def test_agrees_for_batches_worth_threads(a_shape: Shape, b_shape: Shape, dtype: type) -> None:
    a, b = normal(a_shape, dtype), normal(b_shape, dtype, seed=1)
    c = tw.matmul(a, b, threads=3)
    assert_within(c, definitions.matmul(a, b), matmul_bound(a, b))


@given(matmul_shapes())
def test_has_the_shape_that_numpy_gives_it(shapes: tuple[Shape, Shape]) -> None:
    a, b = (np.zeros(shape, np.float32) for shape in shapes)
    assert np.shape(tw.matmul(a, b)) == np.shape(np.matmul(a, b))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [0, 1, 5, 1_000_000])
def test_gives_a_number_for_two_arrays_of_one_axis(dtype: type, k: int) -> None:
    c = tw.matmul(np.full(k, 0.5, dtype), np.full(k, 2, dtype))
    assert type(c) is dtype
    assert c == k


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.float64, np.float64, np.float64),
    ],
)
@pytest.mark.parametrize("shape", [(2, 2), (300, 300), (0, 0), (2,)])
def test_is_of_the_wider_type(
    shape: Shape, left: DTypeLike, right: DTypeLike, expected: DTypeLike
) -> None:
    c = tw.matmul(np.ones(shape, left), np.ones(shape, right))
    assert c.dtype == expected


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [((3, 0), (0, 4)), ((2, 3, 0), (0, 4)), ((0,), (0, 4)), ((3, 0), (0,)), ((3000, 0), (0, 3000))],
)
def test_an_empty_sum_is_zero(a_shape: Shape, b_shape: Shape) -> None:
    c = tw.matmul(np.ones(a_shape), np.ones(b_shape), threads=2)
    assert_array_equal(c, np.zeros(np.matmul(np.ones(a_shape), np.ones(b_shape)).shape))


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((0, 3), (3, 4)),
        ((3, 4), (4, 0)),
        ((0, 2, 3), (3, 4)),
        ((0, 2, 3), (1, 3, 4)),
        ((0, 0),) * 2,
    ],
)
def test_an_empty_result_is_empty(a_shape: Shape, b_shape: Shape) -> None:
    a, b = np.ones(a_shape), np.ones(b_shape)
    assert tw.matmul(a, b).shape == np.matmul(a, b).shape


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("other", LAYOUTS)
def test_takes_operands_however_they_lie(layout: str, other: str) -> None:
    for a_shape, b_shape in [((9, 70), (70, 21)), ((1, 40), (40, 1)), ((2, 5, 6), (2, 6, 7))]:
        a = LAYOUTS[layout](normal(a_shape))
        b = LAYOUTS[other](normal(b_shape, seed=1))
        assert_within(tw.matmul(a, b), definitions.matmul(a, b), matmul_bound(a, b))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("m", "k", "n"), [(7, 8, 9), (200, 201, 202)])
def test_takes_views_that_repeat_their_elements(axis: int, m: int, k: int, n: int) -> None:
    a, b = repeated(normal((m, k)), axis), repeated(normal((k, n), seed=1), axis)
    assert 0 in a.strides
    assert_within(tw.matmul(a, b), definitions.matmul(a, b), matmul_bound(a, b))


def test_takes_what_numpy_makes_an_array_of() -> None:
    assert_array_equal(tw.matmul([[1.0, 2.0]], [[3.0], [4.0]]), [[11.0]])
    assert tw.matmul(array("d", [1, 2, 3]), (1.0, 1.0, 1.0)) == 6


def test_takes_a_subclass_and_gives_an_array() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # NumPy's, about np.matrix
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    c = tw.matmul(matrix, matrix)
    assert type(c) is np.ndarray
    assert_array_equal(c, [[7.0, 10.0], [15.0, 22.0]])


@pytest.mark.parametrize("shape", [(3, 3), (40, 40), (300, 300), (2, 3, 3)])
def test_results_own_their_memory(shape: Shape) -> None:
    a = normal(shape)
    c = tw.matmul(a, a)
    assert c.flags.owndata
    assert c.flags.writeable
    assert c.flags.c_contiguous
    assert not np.shares_memory(c, a)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(5))
def test_not_a_number_and_infinity_spread_as_in_the_definition(dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rare = rng.choice([np.nan, np.inf, -np.inf], (2, 67, 67))
    plain = rng.integers(-3, 4, (2, 67, 67))  # small whole numbers: every sum is exact
    a, b = np.where(rng.random((2, 67, 67)) < 0.002, rare, plain).astype(dtype)
    with np.errstate(invalid="ignore"):
        expected = definitions.matmul(a, b)
    assert np.isnan(expected).any()
    assert np.isinf(expected).any()
    assert_array_equal(tw.matmul(a, b), expected.astype(dtype))


def test_overflow_gives_infinity_without_a_warning() -> None:
    large = np.full((2, 2), 1e30, np.float32)
    assert_array_equal(tw.matmul(large, large), np.full((2, 2), np.inf))
