"""`swiglu` and `softmax` against their formulas, and what they refuse."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import threadwise as tw
from strategies import LAYOUTS, WRITABLE_LAYOUTS, normal

UNIT = float(np.finfo(np.float32).eps) / 2
TINY = float(np.finfo(np.float32).tiny)

shapes = st.lists(st.integers(0, 70), min_size=1, max_size=3).map(tuple)
layouts = st.sampled_from(sorted(LAYOUTS)).map(LAYOUTS.__getitem__)


@given(shapes, layouts, layouts)
def test_swiglu_agrees_with_the_definition_within_its_bound(
    shape: Any, one: Any, other: Any
) -> None:
    gate, up = one(normal(shape) * np.float32(9)), other(normal(shape, seed=1))
    g, u = gate.astype(np.float64), up.astype(np.float64)
    error = np.abs(tw.nn.swiglu(gate, up) - g / (1 + np.exp(-g)) * u)
    assert np.all(error <= 11 * UNIT * abs(g * u) + TINY * (1 + abs(u)))


@given(shapes, layouts)
def test_softmax_agrees_with_the_definition_within_its_bound(shape: Any, layout: Any) -> None:
    x = layout(normal(shape) * np.float32(9))
    wide = x.astype(np.float64)
    largest = wide.max(-1, keepdims=True, initial=-1e300)
    weights = np.exp(wide - largest)
    exact = weights / weights.sum(-1, keepdims=True)
    spread = largest - wide.min(-1, keepdims=True, initial=1e300)
    error = np.abs(tw.nn.softmax(x) - exact)
    assert np.all(error <= (shape[-1] + 12 + 2 * spread) * UNIT * exact + TINY)


@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
def test_threads_and_places_do_not_change_a_bit(layout: str) -> None:
    x, y = normal((50, 3000)), normal((50, 3000), seed=1)
    gated, shares = tw.nn.swiglu(x, y, threads=1), tw.nn.softmax(x, threads=1)
    out = WRITABLE_LAYOUTS[layout](np.zeros_like(x))
    for threads in (1, 2, 3, 4):
        assert tw.nn.swiglu(x, y, out=out, threads=threads) is out
        assert_array_equal(out, gated)
        assert tw.nn.softmax(x, out=out, threads=threads) is out
        assert_array_equal(out, shares)


def test_refuses_shapes_that_do_not_fit() -> None:
    x = normal((3, 4))
    sentence = r"^up has 5 along an axis \(shape \(3, 5\)\), gate has 4 along an axis"
    with pytest.raises(tw.errors.ShapeError, match=sentence):
        tw.nn.swiglu(x, normal((3, 5)))
    with pytest.raises(tw.errors.ShapeError, match=r"^up has 1 axes \(shape \(4,\)\), gate has 2"):
        tw.nn.swiglu(x, x[0])
    with pytest.raises(tw.errors.ShapeError, match=r"^x has shape \(\), expected at least one"):
        tw.nn.softmax(np.float32(1))


@pytest.mark.parametrize("name", ["swiglu", "softmax"])
def test_refuses_other_dtypes_and_an_out_that_overlaps(name: str) -> None:
    x = normal((3, 4))
    operands = [x, x.copy()] if name == "swiglu" else [x]
    operation = getattr(tw.nn, name)
    with pytest.raises(tw.errors.DTypeError, match=r"has dtype float64, expected float32"):
        operation(*[operand.astype(np.float64) for operand in operands])
    with pytest.raises(tw.errors.LayoutError, match=r"^out overlaps"):
        operation(*operands, out=x)
    with pytest.raises(tw.errors.ShapeError, match=r"^out has shape \(4, 3\), expected \(3, 4\)$"):
        operation(*operands, out=np.empty((4, 3), np.float32))
