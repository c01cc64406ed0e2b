"""`threadwise.quant.QuantizedTensor`: codes and what they stand for."""

import copy
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import threadwise as tw
from quantization import packed, values
from strategies import WRITABLE_LAYOUTS, normal
from threadwise.quant import QuantizedTensor

SCALES = (np.float16, np.float32, ml_dtypes.bfloat16)


def random(
    bits: int, kind: str, scales: Any = np.float16, shape: tuple[int, ...] = (37, 77)
) -> QuantizedTensor:
    """Random codes, scales and zero points."""
    numbers = np.random.default_rng(bits)
    *rows, columns = shape
    groups = -(-columns // 16)
    codes = packed(numbers.integers(0, 2**bits, shape), bits)
    scale = (numbers.random((*rows, groups)) + 0.1).astype(scales)
    zeros: Any = None
    if kind == "float":
        zeros = numbers.standard_normal((*rows, groups)).astype(scales)
    if kind == "integer":
        across = numbers.integers(0, 2**bits, (*rows[:-1], groups, rows[-1]))
        zeros = np.ascontiguousarray(packed(across, bits).swapaxes(-1, -2))
    return QuantizedTensor(codes, scale, zeros, shape=shape, bits=bits, group_size=16)


@pytest.mark.parametrize("shape", [(37, 77), (2, 3, 35, 50)])
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("kind", ["symmetric", "float", "integer"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_values_are_what_the_layout_says(
    bits: int, kind: str, scales: Any, shape: tuple[int, ...]
) -> None:
    q = random(bits, kind, scales, shape)
    exact = values(q)
    assert_array_equal(np.asarray(q), exact)
    for dtype in (np.float16, ml_dtypes.bfloat16):
        made = q.dequantize(dtype=dtype)
        assert made.dtype == dtype
        assert_array_equal(made, exact.astype(dtype))
    assert_array_equal(np.asarray(q, np.float64), exact.astype(np.float64))


@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
@pytest.mark.parametrize("dtype", SCALES)
def test_any_layout_of_out(layout: str, dtype: Any) -> None:
    q = random(3, "integer", shape=(2, 33, 40))
    out = WRITABLE_LAYOUTS[layout](np.full((2, 33, 40), np.nan, dtype))
    assert q.dequantize(out) is out
    assert_array_equal(out, q.dequantize(dtype=dtype))


def test_borrows_read_only_memory_maps_of_any_sign(tmp_path: Path) -> None:
    q = random(4, "float")
    q.codes.view(np.int32).tofile(tmp_path / "codes")
    codes = np.memmap(tmp_path / "codes", np.int32, "r", shape=q.codes.shape)
    mapped = QuantizedTensor(codes, q.scales, q.zero_points, shape=q.shape, bits=4, group_size=16)
    assert np.shares_memory(mapped.codes, codes)
    assert mapped == q
    assert_array_equal(np.asarray(mapped), np.asarray(q))
    moved = np.zeros(codes.nbytes + 1, np.uint8)[1:].view(np.uint32).reshape(codes.shape)
    moved[...] = q.codes
    assert q == QuantizedTensor(
        moved, q.scales, q.zero_points, shape=q.shape, bits=4, group_size=16
    )


def test_says_what_it_is() -> None:
    q = random(4, "integer")
    assert (q.shape, q.ndim, q.size, q.bits, q.group_size) == ((37, 77), 2, 37 * 77, 4, 16)
    assert (q.zero_point, q.symmetric, random(4, "symmetric").symmetric) == ("integer", False, True)
    zeros = q.zero_points
    assert zeros is not None
    assert q.nbytes == q.codes.nbytes + q.scales.nbytes + zeros.nbytes
    assert q.bits_per_weight == 8 * q.nbytes / q.size
    assert repr(q) == (
        "QuantizedTensor(shape=(37, 77), bits=4, group_size=16, zero_point='integer', "
        f"scales=float16, nbytes={q.nbytes})"
    )


@pytest.mark.parametrize("kind", ["symmetric", "float", "integer"])
def test_survives_pickling_and_copying(kind: str) -> None:
    q = random(3, kind, ml_dtypes.bfloat16)
    pickled = pickle.loads(pickle.dumps(q))  # noqa: S301 (made here)
    for again in (pickled, copy.copy(q), copy.deepcopy(q)):
        assert again == q
        assert_array_equal(np.asarray(again), np.asarray(q))


def test_equal_contents_are_equal() -> None:
    q = random(4, "float")
    assert q == random(4, "float")
    assert q != random(4, "integer")
    assert q != random(3, "float")
    assert q != random(4, "float", np.float32)
    assert q != "a tensor"
    other = copy.deepcopy(q)
    other.scales[3, 2] += 1
    assert q != other
    with pytest.raises(TypeError):
        hash(q)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"codes": np.zeros((3, 2), np.uint32)}, r"^codes has shape \(3, 2\), expected \(3, 1\)$"),
        (
            {"scales": np.zeros((3, 1), np.float16)},
            r"^scales has shape \(3, 1\), expected \(3, 0\)",
        ),
        (
            {"zero_points": np.zeros((3, 1), np.uint32)},
            r"^zero_points has shape \(3, 1\), expected",
        ),
        ({"zero_points": np.zeros((1, 1), np.float16)}, r"^zero_points has shape \(1, 1\), expect"),
        ({"shape": ()}, r"^shape is \(\), expected at least one extent, none negative$"),
        ({"shape": (3, -1)}, r"^shape is \(3, -1\), expected at least one extent"),
    ],
)
def test_refuses_parts_of_other_shapes(change: dict[str, Any], sentence: str) -> None:
    columns = 0 if "scales" in change else 5
    groups = 1 if columns else 0
    parts = {
        "codes": np.zeros((3, groups), np.uint32),
        "scales": np.zeros((3, groups), np.float16),
        "shape": (3, columns),
        "bits": 4,
        "group_size": 32,
    }
    assert QuantizedTensor(**parts).shape == (3, columns)  # type: ignore[arg-type]
    with pytest.raises(tw.errors.ShapeError, match=sentence):
        QuantizedTensor(**parts | change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"codes": np.zeros((3, 1))}, r"^codes has dtype <f8, expected uint32 or int32$"),
        ({"codes": np.zeros((3, 1), ">u4")}, r"^codes has dtype >u4, expected uint32 or int32$"),
        ({"scales": np.zeros((3, 1))}, r"^scales has dtype float64, expected float16, bfloat16"),
        ({"zero_points": np.zeros((3, 1))}, r"^zero_points has dtype float64, expected float16"),
        ({"shape": 5}, r"^shape is 5 \(a int\), expected a sequence of whole numbers$"),
    ],
)
def test_refuses_other_types(change: dict[str, Any], sentence: str) -> None:
    parts = {
        "codes": np.zeros((3, 1), np.uint32),
        "scales": np.zeros((3, 1), np.float16),
        "shape": (3, 5),
        "bits": 4,
        "group_size": 32,
    }
    with pytest.raises(tw.errors.DTypeError, match=sentence):
        QuantizedTensor(**parts | change)  # type: ignore[arg-type]


