"""Models of language, against what transformers computed of the same files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from tests.mistral import MODELS

from threadwise._causal import CausalModel

NAMES = ["stdlib-mistral-2.8m", "mistral-window16-tied", "llama-theta1e6-mha"]


def shape(folder: Path) -> dict[str, Any]:
    """Return the sizes of the model in `folder`."""
    config = json.loads((folder / "config.json").read_text())
    return {
        "vocab_size": config["vocab_size"],
        "hidden_size": config["hidden_size"],
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "kv_heads": config["num_key_value_heads"],
        "head_dim": config["head_dim"],
        "ffn": config["intermediate_size"],
        "norm_eps": config["rms_norm_eps"],
        "window": config.get("sliding_window"),
        "is_tied": config["tie_word_embeddings"],
        "qkv_bias": False,
        "o_bias": False,
        "mlp_bias": False,
        "rope_theta": config["rope_parameters"]["rope_theta"],
        "rope_scaling": None,
    }


def load(name: str, layers: tuple[int, int] | None = None) -> CausalModel:
    """Return a model of `tests/models`, or some of its layers."""
    folder = MODELS / name
    return CausalModel(folder, shape(folder), {}, layers, (1, 0), "float", None)


def reference(name: str) -> dict[str, NDArray[Any]]:
    """Return what transformers computed."""
    with np.load(MODELS / name / "reference.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_greedy_tokens_are_those_of_transformers(name: str) -> None:
    model, expected = load(name), reference(name)
    ids = expected["input_ids"]
    cache = model.cache(2, 512, "float32")
    logits = model.forward([ids], None, [0], cache, "all", None, None)
    error = np.abs(logits[int(expected["logits_from"]) :] - expected["logits"]).max()
    assert error <= 2e-4
    # What generated the reference took the token 0 for padding, which is not seen.
    tokens = [token for token in expected["greedy"] if token != 0]
    said = [token for token in expected["greedy_prompt"] if token != 0]
    new = np.array(said)
    while len(said) < len(tokens):
        last = model.forward([new], None, [1], cache, "last", None, None)
        new = last[0].argmax(keepdims=True)
        said.append(int(new[0]))
    assert said == tokens


@pytest.mark.parametrize("name", NAMES)
def test_bits_depend_neither_on_threads_nor_on_stages(name: str) -> None:
    whole, ids = load(name), reference(name)["input_ids"]
    layers = shape(MODELS / name)["layers"]
    expected = whole.forward([ids], None, [0], whole.cache(1, 512, "float16"), "all", None, 1)
    for threads in (2, 3, 4):
        cache = whole.cache(1, 512, "float16")
        assert_array_equal(whole.forward([ids], None, [0], cache, "all", None, threads), expected)
    for first in range(1, layers):
        stages = [load(name, (0, first)), load(name, (first, layers))]
        assert [stage.is_last for stage in stages] == [False, True]
        caches = [stage.cache(1, 512, "float16") for stage in stages]
        hidden = stages[0].forward([ids], None, [0], caches[0], "all", None, 2)
        counts = [len(ids)]
        logits = stages[1].forward(hidden, counts, [0], caches[1], "all", None, 2)
        assert_array_equal(logits, expected)
