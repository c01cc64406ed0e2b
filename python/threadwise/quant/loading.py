"""Quantized models as they lie in files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from threadwise.errors import FormatError
from threadwise.quant import _files, _formats
from threadwise.quant._files import Stored
from threadwise.quant.tensor import QuantizedTensor

__all__ = ["QuantizedModel", "load_quantized"]

_CODES, _SCALES, _SHAPE = "_packed", "_scale", "_shape"
_ZEROS = {"integer": "_zero_point", "float": "_minimum"}


def load_quantized(path: str | Path) -> "QuantizedModel":
    """Return the tensors of a quantized model, by name.

    Parameters
    ----------
    path : str or Path
        A directory that `quantize_model` wrote, or one in the ``pack-quantized`` format of
        compressed-tensors.

    Returns
    -------
    QuantizedModel
        A mapping of names to `QuantizedTensor`, and to arrays for what is not quantized. Headers
        are read now, tensors are mapped into memory when they are asked for, and read when they
        are used.

    Raises
    ------
    FormatError
        If a file is not what it should be, or weights are quantized in another way.
    StorageError
        If a file cannot be read.

    Notes
    -----
    What compressed-tensors means by its tensors is ``(code - zero_point) * scale``, in the scale's
    own type: ``tensor.dequantize(dtype=...)`` with that type gives its bits, because float32 holds
    the products exactly before they are rounded.

    Examples
    --------
    ::

        model = tw.quant.load_quantized("mistral-4bit")
        y = tw.linear(x, model["model.layers.0.mlp.up_proj.weight"])
    """
    return QuantizedModel(path)


class QuantizedModel(Mapping[str, "QuantizedTensor | NDArray[Any]"]):
    """The tensors of a quantized model by name; `load_quantized` makes one."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._files = _files.read(path)
        stored = {tensor.name: tensor for file in self._files for tensor in file.tensors}
        packed = {name.removesuffix(_CODES) for name in stored if name.endswith(_CODES)}
        # A name may end so by chance; the codes of a weight have scales.
        packed = {name for name in packed if f"{name}{_SCALES}" in stored}
        ends = (_CODES, _SCALES, _SHAPE, *_ZEROS.values())
        self._parts = {name: self._gather(name, stored, ends) for name in packed}
        parts = {f"{name}{end}" for name in packed for end in ends}
        self._plain = {name: each for name, each in stored.items() if name not in parts}
        find = _formats.packing(str(path), _files.configuration(path)) if packed else None
        self._packing = {name: find(name) for name in sorted(packed)} if find else {}

    def _gather(
        self, name: str, stored: Mapping[str, Stored], ends: tuple[str, ...]
    ) -> dict[str, Stored]:
        parts = {end: stored[f"{name}{end}"] for end in ends if f"{name}{end}" in stored}
        if f"{name}_g_idx" in stored:
            raise FormatError(
                f"{self._path}: tensor {name!r} has its columns in another order (g_idx), "
                "expected that of the weight"
            )
        return parts

    def packing(self, name: str) -> _formats.Packed | None:
        """Return how the tensor of this name is quantized, None if it is not."""
        return self._packing.get(name)

    def nbytes(self, name: str) -> int:
        """Return what the tensor of this name takes, with everything that belongs to it."""
        if name in self._parts:
            return sum(part.nbytes for part in self._parts[name].values())
        return self._plain[name].nbytes

    def __getitem__(self, name: str) -> "QuantizedTensor | NDArray[Any]":
        if name in self._plain:
            return self._plain[name].array()
        parts, how = self._parts[name], self._packing[name]
        zeros = _ZEROS.get(how.zero_point)
        for end in (_SHAPE, zeros):
            if end is not None and end not in parts:
                raise FormatError(f"{self._path}: tensor {name!r} has no {name}{end}")
        return QuantizedTensor(
            parts[_CODES].array(),
            parts[_SCALES].array(),
            None if zeros is None else parts[zeros].array(),
            shape=tuple(int(extent) for extent in parts[_SHAPE].array()),
            bits=how.bits,
            group_size=how.group_size,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._plain, *self._parts}))

    def __len__(self) -> int:
        return len(self._plain) + len(self._parts)

    def __repr__(self) -> str:
        size = sum(file.path.stat().st_size for file in self._files)
        return (
            f"<{len(self._parts)} quantized tensors and {len(self._plain)} others, "
            f"{size / 1e6:.1f} MB in {self._path}>"
        )


def rows_of(tensor: QuantizedTensor, begin: int, end: int) -> QuantizedTensor:
    """Return some rows of a matrix, or of a vector, which is one. `begin` is a multiple of 32."""
    if len(tensor.shape) == 1:
        return tensor
    zeros = tensor.zero_points
    if zeros is not None and zeros.dtype == np.uint32:
        zeros = zeros[begin * tensor.bits // 32 : -(-end * tensor.bits // 32)]
    elif zeros is not None:
        zeros = zeros[begin:end]
    return QuantizedTensor(
        tensor.codes[begin:end],
        tensor.scales[begin:end],
        zeros,
        shape=(end - begin, tensor.shape[1]),
        bits=tensor.bits,
        group_size=tensor.group_size,
    )
