import json
import math
from pathlib import Path
from typing import Any

import pytest

import threadwise as tw
from decoder import shapes
from mistral import MODELS, SAMPLE
from threadwise.errors import FormatError
from threadwise.models import ModelConfig

SHAPE: dict[str, Any] = {
    "vocab_size": 10,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
}
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def config(model_type: str = "llama", **settings: Any) -> ModelConfig:
    return ModelConfig.of({"model_type": model_type, **SHAPE, **settings})


def test_reads_what_transformers_5_writes() -> None:
    found = ModelConfig.load(SAMPLE)
    assert found == ModelConfig(
        architecture="mistral",
        vocab_size=1024,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        sliding_windows=(256,) * 6,
        bos_token_id=0,
        eos_token_ids=(1,),
    )
    assert ModelConfig.load(MODELS / "llama-theta1e6-mha").rope_theta == 1e6
    assert ModelConfig.load(MODELS / "mistral-window16-tied").tie_word_embeddings


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_counts_the_parameters(biased: bool, tied: bool) -> None:
    found = config(
        attention_bias=biased, mlp_bias=biased, tie_word_embeddings=tied, num_key_value_heads=2
    )
    assert found.parameters == sum(math.prod(shape) for shape in shapes(found).values())


def test_what_is_left_out_is_what_transformers_takes_for_it() -> None:
    llama = config()
    assert (llama.num_key_value_heads, llama.head_dim) == (6, 4)
    assert (llama.rms_norm_eps, llama.rope_theta, llama.rope_scaling) == (1e-6, 10000.0, None)
    assert (llama.max_position_embeddings, llama.sliding_windows) == (2048, (None,) * 4)
    assert (llama.tie_word_embeddings, llama.qkv_bias, llama.eos_token_ids) == (False, False, ())
    mistral = config("mistral", num_attention_heads=8, head_dim=4)
    assert (mistral.num_key_value_heads, mistral.sliding_windows) == (8, (4096,) * 4)
    assert mistral.max_position_embeddings == 131072
    qwen = config("qwen2", num_key_value_heads=2)
    assert (qwen.qkv_bias, qwen.output_bias, qwen.sliding_windows) == (True, False, (None,) * 4)
    assert qwen.max_position_embeddings == 32768


def test_heads_may_be_as_wide_as_they_like() -> None:
    assert config(head_dim=10).head_dim == 10
    assert config("mistral", num_key_value_heads=1, head_dim=None).head_dim == 4


def test_an_architecture_is_found_by_the_name_of_its_class() -> None:
    found = ModelConfig.of(
        {"architectures": ["Qwen2ForCausalLM"], **SHAPE, "num_key_value_heads": 3}
    )
    assert found.architecture == "qwen2"


