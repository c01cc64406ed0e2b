"""A language model from its files to its words, for ``threadwise demo``."""

import dataclasses
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from threadwise.models import CausalLM

__all__ = ["SPREADS", "tell"]

SAMPLE = "stdlib-mistral-2.8m"
BITS = (8, 4, 2)
PROMPT = "class Queue:\n    def __init__(self"
SPREADS: tuple[dict[str, Any], ...] = (
    {"threads": 1},
    {"threads": 2},
    {"tensor_parallel": 2},
    {"pipeline_stages": 2},
)
"""Ways to compute that give one text."""


def tell(*, windows: int = 60, new_tokens: int = 80, rounds: int = 5) -> bool:
    """Quantize the sample, and measure and run what comes of it.

    Parameters
    ----------
    windows : int
        How many windows of 512 tokens perplexities are of.
    new_tokens : int
        How long texts are.
    rounds : int
        How often they are timed.

    Returns
    -------
    bool
        Whether all ways to compute it give one text.
    """
    import threadwise as tw

    source = tw.samples.path(SAMPLE)
    print(f"{SAMPLE}: a language model that has read Python's standard library")
    with TemporaryDirectory(prefix="threadwise-") as place:
        variants = [_Variant("bfloat16", source, None, _endless(source))]
        variants += [_quantized(source, Path(place), bits) for bits in BITS]
        _compare(variants, windows, new_tokens, rounds)
    is_one = _write(source, new_tokens)
    _explain(variants[0].model)
    return is_one


class _Variant(NamedTuple):
    """The model, as it is or in fewer bits."""

    name: str
    folder: Path
    cosine: float | None
    model: "CausalLM"


def _quantized(source: Path, place: Path, bits: int) -> _Variant:
    from threadwise import quant

    folder = place / str(bits)
    report = quant.quantize_model(source, folder, bits=bits, progress=True)
    return _Variant(f"{bits} bits", folder, report.mean_cosine, _endless(folder))


def _endless(folder: Path) -> "CausalLM":
    """Load a model whose texts have the length that is wanted."""
    from threadwise import models

    config = dataclasses.replace(models.ModelConfig.load(folder), eos_token_ids=())
    return models.load(folder, config=config)


def _compare(variants: list[_Variant], windows: int, new_tokens: int, rounds: int) -> None:
    """Print a line a variant."""
    import numpy as np

    from threadwise.quant._report_text import size

    tokens = np.load(variants[0].folder / "heldout_tokens.npy")[: windows * 512]
    print(f"\n{'weights':10s} {'in files':>9s} {'cosine':>8s} {'perplexity':>11s} {'tokens/s':>9s}")
    rates: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for _ in range(rounds):
        for variant in variants:
            found = variant.model.generate(PROMPT, max_new_tokens=new_tokens)
            rates[variant.name].append(found.timings.tokens_per_second)
    for name, folder, cosine, model in variants:
        nbytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        print(
            f"{name:10s} {size(nbytes):>9s} {'' if cosine is None else f'{cosine:.5f}':>8s} "
            f"{model.perplexity(tokens):11.3f} {median(rates[name]):9.0f}",
            flush=True,
        )
    print(f"Perplexity: over {len(tokens):,} tokens that it has not read. Tokens/s: of writing.")


def _write(source: Path, new_tokens: int) -> bool:
    """Print what the model writes; return whether it is the same however it is computed."""
    from threadwise import models

    wishes: dict[str, Any] = {"max_new_tokens": new_tokens, "temperature": 0.7, "seed": 1}
    texts = [models.load(source, **how).generate(PROMPT, **wishes).text for how in SPREADS]
    print("\nIt writes:\n")
    print("\n".join(f"    {line}" for line in (PROMPT + texts[0]).splitlines()))
    ways = ", ".join(f"{name}={value}" for how in SPREADS for name, value in how.items())
    is_one = len(set(texts)) == 1
    print(f"\n{'The same text' if is_one else 'NOT the same text'} with {ways}.")
    return is_one


def _explain(model: "CausalLM") -> None:
    """Say how a layer of it would be computed for a prompt of 512 tokens."""
    import numpy as np

    import threadwise as tw

    config = model.config
    x = np.empty((512, config.hidden_size), np.float32)
    weight = np.empty((config.intermediate_size, config.hidden_size), np.float32)
    print("\nA product of it, for a prompt of 512 tokens:\n")
    print(tw.explain(tw.linear, x, weight))
