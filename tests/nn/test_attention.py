"""`attention` against its formula, over heads, windows and layouts, and what it refuses."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import threadwise as tw
from strategies import LAYOUTS, misaligned, normal


def definition(
    q: Any, k: Any, v: Any, *, causal: bool, window: int | None, scale: float | None
) -> tuple[Any, Any]:
    """As the formula reads, in float64, and the bound on the error of its notes."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    heads = 1 if q.ndim == 2 else q.shape[-3] // k.shape[-3]
    if heads > 1:
        k, v = (np.repeat(x, heads, axis=-3) for x in (k, v))
    (t, e), s = q.shape[-2:], k.shape[-2]
    scale = 1 / np.sqrt(max(e, 1)) if scale is None else scale
    i, j = np.arange(t)[:, None] + s - t, np.arange(s)
    seen = (j <= i) if causal else np.ones((t, s), bool)
    if window is not None:
        seen &= j > i - window
    scores = np.where(seen, scale * (q @ np.swapaxes(k, -1, -2)), -np.inf)
    largest = scores.max(-1, keepdims=True, initial=-1e300)
    weights = np.where(seen, np.exp(scores - largest), 0)
    sums = weights.sum(-1, keepdims=True)
    exact = (weights @ v) / np.where(sums > 0, sums, 1)
    sigma = abs(scale) * np.where(seen, abs(q) @ abs(np.swapaxes(k, -1, -2)), 0).max(
        -1, keepdims=True, initial=0
    )
    terms = (e + 6) * sigma + 1.2 * s + 16
    largest_value = abs(v).max(axis=(-1, -2), keepdims=True, initial=0)
    return exact, 2 * terms * float(np.finfo(np.float32).eps) / 2 * largest_value


def check(q: Any, k: Any, v: Any, **options: Any) -> Any:
    view: dict[str, Any] = {"causal": True, "window": None, "scale": None} | options
    exact, bound = definition(q, k, v, **view)
    actual = tw.nn.attention(q, k, v, **options)
    assert actual.dtype == np.float32
    assert actual.shape == q.shape
    assert np.all(np.abs(actual - exact) <= bound)
    return actual


@given(st.data())
def test_agrees_with_the_definition_within_its_bound(data: Any) -> None:
    batch = data.draw(st.lists(st.integers(0, 3), max_size=2))
    kv_heads, group = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 7))
    t, s, e = (data.draw(st.integers(0, 40)) for _ in range(3))
    q = normal((*batch, kv_heads * group, t, e), seed=1)
    k, v = (normal((*batch, kv_heads, s, e), seed=seed) for seed in (2, 3))
    causal = data.draw(st.booleans())
    window = data.draw(st.none() | st.integers(1, 50)) if causal else None
    scale = data.draw(st.none() | st.floats(-2, 2))
    layout = data.draw(st.sampled_from(sorted(LAYOUTS)))
    q, k, v = (LAYOUTS[layout](x) for x in (q, k, v))
    check(q, k, v, causal=causal, window=window, scale=scale)


@pytest.mark.parametrize(
    "sizes",
    [(8, 2, 300, 300, 64), (4, 4, 1, 1500, 128), (32, 1, 1, 700, 80), (14, 2, 5, 1030, 33)],
)
@pytest.mark.parametrize("window", [None, 1, 100, 256, 600])
def test_long_contexts_of_all_kinds_of_heads(
    sizes: tuple[int, int, int, int, int], window: int | None
) -> None:
    heads, kv_heads, t, s, e = sizes
    q, k, v = normal((heads, t, e)), normal((kv_heads, s, e), seed=1), normal((kv_heads, s, e))
    expected = check(q, k, v, window=window)
    for threads in (1, 2, 3, 4):
        assert_array_equal(tw.nn.attention(q, k, v, window=window, threads=threads), expected)


def test_a_window_hides_what_is_before_it() -> None:
    q, k, v = normal((2, 50, 8)), normal((2, 50, 8), seed=1), normal((2, 50, 8), seed=2)
    expected = tw.nn.attention(q[:, -1:], k, v, window=7)
    for x in (k, v):
        x[:, : 50 - 7] = np.inf
    assert_array_equal(tw.nn.attention(q[:, -1:], k, v, window=7), expected)


