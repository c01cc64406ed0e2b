"""`threadwise.linear`: the product with a transposed weight, the bias, and the activations."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import definitions
import threadwise as tw
from bounds import assert_within, linear_bound
from definitions import ACTIVATIONS
from strategies import DTYPES, LAYOUTS, LONG, Array, Shape, arrays, dtypes, linear_shapes, normal
from threadwise.linalg import Activation


def test_the_definitions_cover_every_activation() -> None:
    assert set(ACTIVATIONS) - {None} == set(get_args(Activation))


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
    before = x.copy(), weight.copy()
    with np.errstate(over="ignore"):  # gelu_tanh's cube: tanh of infinity is 1
        expected = definitions.linear(x, weight, bias, activation)
    y = tw.linear(x, weight, bias, activation=activation)
    assert_within(y, expected, linear_bound(x, weight, bias, activation))
    assert y.dtype == dtype
    assert_array_equal(x, before[0])
    assert_array_equal(weight, before[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("m", "k", "n"), LONG)
def test_agrees_around_the_edges_of_blocks(
    m: int, k: int, n: int, activation: Activation | None, dtype: type
) -> None:
    x, weight, bias = normal((m, k), dtype), normal((n, k), dtype), normal((n,), dtype)
    y = tw.linear(x, weight, bias, activation=activation, threads=3)
    expected = definitions.linear(x, weight, bias, activation)
    assert_within(y, expected, linear_bound(x, weight, bias, activation))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_right_from_far_left_to_far_right(
    activation: Activation | None, dtype: type
) -> None:
    x: Array = np.linspace(-40, 40, 4001, dtype=dtype)[:, None]
    one: Array = np.ones((1, 1), dtype)
    expected = definitions.linear(x, one, None, activation)
    y = tw.linear(x, one, activation=activation)
    assert_within(y, expected, linear_bound(x, one, None, activation))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_not_a_number_stays_and_only_where_it_was(activation: Activation | None) -> None:
    x = normal((5, 7))
    x[3, 2] = np.nan
    y = tw.linear(x, normal((33, 7), seed=1), normal((33,)), activation=activation)
    assert np.isnan(y).all(axis=1).tolist() == [False, False, False, True, False]
    assert np.isnan(y).sum() == 33


@pytest.mark.parametrize("rows", [(), (6,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("bias_shape", [None, (5,)])
def test_applies_to_the_last_axis(rows: Shape, bias_shape: Shape | None) -> None:
    x, weight = normal((*rows, 4)), normal((5, 4))
    bias = None if bias_shape is None else normal(bias_shape)
    y = tw.linear(x, weight, bias)
    assert y.shape == (*rows, 5)
    expected = definitions.linear(x, weight, bias, None)
    assert_within(y, expected, linear_bound(x, weight, bias, None))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("argument", [0, 1, 2])
def test_takes_arguments_however_they_lie(argument: int, layout: str) -> None:
    for k, n in [(9, 33), (1, 1), (40, 1)]:
        args = [normal((3, 4, k)), normal((n, k)), normal((n,))]
        args[argument] = LAYOUTS[layout](args[argument])
        x, weight, bias = args
        expected = definitions.linear(x, weight, bias, "silu")
        y = tw.linear(x, weight, bias, activation="silu")
        assert_within(y, expected, linear_bound(x, weight, bias, "silu"))


def test_a_bias_may_repeat_one_element() -> None:
    x, weight, bias = normal((3, 4)), normal((5, 4)), np.broadcast_to(np.float32(2), (5,))
    expected = definitions.linear(x, weight, bias, None)
    assert_within(tw.linear(x, weight, bias), expected, linear_bound(x, weight, bias, None))


def test_a_layer_without_inputs_is_its_bias() -> None:
    y = tw.linear(np.ones((3, 0)), np.ones((2, 0)), np.array([1.0, -2.0]), activation="relu")
    assert_array_equal(y, [[1.0, 0.0]] * 3)


@pytest.mark.parametrize(("x_shape", "outputs"), [((0, 4), 5), ((3, 0, 4), 5), ((3, 4), 0)])
def test_an_empty_result_is_empty(x_shape: Shape, outputs: int) -> None:
    y = tw.linear(np.ones(x_shape), np.ones((outputs, 4)), np.ones(outputs), activation="gelu")
    assert y.shape == (*x_shape[:-1], outputs)


@pytest.mark.parametrize("wide", [0, 1, 2])
def test_is_of_the_widest_type(wide: int) -> None:
    args = [normal((2, 3)), normal((4, 3)), normal((4,))]
    args[wide] = args[wide].astype(np.float64)
    y = tw.linear(*args, activation="gelu")
    assert y.dtype == np.float64
    all_wide = [array.astype(np.float64) for array in args]
    assert_array_equal(y, tw.linear(*all_wide, activation="gelu"))


def test_takes_lists() -> None:
    assert_array_equal(tw.linear([[1.0, 2.0]], [[3.0, 4.0]], [0.5]), [[11.5]])


def test_results_own_their_memory() -> None:
    y = tw.linear(normal((3, 4)), normal((5, 4)))
    assert y.flags.owndata
    assert y.flags.c_contiguous
