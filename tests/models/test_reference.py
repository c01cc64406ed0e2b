"""Models against what transformers says, and against themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import threadwise as tw
from decoder import Decoder
from mistral import MODELS, SAMPLE
from threadwise.models import CausalLM

PLAIN = ["stdlib-mistral-2.8m", "mistral-window16-tied", "llama-theta1e6-mha"]
PACKED = ["stdlib-mistral-2.8m-w4a16-sym-g32", "stdlib-mistral-2.8m-w4a16-asym-g32"]
PERPLEXITY = 9.0216
"""Of the sample, as transformers computes it."""


def folder(name: str) -> Path:
    return SAMPLE if name == SAMPLE.name else MODELS / name


def reference(name: str) -> Any:
    return np.load(MODELS / name / "reference.npz")


def load(name: str, **options: Any) -> CausalLM:
    return tw.models.load(
        folder(name), **({"kv_dtype": "float32", "activations": "float"} | options)
    )


@pytest.fixture(scope="module")
def held_out() -> Any:
    return np.load(SAMPLE / "heldout_tokens.npy")


@pytest.mark.parametrize("name", [*PLAIN, *PACKED])
def test_logits_are_those_of_transformers(name: str) -> None:
    wanted = reference(name)
    logits = load(name).forward(wanted["input_ids"])[wanted["logits_from"] :]
    # It rounds what codes stand for to bfloat16, eight bits, before it computes in float32.
    apart = 2e-4 if name in PLAIN else 2**-8 * np.abs(wanted["logits"]).max()
    assert np.abs(logits - wanted["logits"]).max() <= apart


@pytest.mark.parametrize("name", PACKED)
def test_codes_are_what_they_stand_for(name: str) -> None:
    model, ids = load(name), reference(name)["input_ids"]
    small = tw.quant.load_quantized(folder(name))
    values = {each: np.asarray(small[each], np.float32) for each in small}
    assert np.abs(model.forward(ids) - Decoder(model.config, values).logits(ids)).max() <= 2e-4


@pytest.mark.parametrize("name", [*PLAIN, *PACKED])
def test_the_likeliest_tokens_are_those_of_transformers(name: str) -> None:
    wanted = reference(name)
    prompt, said = wanted["greedy_prompt"], wanted["greedy"][len(wanted["greedy_prompt"]) :]
    seen = prompt[prompt != 0]  # it took token 0 for padding, see README.md
    found = load(name).generate(seen, max_new_tokens=len(said))
    assert found.token_ids == said.tolist()


@pytest.mark.parametrize("kv_dtype", ["float32", "float16"])
def test_perplexity_is_that_of_transformers(held_out: Any, kv_dtype: str) -> None:
    assert load(SAMPLE.name, kv_dtype=kv_dtype).perplexity(held_out) == pytest.approx(
        PERPLEXITY, abs=1e-3
    )


@pytest.mark.parametrize("name", PACKED)
def test_perplexity_of_quantized_models_is_that_of_transformers(name: str, held_out: Any) -> None:
    expected = float(reference(name)["perplexity"])
    assert load(name).perplexity(held_out) == pytest.approx(expected, abs=1e-3)


def test_eight_bits_of_activations_and_of_the_cache_lose_little(held_out: Any) -> None:
    exact = load(SAMPLE.name, quantize=4).perplexity(held_out)
    fast = load(SAMPLE.name, quantize=4, activations="int8", kv_dtype="int8")
    assert fast.perplexity(held_out) == pytest.approx(exact, rel=5e-3)
    cached = load(SAMPLE.name, kv_dtype="int8").perplexity(held_out)
    assert cached == pytest.approx(PERPLEXITY, rel=5e-3)
    assert cached != pytest.approx(PERPLEXITY, abs=1e-6)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    # What is rounded to fewer bits may be rounded to a neighbor, a unit apart.
    ("kv_dtype", "apart"),
    [("float32", 1e-4), ("float16", 4e-3), ("int8", 8e-2)],
)
def test_a_text_means_the_same_in_one_piece_and_in_many(
    name: str, kv_dtype: str, apart: float
) -> None:
    model, ids = load(name, kv_dtype=kv_dtype), reference(name)["input_ids"]
    whole = model.forward(ids)
    for cuts in ([1, 3, 40, 41, 90], range(1, len(ids))):
        cache = model.cache()
        parts = [model.forward(part, cache=cache) for part in np.split(ids, cuts)]
        assert np.abs(np.concatenate(parts) - whole).max() <= apart
        assert cache.length() == len(ids)


@pytest.mark.parametrize("name", [*PLAIN, PACKED[1]])
def test_seven_prompts_of_different_lengths_mean_the_same_together_as_alone(name: str) -> None:
    model, ids = load(name), reference(name)["input_ids"]
    prompts = [ids[: count or 1] for count in (1, 17, 5, 64, 2, 96, 33)]
    for together, prompt in zip(model.forward(prompts), prompts, strict=True):
        assert np.abs(together - model.forward(prompt)).max() <= 1e-4
    texts = model.generate(prompts, max_new_tokens=12)
    for text, prompt in zip(texts, prompts, strict=True):
        assert text.token_ids == model.generate(prompt, max_new_tokens=12).token_ids
    wanted: dict[str, Any] = {"max_new_tokens": 12, "temperature": 0.8, "top_p": 0.9, "seed": 3}
    drawn = model.generate(prompts, **wanted)
    alone = [model.generate(prompt, **wanted).token_ids for prompt in prompts]
    assert [each.token_ids for each in drawn] == alone


@pytest.mark.parametrize(("name", "quantize"), [(PLAIN[0], None), (PLAIN[0], 4), (PLAIN[1], None)])
def test_bits_do_not_depend_on_threads(name: str, quantize: int | None) -> None:
    ids = reference(name)["input_ids"]
    options: dict[str, Any] = {"quantize": quantize, "activations": "int8", "kv_dtype": "float16"}
    first = load(name, threads=1, **options)
    logits, text = first.forward(ids), first.generate(ids[:40], max_new_tokens=8).token_ids
    for threads in (2, 3, 4):
        model = load(name, threads=threads, **options)
        assert model.forward(ids).tobytes() == logits.tobytes()
        assert model.generate(ids[:40], max_new_tokens=8).token_ids == text
    with tw.threads(2):
        assert load(name, **options).forward(ids).tobytes() == logits.tobytes()


def test_a_cache_can_be_cut_and_gone_on_with() -> None:
    model, ids = load(PLAIN[2]), reference(PLAIN[2])["input_ids"]
    cache = model.cache(2)
    first = model.forward([ids[:20], ids[:9]], cache=cache)
    cache.truncate(12)
    assert (cache.length(), cache.length(1)) == (12, 9)
    again = model.forward(ids[12:20], cache=cache)
    assert np.abs(again - first[0][12:]).max() <= 1e-4
    cache.free()
    assert (cache.length(), cache.length(1)) == (0, 9)
    assert cache.sequences == 2
    assert cache.dtype == "float32"
    assert cache.max_context == 256
    assert cache.nbytes > 0


def test_quantized_when_loaded_is_as_quantized_before(tmp_path: Path) -> None:
    tw.quant.quantize_model(SAMPLE, tmp_path / "small", bits=3)
    ids = reference(SAMPLE.name)["input_ids"]
    before = tw.models.load(tmp_path / "small").forward(ids)
    wish = tw.quant.QuantConfig(bits=3)
    for quantize in (3, wish):
        model = tw.models.load(SAMPLE, quantize=quantize)
        assert model.forward(ids).tobytes() == before.tobytes()
    assert model.nbytes < tw.models.load(SAMPLE).nbytes
    plain = tw.models.load(SAMPLE).forward(ids)
    assert not np.array_equal(plain, before)


def test_text_is_python() -> None:
    model = tw.models.load(SAMPLE)
    found = model.generate("import os\nimport ", max_new_tokens=24, stop="\n")
    assert found.text.isidentifier()
    assert found.finish_reason == "stop"
