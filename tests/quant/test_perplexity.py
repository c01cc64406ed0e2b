"""What quantization does to a language model: the measure that users feel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import threadwise as tw
from mistral import MODELS, SAMPLE, Array, Mistral, is_linear, perplexity

FOLDER = SAMPLE
GUIDE = Path(__file__).parents[2] / "docs" / "quantize.md"


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
    reference = np.load(MODELS / FOLDER.name / "reference.npz")
    logits = model.logits(reference["input_ids"][None])[0, reference["logits_from"] :]
    # Two orders of summation in float32, through six layers: logits are up to 17.
    np.testing.assert_allclose(logits, reference["logits"], rtol=0, atol=2e-4)


def test_the_perplexity_of_the_model_is_known(model: Mistral, tokens: NDArray[Any]) -> None:
    assert perplexity(model, tokens) == pytest.approx(9.0216, abs=5e-5)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"bits": 8, "group_size": 64, "symmetric": True}, 9.03),
        ({"bits": 4, "symmetric": True}, 9.09),
        ({"bits": 4, "zero_point": "integer"}, 9.08),
        ({"bits": 4, "zero_point": "float"}, 9.07),
        ({"bits": 3, "zero_point": "float"}, 9.32),
        ({"bits": 2, "zero_point": "float"}, 10.65),
    ],
    ids=lambda each: "-".join(map(str, each.values())) if isinstance(each, dict) else None,
)
def test_quantized_linear_layers_lose_little(
    model: Mistral, tokens: NDArray[Any], settings: dict[str, Any], most: float
) -> None:
    # For comparison, groups of 32 rounded to the nearest of evenly spaced values between their
    # ends: 9.080 with 4 bits, 9.336 with 3, 11.364 with 2.
    def rounded(weight: Array) -> Array:
        values: Array = tw.quant.quantize(weight, method="mse", **settings).dequantize()
        return values

    weights = {
        name: rounded(weight) if is_linear(name) else weight
        for name, weight in model.weights.items()
    }
    found = perplexity(Mistral(model.config, weights), tokens)
    assert found <= most
    # Products in another order of summation move the last digit.
    assert said_by_the_guide(**settings) == pytest.approx(found, abs=2e-3)


def said_by_the_guide(
    *, bits: int, group_size: int = 32, symmetric: bool = False, zero_point: str = "float"
) -> float:
    """Return the perplexity in the table of the guide, where its row for these settings is."""
    kind = "symmetric" if symmetric else zero_point
    rows = GUIDE.read_text("utf-8").splitlines()
    [row] = (each for each in rows if each.startswith(f"| {bits} | {group_size} | {kind} | mse |"))
    return float(row.split("|")[-2])
