"""What is in the files of a model, by their headers."""

from dataclasses import dataclass
from pathlib import Path

from threadwise.quant import _files, _formats
from threadwise.quant._files import Stored, WeightFile

__all__ = ["Found", "FoundFile", "FoundTensor", "look"]

_CODES, _SCALES = "_packed", "_scale"
_PARTS = (_CODES, _SCALES, "_shape", "_zero_point", "_minimum")


@dataclass(frozen=True)
class FoundTensor:
    """A tensor, with everything that belongs to it."""

    name: str
    kind: str
    """The dtype, or how it is quantized."""
    shape: tuple[int, ...]
    """If it is quantized, without reading how long rows are: as long as their codes could be."""
    is_exact: bool
    """Whether rows are certainly so long."""
    nbytes: int
    bits: int | None
    """Of a code, None if it is not quantized."""

    def extents(self) -> str:
        """Return the shape as people write it."""
        words = [str(extent) for extent in self.shape]
        if not self.is_exact:
            words[-1] = f"<={words[-1]}"
        return " x ".join(words) or "a number"


@dataclass(frozen=True)
class FoundFile:
    """A file of them."""

    path: Path
    nbytes: int
    metadata: dict[str, str]
    tensors: list[FoundTensor]


@dataclass(frozen=True)
class Found:
    """A model."""

    path: Path
    quantization: str | None
    """The format of quantized weights, None if there are none."""
    files: list[FoundFile]


def look(path: str | Path) -> Found:
    """Return what is in the files of a model.

    Raises
    ------
    FormatError
        If a file is not what it should be.
    StorageError
        If one cannot be read.
    """
    files = _files.read(path)
    names = {tensor.name for file in files for tensor in file.tensors}
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    about = _files.configuration(folder)
    packed = {
        name.removesuffix(_CODES)
        for name in names
        if name.endswith(_CODES) and f"{name.removesuffix(_CODES)}{_SCALES}" in names
    }
    is_known = packed and "quantization_config" in about
    find = _formats.packing(str(path), about) if is_known else None
    how = {name: find(name) for name in packed} if find else {}
    form = about["quantization_config"].get("format") if is_known else None
    return Found(Path(path), form, [_file(file, how) for file in files])


def _file(file: WeightFile, how: dict[str, _formats.Packed]) -> FoundFile:
    sizes: dict[str, int] = {}
    parts: dict[str, dict[str, Stored]] = {}
    for tensor in file.tensors:
        owners = (tensor.name.removesuffix(end) for end in _PARTS if tensor.name.endswith(end))
        owner = next((name for name in owners if name in how), tensor.name)
        sizes[owner] = sizes.get(owner, 0) + tensor.nbytes
        parts.setdefault(owner, {})[tensor.name.removeprefix(owner)] = tensor
    tensors = [_tensor(name, parts[name], sizes[name], how.get(name)) for name in sorted(parts)]
    return FoundFile(file.path, file.path.stat().st_size, file.metadata, tensors)


def _tensor(
    name: str, parts: dict[str, Stored], nbytes: int, packed: _formats.Packed | None
) -> FoundTensor:
    if packed is None or _CODES not in parts:
        [tensor] = [*parts.values()][:1]
        return FoundTensor(name, tensor.dtype, tensor.shape, True, nbytes, None)
    *rows, words = parts[_CODES].shape
    columns = words * 32 // packed.bits
    groups = parts[_SCALES].shape[-1] if _SCALES in parts else 0
    is_exact = packed.group_size > 0 and groups * packed.group_size == columns
    group = "whole rows" if packed.group_size == -1 else f"groups of {packed.group_size}"
    kind = f"{packed.bits} bits, {group}, {packed.zero_point}"
    return FoundTensor(name, kind, (*rows, columns), is_exact, nbytes, packed.bits)
