"""Models of many shapes, with random weights, against the definition."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import threadwise as tw
from checkpoints import save
from decoder import SMALL, Decoder, draw_weights, write
from threadwise.models import ModelConfig

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
CASES: dict[str, dict[str, Any]] = {
    "multi-query attention": {"num_key_value_heads": 1},
    "multi-head attention": {"num_key_value_heads": 6},
    "heads of 10": {"head_dim": 10},
    "heads of 2": {"head_dim": 2},
    "heads of 34, three to a key": {
        "head_dim": 34,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
    },
    "heads of 128": {"head_dim": 128, "num_attention_heads": 2},
    "a window of 1": {"model_type": "mistral", "sliding_window": 1},
    "a window of 5": {"model_type": "mistral", "sliding_window": 5},
    "a window of 100": {"model_type": "mistral", "sliding_window": 100},
    "biases of Qwen 2": {"model_type": "qwen2"},
    "some layers with windows": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 7,
        "max_window_layers": 1,
    },
    "a window in between": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 9,
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
    },
    "all biases of Llama": {"attention_bias": True, "mlp_bias": True},
    "tied": {"tie_word_embeddings": True},
    "llama3": {"rope_parameters": {"rope_theta": 5e5} | LLAMA3},
    "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 700.0},
    "sizes that divide nothing": {"hidden_size": 37, "intermediate_size": 41, "head_dim": 6},
}


def settings_of(case: str) -> dict[str, Any]:
    return SMALL | CASES[case]


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_definition(case: str, tmp_path: Path) -> None:
    settings = settings_of(case)
    config = ModelConfig.of(settings)
    weights = draw_weights(config)
    ids = np.random.default_rng(1).integers(0, config.vocab_size, 70)
    expected = Decoder(config, weights).logits(ids)
    assert expected.std() > 1  # or there were nothing to tell
    model = tw.models.load(write(tmp_path / "model", settings, weights), kv_dtype="float32")
    assert np.abs(model.forward(ids) - expected).max() <= 1e-4
    cache = model.cache()
    parts = [model.forward(part, cache=cache) for part in np.split(ids, [33, *range(34, 70)])]
    assert np.abs(np.concatenate(parts) - expected).max() <= 1e-4
    text = model.generate(ids[:9], max_new_tokens=9).token_ids
    told = [*ids[:9].tolist(), *text]
    assert Decoder(config, weights).logits(np.array(told))[8:-1].argmax(-1).tolist() == text


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_weights_may_be_of_two_bytes_and_in_several_files(dtype: Any, tmp_path: Path) -> None:
    settings = settings_of("biases of Qwen 2")
    config = ModelConfig.of(settings)
    weights = draw_weights(config, dtype)
    folder = tmp_path / "sharded"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    names = sorted(weights)
    weight_map: dict[str, str] = {}
    for shard in range(3):
        file = f"model-{shard + 1:05}-of-00003.safetensors"
        save(folder / file, {name: weights[name] for name in names[shard::3]})
        weight_map |= dict.fromkeys(names[shard::3], file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    ids = np.arange(50) % config.vocab_size
    expected = Decoder(config, weights).logits(ids)
    found = tw.models.load(folder, kv_dtype="float32").forward(ids)
    assert np.abs(found - expected).max() <= 1e-4


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weights_of_few_bits_are_read_as_what_they_are(bits: int, tmp_path: Path) -> None:
    settings = settings_of("sizes that divide nothing")
    config = ModelConfig.of(settings)
    write(tmp_path / "plain", settings, draw_weights(config))
    tw.quant.quantize_model(tmp_path / "plain", tmp_path / "small", bits=bits, group_size=16)
    small = tw.quant.load_quantized(tmp_path / "small")
    values = {name: np.asarray(small[name], np.float32) for name in small}
    ids = np.arange(50) % config.vocab_size
    expected = Decoder(config, values).logits(ids)
    model = tw.models.load(tmp_path / "small", kv_dtype="float32", activations="float")
    assert np.abs(model.forward(ids) - expected).max() <= 1e-4
    fast = tw.models.load(tmp_path / "small", kv_dtype="float32").forward(ids)
    apart = np.abs(fast - expected).max()
    assert 1e-4 < apart < 0.1 * np.abs(expected).max()


def test_settings_may_come_from_elsewhere(tmp_path: Path) -> None:
    settings = settings_of("tied")
    config = ModelConfig.of(settings)
    folder = write(tmp_path / "model", settings, draw_weights(config))
    ids = np.arange(20)
    expected = tw.models.load(folder).forward(ids)
    other = settings | {"rope_theta": 50.0}
    assert not np.array_equal(tw.models.load(folder, config=other).forward(ids), expected)
    (folder / "config.json").unlink()
    assert np.array_equal(tw.models.load(folder, config=settings).forward(ids), expected)
    assert np.array_equal(tw.models.load(folder, config=config).forward(ids), expected)
