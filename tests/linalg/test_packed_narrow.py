"""`threadwise.pack` of bfloat16, float16 and int8: the bits of the weight as it lies; refusals."""

import copy
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import threadwise as tw
from strategies import LAYOUTS, LONG, WRITABLE_LAYOUTS, Array, Shape, normal
from threadwise.errors import DTypeError, ShapeError

BFLOAT16 = ml_dtypes.bfloat16
FLOATS = (BFLOAT16, np.float16)
KINDS = (*FLOATS, np.int8)
FEW = [(rows, 500, 300) for rows in range(1, 18)]
SMALL = [(1, 1, 1), (3, 4, 5), (8, 8, 8), (5, 300, 1), (70, 40, 1), (3, 0, 4), (0, 3, 4), (3, 4, 0)]
CHUNKED = [(1, 100_000, 3), (16, 50_000, 20), (30, 9_000, 70)]


def filled(shape: Shape, dtype: Any, seed: int = 0) -> Array:
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        rng = np.random.default_rng([seed, *shape])
        return rng.integers(info.min, info.max + 1, shape).astype(dtype)
    return normal(shape, dtype, seed)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(("m", "k", "n"), [*SMALL, *LONG, *FEW, *CHUNKED])
def test_the_bits_of_the_product_with_the_weight_for_any_number_of_threads(
    m: int, k: int, n: int, dtype: Any
) -> None:
    x, weight = filled((m, k), dtype), filled((n, k), dtype, seed=1)
    expected = tw.matmul(x, weight.T, threads=1)
    for threads in (1, 2, 3):
        y = tw.matmul(x, tw.pack(weight, threads=threads), threads=threads)
        assert y.dtype == expected.dtype
        assert y.tobytes() == expected.tobytes(), f"{threads} threads"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("wide_bias", [False, True])
@pytest.mark.parametrize("activation", [None, "relu", "gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_layer_with_bias_and_activation(
    dtype: Any, wide_bias: bool, activation: Any, rows: int
) -> None:
    x, weight = normal((rows, 300), dtype), normal((90, 300), dtype, seed=1)
    bias = normal((90,), np.float32 if wide_bias else dtype)
    packed = tw.pack(weight)
    y = tw.linear(x, packed, bias, activation=activation)
    assert y.dtype == dtype
    assert_array_equal(y, tw.linear(x, weight, bias, activation=activation))
    sums = np.empty((rows, 90), np.float32)
    assert tw.linear(x, packed, bias, activation=activation, out=sums) is sums
    assert_array_equal(sums.astype(dtype), y)


@pytest.mark.parametrize("rows", [1, 5, 60])
def test_uint8_goes_with_a_packed_weight_of_int8(rows: int) -> None:
    x, weight = filled((rows, 5000), np.uint8), filled((130, 5000), np.int8)
    expected = x.astype(np.int64) @ weight.T.astype(np.int64)
    assert_array_equal(tw.matmul(x, tw.pack(weight)), expected)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (65, 385), (64, 770), (130, 31), (0, 5), (5, 0)])
def test_unpacks_bit_for_bit_from_any_layout(shape: Shape, dtype: Any, layout: str) -> None:
    weight = filled(shape, dtype)
    packed = tw.pack(LAYOUTS[layout](weight))
    for back in (packed.unpack(), np.asarray(packed)):
        assert back.dtype == dtype
        assert back.shape == shape
        assert back.tobytes() == weight.tobytes()