def test_refuses_places_that_do_not_fit() -> None:
    q = tw.quant.quantize(normal((3, 40)))
    with pytest.raises(
        tw.errors.ShapeError, match=r"^out has shape \(40, 3\), expected \(3, 40\)$"
    ):
        q.dequantize(np.empty((40, 3), np.float32))
    with pytest.raises(tw.errors.DTypeError, match=r"^out has dtype <f8, expected float32"):
        q.dequantize(np.empty((3, 40)))
    with pytest.raises(tw.errors.DTypeError, match=r"^dtype is float64, expected float32, float16"):
        q.dequantize(dtype=np.float64)
    q32 = tw.quant.quantize(normal((3, 40)) * np.float32(1e6))
    memory = np.zeros((3, 40), np.float32)
    scales = memory[:, :2]
    scales[...] = q32.scales
    lent = QuantizedTensor(q32.codes, scales, q32.zero_points, shape=(3, 40), bits=4, group_size=32)
    with pytest.raises(tw.errors.LayoutError, match=r"^out overlaps scales in memory"):
        lent.dequantize(memory)
    with pytest.raises(ValueError, match=r"^a quantized tensor has no array to share, expected"):
        np.asarray(q, copy=False)
    with pytest.raises(tw.errors.DomainError, match=r"^threads is 0, expected"):
        q.dequantize(threads=0)
