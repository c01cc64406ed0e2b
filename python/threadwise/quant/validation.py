"""How good a quantized model is, measured from its files."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from threadwise.errors import FormatError
from threadwise.quant import _files
from threadwise.quant.config import QuantConfig
from threadwise.quant.loading import QuantizedModel, rows_of
from threadwise.quant.report import QuantReport, TensorReport
from threadwise.quant.tensor import QuantizedTensor

__all__ = ["validate"]

_PIECE = 1 << 20
"""Numbers that are compared at once."""

_SUMS = ("squared_weights", "squared_values", "products", "squared_errors")


def validate(src: str | Path, dst: str | Path) -> QuantReport:
    """Compare a quantized model with the one that it was made of.

    Parameters
    ----------
    src : str or Path
        The model.
    dst : str or Path
        Its quantized copy, as `load_quantized` takes it.

    Returns
    -------
    QuantReport
        As of `quantize_model`, recomputed from the files in NumPy with sums in float64. Bits are
        those of the files, and so are the settings, as far as they can be told from them: nobody
        knows the method, or what was asked for. Nothing is said of threads, time and memory.

    Raises
    ------
    FormatError
        If a tensor is missing, has another shape, or was not quantized and differs.
    StorageError
        If a file cannot be read.
    ModuleNotFoundError
        If there are bfloat16 numbers and ml_dtypes is not installed.

    Examples
    --------
    ::

        print(tw.quant.validate("mistral", "mistral-4bit"))
    """
    model = QuantizedModel(dst)
    originals = [tensor for file in _files.read(src) for tensor in file.tensors]
    tensors, kept, kept_bytes = [], 0, 0
    for original in originals:
        where = f"{dst}: tensor {original.name!r}"
        if original.name not in model:
            raise FormatError(f"{where} is missing, expected one of shape {original.shape}")
        found, weights = model[original.name], original.array()
        if found.shape != original.shape:
            raise FormatError(f"{where} has shape {found.shape}, expected {original.shape}")
        if isinstance(found, QuantizedTensor):
            facts = _facts(model, original.name, found)
            sums = _compare(weights, found)
            size = {"bytes_before": original.nbytes, "bytes_after": model.nbytes(original.name)}
            tensors.append(TensorReport.of_sums(name=original.name, **facts, **sums, **size))
        else:
            kept, kept_bytes = kept + 1, kept_bytes + original.nbytes
            if weights.dtype != found.dtype or not _same(weights, found):
                raise FormatError(f"{where} is not quantized, and differs from that of {src}")
    return QuantReport(
        source=str(src),
        destination=str(dst),
        format=_files.configuration(dst).get("quantization_config", {}).get("format", "none"),
        config=_settings(tensors),
        tensors=tuple(tensors),
        kept_tensors=kept,
        kept_bytes=kept_bytes,
        threads=1,
        seconds=0.0,
        predicted_peak_bytes=None,
        measured_peak_bytes=None,
    )


def _facts(model: QuantizedModel, name: str, found: QuantizedTensor) -> dict[str, Any]:
    how = model.packing(name)
    assert how is not None, "it is quantized"  # noqa: S101 - for mypy
    return {
        "shape": found.shape,
        "bits": how.bits,
        "asked_bits": how.bits,
        "group_size": how.group_size,
        "zero_point": how.zero_point,
        "seconds": 0.0,
    }


def _compare(weights: NDArray[Any], found: QuantizedTensor) -> dict[str, float]:
    sums, largest = np.zeros(4), 0.0
    for piece, values in _pieces(weights, found):
        w, v = piece.astype(np.float64).ravel(), values.astype(np.float64).ravel()
        errors = w - v
        sums += [w @ w, v @ v, w @ v, errors @ errors]
        largest = max(largest, float(np.abs(errors).max(initial=0)))
    return {**dict(zip(_SUMS, sums.tolist(), strict=True)), "max_error": largest}


def _pieces(
    weights: NDArray[Any], found: QuantizedTensor
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield some rows at a time: of the weights, and what their codes stand for."""
    if weights.ndim < 2:
        yield weights, found.dequantize()
        return
    for matrix in np.ndindex(weights.shape[:-2]):
        zeros = found.zero_points
        one = QuantizedTensor(
            found.codes[matrix],
            found.scales[matrix],
            None if zeros is None else zeros[matrix],
            shape=weights.shape[-2:],
            bits=found.bits,
            group_size=found.group_size,
        )
        rows, columns = one.shape
        step = max(_PIECE // max(columns, 1) // 32, 1) * 32
        for begin in range(0, rows, step):
            end = min(begin + step, rows)
            yield weights[matrix][begin:end], rows_of(one, begin, end).dequantize()


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether they have the same bytes, also where they are no numbers."""
    left, right = (each.reshape(-1).view(np.uint8) for each in (one, other))
    return bool(np.array_equal(left, right))


def _settings(tensors: list[TensorReport]) -> QuantConfig:
    """Return the settings that most tensors have."""

    def usual(name: str, default: Any) -> Any:
        return (
            Counter(getattr(tensor, name) for tensor in tensors).most_common(1)[0][0]
            if (tensors)
            else default
        )

    bits, kind = usual("bits", 4), usual("zero_point", "integer")
    others = {tensor.name: tensor.bits for tensor in tensors if tensor.bits != bits}
    return QuantConfig(
        bits=bits,
        group_size=usual("group_size", 32),
        symmetric=kind == "symmetric",
        zero_point="auto" if kind == "symmetric" else kind,
        layer_bits=others,
    )
