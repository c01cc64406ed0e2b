"""`rope` against its formula, its scalings, and what it refuses."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import threadwise as tw
from strategies import LAYOUTS, normal


def definition(x: Any, positions: Any, frequencies: Any) -> tuple[Any, Any]:
    """As the formula reads, in float64, and the bound on the error of its notes."""
    angles = np.asarray(positions)[..., None] * frequencies
    first, second = np.split(x.astype(np.float64), 2, axis=-1)
    cos, sin = np.cos(angles), np.sin(angles)
    exact = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    sizes = [abs(first * cos) + abs(second * sin), abs(second * cos) + abs(first * sin)]
    return exact, 3 * float(np.finfo(np.float32).eps) / 2 * np.concatenate(sizes, axis=-1)


def plain(e: int, theta: float = 10000.0) -> Any:
    return theta ** (-2 * np.arange(e // 2) / e)


@given(st.data())
def test_agrees_with_the_definition_within_its_bound(data: Any) -> None:
    shape = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=3))
    e = 2 * data.draw(st.integers(0, 40))
    x = LAYOUTS[data.draw(st.sampled_from(sorted(LAYOUTS)))](normal((*shape, e)))
    broadcast = data.draw(st.sampled_from([shape, shape[-1:], [1]]))
    positions = np.random.default_rng(3).integers(0, 100_000, broadcast)
    theta = data.draw(st.sampled_from([10.0, 10000.0, 1e6]))
    actual = tw.nn.rope(x, positions, theta=theta)
    exact, bound = definition(x, positions, plain(e, theta))
    # The angles' own rounding, in double precision, beside that of the result.
    assert np.all(np.abs(actual - exact) <= bound * 1.001 + 1e-9)


def test_threads_do_not_change_a_bit_and_the_result_goes_where_it_is_sent() -> None:
    x, out = normal((2, 3, 300, 64)), np.empty((2, 3, 300, 128), np.float32)[..., ::2]
    expected = tw.nn.rope(x, np.arange(300), threads=1)
    for threads in (1, 2, 3, 4):
        assert tw.nn.rope(x, np.arange(300), out=out, threads=threads) is out
        assert_array_equal(out, expected)


def test_linear_scaling_stretches_positions() -> None:
    x = normal((10, 16))
    scaled = tw.nn.rope(x, np.arange(10) * 4, scaling={"rope_type": "linear", "factor": 4})
    assert_allclose(scaled, tw.nn.rope(x, np.arange(10)), atol=1e-6)
    assert_array_equal(
        scaled, tw.nn.rope(x, np.arange(10) * 4, scaling={"type": "linear", "factor": 4.0})
    )


def test_llama3_scaling_changes_long_waves_only() -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_theta": 500000.0,
    }
    frequencies = plain(128, 500000.0)
    waves = 2 * np.pi / frequencies
    smooth = np.clip((8192 / waves - 1) / 3, 0, 1)
    x, positions = normal((7, 128)), [0, 1, 100, 5000, 8192, 100_000, 131_071]
    actual = tw.nn.rope(x, positions, theta=500000.0, scaling=scaling)
    exact, bound = definition(x, positions, frequencies * ((1 - smooth) / 8 + smooth))
    assert np.all(np.abs(actual - exact) <= bound * 1.001 + 1e-9)
    plainly = tw.nn.rope(x, positions, theta=500000.0, scaling={"rope_type": "default"})
    assert_array_equal(plainly, tw.nn.rope(x, positions, theta=500000.0))
    assert np.abs(actual - plainly).max() > 0.1


X = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    ("x", "positions", "sentence"),
    [
        (np.float32(1), 0, r"^x has shape \(\), expected at least one axis, the row$"),
        (X, [1, 2, 3], r"^positions has shape \(3,\), expected one that broadcasts to the rows"),
        (X, [[1, 2]], r"^positions has shape \(1, 2\), expected one that broadcasts"),
    ],
)
def test_refuses_shapes_that_do_not_fit(x: Any, positions: Any, sentence: str) -> None:
    with pytest.raises(tw.errors.ShapeError, match=sentence):
        tw.nn.rope(x, positions)


@pytest.mark.parametrize(
    ("x", "options", "sentence"),
    [
        (X[:, :3], {}, r"^the length of a row is 3, expected an even number"),
        (X, {"positions": [0, -2]}, r"^positions has -2, expected no negative numbers$"),
        (X, {"theta": 0}, r"^theta is 0.0, expected a positive and finite number$"),
        (X, {"scaling": {"rope_type": "yarn"}}, r"^scaling has rope_type 'yarn', expected one of"),
        (X, {"scaling": {}}, r"^scaling has rope_type None, expected one of 'default', 'linear'"),
        (X, {"scaling": {"type": "linear"}}, r"'linear' has no factor, expected a number$"),
        (X, {"scaling": {"type": "linear", "factor": -1}}, r"^factor is -1.0, expected a positive"),
    ],
)
def test_refuses_what_makes_no_sense(x: Any, options: Any, sentence: str) -> None:
    with pytest.raises(tw.errors.DomainError, match=sentence):
        tw.nn.rope(x, **{"positions": [0, 1]} | options)


def test_refuses_positions_that_are_no_integers() -> None:
    with pytest.raises(tw.errors.DTypeError, match=r"^positions has dtype float64, expected whole"):
        tw.nn.rope(X, [0.0, 1.0])


def test_refuses_a_scaling_that_is_no_mapping() -> None:
    with pytest.raises(tw.errors.DTypeError, match=r"^scaling is 2.0 \(a float\), expected a map"):
        tw.nn.rope(X, [0, 1], scaling=2.0)  # type: ignore[arg-type]