@pytest.mark.parametrize("name", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("key", ["rope_type", "type"])
def test_reads_how_positions_are_scaled(name: str, key: str) -> None:
    def scaled(how: Any, **others: Any) -> ModelConfig:
        return config("llama", **({name: how} | others))

    found = scaled({key: "llama3", **LLAMA3}, rope_theta=5e5)
    assert found.rope_theta == 5e5
    assert found.rope_scaling == {"rope_type": "llama3"} | LLAMA3
    linear = scaled({key: "linear", "factor": 2, "rope_theta": 7})
    assert (linear.rope_theta, linear.rope_scaling) == (7, {"rope_type": "linear", "factor": 2.0})
    assert scaled({key: "default"}).rope_scaling is None
    assert scaled(None).rope_scaling is None


def test_windows_are_those_of_each_layer() -> None:
    assert config("mistral", num_key_value_heads=6, sliding_window=None).sliding_windows == (
        (None,) * 4
    )
    assert config("llama", sliding_window=7).sliding_windows == (None,) * 4
    qwen: dict[str, Any] = {"num_key_value_heads": 2, "sliding_window": 7, "max_window_layers": 3}
    assert config("qwen2", **qwen).sliding_windows == (None,) * 4
    assert config("qwen2", **qwen, use_sliding_window=True).sliding_windows == (
        *(None, None, None),
        7,
    )
    kinds = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
    found = config("qwen2", **qwen, use_sliding_window=True, layer_types=kinds)
    assert found.sliding_windows == (7, None, None, 7)


def test_llama_may_have_biases() -> None:
    found = config(attention_bias=True)
    assert (found.qkv_bias, found.output_bias, found.mlp_bias) == (True, True, False)
    assert config(mlp_bias=True).mlp_bias
    assert not config("mistral", num_key_value_heads=6, attention_bias=True).qkv_bias


def test_the_settings_of_generation_say_what_ends_a_text() -> None:
    settings = {"model_type": "llama", **SHAPE, "eos_token_id": 1}
    assert ModelConfig.of(settings).eos_token_ids == (1,)
    assert ModelConfig.of(settings, generation={"eos_token_id": [2, 3]}).eos_token_ids == (2, 3)
    assert ModelConfig.of(settings, generation={}).eos_token_ids == (1,)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"model_type": "gpt2"},
            "config: model_type is 'gpt2', expected one of llama, mistral, qwen2",
        ),
        (
            {"model_type": None, "architectures": ["BertModel"]},
            (
                "config: model_type is not there, architectures are ['BertModel'], expected one of "
                "llama, mistral, qwen2"
            ),
        ),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            (
                "config: architectures are ['LlamaForSequenceClassification'], expected "
                "LlamaForCausalLM, which says what comes next"
            ),
        ),
        (
            {"vocab_size": None},
            "config: vocab_size is not there, expected a whole number of at least 1",
        ),
        (
            {"num_hidden_layers": 2.0},
            "config: num_hidden_layers is 2.0, expected a whole number of at least 1",
        ),
        ({"hidden_act": "gelu"}, "config: hidden_act is 'gelu', expected 'silu' or 'swish'"),
        (
            {"num_key_value_heads": 4},
            (
                "config: num_key_value_heads is 4, expected a divisor of num_attention_heads, "
                "which is 6"
            ),
        ),
        (
            {"num_attention_heads": 5},
            (
                "config: hidden_size is 24, expected an even number of columns for each of 5 "
                "heads, or a head_dim"
            ),
        ),
        ({"head_dim": 3}, "config: head_dim is 3, expected an even number, for pairs that"),
        ({"rms_norm_eps": 0}, "config: rms_norm_eps is 0, expected a positive number"),
        ({"rms_norm_eps": float("nan")}, "config: rms_norm_eps is nan, expected a positive number"),
        ({"tie_word_embeddings": 1}, "config: tie_word_embeddings is 1, expected true or false"),
        ({"eos_token_id": "</s>"}, "config: eos_token_id is '</s>', expected a token, a list of"),
        ({"rope_scaling": "yarn"}, "config: rope_scaling is 'yarn', expected an object of JSON"),
        (
            {"rope_parameters": {"full_attention": {"rope_theta": 5.0}}},
            (
                "config: rope_parameters is {'full_attention': {'rope_theta': 5.0}}, expected "
                "numbers for all layers"
            ),
        ),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}},
            "config, rope_parameters: rope_type is 'yarn', expected one of default, linear, llama3",
        ),
        (
            {"rope_scaling": {"type": "linear"}},
            "config, rope_scaling: factor is not there, expected a positive number",
        ),
        (
            {"rope_parameters": {"rope_theta": -1}},
            "config, rope_parameters: rope_theta is -1, expected a positive number",
        ),
        (
            {"rope_parameters": {"partial_rotary_factor": 0.5}},
            "config, rope_parameters: partial_rotary_factor is 0.5, expected 1: whole heads are",
        ),
        (
            {"layer_types": ["full_attention"]},
            "config: layer_types is ['full_attention'], expected 4 words, each full_attention or",
        ),
        (
            {"layer_types": ["sliding_attention"] * 4},
            (
                "config: layer_types is ['sliding_attention', 'sliding_attention', "
                "'sliding_attention', 'sliding_attention'], expected full_attention alone, where"
            ),
        ),
    ],
)
def test_what_makes_no_sense_is_one_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FormatError) as raised:
        config(**settings)
    assert str(raised.value).startswith(sentence)


def test_a_directory_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"has no config\.json, expected the directory of a mod"):
        ModelConfig.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FormatError, match=r"config\.json is not JSON: Expecting"):
        ModelConfig.load(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(FormatError, match=r"config\.json is no object of JSON, expected settings"):
        ModelConfig.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **SHAPE}))
    assert ModelConfig.load(tmp_path) == config()


def test_the_samples_are_there() -> None:
    assert tw.samples.names() == ("stdlib-mistral-2.8m",)
    files = {file.name for file in tw.samples.path("stdlib-mistral-2.8m").iterdir()}
    assert files == {
        *("config.json", "generation_config.json", "heldout_tokens.npy", "model.safetensors"),
        "tokenizer.json",
    }
    with pytest.raises(tw.errors.DomainError, match=r"no sample 'gpt', expected one of stdlib-mis"):
        tw.samples.path("gpt")
