"""Models of random weights, as large as wanted: what jobs on files are timed with.

Usage: python benches/random_model.py DIRECTORY [--layers 16] [--hidden 2048] [--ffn 5632] ...

The tensors are those of a Llama, written piece by piece, so that memory does not limit their size.
`threadwise bench quantize --model DIRECTORY` times them.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from threadwise.bench._generated import write


def tensors(
    layers: int, hidden: int, ffn: int, key_value: int, vocabulary: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes."""
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (hidden,)
        yield f"{prefix}.mlp.down_proj.weight", (hidden, ffn)
        yield f"{prefix}.mlp.gate_proj.weight", (ffn, hidden)
        yield f"{prefix}.mlp.up_proj.weight", (ffn, hidden)
        yield f"{prefix}.post_attention_layernorm.weight", (hidden,)
        yield f"{prefix}.self_attn.k_proj.weight", (key_value, hidden)
        yield f"{prefix}.self_attn.o_proj.weight", (hidden, hidden)
        yield f"{prefix}.self_attn.q_proj.weight", (hidden, hidden)
        yield f"{prefix}.self_attn.v_proj.weight", (key_value, hidden)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocabulary, hidden)


def settings(given: argparse.Namespace) -> dict[str, object]:
    """Return what the `config.json` says of such a model."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": given.vocabulary,
        "hidden_size": given.hidden,
        "intermediate_size": given.ffn,
        "num_hidden_layers": given.layers,
        "num_attention_heads": given.hidden // given.head_dim,
        "num_key_value_heads": given.key_value // given.head_dim,
        "head_dim": given.head_dim,
    }


def main() -> None:
    """Write the model that the arguments describe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--ffn", type=int, default=5632)
    parser.add_argument("--key-value", type=int, default=512)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--sparse", action="store_true", help="zeros that take no disk")
    given = parser.parse_args()
    shapes = tensors(given.layers, given.hidden, given.ffn, given.key_value, given.vocabulary)
    count = write(given.directory, dict(shapes), sparse=given.sparse)
    (given.directory / "config.json").write_text(json.dumps(settings(given)))
    print(f"{count / 1e6:.0f} million weights in {given.directory}")


if __name__ == "__main__":
    main()
