"""What quantization does to a language model: the measure that users feel."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mistral import MODELS, Mistral, perplexity

FOLDER = MODELS / "stdlib-mistral-2.8m"


@pytest.fixture(scope="module")
def model() -> Mistral:
    """Read the model as it was trained."""
    return Mistral.load(FOLDER)


@pytest.fixture(scope="module")
def tokens() -> NDArray[Any]:
    """Read 60 windows of text that it has never seen."""
    held_out: NDArray[Any] = np.load(FOLDER / "heldout_tokens.npy")
    assert held_out.shape == (60 * 512,)
    return held_out


def test_the_definition_agrees_with_transformers(model: Mistral) -> None:
    reference = np.load(FOLDER / "reference.npz")
    logits = model.logits(reference["input_ids"][None])[0, reference["logits_from"] :]
    # Two orders of summation in float32, through six layers: logits are up to 17.
    np.testing.assert_allclose(logits, reference["logits"], rtol=0, atol=2e-4)


def test_the_perplexity_of_the_model_is_known(model: Mistral, tokens: NDArray[Any]) -> None:
    assert perplexity(model, tokens) == pytest.approx(9.0216, abs=5e-5)
