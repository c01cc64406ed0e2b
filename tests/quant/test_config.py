"""Settings: what they may be, where they come from, and who wins."""

import copy
import pickle
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreters import run
from threadwise.quant import QuantConfig
from threadwise.quant._arguments import BITS, GROUP_SIZES
from threadwise.quant._settings import SETTINGS

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters=",=", categories=("L", "N")), min_size=1
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bits": st.sampled_from(BITS),
    "group_size": st.sampled_from(GROUP_SIZES),
    "zero_point": st.sampled_from(["auto", "integer", "float"]),
    "method": st.sampled_from(["mse", "minmax"]),
    "threads": st.integers(0, 1024),
    "streaming": st.booleans(),
    "max_memory": st.none() | st.integers(1, 2**60),
    "include": st.lists(NAMES),
    "exclude": st.lists(NAMES),
    "layer_bits": st.dictionaries(NAMES, st.sampled_from(BITS)),
    "min_cosine": st.floats(0, 1),
    "fail_fast": st.booleans(),
    "calibration_samples": st.integers(1, 10**6),
    "num_time_groups": st.integers(1, 100),
    "modality": st.sampled_from([None, "text", "code", "image", "audio"]),
}
SETTINGS_OF_ALL_KINDS = st.fixed_dictionaries({}, optional=VALUES)


def written(value: object) -> str:
    """Return a value as one writes it into the environment."""
    if isinstance(value, dict):
        return ",".join(f"{glob}={bits}" for glob, bits in value.items())
    return ",".join(value) if isinstance(value, list) else str(value)


@given(SETTINGS_OF_ALL_KINDS)
def test_arguments_yaml_and_environment_say_the_same(settings: dict[str, Any]) -> None:
    config = QuantConfig(**settings)
    assert QuantConfig.from_yaml(config.to_yaml()) == config
    spoken = {name: text for name, value in settings.items() if (text := written(value))}
    environ = {f"THREADWISE_QUANT_{name.upper()}": text for name, text in spoken.items()}
    assert QuantConfig().with_env(environ) == config
    assert QuantConfig.resolve(environ=environ) == config


def test_every_setting_is_a_field_and_has_been_thought_of_here() -> None:
    assert list(QuantConfig.__dataclass_fields__) == list(SETTINGS)
    assert set(SETTINGS) == {*VALUES, "symmetric"}


SOURCES = ["profile", "file", "environment", "argument"]
BY_SOURCE = {"profile": 256, "file": 16, "environment": 64, "argument": -1}


def resolved(sources: tuple[str, ...]) -> QuantConfig:
    """Return what comes of a group size from each of `sources`."""
    size = {source: str(BY_SOURCE[source]) for source in sources}
    return QuantConfig.resolve(
        profile="edge" if "profile" in sources else None,
        file=f"group_size: {size['file']}" if "file" in sources else None,
        environ={"THREADWISE_QUANT_GROUP_SIZE": size["environment"]}
        if "environment" in size
        else {},
        **({"group_size": BY_SOURCE["argument"]} if "argument" in sources else {}),
    )


@pytest.mark.parametrize(("weak", "strong"), list(combinations(SOURCES, 2)))
def test_the_stronger_source_of_each_pair_wins(weak: str, strong: str) -> None:
    config = resolved((weak, strong))
    assert config.group_size == BY_SOURCE[strong]
    assert config.source("group_size") == strong


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_wins_over_the_default(source: str) -> None:
    assert QuantConfig().group_size == 32
    config = resolved((source,))
    assert config.group_size == BY_SOURCE[source]
    assert config.source("group_size") == source
    assert config.source("method") == "default"


def test_the_order_is_that_of_the_sources_and_not_of_the_calls() -> None:
    environ = {"THREADWISE_QUANT_BITS": "2", "THREADWISE_QUANT_GROUP_SIZE": "64"}
    assert QuantConfig(bits=8).with_env(environ) == QuantConfig(bits=8, group_size=64)
    from_file = QuantConfig.from_yaml("{bits: 3, group_size: 16, threads: 2}").with_env(environ)
    assert from_file == QuantConfig(bits=2, group_size=64, threads=2)
    assert from_file.replace(bits=8).with_env(environ).bits == 8
    assert QuantConfig.from_profile("edge").with_env(environ).min_cosine == 0.65


@pytest.mark.parametrize(
    ("weak", "strong"), list(combinations(["file", "environment", "argument"], 2))
)
def test_a_profile_may_be_named_anywhere_and_stays_below_what_is_said_itself(
    weak: str, strong: str
) -> None:
    names = {weak: "edge", strong: "cloud"}
    config = QuantConfig.resolve(
        profile=names.get("argument"),
        file=f"profile: {names['file']}\nmin_cosine: 0.5\n"
        if "file" in names
        else "min_cosine: 0.5",
        environ={"THREADWISE_QUANT_PROFILE": names.get("environment", "")},
    )
    assert (config.bits, config.group_size) == (8, 64)
    assert (config.min_cosine, config.source("min_cosine")) == (0.5, "file")


def test_an_argument_that_names_a_profile_is_stronger_than_the_environment() -> None:
    environ = {"THREADWISE_QUANT_PROFILE": "cloud"}
    assert QuantConfig.from_profile("edge").with_env(environ).bits == 2


