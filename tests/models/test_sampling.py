"""Filters against plain definitions; draws against the probabilities that they are of."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

import threadwise as tw
from threadwise.models._sampling import Sampling, drawn, likely, penalized, uniform

LOGITS = arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.floats(-20, 20, width=32).map(lambda x: round(x, 1)),  # so that some are equal
)


def probabilities(logits: Any, sampling: Sampling) -> Any:
    """Return how likely each token is to be drawn, 0 for those that filters leave out."""
    p = np.zeros(len(logits))
    tokens, found = likely(logits, sampling)
    assert (np.diff(tokens) > 0).all()
    p[tokens] = found
    return p


def softmax(logits: Any, temperature: float = 1.0) -> list[float]:
    scaled = [float(x) / temperature for x in logits]
    shares = [np.exp(x - max(scaled)) for x in scaled]
    return [share / sum(shares) for share in shares]


@given(LOGITS, st.floats(0.1, 5))
def test_without_filters_they_are_those_of_the_temperature(logits: Any, temperature: float) -> None:
    found = probabilities(logits, Sampling(temperature=temperature))
    assert_allclose(found, softmax(logits, temperature), rtol=1e-12, atol=1e-300)


@given(LOGITS, st.integers(1, 50))
def test_top_k_keeps_tokens_than_which_fewer_than_k_are_likelier(logits: Any, k: int) -> None:
    found = probabilities(logits, Sampling(temperature=1, top_k=k))
    kept = [sum(other > x for other in logits) < k for x in logits]
    total = sum(p for p, keep in zip(softmax(logits), kept, strict=True) if keep)
    expected = [p / total if k else 0 for p, k in zip(softmax(logits), kept, strict=True)]
    assert_allclose(found, expected, rtol=1e-12, atol=1e-300)


@given(LOGITS, st.sampled_from([0.05, 0.3, 0.5, 0.77, 0.999]))
def test_top_p_keeps_tokens_than_which_the_likelier_make_up_less(logits: Any, part: float) -> None:
    found = probabilities(logits, Sampling(temperature=1, top_p=part))
    p = softmax(logits)
    above = [sum(other for other in p if other > each) for each in p]
    if min(abs(each - part) for each in above) < 1e-12:
        return  # rounding decides
    kept = [each < part for each in above]
    assert ((found > 0) == kept).all()
    total = sum(each for each, keep in zip(p, kept, strict=True) if keep)
    assert_allclose(found[kept], np.array(p)[kept] / total, rtol=1e-12)


@given(LOGITS, st.sampled_from([0.01, 0.33, 0.71, 1.0]))
def test_min_p_keeps_tokens_of_that_part_of_the_likeliest(logits: Any, part: float) -> None:
    found = probabilities(logits, Sampling(temperature=1, min_p=part))
    p = np.array(softmax(logits))
    near = np.abs(p - part * p.max()) < 1e-12
    assert ((found > 0) == (p >= part * p.max()))[~near].all()
    assert_allclose(found.sum(), 1)


def test_filters_apply_one_after_the_other() -> None:
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.06, 0.04], np.float32))
    both = probabilities(logits, Sampling(temperature=1, top_k=3, top_p=0.7))
    assert_allclose(both, [4 / 7, 3 / 7, 0, 0, 0], rtol=1e-6)
    last = probabilities(logits, Sampling(temperature=1, top_p=0.9, min_p=0.6))
    assert_allclose(last, [4 / 7, 3 / 7, 0, 0, 0], rtol=1e-6)
    hot = probabilities(logits, Sampling(temperature=100, min_p=0.9))
    assert (hot > 0).all()  # the temperature comes first


@given(LOGITS, st.floats(0.5, 3))
def test_a_penalty_makes_what_was_there_less_likely(logits: Any, penalty: float) -> None:
    seen = np.arange(len(logits)) % 2 == 0
    found = penalized(logits, seen, penalty)
    for i, x in enumerate(logits):
        expected = x if i % 2 else x / np.float32(penalty) if x > 0 else x * np.float32(penalty)
        assert found[i] == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40))
def test_a_number_is_a_function_of_seed_and_position(seed: int, position: int) -> None:
    found = uniform(seed, position)
    assert 0 <= found < 1
    assert found == uniform(seed, position)
    assert found not in {uniform(seed, position + 1), uniform(seed ^ 1, position)}


def test_numbers_are_uniform_over_positions_and_over_seeds() -> None:
    for numbers in (
        [uniform(5, position) for position in range(4000)],
        [uniform(seed, 5) for seed in range(4000)],
    ):
        counts = np.histogram(numbers, 20, (0, 1))[0]
        # χ² of 19 degrees of freedom is above 50 once in ten thousand times.
        assert ((counts - 200) ** 2 / 200).sum() < 50


@given(LOGITS, st.floats(0, 1, exclude_max=True))
def test_a_draw_inverts_the_distribution(logits: Any, u: float) -> None:
    p = probabilities(logits, Sampling(temperature=1, top_k=3))
    token = drawn(p, u)
    assert p[token] > 0
    assert p[:token].sum() <= u + 1e-12
    assert u <= p[: token + 1].sum() + 1e-12


def test_the_largest_number_draws_the_last_that_is_possible() -> None:
    p = np.array([0.0, 0.25, 0.75, 0.0])
    assert drawn(p, 1 - 2.0**-53) == 2
    assert drawn(p, 0.0) == 1


def test_at_temperature_0_the_first_of_the_likeliest_is_taken() -> None:
    logits = np.array([1, 3, 3, 2], np.float32)
    assert Sampling().choose(logits, None, 0, 0) == 1
    seen = np.array([False, True, False, False])
    assert Sampling(repetition_penalty=2).choose(logits, seen, 0, 0) == 2


def test_next_to_no_temperature_is_like_none() -> None:
    p = probabilities(np.array([1, 3, 2], np.float32), Sampling(temperature=1e-310))
    assert p.tolist() == [0, 1, 0]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(broken: float) -> None:
    logits = np.array([0, broken, 1], np.float32)
    with pytest.raises(tw.errors.DomainError, match=r"^the logits at position 7 are not finite: "):
        Sampling().choose(logits, None, 0, 7)


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"temperature": -1}, "Domain", "temperature is -1, expected a number of at least 0"),
        ({"temperature": np.inf}, "Domain", "temperature is inf, expected a number of at least 0"),
        (
            {"temperature": "hot"},
            "DType",
            r"temperature is 'hot' \(a str\), expected a number of at least 0",
        ),
        ({"top_k": 0}, "Domain", "top_k is 0, expected a whole number of at least 1"),
        ({"top_k": 1.5}, "DType", r"top_k is 1.5 \(a float\), expected a whole number of at lea"),
        ({"top_p": 0}, "Domain", "top_p is 0, expected a number above 0 and at most 1"),
        ({"top_p": 1.1}, "Domain", "top_p is 1.1, expected a number above 0 and at most 1"),
        ({"min_p": 2}, "Domain", "min_p is 2, expected a number of at least 0 and at most 1"),
        ({"repetition_penalty": 0}, "Domain", "repetition_penalty is 0, expected a number above"),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(
    settings: dict[str, Any], error: str, sentence: str
) -> None:
    with pytest.raises(getattr(tw.errors, f"{error}Error"), match=f"^{sentence}"):
        Sampling(**settings)
