"""`threadwise.pack`: a weight copied once, in place of the weight."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import definitions
import threadwise as tw
from bounds import assert_within, linear_bound, matmul_bound
from definitions import ACTIVATIONS
from strategies import (
    DTYPES,
    LAYOUTS,
    LONG,
    WRITABLE_LAYOUTS,
    Shape,
    arrays,
    dtypes,
    linear_shapes,
    normal,
)
from threadwise.linalg import Activation

FEW = [(rows, 500, 300) for rows in range(1, 18)]
CHUNKED = [(1, 100_000, 3), (16, 50_000, 20), (30, 9_000, 70)]


@given(st.data(), linear_shapes(), dtypes, st.booleans(), st.sampled_from(list(ACTIVATIONS)))
def test_agrees_with_the_definition_to_rounding(
    data: st.DataObject,
    shapes: tuple[Shape, Shape],
    dtype: type,
    has_bias: bool,
    activation: Activation | None,
) -> None:
    x, weight = data.draw(arrays(shapes[0], dtype)), data.draw(arrays(shapes[1], dtype))
    bias = data.draw(arrays(shapes[1][:1], dtype)) if has_bias else None
    with np.errstate(over="ignore"):  # gelu_tanh's cube: tanh of infinity is 1
        expected = definitions.linear(x, weight, bias, activation)
    y = tw.linear(x, tw.pack(weight), bias, activation=activation)
    assert y.dtype == dtype
    assert_within(y, expected, linear_bound(x, weight, bias, activation))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "k", "n"), [*LONG, *FEW, *CHUNKED])
def test_agrees_around_edges_with_the_same_bits_for_any_number_of_threads(
    m: int, k: int, n: int, dtype: type
) -> None:
    x, weight, bias = normal((m, k), dtype), normal((n, k), dtype, seed=1), normal((n,), dtype)
    packed = tw.pack(weight)
    y = tw.linear(x, packed, bias, activation="silu", threads=1)
    expected = definitions.linear(x, weight, bias, "silu")
    assert_within(y, expected, linear_bound(x, weight, bias, "silu"))
    for threads in (2, 3, 4):
        again = tw.pack(weight, threads=threads)
        y_again = tw.linear(x, again, bias, activation="silu", threads=threads)
        assert y_again.tobytes() == y.tobytes(), f"{threads} threads"


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_multiplies_with_the_transposed_weight(dtype: type) -> None:
    x, weight = normal((2, 5, 40), dtype), normal((70, 40), dtype)
    y = tw.matmul(x, tw.pack(weight))
    assert y.shape == (2, 5, 70)
    assert_within(y, np.matmul(x.astype(float), weight.T.astype(float)), matmul_bound(x, weight.T))
    row = tw.matmul(x[0, 0], tw.pack(weight))
    assert row.shape == (70,)
    assert_array_equal(row, tw.matmul(x[0, :1], tw.pack(weight))[0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (65, 385), (64, 770), (130, 31), (0, 5), (5, 0)])
def test_unpacks_bit_for_bit_from_any_layout(shape: Shape, dtype: type, layout: str) -> None:
    weight = normal(shape, dtype)
    packed = tw.pack(LAYOUTS[layout](weight))
    for back in (packed.unpack(), np.asarray(packed), np.array(packed, copy=True)):
        assert back.dtype == dtype
        assert back.shape == shape
        assert back.tobytes() == weight.tobytes()
    assert np.asarray(packed, np.float64).dtype == np.float64


def test_says_what_it_is() -> None:
    packed = tw.pack(normal((3, 7)))
    assert packed.shape == (3, 7)
    assert packed.dtype == np.dtype(np.float32)
    assert packed.nbytes >= 3 * 7 * 4
    assert repr(packed) == f"PackedWeight(shape=(3, 7), dtype=float32, nbytes={packed.nbytes})"


def test_is_a_copy_of_its_own() -> None:
    weight = normal((30, 20))
    packed, before = tw.pack(weight), weight.copy()
    weight[:] = np.nan
    assert_array_equal(packed.unpack(), before)


def test_cannot_be_changed() -> None:
    packed = tw.pack(normal((3, 2)))
    with pytest.raises(AttributeError):
        packed.shape = (2, 3)  # type: ignore[misc]
    with pytest.raises(TypeError):
        hash(packed)


def test_equal_contents_are_equal() -> None:
    weight = normal((70, 50))
    packed = tw.pack(weight)
    assert packed == tw.pack(weight.copy())
    assert packed != tw.pack(weight.astype(np.float64))
    assert packed != tw.pack(weight[:, :-1])
    other = weight.copy()
    other[69, 49] += 1
    assert packed != tw.pack(other)
    assert packed != "a weight"


@pytest.mark.parametrize("dtype", DTYPES)
def test_survives_pickling_and_copying(dtype: type) -> None:
    packed = tw.pack(normal((70, 50), dtype))
    pickled = pickle.loads(pickle.dumps(packed))  # noqa: S301 (made here)
    for again in (pickled, copy.copy(packed), copy.deepcopy(packed)):
        assert again == packed
        assert again.dtype == dtype


def test_many_threads_use_one_at_the_same_time() -> None:
    x, packed = normal((40, 300)), tw.pack(normal((200, 300)))
    expected = tw.linear(x, packed).tobytes()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: tw.linear(x, packed).tobytes(), range(64)))
    assert set(results) == {expected}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_x(layout: str) -> None:
    x, packed = normal((3, 10, 50)), tw.pack(normal((33, 50)))
    assert_array_equal(tw.linear(LAYOUTS[layout](x), packed), tw.linear(x, packed))


@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
def test_any_layout_of_out(layout: str) -> None:
    x, packed = normal((3, 10, 50)), tw.pack(normal((33, 50)))
    out = LAYOUTS[layout](np.full((3, 10, 33), np.nan, np.float32))
    assert tw.linear(x, packed, out=out) is out
    assert_array_equal(out, tw.linear(x, packed))


def test_a_narrower_x_is_converted() -> None:
    x, weight = normal((3, 20)), normal((5, 20), np.float64)
    y = tw.linear(x, tw.pack(weight), normal((5,)))
    assert y.dtype == np.float64


@pytest.mark.parametrize(
    ("x", "bias", "name"),
    [(normal((3, 20), np.float64), None, "x"), (normal((3, 20)), normal((5,), np.float64), "bias")],
)
def test_refuses_what_is_wider_than_the_weight(x: Any, bias: Any, name: str) -> None:
    out = np.full((3, 5), np.nan, np.float32)
    sentence = rf"^{name} has dtype float64, expected float32, the dtype of the packed weight"
    with pytest.raises(tw.errors.DTypeError, match=sentence):
        tw.linear(x, tw.pack(normal((5, 20))), bias, out=out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 4)])
def test_refuses_a_weight_that_is_no_matrix(shape: Shape) -> None:
    with pytest.raises(tw.errors.ShapeError, match=r"^weight has shape .*, expected two axes"):
        tw.pack(normal(shape))


def test_refuses_features_that_do_not_match() -> None:
    packed = tw.pack(normal((5, 20)))
    with pytest.raises(tw.errors.ShapeError, match=r"^x has 19 features .*weight has 20 in_feat"):
        tw.linear(normal((3, 19)), packed)
    with pytest.raises(tw.errors.ShapeError, match=r"^bias has 4 elements .*5 out_features"):
        tw.linear(normal((3, 20)), packed, normal((4,)))
    with pytest.raises(tw.errors.ShapeError, match=r"^out has shape \(5, 3\), expected \(3, 5\)"):
        tw.linear(normal((3, 20)), packed, out=np.empty((5, 3), np.float32))


def test_refuses_other_dtypes_and_a_shared_array() -> None:
    with pytest.raises(tw.errors.DTypeError, match=r"^weight has dtype int64, expected float32,"):
        tw.pack(np.ones((2, 3), np.int64))
    with pytest.raises(ValueError, match=r"^a packed weight has no array to share, expected"):
        np.asarray(tw.pack(normal((2, 3))), copy=False)
    with pytest.raises(tw.errors.DomainError, match=r"^threads is 0, expected"):
        tw.pack(normal((2, 3)), threads=0)
