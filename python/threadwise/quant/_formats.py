"""What the configuration of a quantized model says of its tensors."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from threadwise.errors import FormatError

__all__ = ["Packed", "packing"]


@dataclass(frozen=True)
class Packed:
    """How a tensor is quantized."""

    bits: int
    group_size: int
    zero_point: str
    """``"symmetric"``, ``"integer"`` or ``"float"``."""


def packing(where: str, configuration: dict[str, Any]) -> Callable[[str], Packed]:
    """Return what answers how the tensor of a name is quantized.

    Parameters
    ----------
    where : str
        The model, for messages.
    configuration : dict
        That of the model.

    Raises
    ------
    FormatError
        If the weights are in a format that is not read here, or, by what is returned, if nothing
        is said of a tensor.
    """
    about = configuration.get("quantization_config") or {}
    try:
        method, form = about.get("quant_method"), about.get("format")
        if (method, form) == ("threadwise", "packed-groups"):
            return _own(where, about)
        if (method, form) == ("compressed-tensors", "pack-quantized"):
            return _shared(where, about)
    except (AttributeError, KeyError, TypeError) as error:
        raise FormatError(f"{where}: its quantization_config is incomplete: {error!r}") from None
    found = f"quant_method is {method!r} and format is {form!r}" if about else "it has none"
    raise FormatError(
        f"{where}: the quantization_config of config.json is not one that can be read: {found}, "
        "expected compressed-tensors with pack-quantized, or threadwise with packed-groups"
    )


def _own(where: str, about: dict[str, Any]) -> Callable[[str], Packed]:
    if about["version"] != 1:
        raise FormatError(
            f"{where}: version {about['version']!r} of packed-groups, expected 1: a newer "
            "threadwise may read it"
        )
    known = {name: Packed(**each) for name, each in about["tensors"].items()}

    def find(name: str) -> Packed:
        if name not in known:
            raise FormatError(
                f"{where}: tensor {name!r} is packed, and config.json is silent on it"
            )
        return known[name]

    return find


def _shared(where: str, about: dict[str, Any]) -> Callable[[str], Packed]:
    """Read the groups of compressed-tensors: the first of which a target fits decides."""
    groups = [(each["targets"], _weights(where, each)) for each in about["config_groups"].values()]

    def find(name: str) -> Packed:
        module = name.removesuffix(".weight")
        for is_exact in (True, False):
            for targets, packed in groups:
                if any(_fits(module, target, is_exact) for target in targets):
                    return packed
        raise FormatError(f"{where}: tensor {name!r} is packed, and config.json is silent on it")

    return find


def _fits(module: str, target: str, is_exact: bool) -> bool:
    if target.startswith("re:"):
        return is_exact and re.match(target.removeprefix("re:"), module) is not None
    # What else has no dot is the name of a class of layers: they are all linear.
    return target == module if is_exact else "." not in target


def _weights(where: str, group: dict[str, Any]) -> Packed:
    weights = group["weights"]
    if (
        weights["type"] != "int"
        or weights.get("actorder")
        or weights["strategy"]
        not in (
            "group",
            "channel",
        )
    ):
        facts = {name: weights.get(name) for name in ("type", "strategy", "actorder")}
        raise FormatError(
            f"{where}: weights are quantized with {facts}, expected integers in groups or "
            "channels, in the order of the weight"
        )
    size = weights["group_size"] if weights["strategy"] == "group" else -1
    kind = "symmetric" if weights["symmetric"] else "integer"
    return Packed(weights["num_bits"], size, kind)