def test_without_heads_there_is_one_and_queries_beyond_the_keys_give_zeros() -> None:
    q, k, v = normal((6, 5)), normal((2, 5), seed=1), normal((2, 5), seed=2)
    actual = check(q, k, v)
    assert_array_equal(actual[:4], np.zeros((4, 5)))
    assert_array_equal(actual, tw.nn.attention(q[None], k[None], v[None])[0])


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_result_goes_where_it_is_sent(order: Any) -> None:
    q, k, v = normal((2, 9, 8)), normal((2, 9, 8), seed=1), normal((2, 9, 8), seed=2)
    out = np.full((2, 9, 8), np.nan, np.float32, order=order)
    assert tw.nn.attention(q, k, v, out=out) is out
    assert_array_equal(out, tw.nn.attention(q, k, v))


Q, K = np.ones((4, 3, 8), np.float32), np.ones((2, 5, 8), np.float32)


@pytest.mark.parametrize(
    ("q", "k", "v", "sentence"),
    [
        (Q[0, 0], K, K, r"^q has shape \(8,\), expected at least two axes, positions and numbers"),
        (Q, K, K[:, :4], r"^v has shape \(2, 4, 8\), expected that of k$"),
        (Q, K[0], K[0], r"^k has 2 axes \(shape \(5, 8\)\), q has 3 axes .*: they must be equal$"),
        (
            Q,
            K[..., :7],
            K[..., :7],
            r"^k has 7 numbers in a row \(shape \(2, 5, 7\)\), q has 8 numbers in a row",
        ),
        (Q[None], np.stack([K, K]), np.stack([K, K]), r"^k has 2 sequences .*, q has 1 sequences"),
    ],
)
def test_refuses_shapes_that_do_not_fit(q: Any, k: Any, v: Any, sentence: str) -> None:
    with pytest.raises(tw.errors.ShapeError, match=sentence):
        tw.nn.attention(q, k, v)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": 0}, r"^window is 0, expected at least 1: a query sees its own key$"),
        ({"window": -1}, r"^window is -1, expected a whole number from 1 to"),
        ({"window": 3, "causal": False}, r"^window is 3, expected None without causal=True"),
        ({"scale": np.inf}, r"^scale is inf, expected a finite number"),
        ({"threads": 0}, r"^threads is 0, expected a whole number"),
    ],
)
def test_refuses_options_that_make_no_sense(options: Any, sentence: str) -> None:
    out = np.full_like(Q, np.nan)
    with pytest.raises(tw.errors.DomainError, match=sentence):
        tw.nn.attention(Q, K, K, out=out, **options)
    assert np.isnan(out).all()


def test_refuses_heads_that_do_not_divide() -> None:
    sentence = r"^the number of heads of k is 3, expected a divisor of the 4 of q$"
    with pytest.raises(tw.errors.DomainError, match=sentence):
        tw.nn.attention(Q, np.ones((3, 5, 8), np.float32), np.ones((3, 5, 8), np.float32))


@pytest.mark.parametrize("window", [1.5, "3", True])
def test_refuses_a_window_that_is_no_number(window: Any) -> None:
    with pytest.raises(tw.errors.DTypeError, match=r"^window is .*, expected a whole number$"):
        tw.nn.attention(Q, K, K, window=window)


@pytest.mark.parametrize("causal", [1, None, "yes"])
def test_refuses_a_causality_that_is_neither_true_nor_false(causal: Any) -> None:
    with pytest.raises(tw.errors.DTypeError, match=r"^causal is .*, expected True or False$"):
        tw.nn.attention(Q, K, K, causal=causal)


def test_refuses_other_dtypes_and_misaligned_arrays() -> None:
    with pytest.raises(tw.errors.DTypeError, match=r"^q has dtype float64, expected float32"):
        tw.nn.attention(Q.astype(np.float64), K, K)
    with pytest.raises(tw.errors.LayoutError, match=r"^k is not aligned in memory"):
        tw.nn.attention(Q, misaligned((2, 5, 8)), K)


def test_refuses_an_out_that_overlaps() -> None:
    q = Q.copy()
    with pytest.raises(tw.errors.LayoutError, match=r"^out overlaps q in memory"):
        tw.nn.attention(q, K, K, out=q)
    assert_array_equal(q, Q)