PROFILES = {
    "edge": [2, 256, True, 0.65, 32, 5],
    "local": [4, 128, True, 0.85, 128, 10],
    "cloud": [8, 64, False, 0.95, 512, 20],
    "base": [4, 128, True, 0.90, 128, 1],
}


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_say_what_their_table_says(name: str) -> None:
    documented = re.findall(
        r"^ *`(\w+)` +(.+)$", QuantConfig.from_profile.__doc__ or "", re.MULTILINE
    )
    settings = [setting for setting, _ in documented]
    config = QuantConfig.from_profile(name)
    assert config == QuantConfig(**dict(zip(settings, PROFILES[name], strict=True)))
    column = list(PROFILES).index(name)
    lines = [f"{setting}: {row.split()[column]}" for setting, row in documented]
    assert QuantConfig.from_yaml("\n".join(lines)) == config


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 512 * 2**20), ("1.5GiB", 3 * 2**29), ("2 GB", 2 * 10**9), ("4096", 4096), ("7B", 7)],
)
def test_sizes_can_be_written_with_units(text: str, size: int) -> None:
    assert QuantConfig(max_memory=text).max_memory == size  # type: ignore[arg-type]


def test_an_empty_file_says_nothing() -> None:
    assert QuantConfig.from_yaml("# nothing\n") == QuantConfig()


def test_the_environment_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADWISE_QUANT_FAIL_FAST", "on")
    assert QuantConfig().with_env().fail_fast
    assert QuantConfig.resolve().fail_fast
    assert not QuantConfig().fail_fast


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("model.layers.0.self_attn.q_proj.weight", 4),
        ("model.layers.0.mlp.gate_proj.weight", 4),
        ("model.layers.11.mlp.down_proj.weight", 8),
        ("model.embed_tokens.weight", None),
        ("model.layers.0.input_layernorm.weight", None),
        ("model.layers.0.mlp.gate.weight", None),
        ("model.norm.weight", None),
        ("lm_head.weight", None),
        ("transformer.h.0.attn.c_attn.bias", None),
        ("transformer.wte.weight", None),
        ("transformer.h.0.ln_1.weight", None),
        ("bert.encoder.layer.0.attention.output.dense.weight", 4),
    ],
)
def test_matrices_between_embeddings_and_head_are_quantized(name: str, bits: int | None) -> None:
    config = QuantConfig(layer_bits={"*.down_proj": 8, "*.1?.mlp.*": 2})
    assert config.bits_of(name) == bits


def test_patterns_choose_tensors() -> None:
    config = QuantConfig(include=["*.q_proj", "lm_head"], exclude="model.layers.0.*")
    assert config.bits_of("model.layers.1.self_attn.q_proj.weight") == 4
    assert config.bits_of("model.layers.0.self_attn.q_proj.weight") is None
    assert config.bits_of("model.layers.1.self_attn.k_proj.weight") is None
    assert config.bits_of("lm_head.weight") == 4
    assert QuantConfig(include="lm_head.weight").bits_of("lm_head.weight") == 4


def test_zero_points_follow_bits_unless_they_are_chosen() -> None:
    automatic = QuantConfig()
    assert [automatic.zero_point_of(bits) for bits in BITS] == [
        "float",
        "float",
        "integer",
        "integer",
    ]
    assert {QuantConfig(symmetric=True).zero_point_of(bits) for bits in BITS} == {"symmetric"}
    for chosen in ("integer", "float"):
        assert {QuantConfig(zero_point=chosen).zero_point_of(bits) for bits in BITS} == {chosen}


def test_a_configuration_is_a_value() -> None:
    config = QuantConfig.from_profile("edge").replace(layer_bits={"*.v_proj": 3})
    for other in (pickle.loads(pickle.dumps(config)), copy.deepcopy(config)):  # noqa: S301
        assert other == config
        assert other.source("group_size") == "profile"
        assert other.source("layer_bits") == "argument"
    with pytest.raises(AttributeError):
        config.bits = 4  # type: ignore[misc]
    assert repr(QuantConfig(bits=2, include="a*")) == "QuantConfig(bits=2, include=('a*',))"


def test_yaml_is_written_to_a_file_that_is_whole_or_absent(tmp_path: Path) -> None:
    config = QuantConfig(max_memory="512M", layer_bits={"*.v_proj": 3})  # type: ignore[arg-type]
    path = tmp_path / "quant.yaml"
    assert config.to_yaml(path) == path.read_text()
    assert QuantConfig.from_yaml(str(path)) == config
    with pytest.raises(OSError, match="absent"):
        config.to_yaml(tmp_path / "absent" / "quant.yaml")
    assert [each.name for each in tmp_path.iterdir()] == ["quant.yaml"]


def test_only_yaml_needs_a_package_of_others() -> None:
    program = """
        import sys
        sys.modules["yaml"] = None
        from threadwise.quant import QuantConfig
        print(QuantConfig.resolve(bits=8, environ={}))
        try:
            QuantConfig.from_yaml("bits: 4")
        except ModuleNotFoundError as error:
            print(error)
    """
    printed = run(program).splitlines()
    assert printed == [
        "QuantConfig(bits=8)",
        'settings in YAML need PyYAML: pip install "threadwise[cli]"',
    ]


def test_importing_the_package_does_not_import_quantization() -> None:
    program = """
        import sys
        import threadwise as tw
        print([name for name in sys.modules if name.startswith("threadwise.quant")])
        print(tw.quant.QuantConfig())
    """
    assert run(program).splitlines() == ["[]", "QuantConfig()"]
