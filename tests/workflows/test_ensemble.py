"""One answer from several models."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from strategies import normal
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.workflows import ensemble_predict

METHODS = ("mean", "median", "weighted", "vote", "soft_vote")


class Constant:
    """A model that has made up its mind."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, _: object) -> Any:
        """Return it."""
        return self.answer


def ask(answers: Any, **options: Any) -> Any:
    return ensemble_predict([Constant(answer) for answer in answers], None, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_and_medians(dtype: Any) -> None:
    answers = [normal((7, 3), dtype, seed) for seed in range(5)]
    wide = np.stack(answers).astype(np.float64)
    mean = ask(answers)
    assert mean.prediction.dtype == dtype
    np.testing.assert_allclose(mean.prediction, wide.mean(axis=0), rtol=1e-6, atol=1e-7)
    assert_array_equal(mean.members, answers)
    assert_array_equal(ask(answers, method="median").prediction, np.median(answers, axis=0))
    weights = [1, 0, 2, 3, 4]
    found = ask(answers, method="weighted", weights=weights).prediction
    expected = np.average(wide, axis=0, weights=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert_array_equal(np.asarray(mean), mean.prediction)


def test_the_mean_of_float32_is_rounded_once() -> None:
    answers = np.array([1, 1e-8, 1e-8, 1e-8], np.float32)
    assert ask(list(answers)).prediction == np.float32(answers.astype(np.float64).mean())


def test_whole_numbers_have_means_that_are_none() -> None:
    assert ask([np.array([1, 2]), np.array([2, 2])]).prediction.tolist() == [1.5, 2]


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=4, max_size=4), min_size=1, max_size=7))
def test_the_most_frequent_label_wins_and_the_first_of_several(labels: list[list[str]]) -> None:
    found = ask([np.array(row) for row in labels], method="vote").prediction
    for column, winner in zip(zip(*labels, strict=True), found, strict=True):
        assert winner == min(set(column), key=lambda label: (-column.count(label), label))


def test_votes_may_weigh_differently() -> None:
    answers = [np.array([0, 7]), np.array([1, 7]), np.array([1, 3])]
    found = ask(answers, method="vote", weights=[5, 1, 1])
    assert found.prediction.tolist() == [0, 7]
    assert ask(answers, method="vote").prediction.tolist() == [1, 7]
    assert ask([3, 4, 4], method="vote").prediction == 4


def test_soft_votes_are_those_of_probabilities() -> None:
    class Sure(Constant):
        """A model that knows more than its answer."""

        def predict_proba(self, _: object) -> Any:
            """Return how sure it is."""
            return np.array([[0.1, 0.9], [0.6, 0.4]])

    models = [Sure(None), Constant(np.array([[0.8, 0.2], [0.5, 0.5]]))]
    assert ensemble_predict(models, None, method="soft_vote").prediction.tolist() == [1, 0]
    found = ensemble_predict(models, None, method="soft_vote", weights=[1, 3])
    assert found.prediction.tolist() == [0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_threads_change_no_bit(method: Any) -> None:
    models = [
        lambda x, k=k: np.round(np.sin(x * k), 1 if method == "vote" else 9) for k in range(6)
    ]
    weights = [1, 2, 3, 4, 5, 6] if method == "weighted" else None
    x = normal((50, 4))
    found = [
        ensemble_predict(models, x, method=method, weights=weights, threads=threads)
        for threads in (1, 2, 4)
    ]
    for each in found:
        assert each.prediction.tobytes() == found[0].prediction.tobytes()
    assert [each.cap for each in found] == [1, 2, 4]
    assert f"{method} of 6 models, prediction of shape {found[0].prediction.shape}" in repr(
        found[0]
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([np.ones(3), np.ones(4)], r"models\[1\] answers with shape \(4,\), models\[0\] with"),
        ([np.ones((0, 2))], r"models\[0\] answers with shape \(0, 2\), expected an element"),
    ],
)
def test_ragged_and_empty_answers_are_refused(method: Any, answers: Any, sentence: str) -> None:
    weights = [1.0] * len(answers) if method == "weighted" else None
    with pytest.raises(ShapeError, match=sentence):
        ask(answers, method=method, weights=weights)


@pytest.mark.parametrize(
    ("answers", "options", "error", "sentence"),
    [
        ([], {}, DomainError, "models is empty, expected at least one"),
        ([1.0], {"method": "best"}, DomainError, "method is 'best', expected 'mean', 'median'"),
        ([1.0], {"method": "weighted"}, DomainError, "weights is None"),
        ([1.0], {"weights": [1]}, DomainError, "weights are given, expected None with method"),
        ([1.0], {"method": "vote", "weights": [1, 2]}, ShapeError, r"weights has shape \(2,\)"),
        ([1.0], {"method": "vote", "weights": [0]}, DomainError, r"weights are \[0.0\]"),
        ([1.0], {"method": "vote", "weights": [-1]}, DomainError, r"weights are \[-1.0\]"),
        (["a"], {}, DTypeError, r"models\[0\] answers with <U1, expected real numbers"),
        ([1.0], {"method": "soft_vote"}, ShapeError, "expected classes along the last axis"),
    ],
)
def test_arguments_that_make_no_sense(
    answers: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        ask(answers, **options)


def test_what_is_no_model_and_who_failed() -> None:
    with pytest.raises(DTypeError, match=r"models\[1\] is 3, expected an object with predict"):
        ensemble_predict([np.sin, 3], 1.0)
    with pytest.raises(DTypeError, match=r"models\[0\] is the class Constant"):
        ensemble_predict([Constant], 1.0)
    with pytest.raises(ZeroDivisionError) as caught:
        ensemble_predict([np.sin, lambda x: x / 0], 1)
    assert "ensemble_predict, model 1: this was raised" in caught.value.__notes__[0]
