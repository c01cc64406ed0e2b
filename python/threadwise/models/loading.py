"""Models as they lie in files, ready to run."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from threadwise._arguments import word
from threadwise.errors import DomainError, DTypeError, StorageError
from threadwise.models._arguments import whole
from threadwise.models._engine import Engine, build
from threadwise.models.causal import CausalLM
from threadwise.models.config import ModelConfig
from threadwise.quant.config import QuantConfig
from threadwise.quant.model import quantize_model
from threadwise.shard import ParallelConfig, PipelineConfig

__all__ = ["load"]

_KV_DTYPES = ("float32", "float16", "int8")
_ACTIVATIONS = ("int8", "float")


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    tensor_parallel: int = 1,
    pipeline_stages: int = 1,
    kv_dtype: str = "float16",
    max_context: int | None = None,
    quantize: int | QuantConfig | None = None,
    config: ModelConfig | ParallelConfig | Mapping[str, Any] | None = None,
    activations: str = "int8",
) -> CausalLM:
    """Load a language model from a directory of Hugging Face.

    Parameters
    ----------
    path : str or Path
        The directory, with ``config.json`` and weights in safetensors: one file, or several and
        their index. Weights are of float32, float16 or bfloat16, or what `threadwise.quant` has
        made of them. For text, ``tokenizer.json``.
    threads : int, optional
        How many take part in each call, from 1 to 1024. By default what
        `threadwise.get_num_threads` says at each call.
    tensor_parallel : int, default 1
        How many ranks share each layer.
    pipeline_stages : int, default 1
        In how many stages the layers are computed.
    kv_dtype : {"float16", "float32", "int8"}
        In what numbers keys and values are kept.
    max_context : int, optional
        How many tokens a sequence may have; by default what the model was made for.
    quantize : {2, 3, 4, 8} or QuantConfig, optional
        Quantize the weights first, as `threadwise.quant.quantize_model` does with so many bits, or
        with these settings. The result is in memory alone; on the way there it lies in a temporary
        directory.
    config : ModelConfig, mapping or ParallelConfig, optional
        In place of what ``config.json`` holds; or in place of `threads`, `tensor_parallel` and
        `pipeline_stages`, how the model is spread.
    activations : {"int8", "float"}
        How inputs meet quantized weights: rounded to eight bits, which is faster, or as they are.

    Returns
    -------
    CausalLM

    Raises
    ------
    DomainError
        If an argument makes no sense, or numbers of the configuration do not fit one another.
    DTypeError
        If an argument has a type that makes no sense.
    FormatError
        If the architecture or a setting is not known; if a tensor is missing, is there without
        need, or has another shape than the configuration says; if `quantize` is given for a model
        that is quantized already.
    StorageError
        If a file cannot be read.
    MemoryError
        If there is no memory for weights.

    Notes
    -----
    Architectures are those of Llama, Mistral and Qwen 2. Weights of floating-point numbers are
    mapped: what several models load from the same files is in memory once. Quantized ones are
    brought into the order in which products read them.

    Examples
    --------
    >>> import threadwise as tw
    >>> model = tw.models.load(tw.samples.path("stdlib-mistral-2.8m"), quantize=4)
    >>> model.generate("def main(", max_new_tokens=3).text
    'self, s'
    """
    if not Path(path).exists():
        raise StorageError(f"{path} is not there, expected the directory of a model")
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    spread = isinstance(config, ParallelConfig)
    settings = ModelConfig.load(folder) if config is None or spread else _config(config)
    parallel = _parallel(config, settings, threads, tensor_parallel, pipeline_stages)
    word("kv_dtype", kv_dtype, _KV_DTYPES)
    word("activations", activations, _ACTIVATIONS)
    context = settings.max_position_embeddings
    if max_context is not None:
        context = whole("max_context", max_context, 1)

    def engine(weights: str | Path) -> Engine:
        return build(weights, settings, parallel, activations)

    if quantize is None:
        made = engine(path)
    else:
        wish = quantize if isinstance(quantize, QuantConfig) else QuantConfig.resolve(bits=quantize)
        # What is mapped stays readable when its name is gone.
        with TemporaryDirectory(prefix="threadwise-", ignore_cleanup_errors=True) as place:
            if parallel.threads is not None:
                wish = wish.replace(threads=parallel.threads)
            quantize_model(path, Path(place) / "model", wish)
            made = engine(Path(place) / "model")
    return CausalLM(
        made,
        settings,
        folder=folder,
        threads=parallel.threads,
        kv_dtype=kv_dtype,
        max_context=context,
    )


def _parallel(
    config: object, settings: ModelConfig, threads: Any, tensor_parallel: Any, stages: Any
) -> ParallelConfig:
    """Return how a model is spread, by `config` or by numbers, not by both."""
    if isinstance(config, ParallelConfig):
        if (threads, tensor_parallel, stages) != (None, 1, 1):
            raise DomainError(
                "config says threads, ranks and stages: expected no threads, tensor_parallel or "
                "pipeline_stages besides"
            )
        return config
    return ParallelConfig(
        threads=None if threads is None else whole("threads", threads, 1, 1024),
        tensor_parallel=whole("tensor_parallel", tensor_parallel, 1, 1024),
        pipeline_stages=whole("pipeline_stages", stages, 1, 1024),
        pipeline=PipelineConfig.for_model(settings.num_hidden_layers, settings.hidden_size),
    )


def _config(config: object) -> ModelConfig:
    if isinstance(config, ModelConfig):
        return config
    if not isinstance(config, Mapping):
        kind = type(config).__name__
        raise DTypeError(
            f"config is a {kind}, expected a ModelConfig, a mapping of settings or a ParallelConfig"
        )
    return ModelConfig.of(config)