@pytest.mark.parametrize("dtype", KINDS)
def test_says_what_it_is_and_survives_pickling(dtype: Any) -> None:
    weight = filled((300, 1000), dtype)
    packed = tw.pack(weight)
    assert packed.shape == (300, 1000)
    assert packed.dtype == np.dtype(dtype)
    assert weight.nbytes <= packed.nbytes <= 1.3 * weight.nbytes
    assert f"dtype={np.dtype(dtype).name}, nbytes={packed.nbytes}" in repr(packed)
    pickled = pickle.loads(pickle.dumps(packed))  # noqa: S301 (made here)
    for again in (pickled, copy.copy(packed), copy.deepcopy(packed)):
        assert again == packed
    weight[299, 999] += 1
    assert packed != tw.pack(weight)
    assert packed != tw.pack(weight.astype(np.float32))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_x(dtype: Any, layout: str) -> None:
    x, packed = filled((3, 10, 50), dtype), tw.pack(filled((33, 50), dtype))
    assert_array_equal(tw.matmul(LAYOUTS[layout](x), packed), tw.matmul(x, packed))
    row = tw.matmul(x[0, 0], packed)
    assert_array_equal(row, tw.matmul(x[0, :1], packed)[0])


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
def test_any_layout_of_out(dtype: Any, layout: str) -> None:
    x, packed = filled((3, 10, 50), dtype), tw.pack(filled((33, 50), dtype))
    expected = tw.matmul(x, packed)
    out = WRITABLE_LAYOUTS[layout](np.ones((3, 10, 33), expected.dtype))
    assert tw.matmul(x, packed, out=out) is out
    assert_array_equal(out, expected)


def test_plans_and_distributions_know_it() -> None:
    x, packed = normal((64, 3000), BFLOAT16), tw.pack(normal((900, 3000), BFLOAT16))
    plan = tw.explain(tw.linear, x, packed)
    assert plan.kernel.endswith("-packed")
    narrow = tw.WorkDistribution(min_chunk=8, max_chunk=16)
    cut = tw.explain(tw.linear, x, packed, distribution=narrow, threads=2)
    assert cut.chunks != tw.explain(tw.linear, x, packed, threads=2).chunks
    y = tw.linear(x, packed, distribution=narrow)
    assert y.tobytes() == tw.linear(x, packed).tobytes()


@pytest.mark.parametrize("weight", [BFLOAT16, np.float16, np.int8, np.float32])
@pytest.mark.parametrize("x", [BFLOAT16, np.float16, np.float64, np.uint8])
def test_refuses_an_x_of_another_dtype(x: Any, weight: Any) -> None:
    if x == weight or (x, weight) == (np.uint8, np.int8):
        return
    expected = "int8 or uint8" if weight == np.int8 else np.dtype(weight).name
    sentence = f"^a has dtype {np.dtype(x).name}, expected {expected}, the dtype of the packed weig"
    with pytest.raises(DTypeError, match=sentence):
        tw.matmul(np.ones((3, 20), x), tw.pack(np.ones((5, 20), weight)))


def test_refuses_a_bias_that_is_wider_than_the_sums_and_layers_of_integers() -> None:
    x, packed = normal((3, 20), BFLOAT16), tw.pack(normal((5, 20), BFLOAT16))
    with pytest.raises(DTypeError, match=r"^bias has dtype float64, expected bfloat16, the dtype"):
        tw.linear(x, packed, normal((5,), np.float64))
    with pytest.raises(DTypeError, match=r"^bias has dtype float16, expected bfloat16, the dtype"):
        tw.linear(x, packed, normal((5,), np.float16))
    integers = np.ones((5, 20), np.int8)
    with pytest.raises(DTypeError, match=r"^weight has dtype int8, expected float32, .*use matmul"):
        tw.linear(integers, tw.pack(integers))
    with pytest.raises(DTypeError, match=r"^weight has dtype uint8, expected float32, float64,"):
        tw.pack(integers.astype(np.uint8))
    with pytest.raises(DTypeError, match=r"^out has dtype <f4, expected int32, the dtype"):
        tw.matmul(integers, tw.pack(integers), out=np.empty((5, 5), np.float32))


@pytest.mark.parametrize("dtype", KINDS)
def test_refuses_shapes_that_do_not_fit(dtype: Any) -> None:
    with pytest.raises(ShapeError, match=r"^weight has shape .*, expected two axes"):
        tw.pack(filled((4,), dtype))
    with pytest.raises(ShapeError, match=r"^x has 19 features .*weight has 20 in_feat"):
        tw.matmul(filled((3, 19), dtype), tw.pack(filled((5, 20), dtype)))
