"""Small models in files, and what is in files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

__all__ = ["digest", "save", "write_model"]

BF16 = ml_dtypes.bfloat16


def save(path: Path, tensors: Mapping[str, NDArray[Any]], **metadata: str) -> Path:
    """Write a safetensors file as the format's own package does."""
    whole = {name: tensor.copy(order="C") for name, tensor in tensors.items()}
    save_file(whole, path, metadata or None)
    return path


def write_model(
    folder: Path, *, shards: int = 1, seed: int = 0, large: int = 96
) -> dict[str, NDArray[Any]]:
    """Write a model with tensors of many kinds, in one file or in several; return the tensors."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
        return (rng.standard_normal(shape) * 0.05).astype(dtype)

    tensors: dict[str, NDArray[Any]] = {
        "embed_tokens.weight": normal(50, 32, dtype=np.float16),
        "layers.0.down.weight": normal(large, 160),
        "layers.0.gate.weight": normal(large + 5, 96, dtype=np.float16),
        "layers.0.up.weight": normal(64, 64, dtype=BF16),
        "layers.0.norm.weight": normal(33, dtype=BF16),
        "layers.1.down.weight": normal(3, 32, dtype=np.float16),
        "layers.1.gate.weight": normal(1, 32, dtype=np.float16),
        "layers.1.up.weight": normal(33, 45, dtype=BF16),
        "layers.1.steps": np.arange(7, dtype=np.int64),
        "layers.1.mask": np.array([True, False, True]),
        "layers.1.nothing.weight": normal(0, 64),
        "lm_head.weight": normal(50, 32),
        "scalar": np.array(2.5, np.float32),
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "toy", "eps": 1e-05}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "extra").mkdir()
    (folder / "extra" / "notes.txt").write_text("kept")
    (folder / "pytorch_model.bin").write_bytes(b"left out")
    if shards == 1:
        save(folder / "model.safetensors", tensors, format="pt")
        return tensors
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        mine = {name: tensors[name] for name in names[number::shards]}
        save(folder / file, mine, format="pt")
        weight_map |= dict.fromkeys(mine, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return tensors


def digest(folder: Path) -> dict[str, str]:
    """Return a checksum of each file in a directory."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
