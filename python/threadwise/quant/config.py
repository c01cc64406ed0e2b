"""How a model is quantized: which bits, for which tensors, with how many threads and bytes."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeVar

from threadwise._file import write
from threadwise.quant import _layers
from threadwise.quant._settings import SETTINGS, nearest

__all__ = ["KEPT", "QuantConfig"]

KEPT = (
    "*embed*",
    "*wte",
    "*wpe",
    "shared",
    "*norm*",
    "ln_*",
    "*.ln_*",
    "*bias",
    "lm_head*",
    "*.lm_head*",
    "head",
    "*.head",
    "*pooler*",
    "*.router*",
    "*.mlp.gate",
    "*.block_sparse_moe.gate",
    "time_in*",
    "guidance_in*",
    "vector_in*",
    "img_in*",
    "txt_in*",
    "final_layer*",
)
"""Patterns of what stays as it is unless `QuantConfig.include` says otherwise: embeddings, norms,
biases, heads, the routers of experts, and where a diffusion model's inputs come in."""

_Source = Literal["default", "profile", "file", "environment", "argument"]
_ORDER: tuple[_Source, ...] = ("profile", "file", "environment", "argument")
"""From the weakest to the strongest."""

_C = TypeVar("_C")


def _remembers(cls: type[_C]) -> type[_C]:
    """Make a class remember with which arguments its objects were made."""
    init: Callable[..., None] = vars(cls)["__init__"]

    @wraps(init)
    def remembering(self: Any, **given: Any) -> None:
        object.__setattr__(self, "_given", {"argument": given})
        init(self, **given)

    setattr(cls, "__init__", remembering)  # noqa: B010 - mypy takes it for a method of an object
    return cls


