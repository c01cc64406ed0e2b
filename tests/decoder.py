"""A decoder in NumPy, in double precision: the definition that models answer to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoints import save
from threadwise.models import ModelConfig

__all__ = ["SMALL", "Decoder", "draw_weights", "shapes", "write"]

Array = NDArray[np.float64]

SMALL: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 83,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 200,
    "sliding_window": None,
}
"""Settings of a model that is quickly computed."""


def write(folder: Path, settings: dict[str, Any], weights: dict[str, NDArray[Any]]) -> Path:
    """Write a model, and return its directory."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    save(folder / "model.safetensors", weights)
    return folder


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a model, as Hugging Face calls them."""
    d, f, v = config.hidden_size, config.intermediate_size, config.vocab_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (v, d)}
    for layer in range(config.num_hidden_layers):
        name = f"model.layers.{layer}"
        found[f"{name}.input_layernorm.weight"] = (d,)
        found[f"{name}.post_attention_layernorm.weight"] = (d,)
        projections = {
            "self_attn.q_proj": ((queries, d), config.qkv_bias),
            "self_attn.k_proj": ((keys, d), config.qkv_bias),
            "self_attn.v_proj": ((keys, d), config.qkv_bias),
            "self_attn.o_proj": ((d, queries), config.output_bias),
            "mlp.gate_proj": ((f, d), config.mlp_bias),
            "mlp.up_proj": ((f, d), config.mlp_bias),
            "mlp.down_proj": ((d, f), config.mlp_bias),
        }
        for projection, (shape, is_biased) in projections.items():
            found[f"{name}.{projection}.weight"] = shape
            if is_biased:
                found[f"{name}.{projection}.bias"] = shape[:1]
    found["model.norm.weight"] = (d,)
    if not config.tie_word_embeddings:
        found["lm_head.weight"] = (v, d)
    return found


def draw_weights(
    config: ModelConfig, dtype: Any = np.float32, *, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Draw the weights of a model that has something to say: logits about as large as 3."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes(config).items():
        drawn = rng.standard_normal(shape)
        if name.endswith("norm.weight"):
            drawn = 1 + 0.1 * drawn
        elif name.endswith("bias"):
            drawn *= 0.3
        elif not name.startswith("model.embed"):
            drawn *= (3 if name.startswith("lm_head") else 1) / np.sqrt(shape[1])
        weights[name] = drawn.astype(dtype)
    return weights


class Decoder:
    """A model that reads tokens and says what may come next, layer by layer as papers have it."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, NDArray[Any]]) -> None:
        self.config = config
        self.weights = {name: weight.astype(np.float64) for name, weight in weights.items()}

    def logits(self, tokens: NDArray[np.integer]) -> Array:
        """Return what the model says of each position's successor: (t,) to (t, v)."""
        x = self.weights["model.embed_tokens.weight"][tokens]
        for layer in range(self.config.num_hidden_layers):
            name = f"model.layers.{layer}"
            x = x + self._attention(layer, self._norm(f"{name}.input_layernorm", x))
            x = x + self._mlp(f"{name}.mlp", self._norm(f"{name}.post_attention_layernorm", x))
        x = self._norm("model.norm", x)
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return self._linear(head, x)

    def _linear(self, name: str, x: Array) -> Array:
        y: Array = x @ self.weights[f"{name}.weight"].T
        return y + self.weights.get(f"{name}.bias", 0)

    def _norm(self, name: str, x: Array) -> Array:
        root = np.sqrt((x * x).mean(-1, keepdims=True) + self.config.rms_norm_eps)
        y: Array = x / root * self.weights[f"{name}.weight"]
        return y

    def _mlp(self, name: str, x: Array) -> Array:
        gate = self._linear(f"{name}.gate_proj", x)
        gate = gate / (1 + np.exp(-gate))
        return self._linear(f"{name}.down_proj", gate * self._linear(f"{name}.up_proj", x))

    def _attention(self, layer: int, x: Array) -> Array:
        name = f"model.layers.{layer}.self_attn"
        t, e = len(x), self.config.head_dim
        groups = self.config.num_attention_heads // self.config.num_key_value_heads
        q, k, v = (
            self._linear(f"{name}.{each}_proj", x).reshape(t, -1, e).swapaxes(0, 1)
            for each in "qkv"
        )  # (h, t, e), and two of (h_kv, t, e)
        k, v = (np.repeat(each, groups, axis=0) for each in (k, v))
        scores = self._turned(q) @ self._turned(k).swapaxes(-1, -2) / np.sqrt(e)
        apart = np.arange(t)[:, None] - np.arange(t)
        window = self.config.sliding_windows[layer] or t
        scores = np.where((apart >= 0) & (apart < window), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return self._linear(f"{name}.o_proj", (shares @ v).swapaxes(0, 1).reshape(t, -1))

    def _turned(self, x: Array) -> Array:
        """Turn each pair (j, j + e/2) by its angle at t."""
        half = x.shape[-1] // 2
        angle = np.arange(x.shape[-2])[:, None] * self._frequencies(half)
        cos, sin = np.cos(angle), np.sin(angle)
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def _frequencies(self, half: int) -> Array:
        frequencies = self.config.rope_theta ** (-np.arange(half) / half)
        scaling = self.config.rope_scaling
        if scaling is None:
            return np.asarray(frequencies)
        slow = frequencies / scaling["factor"]
        if scaling["rope_type"] == "linear":
            return np.asarray(slow)
        # As in Llama 3.1: slow turns are slowed down, fast ones are not, those between in part.
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = scaling["original_max_position_embeddings"] * frequencies / (2 * np.pi)
        part = np.clip((turns - low) / (high - low), 0, 1)
        return np.asarray((1 - part) * slow + part * frequencies)
