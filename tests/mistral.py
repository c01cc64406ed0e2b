"""Mistral in NumPy, for what weights are worth: a definition, in float32."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import threadwise as tw

__all__ = ["MODELS", "SAMPLE", "Array", "Mistral", "is_linear", "perplexity", "tensors"]

MODELS = Path(__file__).parent / "models"
"""Models that tests alone need, and what transformers says of all of them."""

SAMPLE = tw.samples.path("stdlib-mistral-2.8m")
"""The model that comes with the package."""

Array = NDArray[np.float32]


def tensors(folder: Path) -> dict[str, NDArray[Any]]:
    """Return what is in a folder's `model.safetensors`; bfloat16 as float32, which holds it."""
    data = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    found: dict[str, NDArray[Any]] = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        part, shape = data[8 + length + begin : 8 + length + end], entry["shape"]
        if entry["dtype"] == "BF16":
            bits = np.frombuffer(part, np.uint16).astype(np.uint32) << 16
            found[name] = bits.view(np.float32).reshape(shape)
        else:
            dtype = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "I64": np.int64}
            found[name] = np.frombuffer(part, dtype[entry["dtype"]]).reshape(shape)
    return found


def is_linear(name: str) -> bool:
    """Return whether a weight is a matrix between embedding and head."""
    return name.endswith("_proj.weight")


class Mistral:
    """A model that reads tokens and says what may come next."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Array]) -> None:
        self.config, self.weights = config, weights

    @classmethod
    def load(cls, folder: Path) -> "Mistral":
        """Read the model in `folder`."""
        return cls(json.loads((folder / "config.json").read_text()), tensors(folder))

    def logits(self, tokens: NDArray[np.integer]) -> Array:
        """Return what the model says of each position's successor: (b, t) to (b, t, v)."""
        x = self.weights["model.embed_tokens.weight"][tokens]
        for layer in range(self.config["num_hidden_layers"]):
            name = f"model.layers.{layer}"
            x = x + self._attention(f"{name}.self_attn", self._norm(f"{name}.input_layernorm", x))
            x = x + self._mlp(f"{name}.mlp", self._norm(f"{name}.post_attention_layernorm", x))
        return self._linear("lm_head", self._norm("model.norm", x))

    def _linear(self, name: str, x: Array) -> Array:
        y: Array = x @ self.weights[f"{name}.weight"].T
        return y

    def _norm(self, name: str, x: Array) -> Array:
        square = np.einsum("...d,...d->...", x, x)[..., None] / x.shape[-1]
        scale = 1 / np.sqrt(square + np.float32(self.config["rms_norm_eps"]))
        y: Array = x * scale * self.weights[f"{name}.weight"]
        return y

    def _mlp(self, name: str, x: Array) -> Array:
        gate = self._linear(f"{name}.gate_proj", x)
        gate /= 1 + np.exp(-gate)
        return self._linear(f"{name}.down_proj", gate * self._linear(f"{name}.up_proj", x))

    def _attention(self, name: str, x: Array) -> Array:
        """Return what each position takes from those of its window: (b, t, d) to the same."""
        h, h_kv = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        e, window = self.config["head_dim"], self.config["sliding_window"]
        b, t, _ = x.shape

        def heads(projection: str, count: int) -> Array:  # (b, count, t, e)
            y = self._linear(f"{name}.{projection}", x)
            return y.reshape(b, t, count, e).transpose(0, 2, 1, 3)

        # h / h_kv queries share a key: (b, h_kv, h / h_kv, t, e) and (b, h_kv, 1, t, e).
        q = self._turned(heads("q_proj", h)).reshape(b, h_kv, h // h_kv, t, e)
        k = self._turned(heads("k_proj", h_kv))[:, :, None]
        v = heads("v_proj", h_kv)[:, :, None]
        taken = np.empty_like(q)
        # So many queries at a time, because the keys before their windows need no products.
        for begin in range(0, t, window):
            end, first = min(begin + window, t), max(0, begin - window + 1)
            scores = q[..., begin:end, :] @ k[..., first:end, :].swapaxes(-1, -2)
            scores *= np.float32(e**-0.5)
            apart = np.arange(begin, end)[:, None] - np.arange(first, end)
            scores += np.where((apart >= 0) & (apart < window), 0, -np.inf).astype(np.float32)
            scores -= scores.max(-1, keepdims=True)
            np.exp(scores, out=scores)
            taken[..., begin:end, :] = scores @ v[..., first:end, :]
            taken[..., begin:end, :] /= scores.sum(-1, keepdims=True)
        taken = taken.reshape(b, h, t, e).transpose(0, 2, 1, 3).reshape(b, t, h * e)
        return self._linear(f"{name}.o_proj", taken)

    def _turned(self, x: Array) -> Array:
        """Return `x` (b, h, t, e) with each pair (j, j + e/2) turned by its angle at t."""
        half = x.shape[-1] // 2
        theta = float(self.config["rope_parameters"]["rope_theta"])
        angle = np.arange(x.shape[-2])[:, None] * theta ** (-np.arange(half) / half)
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def perplexity(model: Mistral, tokens: NDArray[np.integer], *, window: int = 512) -> float:
    """Return exp of the mean over windows of the mean loss of what follows each token."""
    losses = []
    windows = tokens[: len(tokens) // window * window].reshape(-1, window)
    for some in np.array_split(windows, max(1, len(windows) // 6)):
        logits = model.logits(some)[:, :-1]
        logits -= logits.max(-1, keepdims=True)
        said = np.take_along_axis(logits, some[:, 1:, None], axis=-1)[..., 0]
        np.exp(logits, out=logits)
        loss = np.log(logits.sum(-1, dtype=np.float64)) - said
        losses += loss.mean(-1).tolist()
    return float(np.exp(np.mean(losses)))