@_remembers
@dataclass(frozen=True, kw_only=True, repr=False)
class QuantConfig:
    """How `quantize_model` quantizes.

    A setting can come from several places. The first of these that has it decides:

    1. an argument, of this class or of a function that takes settings,
    2. the environment, ``THREADWISE_QUANT_`` and the setting's name in capitals,
    3. a YAML file,
    4. a profile,
    5. the default.

    `QuantConfig.resolve` looks at all of them. The methods `from_profile`, `from_yaml`, `with_env`
    and `replace` look at one each, and keep to this order however they follow one another: a
    configuration remembers where its settings came from.

    Raises
    ------
    DomainError
        If settings make no sense; the message names all of them.

    Examples
    --------
    >>> from threadwise.quant import QuantConfig
    >>> QuantConfig(bits=8, group_size=64)
    QuantConfig(bits=8, group_size=64)
    >>> environ = {"THREADWISE_QUANT_BITS": "2", "THREADWISE_QUANT_THREADS": "1"}
    >>> QuantConfig(bits=8).with_env(environ)
    QuantConfig(bits=8, threads=1)
    """

    bits: int = 4
    """Of a weight: 2, 3, 4 or 8."""
    group_size: int = 32
    """Weights that share a scale, along a row: 16, 32, 64, 128, 256, or -1 for the whole row."""
    symmetric: bool = False
    """Whether values lie around 0, so that scales are enough."""
    zero_point: str = "auto"
    """What places the values of a group that is not symmetric: an ``"integer"`` code for 0, as in
    files that other programs read, or the ``"float"`` minimum, which is closer to the weights.
    ``"auto"`` is integer for 4 and 8 bits, and float for 2 and 3, for which there are no such
    files."""
    method: str = "mse"
    """``"mse"`` searches the least squared error, ``"minmax"`` spans from the least weight to the
    largest."""
    threads: int = 0
    """How many take part, to 1024; 0 for what `threadwise.get_num_threads` says."""
    streaming: bool = True
    """Whether to hold no more than each thread works at, or to load ahead within `max_memory`."""
    max_memory: int | None = None
    """Bytes that may be held at once, or text like ``"512M"`` (K, M, G, T count in 1024s, KB, MB,
    GB, TB in 1000s). By default what the pipeline finds useful."""
    include: Sequence[str] = ()
    """Patterns of the tensors to quantize. By default all matrices but `KEPT`. A pattern is one of
    `fnmatch`, of a whole name with or without its ``.weight``; ``*`` goes across dots."""
    exclude: Sequence[str] = ()
    """Patterns of tensors to leave as they are, of those that would be quantized."""
    layer_bits: Mapping[str, int] = field(default_factory=dict)
    """Bits by pattern, for tensors that get others than `bits`: the first pattern that fits
    decides."""
    min_cosine: float = 0.85
    """Below this cosine of weights and values a tensor gets the next wider bits."""
    fail_fast: bool = False
    """Whether a tensor below `min_cosine` ends the job instead."""
    calibration_samples: int = 128
    """How many samples calibrate activations, at least 1. For quantization that is aware of
    time, as the next two."""
    num_time_groups: int = 10
    """In how many groups timesteps of a diffusion model share parameters, from 1 to 100."""
    modality: str | None = None
    """What the model makes: text, code, image or audio. By default it is found out."""

    def __post_init__(self) -> None:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        kept, problems = _layers.check_layer(given)
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        if not problems and self.symmetric and self.zero_point != "auto":
            problems.append(
                f"zero_point is {self.zero_point!r}, expected auto for symmetric quantization, "
                "which has none"
            )
        _layers.refuse(problems)

    @classmethod
    def resolve(
        cls,
        *,
        profile: str | None = None,
        file: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> "QuantConfig":
        """Return the settings of all sources, in the order that this class documents.

        Parameters
        ----------
        profile : {"edge", "local", "cloud", "base"}, optional
            A profile. One that is named here goes before ``THREADWISE_QUANT_PROFILE``, and that
            before one that the file names; the settings in it stay weaker than theirs.
        file : str or Path, optional
            A YAML file or text, as for `from_yaml`.
        environ : mapping, optional
            The environment, by default that of the process.
        **arguments
            Settings.

        Raises
        ------
        DomainError
            If settings make no sense, with all of them, and the line of the file or the variable.
        TypeError
            If an argument is no setting.
        OSError
            If the file cannot be read.
        ModuleNotFoundError
            If there is a file, and PyYAML is not installed.

        Examples
        --------
        >>> from threadwise.quant import QuantConfig
        >>> config = QuantConfig.resolve(profile="edge", file="bits: 3", environ={}, threads=2)
        >>> config.bits, config.group_size, config.threads
        (3, 256, 2)
        >>> config.source("bits"), config.source("group_size")
        ('file', 'profile')
        """
        _known(arguments)
        layers: dict[_Source, _layers.Layer] = {}
        layers["file"], problems = ({}, []) if file is None else _read(file)
        layers["environment"], more = _layers.from_environment(
            os.environ if environ is None else environ
        )
        problems += more
        named = {} if profile is None else {"profile": profile}
        layers["argument"], more = _layers.check_layer(arguments | named)
        _layers.refuse(problems + more)
        return cls._of(layers)

    @classmethod
    def from_profile(cls, name: str) -> "QuantConfig":
        """Return the settings of a profile: ``"edge"``, ``"local"``, ``"cloud"`` or ``"base"``.

        =====================  ======  =======  =======  ======
        setting                edge    local    cloud    base
        =====================  ======  =======  =======  ======
        `bits`                 2       4        8        4
        `group_size`           256     128      64       128
        `streaming`            true    true     false    true
        `min_cosine`           0.65    0.85     0.95     0.90
        `calibration_samples`  32      128      512      128
        `num_time_groups`      5       10       20       1
        =====================  ======  =======  =======  ======

        Parameters
        ----------
        name : str
            Which profile.

        Raises
        ------
        DomainError
            If there is no such profile.
        """
        layer, problems = _layers.check_layer({"profile": name})
        _layers.refuse(problems)
        return cls._of({"argument": layer})

    @classmethod
    def from_yaml(cls, file: str | Path) -> "QuantConfig":
        r"""Return the settings of a YAML file: a mapping, whose keys are settings or ``profile``.

        Parameters
        ----------
        file : str or Path
            Where the file is, or its text: what has two lines, or a colon and a space, is a text.

        Raises
        ------
        DomainError
            If settings make no sense, with all of them and their lines.
        OSError
            If the file cannot be read.
        ModuleNotFoundError
            If PyYAML is not installed.

        Examples
        --------
        >>> from threadwise.quant import QuantConfig
        >>> QuantConfig.from_yaml("profile: local\nmax_memory: 512M\n")
        QuantConfig(group_size=128, max_memory=536870912)
        """
        layer, problems = _read(file)
        _layers.refuse(problems)
        return cls._of({"file": layer})

    def to_yaml(self, path: str | Path | None = None) -> str:
        """Return all settings as YAML, and write them to the file `path` if there is one.

        Raises
        ------
        OSError
            If the file cannot be written.
        ModuleNotFoundError
            If PyYAML is not installed.
        """
        layer = {name: getattr(self, name) for name in SETTINGS}
        layer |= {"include": list(self.include), "exclude": list(self.exclude)}
        text = _layers.dump(layer)
        if path is not None:
            write(Path(path), text)
        return text

    def with_env(self, environ: Mapping[str, str] | None = None) -> "QuantConfig":
        """Return these settings with those of the environment, except where arguments set them.

        Parameters
        ----------
        environ : mapping, optional
            The environment, by default that of the process. Lists are written with commas:
            ``THREADWISE_QUANT_LAYER_BITS="*.down_proj=8,*.v_proj=8"``.

        Raises
        ------
        DomainError
            If variables make no sense, with all of them.
        """
        layer, problems = _layers.from_environment(os.environ if environ is None else environ)
        _layers.refuse(problems)
        return self._with("environment", layer)

    def replace(self, **arguments: Any) -> "QuantConfig":
        """Return these settings with some others.

        Parameters
        ----------
        **arguments
            The others.

        Raises
        ------
        DomainError
            If settings make no sense.
        TypeError
            If an argument is no setting.
        """
        _known(arguments)
        return self._with("argument", arguments)

    def source(self, name: str) -> _Source:
        """Return where the setting `name` comes from."""
        given = self._by_source()
        found = (source for source in reversed(_ORDER) if name in given.get(source, {}))
        return next(found, "default")

    def bits_of(self, tensor: str) -> int | None:
        """Return the bits that the tensor named so gets, or None if it stays as it is.

        Only names are looked at: what is no matrix of floating-point numbers stays as it is too.
        """
        wanted = any(_fits(tensor, glob) for glob in self.include or ("*",))
        kept = not self.include and any(_fits(tensor.lower(), glob) for glob in KEPT)
        if kept or not wanted or any(_fits(tensor, glob) for glob in self.exclude):
            return None
        widths = (bits for glob, bits in self.layer_bits.items() if _fits(tensor, glob))
        return next(widths, self.bits)

    def zero_point_of(self, bits: int) -> Literal["symmetric", "integer", "float"]:
        """Return what places the values of tensors that have so many bits."""
        if self.symmetric:
            return "symmetric"
        if self.zero_point == "auto":
            return "integer" if bits in (4, 8) else "float"
        return "integer" if self.zero_point == "integer" else "float"

    def __repr__(self) -> str:
        differing = (
            f"{name}={getattr(self, name)!r}"
            for name in SETTINGS
            if getattr(self, name) != getattr(_DEFAULT, name)
        )
        return f"QuantConfig({', '.join(differing)})"

    def _by_source(self) -> dict[_Source, _layers.Layer]:
        given: dict[_Source, _layers.Layer] = self.__dict__["_given"]
        return given

    def _with(self, source: _Source, layer: _layers.Layer) -> "QuantConfig":
        given = self._by_source()
        return self._of(given | {source: given.get(source, {}) | layer})

    @classmethod
    def _of(cls, given: Mapping[_Source, _layers.Layer]) -> "QuantConfig":
        """Merge what sources say; the strongest that names a profile decides which one it is."""
        profiles = [
            given[source]["profile"] for source in _ORDER if "profile" in given.get(source, {})
        ]
        whole = dict(given)
        if profiles:
            whole["profile"] = _layers.PROFILES[profiles[-1]]
        values: _layers.Layer = {}
        for source in _ORDER:
            values |= whole.get(source, {})
        values.pop("profile", None)
        made = cls(**values)
        object.__setattr__(made, "_given", whole)
        return made


def _read(file: str | Path) -> tuple[_layers.Layer, list[str]]:
    return _layers.from_text(*_layers.text_of(file))


def _known(arguments: Mapping[str, object]) -> None:
    for name in arguments:
        if name not in SETTINGS:
            raise TypeError(nearest(name))


def _fits(tensor: str, glob: str) -> bool:
    return fnmatchcase(tensor, glob) or fnmatchcase(tensor.removesuffix(".weight"), glob)


_DEFAULT = QuantConfig()
