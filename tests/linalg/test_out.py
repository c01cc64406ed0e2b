"""`out=`: the result goes where the caller says, however that lies, and nowhere else."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import definitions
import threadwise as tw
from bounds import assert_within, linear_bound, matmul_bound
from strategies import (
    DTYPES,
    WRITABLE_LAYOUTS,
    Array,
    Shape,
    arrays,
    dtypes,
    matmul_shapes,
    normal,
    writable_layouts,
)

PRODUCTS: list[tuple[Shape, Shape]] = [
    ((7, 70), (70, 37)),
    ((1, 8), (8, 1)),
    ((5,), (5,)),
    ((5,), (5, 9)),
    ((9, 5), (5,)),
    ((3, 1, 4, 5), (2, 5, 6)),
    ((40, 30, 20), (20, 10)),
    ((200, 210), (210, 190)),
    ((3, 0), (0, 4)),
    ((0, 3), (3, 4)),
]


@given(st.data(), matmul_shapes(), dtypes, writable_layouts)
def test_matmul_writes_any_layout(
    data: st.DataObject,
    shapes: tuple[Shape, Shape],
    dtype: type,
    laid: Callable[[Array], Array],
) -> None:
    a, b = data.draw(arrays(shapes[0], dtype)), data.draw(arrays(shapes[1], dtype))
    expected = definitions.matmul(a, b)
    out = laid(np.full(expected.shape, np.nan, dtype))
    assert tw.matmul(a, b, out=out) is out
    assert_within(out, expected, matmul_bound(a, b))


@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("a_shape", "b_shape"), PRODUCTS)
def test_matmul_writes_what_it_would_return(
    a_shape: Shape, b_shape: Shape, dtype: type, layout: str
) -> None:
    a, b = normal(a_shape, dtype), normal(b_shape, dtype, seed=1)
    expected = tw.matmul(a, b, threads=1)
    out = WRITABLE_LAYOUTS[layout](np.full(np.shape(expected), np.nan, dtype))
    assert tw.matmul(a, b, out, threads=3) is out
    assert_array_equal(out, expected)


EXTENTS = (1, 2, 3, 4, 8, 10, 12, 13, 16, 17, 20, 24, 33, 64, 65, 130, 300)
TERMS = (1, 2, 8, 12, 30, 64, 100, 256, 300, 513, 600, 1025, 4096, 9000, 40_000)
"""On both sides of where products are computed in another way, and k is cut."""

PAIRS = {
    k: [(m, n) for m, n in itertools.product(EXTENTS, EXTENTS) if m * k * n <= 3_000_000]
    for k in TERMS
}

LAID = st.sampled_from(["rows", "columns", "sliced", "stepped"]).map(WRITABLE_LAYOUTS.__getitem__)
"""How matrices lie most of the time, and ways that need a copy."""


@settings(max_examples=1000)
@given(st.data(), st.sampled_from(TERMS), dtypes, st.tuples(LAID, LAID, LAID), st.booleans())
def test_long_and_short_sums_go_from_anywhere_to_anywhere(
    data: st.DataObject,
    k: int,
    dtype: type,
    laid: tuple[Callable[[Array], Array], ...],
    is_layer: bool,
) -> None:
    (m, n), (left, right, place) = data.draw(st.sampled_from(PAIRS[k])), laid
    a, b = left(normal((m, k), dtype)), right(normal((k, n), dtype, seed=1))
    bias = normal((n,), dtype) if is_layer else None

    def product(threads: int) -> Array:
        out = place(np.full((m, n), np.nan, dtype))
        if is_layer:
            tw.linear(a, b.T, bias, out=out, threads=threads)
        else:
            tw.matmul(a, b, out, threads=threads)
        return out

    c = product(threads=1)
    assert_within(c, definitions.linear(a, b.T, bias, None), linear_bound(a, b.T, bias, None))
    assert_array_equal(product(threads=3), c)
    if not is_layer:
        assert_array_equal(tw.matmul(a, b), tw.matmul(a, b, np.full((m, n), np.nan, dtype)))


@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
@pytest.mark.parametrize(
    ("rows", "features", "outputs"),
    [((3,), 4, 5), ((2, 3), 70, 37), ((200,), 210, 190), ((), 4, 5)],
)
def test_linear_writes_any_layout(rows: Shape, features: int, outputs: int, layout: str) -> None:
    x, weight, bias = normal((*rows, features)), normal((outputs, features)), normal((outputs,))
    out = WRITABLE_LAYOUTS[layout](np.full((*rows, outputs), np.nan, np.float32))
    assert tw.linear(x, weight, bias, activation="gelu", out=out, threads=3) is out
    expected = definitions.linear(x, weight, bias, "gelu")
    assert_within(out, expected, linear_bound(x, weight, bias, "gelu"))


@pytest.mark.parametrize(("m", "k", "n"), [(3, 4, 5), (65, 67, 33), (200, 210, 190)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_is_written_around_out(m: int, k: int, n: int, order: str, threads: int) -> None:
    around = np.full((m + 2, n + 2), np.nan, np.float32)
    around = np.asfortranarray(around) if order == "F" else around
    tw.matmul(normal((m, k)), normal((k, n)), around[1:-1, 1:-1], threads=threads)
    assert not np.isnan(around[1:-1, 1:-1]).any()
    around[1:-1, 1:-1] = np.nan
    assert np.isnan(around).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_of_two_rows_goes_into_an_array_without_axes(dtype: type) -> None:
    out: Array = np.full((), np.nan, dtype)
    assert tw.matmul(np.ones(3, dtype), np.ones(3, dtype), out=out) is out
    assert out == 3


def test_a_view_that_interleaves_with_an_operand_is_no_overlap() -> None:
    memory = np.ones((8, 16), np.float32)
    operand, out = memory[:, ::2], memory[:, 1::2]
    tw.matmul(operand[:, :8], np.eye(8, dtype=np.float32), out=out)
    assert_array_equal(memory, np.ones((8, 16)))


def test_a_subclass_may_hold_the_result() -> None:
    out = np.full((2, 2), np.nan).view(np.recarray)
    assert tw.matmul(np.eye(2), np.eye(2), out=out) is out
    assert_array_equal(np.asarray(out), np.eye(2))


def test_an_axis_of_extent_one_may_have_any_stride() -> None:
    records = np.zeros(2, [("it", np.float64), ("tag", np.int32)])
    out = records["it"][:1]
    assert out.flags.aligned
    assert tw.matmul(np.ones((1, 2)), np.ones(2), out=out) is out
    assert records["it"].tolist() == [2.0, 0.0]
