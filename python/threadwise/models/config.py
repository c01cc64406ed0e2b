"""What a model is: the settings of a ``config.json`` that decide what it computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadwise import _file
from threadwise._attention import SCALINGS
from threadwise.errors import FormatError, StorageError
from threadwise.models._settings import Settings

__all__ = ["ARCHITECTURES", "ModelConfig"]

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
}
"""The `model_type` of what can be run, and what `architectures` calls it."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {"max_position_embeddings": 2048},
    "mistral": {
        "max_position_embeddings": 131072,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
    },
    "qwen2": {
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "sliding_window": 4096,
        "max_window_layers": 28,
    },
}
"""What transformers takes for settings that a file leaves out."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder of the family of Llama, in the words of its ``config.json``.

    `ModelConfig.load` reads it from a directory, `ModelConfig.of` from what such a file holds.

    Examples
    --------
    >>> import threadwise as tw
    >>> config = tw.models.ModelConfig.load(tw.samples.path("stdlib-mistral-2.8m"))
    >>> config.architecture, config.num_hidden_layers, config.sliding_windows[0]
    ('mistral', 6, 256)
    >>> config.parameters
    2755008
    """

    architecture: str
    """``"llama"``, ``"mistral"`` or ``"qwen2"``."""
    vocab_size: int
    """How many tokens there are."""
    hidden_size: int
    """Width of what goes from layer to layer."""
    intermediate_size: int
    """Width within the feed-forward layers."""
    num_hidden_layers: int
    """How many layers there are."""
    num_attention_heads: int
    """Of queries."""
    num_key_value_heads: int
    """Of keys and values; a divisor of the former. As many: multi-head attention; fewer: grouped
    queries; one: multi-query attention."""
    head_dim: int
    """Width of a head, even."""
    max_position_embeddings: int
    """The longest context that it was made for."""
    rms_norm_eps: float
    """What is added under the root of normalizations."""
    rope_theta: float
    """Base of the frequencies by which positions are told apart."""
    rope_scaling: Mapping[str, Any] | None = None
    """How these are changed for longer contexts: what `threadwise.nn.rope` calls `scaling`."""
    sliding_windows: tuple[int | None, ...]
    """How many keys, its own included, a query sees in each layer; None: all up to its own."""
    tie_word_embeddings: bool = False
    """Whether the head has the weights of the embedding."""
    qkv_bias: bool = False
    """Whether projections to queries, keys and values add a bias."""
    output_bias: bool = False
    """Whether the projection after attention adds one."""
    mlp_bias: bool = False
    """Whether the feed-forward layers add some."""
    bos_token_id: int | None = None
    """The token before a text."""
    eos_token_ids: tuple[int, ...] = ()
    """The tokens that end a text."""

    @classmethod
    def load(cls, path: str | Path) -> "ModelConfig":
        """Read ``config.json`` and, where there is one, ``generation_config.json``.

        Parameters
        ----------
        path : str or Path
            The directory of a model.

        Raises
        ------
        FormatError
            If there is no configuration, it is not JSON, its architecture is not known, or a
            setting has no or an unknown value.
        StorageError
            If there is no such directory.
        OSError
            If a file cannot be read.
        """
        folder = Path(path)
        if not folder.exists():
            raise StorageError(f"{folder} is not there, expected the directory of a model")
        if not (folder / "config.json").is_file():
            raise FormatError(f"{folder} has no config.json, expected the directory of a model")
        generation = folder / "generation_config.json"
        return cls.of(
            _file.settings(folder / "config.json"),
            generation=_file.settings(generation) if generation.is_file() else None,
            where=str(folder / "config.json"),
        )

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Any],
        *,
        generation: Mapping[str, Any] | None = None,
        where: str = "config",
    ) -> "ModelConfig":
        """Check settings as a ``config.json`` has them.

        Parameters
        ----------
        settings : mapping
            What transformers writes, version 5 or older. What is left out is what transformers
            takes for it; what does not concern the computation is ignored.
        generation : mapping, optional
            Those of ``generation_config.json``, whose tokens that end a text count first.
        where : str, default "config"
            What messages call it.

        Raises
        ------
        FormatError
            If the architecture is not known, or a setting has no or an unknown value.
        """
        architecture = _architecture(settings, where)
        read = Settings(where, _DEFAULTS[architecture] | dict(settings))
        read.word("hidden_act", ("silu", "swish"), "silu")
        heads = read.whole("num_attention_heads")
        hidden, layers = read.whole("hidden_size"), read.whole("num_hidden_layers")
        theta, scaling = _rope(read)
        return cls(
            architecture=architecture,
            vocab_size=read.whole("vocab_size"),
            hidden_size=hidden,
            intermediate_size=read.whole("intermediate_size"),
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=_key_heads(read, heads),
            head_dim=_head_dim(read, hidden, heads),
            max_position_embeddings=read.whole("max_position_embeddings"),
            rms_norm_eps=read.positive("rms_norm_eps", 1e-6),
            rope_theta=theta,
            rope_scaling=scaling,
            sliding_windows=_windows(read, architecture, layers),
            tie_word_embeddings=read.flag("tie_word_embeddings", False),
            qkv_bias=architecture == "qwen2" or _llama(architecture, read, "attention_bias"),
            output_bias=_llama(architecture, read, "attention_bias"),
            mlp_bias=_llama(architecture, read, "mlp_bias"),
            bos_token_id=next(iter(read.tokens("bos_token_id")), None),
            eos_token_ids=_ends(read, generation, where),
        )

    @property
    def parameters(self) -> int:
        """How many numbers its weights have, tied ones counted once."""
        d, f, v = self.hidden_size, self.intermediate_size, self.vocab_size
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        layer = 2 * d * (queries + keys) + 3 * d * f + 2 * d
        layer += self.qkv_bias * (queries + 2 * keys)
        layer += self.output_bias * d + self.mlp_bias * (2 * f + d)
        return self.num_hidden_layers * layer + d + v * d * (1 if self.tie_word_embeddings else 2)


