"""Models in ranks and stages compute what they compute in one piece."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

import threadwise as tw
from decoder import SMALL, draw_weights, write
from mistral import MODELS, SAMPLE
from threadwise.errors import DomainError
from threadwise.models import CausalLM, ModelConfig
from threadwise.models._parts import Parts, cut
from threadwise.shard import PipelineConfig

Array = NDArray[np.float32]
NAMES = ["stdlib-mistral-2.8m", "mistral-window16-tied", "llama-theta1e6-mha"]
WORLDS = [1, 2, 3, 4, 5, 8]
LENGTHS = (300, 7, 90, 1)
"""Of prompts that are read together: a long one, short ones, and a single token."""


def load(name: str, **options: Any) -> CausalLM:
    folder = SAMPLE if name == SAMPLE.name else MODELS / name
    return tw.models.load(folder, **({"kv_dtype": "float32", "activations": "float"} | options))


def prompts(model: CausalLM) -> list[Any]:
    rng = np.random.default_rng(0)
    vocabulary = model.config.vocab_size
    return [rng.integers(0, vocabulary, min(n, model.max_context - 2)) for n in LENGTHS]


def read(model: CausalLM) -> list[Array]:
    """Return logits of prompts, and of two tokens behind each, read one by one."""
    cache, rows = model.cache(len(LENGTHS)), prompts(model)
    found = list(model.forward(rows, cache=cache))
    for token in (3, 5):
        found += list(model.forward([[token]] * len(rows), cache=cache))
    return found


@pytest.fixture(scope="module", params=NAMES)
def whole(request: Any) -> tuple[str, list[Array]]:
    return request.param, read(load(request.param))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_stages_have_the_bits_of_one(whole: tuple[str, list[Array]], threads: int) -> None:
    name, expected = whole
    for stages in range(2, 5):
        if stages > ModelConfig.load(load(name)._folder).num_hidden_layers:  # noqa: SLF001
            continue
        found = read(load(name, pipeline_stages=stages, threads=threads))
        for one, other in zip(expected, found, strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("world", WORLDS)
def test_ranks_have_the_logits_of_one_and_the_same_bits_on_each_run(
    whole: tuple[str, list[Array]], world: int, stages: int
) -> None:
    name, expected = whole
    model = load(name, tensor_parallel=world, pipeline_stages=stages)
    runs = [read(model) for _ in range(3)]
    for one, *others in zip(expected, *runs, strict=True):
        assert np.abs(one - others[0]).max() <= 1e-4
        for other in others[1:]:
            assert_array_equal(other, others[0])


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_models_have_the_bits_of_one_stage(bits: int) -> None:
    options = {"quantize": bits, "activations": "int8", "kv_dtype": "int8"}
    expected = read(load(SAMPLE.name, **options))
    for one, other in zip(
        expected, read(load(SAMPLE.name, pipeline_stages=3, **options)), strict=True
    ):
        assert_array_equal(one, other)


@pytest.mark.parametrize("world", WORLDS)
def test_ranks_of_a_quantized_model_have_its_logits(world: int) -> None:
    expected = read(load(SAMPLE.name, quantize=4))
    for one, other in zip(
        expected, read(load(SAMPLE.name, quantize=4, tensor_parallel=world)), strict=True
    ):
        assert np.abs(one - other).max() <= 1e-4


@pytest.mark.parametrize(
    "options",
    [{"tensor_parallel": n} for n in WORLDS] + [{"pipeline_stages": n} for n in (2, 3, 4)],
)
def test_texts_are_those_of_one(options: dict[str, int]) -> None:
    asked = ["def main(", "class ", "import os\n"]
    said = load(SAMPLE.name).generate(asked, max_new_tokens=20)
    found = load(SAMPLE.name, **options).generate(asked, max_new_tokens=20)
    assert [each.token_ids for each in found] == [each.token_ids for each in said]


@pytest.mark.parametrize("world", WORLDS[1:])
def test_each_rank_has_its_shard_alone(world: int) -> None:
    config = ModelConfig.load(SAMPLE)
    sharded = load(SAMPLE.name, tensor_parallel=world)
    engine = sharded._engine  # noqa: SLF001
    assert isinstance(engine, Parts)
    d, f, e = config.hidden_size, config.intermediate_size, config.head_dim
    table = 2 * config.vocab_size * d
    tables = table * (1 if config.tie_word_embeddings else 2)
    for rank, held in enumerate(engine.rank_nbytes):
        shard = tw.shard.TensorParallelConfig(world, rank)
        plan = tw.shard.HeadPlan(config.num_attention_heads, config.num_key_value_heads, shard)
        numbers = 2 * len(plan.query) * e * d + 2 * len(plan.kv) * e * d
        numbers += 3 * shard.local_size(f) * d
        norms = 4 * d * (2 * config.num_hidden_layers + 1)
        assert held == tables + 2 * numbers * config.num_hidden_layers + norms
    assert sharded.nbytes == sum(engine.rank_nbytes)


def test_a_rank_keeps_keys_of_its_heads_alone() -> None:
    def kept(**options: int) -> int:
        model = load(SAMPLE.name, **options)
        cache = model.cache()
        model.forward(np.arange(200), cache=cache)
        return cache.nbytes

    assert kept(tensor_parallel=2) == kept(pipeline_stages=2) == kept()
    plans = [tw.shard.HeadPlan(6, 2, tw.shard.TensorParallelConfig(4, rank)) for rank in range(4)]
    heads = sum(len(plan.kv) for plan in plans)
    assert heads == 5  # two queries of the second rank are neighbors, and look at different keys
    assert kept(tensor_parallel=4) * 2 == kept() * heads


def test_layers_that_see_differently_may_be_of_one_stage(tmp_path: Path) -> None:
    settings = SMALL | {
        "model_type": "qwen2",
        "num_hidden_layers": 4,
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 1,
    }
    config = ModelConfig.of(settings)
    folder = write(tmp_path / "model", settings, draw_weights(config))
    ids = np.arange(40) % config.vocab_size

    def logits(**options: Any) -> Any:
        return tw.models.load(folder, kv_dtype="float32", **options).forward(ids)

    expected = logits()
    for stages in (2, 3, 4):
        assert_array_equal(logits(pipeline_stages=stages), expected)
    shared = logits(pipeline_stages=2, tensor_parallel=3)
    assert np.abs(shared - expected).max() <= 1e-4


def test_stages_are_cut_between_layers_and_where_layers_see_otherwise() -> None:
    config = ModelConfig.of(SMALL | {"num_hidden_layers": 5})
    spans = [((0, 1), None), ((1, 5), 7)]
    assert cut(spans, config, 2) == [[((0, 1), None), ((1, 3), 7)], [((3, 5), 7)]]
    assert cut(spans, config, 5) == [[((0, 1), None)], *([((i, i + 1), 7)] for i in range(1, 5))]


def test_more_stages_than_layers_are_refused() -> None:
    with pytest.raises(DomainError, match=r"^pipeline_stages is 7, expected at most 6, the number"):
        load(SAMPLE.name, pipeline_stages=7)


@pytest.mark.parametrize("options", [{"pipeline_stages": 2}, {"tensor_parallel": 2}])
def test_a_cache_of_another_number_of_parts_is_refused(options: dict[str, int]) -> None:
    model = load(SAMPLE.name, **options)
    with pytest.raises(
        DomainError, match=r"^the cache has 1 parts, the model 2: expected the cach"
    ):
        model.forward([1], cache=load(SAMPLE.name).cache())


@pytest.mark.parametrize(
    ("options", "kept", "sentence"),
    [
        ({"pipeline_stages": 2}, [1, 0], "the first layer of a share is 3, expected 0"),
        ({"pipeline_stages": 2}, [0], "the number of layers is 3, expected 6"),
        ({"tensor_parallel": 2}, [1, 0], "the rank of a share is 1, expected 0"),
        ({"tensor_parallel": 2}, [0], "the number of ranks is 1, expected 2"),
        ({"tensor_parallel": 2}, [], "the number of stages is 0, expected at least 1, of at lea"),
    ],
)
def test_parts_that_are_no_whole_are_refused(
    options: dict[str, int], kept: list[int], sentence: str
) -> None:
    model = load(SAMPLE.name, **options)
    engine = model._engine  # noqa: SLF001
    assert isinstance(engine, Parts)
    shares = [engine._models[part] for part in kept]  # noqa: SLF001
    if "pipeline_stages" in options:
        wrong = Parts([[[share]] for share in shares], PipelineConfig())
    else:
        wrong = Parts([[shares]], PipelineConfig())
    with pytest.raises(DomainError, match=f"^{sentence}"):
        wrong.forward([np.array([1])], [0], wrong.cache(1, 9, "float32"), "all", None)


def test_parts_that_have_read_differently_are_refused() -> None:
    model = load(SAMPLE.name, pipeline_stages=2)
    cache = model.cache()
    model.forward([1, 2, 3], cache=cache)
    cache.parts[1].truncate(0, 2)
    with pytest.raises(DomainError, match=r"^the length of a sequence is 2, expected 3, as before"):
        model.forward([4], cache=cache)


@pytest.mark.parametrize("options", [{"pipeline_stages": 3}, {"tensor_parallel": 3}])
def test_an_error_of_a_part_reaches_the_caller_and_nothing_has_changed(
    options: dict[str, int],
) -> None:
    model = load(SAMPLE.name, **options)
    cache, small = model.cache(), model.cache(max_context=90)
    cache.parts[1:] = small.parts[1:]
    ids = np.arange(200)
    model.forward(ids[:80], cache=cache)
    with pytest.raises(DomainError, match=r"at most 90, the max_context of the cache"):
        model.forward(ids[80:], cache=cache)
    assert [part.length(0) for part in cache.parts] == [80] * 3
    after = model.forward(ids[80:85], cache=cache)
    assert_array_equal(after, model.forward(ids[:85], cache=model.cache())[80:])


@pytest.mark.timing
def test_the_report_says_how_much_of_the_time_stages_worked() -> None:
    model = load(SAMPLE.name, pipeline_stages=2)
    assert model.pipeline_report is None
    model.forward(np.arange(512))
    report = model.pipeline_report
    assert report is not None
    batches, stages = report.micro_batches, len(report.busy)
    assert (batches, stages) == (8, 2)
    assert report.ideal_bubble == pytest.approx((stages - 1) / (batches + stages - 1))
    assert report.bubble == pytest.approx(1 - sum(report.busy) / (stages * report.seconds))
    assert 0 < report.bubble < 1
    model.generate([1, 2, 3], max_new_tokens=3)
    report = model.pipeline_report
    assert report is not None
    # One sequence's next token is one micro-batch, for which each stage waits.
    assert report.micro_batches == 1
    assert report.ideal_bubble == 0.5


def test_one_piece_has_no_report() -> None:
    model = load(SAMPLE.name)
    model.forward([1])
    assert model.pipeline_report is None
