"""How texts grow, with an engine that says what the tests want."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

import threadwise as tw
from engines import Rereading
from mistral import MODELS, SAMPLE
from threadwise.errors import DomainError, DTypeError, FormatError, ShapeError
from threadwise.models import CausalLM, Generation, ModelConfig, Piece

VOCABULARY, END = 1024, 1


def model(
    said: Any, *, folder: Path = SAMPLE, max_context: int = 1024
) -> tuple[CausalLM, Rereading]:
    """Return a model whose next logits are ``said(tokens)``, and its engine."""

    def logits(tokens: Any) -> Any:
        return np.array([said(tokens[: i + 1].tolist()) for i in range(len(tokens))])

    engine = Rereading(logits)
    config = ModelConfig.load(SAMPLE)
    made = CausalLM(
        engine, config, folder=folder, threads=None, kv_dtype="float32", max_context=max_context
    )
    return made, engine


def one(token: int) -> Any:
    """Return logits of which that of `token` is the largest."""
    return np.where(np.arange(VOCABULARY) == token, 5.0, 0.0)


def telling(text: str, *, prompt: str = "def f(") -> tuple[CausalLM, list[int], list[int]]:
    """Return a model that answers a prompt with a text, then ends; and both as tokens."""
    tokenizer = tokenizers.Tokenizer.from_file(str(SAMPLE / "tokenizer.json"))
    before, after = tokenizer.encode(prompt).ids, tokenizer.encode(text).ids
    story = [*before, *after, END]
    made, _ = model(lambda tokens: one(story[len(tokens)] if len(tokens) < len(story) else END))
    return made, before, after


def noisy(tokens: list[int]) -> Any:
    """Return logits that depend on all tokens."""
    return np.random.default_rng(tokens).standard_normal(VOCABULARY) * 2


def test_a_text_goes_on_to_the_token_that_ends_it() -> None:
    made, before, after = telling("self, *args):")
    found = made.generate("def f(", max_new_tokens=50)
    assert isinstance(found, Generation)
    assert found.text == "self, *args):"
    assert found.token_ids == [*after, END]
    assert (found.finish_reason, found.prompt_tokens) == ("stop", len(before))
    assert found.seed is None
    times = found.timings
    assert 0 < times.time_to_first_token < times.seconds
    assert times.prompt_tokens_per_second == len(before) / times.time_to_first_token
    between = times.seconds - times.time_to_first_token
    assert times.tokens_per_second == len(after) / between


def test_a_text_goes_on_to_as_many_tokens_as_are_wanted() -> None:
    made, before, after = telling("self, *args):")
    found = made.generate(before, max_new_tokens=3)
    assert (found.token_ids, found.finish_reason) == (after[:3], "length")
    alone = made.generate(np.array(before), max_new_tokens=1)
    assert alone.token_ids == after[:1]
    assert alone.timings.tokens_per_second is None


@pytest.mark.parametrize("text", ["αβγ → 語 🎉🎉 x", "no\n\nlines", "🎉"])
def test_pieces_are_whole_characters_and_make_up_the_text(text: str) -> None:
    made, before, after = telling(text)
    stream = made.generate(before, max_new_tokens=200, stream=True)
    pieces = list(stream)
    assert all(isinstance(piece, Piece) and "\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) == text
    assert [token for piece in pieces for token in piece.token_ids] == [*after, END]
    assert {piece.prompt for piece in pieces} == {0}
    assert stream.result().text == text
    assert list(stream) == []


def test_a_text_that_ends_within_a_character_says_so() -> None:
    made, before, _ = telling("a語")
    found = made.generate(before, max_new_tokens=2)
    assert found.text == "a\ufffd"


def test_what_a_stream_has_not_told_is_in_its_result() -> None:
    made, before, _ = telling("self, *args):")
    stream = made.generate(before, max_new_tokens=50, stream=True)
    first = next(stream)
    assert "self, *args):".startswith(first)
    assert stream.result().text == "self, *args):"


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("):", "self, *args"),
        ((" *ar", "lf"), "se"),
        (["gs)x", "rgs):!", ", *args):y"], "self, *args):"),
        (["gs)", "rgs"], "self, *a"),
        (["s", "self"], ""),
    ],
)
def test_a_text_ends_before_a_string_that_stops_it(stop: Any, text: str) -> None:
    made, before, _ = telling("self, *args):")
    stream = made.generate(before, max_new_tokens=50, stop=stop, stream=True)
    assert "".join(stream) == text
    assert stream.result().finish_reason == "stop"


def test_every_cut_of_a_text_into_tokens_is_stopped_at_the_same_place() -> None:
    text, tokenizer = "abcabd.", tokenizers.Tokenizer.from_file(str(SAMPLE / "tokenizer.json"))
    letters = [tokenizer.encode(letter).ids[0] for letter in text]
    made, _ = model(lambda tokens: one(letters[len(tokens) - 1]))
    for stop, expected in [("abd", "abc"), ("bca", "a"), ("c", "ab"), ("d.", "abcab")]:
        stream = made.generate([0], max_new_tokens=7, stop=stop, stream=True)
        pieces = list(stream)
        assert "".join(pieces) == expected
        assert stream.result().token_ids == letters[: text.index(stop) + len(stop)]


def test_prompts_of_different_lengths_grow_together_as_each_alone() -> None:
    made, engine = model(noisy)
    prompts: list[list[int]] = [[0, 4], [7], [1, 2, 3, 4, 5], [9, 9], [3], [8, 8, 8], [2] * 9]
    alone = [made.generate(prompt, max_new_tokens=6) for prompt in prompts]
    engine.calls.clear()
    together = made.generate(prompts, max_new_tokens=6)
    assert [each.token_ids for each in together] == [each.token_ids for each in alone]
    assert [each.prompt_tokens for each in together] == [len(prompt) for prompt in prompts]
    assert engine.calls == [[2, 1, 5, 2, 1, 3, 9], *[[1] * 7] * 5]


def test_a_sequence_that_is_through_makes_room_for_the_next() -> None:
    made, engine = model(lambda tokens: one(END if len(tokens) >= tokens[0] else 5))
    prompts = [[length] for length in (3, 5, *[4] * 18)]
    found = made.generate(prompts, max_new_tokens=9)
    assert [len(each.token_ids) for each in found] == [3, 5, *[4] * 18]
    counts = [len(call) for call in engine.calls]
    assert counts == [16, 16, 16, 16, 5, 4, 4, 1] or sum(counts) == 80
    assert max(counts) == 16


def test_texts_and_tokens_may_be_mixed() -> None:
    made, before, after = telling("self")
    found = made.generate(["def f(", before, np.array(before)], max_new_tokens=9)
    assert [each.token_ids for each in found] == [[*after, END]] * 3
    pieces = made.generate(["def f("] * 2, max_new_tokens=9, stream=True)
    assert {piece.prompt for piece in pieces} == {0, 1}


def test_a_draw_depends_on_seed_and_position_alone() -> None:
    made, _ = model(noisy)
    wanted: dict[str, Any] = {"temperature": 1.0, "top_k": 50, "seed": 7}
    whole = made.generate([4, 5], max_new_tokens=8, **wanted)
    assert whole.seed == 7
    assert whole.token_ids == made.generate([4, 5], max_new_tokens=8, **wanted).token_ids
    others = made.generate([[1], [4, 5], [4, 5], [6] * 5], max_new_tokens=8, **wanted)
    assert others[1].token_ids == others[2].token_ids == whole.token_ids
    begun = made.generate([4, 5], max_new_tokens=3, **wanted).token_ids
    continued = made.generate([4, 5, *begun], max_new_tokens=5, **wanted).token_ids
    assert [*begun, *continued] == whole.token_ids
    seeds = made.generate([[4, 5]] * 3, max_new_tokens=8, **(wanted | {"seed": [8, 7, 9]}))
    assert [each.seed for each in seeds] == [8, 7, 9]
    assert seeds[1].token_ids == whole.token_ids
    assert seeds[0].token_ids != whole.token_ids != seeds[2].token_ids


def test_without_a_seed_each_call_has_another_and_says_which() -> None:
    made, _ = model(noisy)
    first, second = (made.generate([4], max_new_tokens=8, temperature=1.0) for _ in range(2))
    assert first.token_ids != second.token_ids
    again = made.generate([4], max_new_tokens=8, temperature=1.0, seed=first.seed)
    assert again.token_ids == first.token_ids


def test_each_filter_changes_what_is_drawn() -> None:
    made, _ = model(lambda tokens: noisy(tokens) / 4)
    plain = made.generate([4], max_new_tokens=12, temperature=1.0, seed=1).token_ids
    for setting in ({"top_k": 3}, {"top_p": 0.1}, {"min_p": 0.5}):
        found = made.generate([4], max_new_tokens=12, temperature=1.0, seed=1, **setting)
        assert found.token_ids != plain
    assert made.generate([4], max_new_tokens=12, temperature=9.0, seed=1).token_ids != plain


def test_a_penalty_counts_what_is_in_the_prompt_and_what_is_new() -> None:
    made, _ = model(lambda _: np.where(np.arange(VOCABULARY) < 6, 9 - np.arange(VOCABULARY), 0.0))
    assert made.generate([0], max_new_tokens=2).token_ids == [0, 0]
    found = made.generate([0], max_new_tokens=3, repetition_penalty=3.0)
    assert found.token_ids == [1, 2, 3][:1]  # the first is the end
    made.config.__dict__["eos_token_ids"] = ()
    assert made.generate([0], max_new_tokens=3, repetition_penalty=3.0).token_ids == [1, 2, 3]


def test_without_a_tokenizer_tokens_work() -> None:
    made, _ = model(noisy, folder=MODELS / "llama-theta1e6-mha")
    stream = made.generate([4, 5], max_new_tokens=4, stream=True)
    pieces = list(stream)
    assert [str(piece) for piece in pieces] == [""] * 4
    result = stream.result()
    assert result.text == ""
    assert [piece.token_ids for piece in pieces] == [[token] for token in result.token_ids]
    for arguments in ({"prompt": "text"}, {"prompt": [4], "stop": "."}):
        with pytest.raises(
            FormatError, match=r"no tokenizer\.json: pass token ids, text needs one"
        ):
            made.generate(**arguments)


def test_without_the_package_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    made, _ = model(noisy)
    assert len(made.generate([4], max_new_tokens=2).token_ids) == 2
    with pytest.raises(ModuleNotFoundError) as raised:
        made.generate("text")
    assert str(raised.value) == (
        'text needs tokenizers: pip install "threadwise[hf]", or pass token ids'
    )


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    made, _ = model(noisy, folder=tmp_path)
    with pytest.raises(FormatError, match=r"tokenizer\.json is no tokenizer: "):
        made.generate("text")


def test_an_empty_text_begins_with_the_token_before_a_text() -> None:
    made, engine = model(noisy)
    assert made.generate("", max_new_tokens=1).prompt_tokens == 1
    assert engine.calls == [[1]]


REFUSED: Sequence[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ([], {}, DomainError, "prompt is empty, expected at least one token"),
    ([[4], []], {}, DomainError, r"prompt\[1\] is empty, expected at least one token"),
    ([4.5], {}, DTypeError, "prompt is of float64, expected integers: tokens"),
    (np.array([4.5]), {}, DTypeError, "prompt is of float64, expected integers: tokens"),
    (np.zeros((1, 1, 1), int), {}, ShapeError, "prompt has 3 axes, expected tokens of one"),
    (7, {}, DTypeError, r"prompt is 7 \(a int\), expected tokens"),
    ([4], {"max_new_tokens": 0}, DomainError, "max_new_tokens is 0, expected a whole number of at"),
    (
        *([4, 5], {"max_new_tokens": 1023}, DomainError),
        (
            r"prompt has 2 tokens and max_new_tokens is 1023, together more than the 1024 that the "
            r"model is loaded for \(max_context\)"
        ),
    ),
    (
        *([[4], [4, 5]], {"max_new_tokens": 1023}, DomainError),
        r"prompt\[1\] has 2 tokens and max_new_tokens is 1023, together more",
    ),
    ([4], {"seed": -1}, DomainError, "seed is -1, expected a whole number from 0 to"),
    ([4], {"seed": 1.5}, DTypeError, r"seed is 1\.5 \(a float\), expected a whole number"),
    ([4], {"seed": [1, 2]}, ShapeError, "seed has 2 numbers, there are 1 prompts"),
    ([4], {"stop": ""}, DTypeError, "stop has '', expected strings that are not empty"),
    ([4], {"stop": [5]}, DTypeError, "stop has 5, expected strings that are not empty"),
    ([4], {"top_k": 0}, DomainError, "top_k is 0, expected a whole number of at least 1"),
]


@pytest.mark.parametrize(("prompt", "arguments", "error", "sentence"), REFUSED)
def test_what_makes_no_sense_is_one_sentence(
    prompt: Any, arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    made, engine = model(noisy)
    with pytest.raises(error, match=f"^({sentence})"):
        made.generate(prompt, **arguments)
    assert engine.calls == []


def test_forward_takes_rows_of_one_length_and_of_several() -> None:
    made, _ = model(noisy)
    one_row = made.forward([1, 2, 3])
    assert (one_row.shape, one_row.dtype) == ((3, VOCABULARY), np.float32)
    even = made.forward(np.array([[1, 2, 3], [4, 5, 6]]))
    assert even.shape == (2, 3, VOCABULARY)
    ragged = made.forward([[4, 5], [1, 2, 3]])
    assert [each.shape for each in ragged] == [(2, VOCABULARY), (3, VOCABULARY)]
    assert (even[0] == one_row).all()
    assert (ragged[1] == one_row).all()
    cache = made.cache(2)
    made.forward([[1, 2], [4]], cache=cache)
    assert [cache.length(i) for i in range(2)] == [2, 1]
    assert (made.forward([3], cache=cache)[0] == one_row[2]).all()
    with pytest.raises(ShapeError, match="input_ids has 3 sequences, the cache is for 2"):
        made.forward([[1], [2], [3]], cache=cache)
    with pytest.raises(DomainError, match="sequences is 0, expected a whole number of at least 1"):
        made.cache(0)


def test_perplexity_is_that_of_the_definition() -> None:
    made, _ = model(noisy)
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, 40)
    losses = []
    for window in tokens[:36].reshape(3, 12):
        logits = made.forward(window[:-1]).astype(np.float64)
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        losses.append(-np.log(p[np.arange(11), window[1:]]).mean())
    assert made.perplexity(tokens, window=12) == pytest.approx(np.exp(np.mean(losses)), rel=1e-6)
    with pytest.raises(DomainError, match="tokens has 40 elements, expected a window of 41"):
        made.perplexity(tokens, window=41)
    with pytest.raises(DomainError, match="window is 1025, the model is loaded for 1024 tokens"):
        made.perplexity(tokens, window=1025)
    with pytest.raises(DomainError, match="window is 1, expected a whole number of at least 2"):
        made.perplexity(tokens, window=1)


def test_a_model_says_what_it_is() -> None:
    made, _ = model(noisy)
    assert repr(made) == f"<mistral of 2.8 million parameters in 0.0 MB, {SAMPLE}>"
    assert tw.models.CausalLM is CausalLM
