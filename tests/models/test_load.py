"""What is refused when a model is loaded or used."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import threadwise as tw
from decoder import SMALL, draw_weights, write
from mistral import MODELS, SAMPLE
from threadwise.errors import DomainError, DTypeError, FormatError, StorageError
from threadwise.models import ModelConfig

SETTINGS = SMALL | {"model_type": "qwen2"}


def written(folder: Path, **changes: Any) -> Path:
    """Write a model of which some tensors are others, or are not there for None."""
    weights = draw_weights(ModelConfig.of(SETTINGS)) | changes
    kept = {name: weight for name, weight in weights.items() if weight is not None}
    return write(folder / "model", SETTINGS, kept)


NAME = "model.layers.1.self_attn.k_proj"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({f"{NAME}.weight": None}, rf"{NAME}\.weight"),
        ({f"{NAME}.bias": None}, rf"{NAME}\.bias"),
        ({"lm_head.weight": None}, r"lm_head\.weight"),
        ({"model.layers.3.more.weight": np.zeros(3)}, r"model\.layers\.3\.more\.weight"),
        ({f"{NAME}.weight": np.zeros((16, 47), np.float32)}, rf"{NAME}\.weight.*16.*47"),
        ({f"{NAME}.weight": np.zeros((16, 48), np.int32)}, rf"{NAME}\.weight.*I32"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=sentence) as raised:
        tw.models.load(written(tmp_path, **changes))
    assert "\n" not in str(raised.value)


def test_what_older_files_have_besides_is_passed_over(tmp_path: Path) -> None:
    inverse = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(4, np.float32)}
    tw.models.load(written(tmp_path, **inverse))


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"kv_dtype": "bfloat16"}, DomainError, "kv_dtype is 'bfloat16', expected 'float32', 'fl"),
        ({"kv_dtype": 16}, DTypeError, r"kv_dtype is 16 \(a int\), expected 'float32', 'float16'"),
        ({"activations": "int4"}, DomainError, "activations is 'int4', expected 'int8' or 'float"),
        ({"threads": 0}, DomainError, "threads is 0, expected a whole number from 1 to 1024"),
        ({"max_context": 0}, DomainError, "max_context is 0, expected a whole number of at least"),
        ({"tensor_parallel": 0}, DomainError, "tensor_parallel is 0, expected a whole number from"),
        ({"pipeline_stages": 0}, DomainError, "pipeline_stages is 0, expected a whole number from"),
        ({"quantize": 5}, DomainError, "bits is 5, expected 2, 3, 4 or 8"),
        ({"config": 5}, DTypeError, "config is a int, expected a ModelConfig, a mapping of s"),
    ],
)
def test_arguments_that_make_no_sense_are_one_sentence(
    arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=f"^{sentence}"):
        tw.models.load(SAMPLE, **arguments)


def test_how_a_model_is_spread_may_be_said_at_once(tmp_path: Path) -> None:
    folder, ids = written(tmp_path), range(30)
    expected = tw.models.load(folder, tensor_parallel=2, pipeline_stages=2).forward(ids)
    spread = tw.shard.ParallelConfig(threads=3, tensor_parallel=2, pipeline_stages=2)
    model = tw.models.load(folder, config=spread)
    assert model.threads == 3
    assert model.forward(ids).tobytes() == expected.tobytes()
    with pytest.raises(DomainError, match="config says threads, ranks and stages: expected no thr"):
        tw.models.load(folder, config=spread, threads=2)
    chosen = tw.shard.ParallelConfig.for_model(model.config)
    assert tw.models.load(folder, config=chosen).threads == chosen.threads


def test_what_is_quantized_is_not_quantized_again() -> None:
    with pytest.raises(FormatError, match="is quantized already, expected a model of floating"):
        tw.models.load(MODELS / "stdlib-mistral-2.8m-w4a16-sym-g32", quantize=4)


def test_a_directory_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    with pytest.raises((FormatError, StorageError), match=str(tmp_path)):
        tw.models.load(tmp_path)
    with pytest.raises(StorageError, match=r"nowhere is not there, expected the directory of a"):
        tw.models.load(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r"nowhere is not there, expected the directory of a"):
        ModelConfig.load(tmp_path / "nowhere")


def test_sequences_end_where_the_context_does(tmp_path: Path) -> None:
    model = tw.models.load(written(tmp_path), max_context=20)
    assert model.max_context == 20
    assert model.forward(range(20)).shape == (20, 83)
    with pytest.raises(DomainError, match=r"21.*20"):
        model.forward(range(21))
    cache = model.cache(max_context=8)
    model.forward(range(5), cache=cache)
    with pytest.raises(DomainError, match="8"):
        model.forward(range(4), cache=cache)
    assert cache.length() == 5
    model.forward(range(3), cache=cache)
    assert len(model.generate([4], max_new_tokens=19).token_ids) == 19
    with pytest.raises(DomainError, match=r"together more than the 20 that the model is loaded"):
        model.generate([4], max_new_tokens=20)


def test_a_cache_says_how_much_it_holds(tmp_path: Path) -> None:
    model = tw.models.load(written(tmp_path), max_context=20)
    for sequences, named in ((1, "1 sequence"), (2, "2 sequences")):
        said = f"<float16 keys and values for {named} of up to 8 tokens: 0 bytes>"
        assert repr(model.cache(sequences, max_context=8)) == said


def test_tokens_outside_the_vocabulary_are_named(tmp_path: Path) -> None:
    model = tw.models.load(written(tmp_path))
    for token in (83, -1):
        with pytest.raises(DomainError, match=f"{token}"):
            model.forward([[1, 2], [3, token]])
        with pytest.raises(DomainError, match=f"{token}"):
            model.generate([3, token], max_new_tokens=2, repetition_penalty=2.0)


def test_a_cache_of_another_model_is_refused(tmp_path: Path) -> None:
    model, other = tw.models.load(written(tmp_path)), tw.models.load(SAMPLE)
    with pytest.raises(DomainError, match="cache"):
        model.forward([1], cache=other.cache())


def test_several_python_threads_may_use_a_model(tmp_path: Path) -> None:
    model = tw.models.load(written(tmp_path))
    expected = model.generate([1, 2, 3], max_new_tokens=50).token_ids
    found: list[list[int]] = []

    def work() -> None:
        found.extend(model.generate([1, 2, 3], max_new_tokens=50).token_ids for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 12
