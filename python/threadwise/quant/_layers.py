"""Settings from files and from the environment, and everything that is wrong with them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from threadwise.errors import DomainError
from threadwise.quant._settings import SETTINGS, check, nearest, words

__all__ = [
    "PREFIX",
    "PROFILES",
    "Layer",
    "check_layer",
    "dump",
    "from_environment",
    "from_text",
    "refuse",
    "text_of",
]

PREFIX = "THREADWISE_QUANT_"

Layer = dict[str, Any]
"""Settings by name, those that one source has; ``"profile"`` among them is the name of one."""

PROFILES: dict[str, Layer] = {
    "edge": {
        "bits": 2,
        "group_size": 256,
        "streaming": True,
        "min_cosine": 0.65,
        "calibration_samples": 32,
        "num_time_groups": 5,
    },
    "local": {
        "bits": 4,
        "group_size": 128,
        "streaming": True,
        "min_cosine": 0.85,
        "calibration_samples": 128,
        "num_time_groups": 10,
    },
    "cloud": {
        "bits": 8,
        "group_size": 64,
        "streaming": False,
        "min_cosine": 0.95,
        "calibration_samples": 512,
        "num_time_groups": 20,
    },
    "base": {"bits": 4, "group_size": 128, "min_cosine": 0.90, "num_time_groups": 1},
}


def refuse(problems: list[str]) -> None:
    """Raise `DomainError` if there are problems, with all of them."""
    if len(problems) == 1:
        raise DomainError(problems[0])
    if problems:
        raise DomainError("\n  ".join([f"{len(problems)} settings make no sense:", *problems]))


def check_layer(layer: Mapping[str, Any]) -> tuple[Layer, list[str]]:
    """Return the settings of `layer` as they are kept, and what is wrong with the others."""
    kept, problems = {}, []
    for name, value in layer.items():
        try:
            kept[name] = _value(name, value)
        except ValueError as problem:
            problems.append(str(problem))
    return kept, problems


def _value(name: str, value: object) -> Any:
    if name == "profile":
        if value not in list(PROFILES):
            raise ValueError(f"profile is {value!r}, expected {words(PROFILES)}")
        return value
    if name not in SETTINGS:
        raise ValueError(nearest(name))
    return check(name, value)


def from_environment(environ: Mapping[str, str]) -> tuple[Layer, list[str]]:
    """Return what the variables that begin with `PREFIX` say. An empty one counts as unset."""
    layer, problems = {}, []
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or not text.strip():
            continue
        try:
            layer[name] = _value(name, _parsed(name, text.strip()))
        except ValueError as problem:
            sentence = str(problem)
            known = name in SETTINGS or name == "profile"
            expected = sentence.partition(", expected ")[2]
            problems.append(
                f"{variable} is {text!r}, expected {expected}"
                if known
                else f"{variable} is set, but {sentence}"
            )
    return layer, problems


def _parsed(name: str, text: str) -> object:
    if name not in SETTINGS:
        return text
    try:
        return SETTINGS[name].parse(text)
    except ValueError:
        return text  # which is then refused, as it stands


def text_of(file: str | Path) -> tuple[str, str]:
    """Return the text of a file and its name, or `file` itself if it is such a text."""
    if isinstance(file, str) and ("\n" in file or ": " in file or file.lstrip().startswith("{")):
        return file, "YAML"
    path = Path(file)
    try:
        return path.read_text("utf-8"), str(path)
    except UnicodeDecodeError:
        raise DomainError(f"{path} is not a text in UTF-8, expected YAML") from None


def from_text(text: str, name: str) -> tuple[Layer, list[str]]:
    """Return what a YAML text says; `name` is what problems call it."""
    layer: Layer = {}
    problems = []
    for line, key, value in _entries(text, name):
        place = f"{name}, line {line}: "
        if isinstance(value, _Broken):
            problems.append(f"{place}{value.problem}")
        elif key in layer:
            problems.append(f"{place}{key} is there a second time")
        else:
            layer[key] = value
            try:
                layer[key] = _value(key, value)
            except ValueError as problem:
                problems.append(f"{place}{problem}")
    return layer, problems


class _Broken:
    """A value that could not be read."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


def _entries(text: str, name: str) -> Iterator[tuple[int, str, Any]]:
    """Yield line, key and value of what is on the outermost level of a YAML text."""
    yaml = _yaml()
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        yield (mark.line + 1 if mark else 1), "", _Broken(f"this is not YAML: {error.problem}")
        return
    except yaml.YAMLError as error:
        raise DomainError(f"{name} is not YAML: {str(error).splitlines()[0]}") from None
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        raise DomainError(f"{name} has no settings, expected lines such as bits: 4")
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield line, "", _Broken("expected the name of a setting before the colon")
            continue
        try:
            yield line, key.value, loader.construct_object(value, deep=True)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or str(error)
            yield line, key.value, _Broken(f"{key.value} cannot be read: {problem}")


def dump(layer: Layer) -> str:
    """Return `layer` as YAML."""
    text: str = _yaml().safe_dump(layer, sort_keys=False, allow_unicode=True)
    return text


def _yaml() -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'settings in YAML need PyYAML: pip install "threadwise[cli]"', name="yaml"
        ) from None
    return yaml
