"""Products and functions of whole batches."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import DTYPES, normal
from threadwise.errors import DomainError, DTypeError, LayoutError, ShapeError
from threadwise.workflows import elementwise, matvec_batch


@pytest.mark.parametrize("dtype", DTYPES)
def test_products(dtype: Any) -> None:
    one, each, x = normal((5, 7), dtype), normal((9, 5, 7), dtype), normal((9, 7), dtype)
    rtol = 20 * np.finfo(dtype).eps
    shared = matvec_batch(one, x)
    assert shared.values.dtype == dtype
    assert_allclose(shared.values, x @ one.T, rtol=rtol, atol=rtol * 10)
    own = matvec_batch(each, x)
    assert_allclose(own.values, np.einsum("bmk,bk->bm", each, x), rtol=rtol, atol=rtol * 10)
    assert (shared.threads, shared.cap) == (1, min(9, shared.cap))
    ragged = matvec_batch([each[0], one[:2, :3]], [x[0], x[1, :3]])
    assert [len(row) for row in ragged] == [5, 2]
    assert_allclose(ragged[1], one[:2, :3] @ x[1, :3], rtol=rtol, atol=rtol * 10)


@pytest.mark.parametrize("shape", [(400, 300), (40, 50, 300)])
def test_threads_change_no_bit(shape: tuple[int, ...]) -> None:
    a, x = normal(shape), normal((shape[0] if len(shape) == 3 else 500, 300))
    bits = {matvec_batch(a, x, threads=threads).values.tobytes() for threads in (1, 2, 4)}
    assert len(bits) == 1


@pytest.mark.parametrize(
    ("matrices", "vectors", "sentence"),
    [
        (np.ones(3), np.ones((2, 3)), r"matrices has shape \(3,\), expected \(m, k\)"),
        (np.ones((2, 3)), np.ones(3), r"vectors has shape \(3,\), expected \(b, k\)"),
        (np.ones((2, 3)), np.ones((5, 4)), r"vectors has 4 columns .*, matrices has 3"),
        (np.ones((2, 2, 3)), np.ones((5, 3)), "matrices has 2, vectors has 5: expected one for"),
        ([np.ones((2, 3))], [], "matrices has 1, vectors has 0"),
    ],
)
def test_products_that_make_no_sense(matrices: Any, vectors: Any, sentence: str) -> None:
    with pytest.raises(ShapeError, match=sentence):
        matvec_batch(matrices, vectors)


def test_a_product_of_several_that_makes_no_sense() -> None:
    with pytest.raises(ShapeError) as caught:
        matvec_batch([np.ones((2, 3)), np.ones((2, 3))], [np.ones(3), np.ones(4)])
    assert "item 1" in caught.value.__notes__[0]
    with pytest.raises(DomainError, match="threads is 0"):
        matvec_batch(np.ones((2, 3)), np.ones((1, 3)), threads=0)


@given(
    st.sampled_from([(), (0,), (3,), (200_000,), (3, 70_000), (70_000, 2), (0, 4)]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(DTYPES),
)
def test_functions_of_numbers(shape: tuple[int, ...], threads: int, dtype: Any) -> None:
    x = normal(shape, dtype)
    found = elementwise(lambda x, y: np.exp(x) * y, x, 2, threads=threads)
    assert found.values.dtype == dtype
    assert_allclose(found.values, np.exp(x) * 2, rtol=4 * np.finfo(dtype).eps)
    assert found.cap <= threads


def test_each_number_is_computed_once_and_results_may_go_anywhere() -> None:
    sizes: list[int] = []

    def counted(x: Any) -> Any:
        sizes.append(x.size)
        return x + 1

    x = normal((300_000,), np.float64)
    expected = x + 1
    found = elementwise(counted, x, threads=2)
    assert_array_equal(found.values, expected)
    assert sum(sizes) == x.size
    assert len(sizes) > found.cap == 2
    out = np.full((300_000, 2), np.nan)[:, 0]
    assert elementwise(counted, x, out=out).values is out
    assert_array_equal(out, expected)
    elementwise(counted, x, out=x)
    assert_array_equal(x, expected)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((3, 1), {}, DTypeError, "fn is 3"),
        ((np.sin,), {}, DTypeError, "arrays are missing"),
        ((np.add, np.ones(2), np.ones(3)), {}, ShapeError, r"the shapes \(2,\), \(3,\)"),
        ((np.sum, np.ones(2)), {}, ShapeError, r"fn returns shape \(\) for pieces of shape \(2,\)"),
        ((np.sin, np.ones(2)), {"out": np.ones(3)}, ShapeError, r"out has shape \(3,\)"),
        ((np.sin, np.ones(2)), {"out": [1, 2]}, DTypeError, "out is a list"),
        ((np.sin, np.ones(2)), {"threads": 0}, DomainError, "threads is 0"),
        (
            (np.sin, np.ones(2)),
            {"out": np.broadcast_to(1.0, 2)},
            LayoutError,
            "out is read-only",
        ),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        elementwise(*arguments, **options)


def test_an_out_that_overlaps_is_refused() -> None:
    x = np.ones(10)
    with pytest.raises(LayoutError, match=r"out shares memory with arrays\[0\]"):
        elementwise(np.negative, x[:-1], out=x[1:])
    assert (x == 1).all()