def _architecture(settings: Mapping[str, Any], where: str) -> str:
    """Return the `model_type`, or what `architectures` says where there is none."""
    known = ", ".join(sorted(ARCHITECTURES))
    kind, classes = settings.get("model_type"), settings.get("architectures") or []
    if kind is None:
        kind = next((each for each, name in ARCHITECTURES.items() if name in classes), None)
    if kind not in ARCHITECTURES:
        named = repr(kind) if kind is not None else f"not there, architectures are {classes}"
        raise FormatError(f"{where}: model_type is {named}, expected one of {known}")
    if classes and ARCHITECTURES[kind] not in classes:
        raise FormatError(
            f"{where}: architectures are {classes}, expected {ARCHITECTURES[kind]}, which says "
            "what comes next"
        )
    return str(kind)


def _llama(architecture: str, read: Settings, name: str) -> bool:
    """Return a flag that only Llama has."""
    return architecture == "llama" and read.flag(name, False)


def _key_heads(read: Settings, heads: int) -> int:
    found = read.whole("num_key_value_heads", heads)
    if heads % found:
        raise read.refusal(
            "num_key_value_heads", f"a divisor of num_attention_heads, which is {heads}"
        )
    return found


def _head_dim(read: Settings, hidden: int, heads: int) -> int:
    if read.get("head_dim") is None:
        if hidden % heads or hidden // heads % 2:
            raise read.refusal(
                "hidden_size", f"an even number of columns for each of {heads} heads, or a head_dim"
            )
        return hidden // heads
    found = read.whole("head_dim")
    if found % 2:
        raise read.refusal("head_dim", "an even number, for pairs that positions turn")
    return found


def _rope(read: Settings) -> tuple[float, Mapping[str, Any] | None]:
    """Return base and scaling, as transformers 5 writes them, or as older versions did."""
    name = "rope_parameters" if read.get("rope_parameters") is not None else "rope_scaling"
    found = read.get(name) or {}
    if not isinstance(found, Mapping):
        raise read.refusal(name, "an object of JSON or null")
    if any(isinstance(each, Mapping) for each in found.values()):
        raise read.refusal(name, "numbers for all layers, not for some")
    rope = Settings(f"{read.where}, {name}", {"rope_theta": read.get("rope_theta"), **found})
    theta = rope.positive("rope_theta", 10000.0)
    if rope.positive("partial_rotary_factor", read.get("partial_rotary_factor") or 1.0) != 1:
        raise rope.refusal("partial_rotary_factor", "1: whole heads are turned")
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return theta, None
    if not isinstance(kind, str) or kind not in SCALINGS:
        known = ", ".join(["default", *SCALINGS])
        raise FormatError(f"{rope.where}: rope_type is {kind!r}, expected one of {known}")
    return theta, {"rope_type": kind} | {each: rope.positive(each) for each in SCALINGS[kind]}


def _windows(read: Settings, architecture: str, layers: int) -> tuple[int | None, ...]:
    """Return how many keys a query sees in each layer."""
    window = None
    if architecture != "llama" and read.get("sliding_window") is not None:
        window = read.whole("sliding_window")
    if architecture == "qwen2" and not read.flag("use_sliding_window", False):
        window = None
    first = read.whole("max_window_layers", low=0) if architecture == "qwen2" else 0
    windows = tuple(window if layer >= first else None for layer in range(layers))
    kinds = read.get("layer_types")
    if kinds is None:
        return windows
    known = ("full_attention", "sliding_attention")
    if not isinstance(kinds, list) or len(kinds) != layers or not set(kinds) <= set(known):
        raise read.refusal("layer_types", f"{layers} words, each {known[0]} or {known[1]}")
    if window is None and known[1] in kinds:
        raise read.refusal("layer_types", "full_attention alone, where there is no sliding_window")
    return tuple(window if kind == known[1] else None for kind in kinds)


def _ends(read: Settings, generation: Mapping[str, Any] | None, where: str) -> tuple[int, ...]:
    """Return the tokens that end a text: those that the settings of generation say come first."""
    if generation is not None and generation.get("eos_token_id") is not None:
        return Settings(where, generation).tokens("eos_token_id")
    return read.tokens("eos_token_id")
