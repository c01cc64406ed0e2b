"""What settings must not be, and the sentences that say so."""

from pathlib import Path
from typing import Any

import pytest

import threadwise as tw
from threadwise.quant import QuantConfig


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("bits", 5, "2, 3, 4 or 8"),
        ("bits", "4", "2, 3, 4 or 8"),
        ("bits", 4.0, "2, 3, 4 or 8"),
        ("group_size", 0, "16, 32, 64, 128, 256 or -1"),
        ("symmetric", 1, "true or false"),
        ("zero_point", "int", "auto, float or integer"),
        ("method", "gptq", "minmax or mse"),
        ("threads", -1, "a whole number from 0 to 1024"),
        ("threads", True, "a whole number from 0 to 1024"),
        ("streaming", "yes", "true or false"),
        ("max_memory", "512Q", 'a number of bytes, such as "512M" or none'),
        ("max_memory", 0, 'a number of bytes, such as "512M" or none'),
        ("include", [1], r"patterns for names of tensors, such as model.layers.0.*"),
        ("exclude", [""], r"patterns for names of tensors, such as model.layers.0.*"),
        ("layer_bits", {"a": 5}, "bits (2, 3, 4 or 8) by pattern, such as *.down_proj=8"),
        ("layer_bits", 4, "bits (2, 3, 4 or 8) by pattern, such as *.down_proj=8"),
        ("min_cosine", 1.01, "a number from 0 to 1"),
        ("min_cosine", float("nan"), "a number from 0 to 1"),
        ("fail_fast", None, "true or false"),
        ("calibration_samples", 0, "a whole number of at least 1"),
        ("num_time_groups", 101, "a whole number from 1 to 100"),
        ("modality", "smell", "text, code, image or audio or none"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(name: str, value: object, expected: str) -> None:
    with pytest.raises(tw.errors.DomainError) as caught:
        QuantConfig(**{name: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"{name} is {value!r}, expected {expected}"


def test_symmetric_quantization_has_no_zero_point_to_choose() -> None:
    with pytest.raises(
        tw.errors.DomainError, match=r"^zero_point is 'float', expected auto for sym"
    ):
        QuantConfig(symmetric=True, zero_point="float")


def test_all_that_is_wrong_with_a_file_is_said_at_once_with_lines(tmp_path: Path) -> None:
    file = tmp_path / "quant.yaml"
    file.write_text("bits: 5\n\ngroup_sizes: 32\nmethod: mse\nmethod: mse\nmin_cosine: high\n")
    with pytest.raises(tw.errors.DomainError) as caught:
        QuantConfig.from_yaml(file)
    assert str(caught.value).splitlines() == [
        "4 settings make no sense:",
        f"  {file}, line 1: bits is 5, expected 2, 3, 4 or 8",
        f"  {file}, line 3: there is no setting 'group_sizes'; did you mean group_size?",
        f"  {file}, line 5: method is there a second time",
        f"  {file}, line 6: min_cosine is 'high', expected a number from 0 to 1",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "bits: [4\n",
            "YAML, line 2: this is not YAML: expected ',' or ']', but got '<stream end>'",
        ),
        ("- bits\n- 4\n", "YAML has no settings, expected lines such as bits: 4"),
        ("[4]: 4\n", "YAML, line 1: expected the name of a setting before the colon"),
        (
            "bits: !!python/name:os.system\n",
            (
                "YAML, line 1: bits cannot be read: could not determine a constructor for the tag "
                "'tag:yaml.org,2002:python/name:os.system'"
            ),
        ),
        ("profile: huge\n", "YAML, line 1: profile is 'huge', expected edge, local, cloud or base"),
        (
            "bits: \x00\n",
            "YAML is not YAML: unacceptable character #x0000: special characters are not allowed",
        ),
    ],
)
def test_a_file_that_cannot_be_understood_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(tw.errors.DomainError) as caught:
        QuantConfig.from_yaml(text)
    assert str(caught.value) == sentence


def test_a_setting_that_nobody_knows_is_answered_with_all_there_are() -> None:
    with pytest.raises(
        tw.errors.DomainError, match=r"no setting 'wxyz'; there are bits, group_size"
    ):
        QuantConfig.from_yaml("wxyz: 1")


def test_a_file_that_is_not_there_or_is_no_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        QuantConfig.from_yaml(tmp_path / "absent.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(tw.errors.DomainError, match=r"is not a text in UTF-8, expected YAML$"):
        QuantConfig.from_yaml(tmp_path / "binary")


def test_all_that_is_wrong_with_the_environment_is_said_at_once() -> None:
    environ = {
        "THREADWISE_QUANT_BITS": "four",
        "THREADWISE_QUANT_SYMETRIC": "true",
        "THREADWISE_QUANT_LAYER_BITS": "a=4,b",
        "THREADWISE_QUANT_STREAMING": "perhaps",
        "THREADWISE_QUANT_METHOD": " ",
        "THREADWISE_NUM_THREADS": "another matter",
    }
    with pytest.raises(tw.errors.DomainError) as caught:
        QuantConfig().with_env(environ)
    assert str(caught.value).splitlines() == [
        "4 settings make no sense:",
        "  THREADWISE_QUANT_BITS is 'four', expected 2, 3, 4 or 8",
        (
            "  THREADWISE_QUANT_SYMETRIC is set, but there is no setting 'symetric'; "
            "did you mean symmetric?"
        ),
        (
            "  THREADWISE_QUANT_LAYER_BITS is 'a=4,b', expected bits (2, 3, 4 or 8) by pattern, "
            "such as *.down_proj=8"
        ),
        "  THREADWISE_QUANT_STREAMING is 'perhaps', expected true or false",
    ]


def test_problems_of_all_sources_are_said_together() -> None:
    with pytest.raises(tw.errors.DomainError) as caught:
        QuantConfig.resolve(
            profile="huge", file="bits: 1", environ={"THREADWISE_QUANT_THREADS": "x"}, threads=-1
        )
    assert str(caught.value).splitlines() == [
        "4 settings make no sense:",
        "  YAML, line 1: bits is 1, expected 2, 3, 4 or 8",
        "  THREADWISE_QUANT_THREADS is 'x', expected a whole number from 0 to 1024",
        "  threads is -1, expected a whole number from 0 to 1024",
        "  profile is 'huge', expected edge, local, cloud or base",
    ]


@pytest.mark.parametrize("call", [QuantConfig.resolve, QuantConfig().replace])
def test_an_argument_that_is_no_setting_is_answered_with_the_nearest(call: Any) -> None:
    with pytest.raises(TypeError, match=r"^there is no setting 'bit'; did you mean bits\?$"):
        call(bit=4)
