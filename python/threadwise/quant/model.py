"""Quantization of whole models, from files to files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadwise import _threadwise
from threadwise.errors import FormatError
from threadwise.quant import _files
from threadwise.quant._files import Stored
from threadwise.quant.config import QuantConfig
from threadwise.quant.progress import Progress, listening
from threadwise.quant.report import QuantReport, TensorReport

__all__ = ["quantize_model"]

_FLOATS = ("F32", "F16", "BF16")


def quantize_model(
    src: str | Path,
    dst: str | Path,
    config: QuantConfig | None = None,
    *,
    progress: bool | Callable[[Progress], object] | None = None,
    overwrite: bool = False,
    resume: bool | None = None,
    **overrides: Any,
) -> QuantReport:
    """Write a quantized copy of a model.

    Parameters
    ----------
    src : str or Path
        The model: a directory with ``model.safetensors``, with several files and their index, or
        with other safetensors files; or one such file. Everything else in the directory is copied,
        except weights in other formats, hidden directories and links to directories.
    dst : str or Path
        The directory to make. It appears when it is complete and on the disk.
    config : QuantConfig, optional
        The settings. By default those of the environment.
    progress : bool or callable, optional
        What is called with a `Progress` before any work, and whenever a tensor is done, on this
        thread. True shows a bar. An exception that it raises ends the job, and is raised here.
    overwrite : bool, default False
        Whether `dst` may exist. It is replaced at the end, in one step; until then it stays.
    resume : bool, optional
        A job that was stopped, by whatever, leaves what it has finished beside `dst`, in
        ``.{name}.threadwise-partial``. By default the same job goes on from there; another one
        (other settings, changed files) forgets it and begins. True insists on going on, False on
        beginning.
    **overrides
        Settings that go before those of `config`.

    Returns
    -------
    QuantReport
        How good each tensor is, and what the job took.

    Raises
    ------
    DomainError
        If settings make no sense; if a weight is not finite, with its first such element; if a
        tensor falls below `min_cosine` and `fail_fast` is set.
    FormatError
        If a file is not what it should be, the model is quantized already, `dst` exists without
        `overwrite`, or there is nothing to go on with.
    StorageError
        If a file cannot be read or written, for example because the disk is full; or if another
        process is at work on `dst`.
    TypeError
        If an override is no setting.

    See Also
    --------
    load_quantized : read it again.
    validate : measure it again, from the files.

    Notes
    -----
    Matrices of float32, float16 and bfloat16 are quantized, those that `QuantConfig.bits_of` says;
    tensors with more axes only if `QuantConfig.include` names them: they are stacks of matrices.
    With 4 or 8 bits, the same for all, symmetric or with integer zero points, and rows of whole
    groups, the result is in the ``pack-quantized`` format of compressed-tensors. Otherwise it has
    the same tensors in our own ``packed-groups``.

    The files have the same bits for every number of threads, streaming or not, and after any
    interruption. A tensor whose cosine is below `min_cosine` is made again with the next wider
    bits.

    Ctrl-C ends it within 0.2 s, but for a read or write that the disk does not answer.

    Examples
    --------
    ::

        report = tw.quant.quantize_model("mistral", "mistral-4bit", bits=4, group_size=32)
        print(report)
    """
    settings = _settings(config, overrides)
    if "quantization_config" in _files.configuration(src):
        raise FormatError(f"{src} is quantized already, expected a model of floating-point weights")
    tensors = [tensor for file in _files.read(src) for tensor in file.tensors]
    wishes: dict[str, tuple[int, int, str, str]] = {
        tensor.name: (bits, settings.group_size, settings.zero_point_of(bits), settings.method)
        for tensor in tensors
        if (bits := _bits(tensor, settings)) is not None
    }
    resumed: list[int] = []
    with listening(progress) as listener:

        def tell(facts: dict[str, Any]) -> None:
            if not resumed:
                resumed.append(facts["bytes_done"])
            listener(Progress(bytes_resumed=resumed[0], **facts))

        found = _threadwise.quantize_model(
            src,
            dst,
            wishes,
            settings.min_cosine,
            settings.fail_fast,
            settings.threads or None,
            settings.streaming,
            settings.max_memory,
            overwrite,
            resume,
            tell,
        )
    return _report(src, dst, settings, found)


def _settings(config: QuantConfig | None, overrides: dict[str, Any]) -> QuantConfig:
    if config is None:
        return QuantConfig.resolve(**overrides)
    return config.replace(**overrides) if overrides else config


def _bits(tensor: Stored, settings: QuantConfig) -> int | None:
    is_matrix = len(tensor.shape) == 2 or (len(tensor.shape) > 2 and bool(settings.include))
    return settings.bits_of(tensor.name) if is_matrix and tensor.dtype in _FLOATS else None


def _report(
    src: str | Path, dst: str | Path, settings: QuantConfig, found: dict[str, Any]
) -> QuantReport:
    quantized = [facts for facts in found["tensors"] if facts["bits"]]
    kept = [facts for facts in found["tensors"] if not facts["bits"]]
    tensors = tuple(
        TensorReport.of_sums(
            group_size=settings.group_size,
            zero_point=settings.zero_point_of(facts["asked_bits"]),
            **facts,
        )
        for facts in quantized
    )
    return QuantReport(
        source=str(src),
        destination=str(dst),
        format=found["format"],
        config=settings,
        tensors=tensors,
        kept_tensors=len(kept),
        kept_bytes=sum(facts["bytes_before"] for facts in kept),
        threads=found["threads"],
        seconds=found["seconds"],
        predicted_peak_bytes=found["predicted"],
        measured_peak_bytes=found["measured"],
    )
