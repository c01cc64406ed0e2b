"""Training on disk: parameters and the optimizer's memory in safetensors, the rest in JSON.

A folder holds ``state.json``, which names the safetensors file that belongs to it. The tensors are
written first, under a name of their own, then ``state.json`` takes the place of the one before, in
one step: whenever the machine stops, the folder holds a whole checkpoint, the old or the new one.
"""

import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from threadwise._file import write
from threadwise.errors import FormatError, ShapeError, StorageError
from threadwise.train.mlp import MLP
from threadwise.train.optimizers import Optimizer, optimizer

__all__ = ["Checkpoint", "load_checkpoint", "read_tensors", "save_checkpoint", "write_tensors"]

_STATE = "state.json"
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
}
_VERSION = 1


class Checkpoint(NamedTuple):
    """What a folder holds."""

    model: MLP
    optimizer: Optimizer
    extra: dict[str, Any]
    """What was kept besides."""
    tensors: dict[str, NDArray[Any]]
    """Arrays that were kept besides."""


def write_tensors(path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    """Write a safetensors file, in place of one that is there; at no moment is there a part of it.

    Raises
    ------
    StorageError
        If the system refuses.
    """
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {}
    parts, at = [], 0
    for name, tensor in tensors.items():
        little = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<"))
        header[name] = {
            "dtype": names[little.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + little.nbytes],
        }
        parts.append(little.tobytes())
        at += little.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    try:
        write(path, b"".join([struct.pack("<Q", len(text)), text, *parts]))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}") from error


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_tensors` wrote.

    Raises
    ------
    StorageError
        If the system refuses.
    FormatError
        If the file is not whole.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        tensors = {}
        for name, about in header.items():
            begin, end = about["data_offsets"]
            raw = data[8 + length + begin : 8 + length + end]
            array = np.frombuffer(raw, _DTYPES[about["dtype"]]).reshape(about["shape"])
            tensors[name] = array.astype(array.dtype.newbyteorder("="))
    except (struct.error, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} is not a whole safetensors file: {error}") from error
    return tensors


def save_checkpoint(
    folder: str | Path,
    model: MLP,
    optimizer: Optimizer,
    extra: dict[str, Any] | None = None,
    tensors: dict[str, NDArray[Any]] | None = None,
) -> None:
    """Write a model and its optimizer into a folder, in place of a checkpoint that is there.

    Parameters
    ----------
    folder : str or Path
        Made if it is missing.
    model : MLP
        The model.
    optimizer : Optimizer
        The optimizer that trains it.
    extra : dict, optional
        What JSON can hold, kept besides.
    tensors : dict of ndarray of float32, float64 or int64, optional
        Arrays, kept besides.

    Raises
    ------
    StorageError
        If the system refuses. Then the checkpoint before is still there.

    Examples
    --------
    >>> import tempfile
    >>> import threadwise as tw
    >>> model, optimizer = tw.train.MLP([3, 4, 2], seed=1), tw.train.SGD(0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tw.train.save_checkpoint(folder, model, optimizer, extra={"best": 0.5})
    ...     found = tw.train.load_checkpoint(folder)
    >>> found.model.parameters["0.bias"].shape, found.extra
    ((4,), {'best': 0.5})
    """
    folder = Path(folder)
    all_tensors = {f"model/{name}": array for name, array in model.parameters.items()}
    for name, arrays in optimizer.state.items():
        all_tensors |= {f"optimizer/{i}/{name}": array for i, array in enumerate(arrays)}
    all_tensors |= {f"extra/{name}": array for name, array in (tensors or {}).items()}
    file = f"step-{optimizer.steps:012d}.safetensors"
    state = {
        "version": _VERSION,
        "tensors": file,
        "model": model.describe(),
        "optimizer": optimizer.describe(),
        "extra": extra or {},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / file).exists():
            # The one before, at the same step, must stay whole until this one is.
            file = f"again-{file}" if _named(folder) == file else file
            state["tensors"] = file
        write_tensors(folder / file, all_tensors)
        write(folder / _STATE, json.dumps(state, indent=1) + "\n")
        for old in folder.glob("*step-*.safetensors"):
            if old.name != file:
                old.unlink(missing_ok=True)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{folder} cannot be written to: {error}") from error


def _named(folder: Path) -> str | None:
    """Return the name of the tensors that belong to the folder's checkpoint."""
    try:
        name = json.loads((folder / _STATE).read_text()).get("tensors")
    except (OSError, ValueError):
        return None
    return str(name)


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote: training goes on from it bit for bit.

    Parameters
    ----------
    folder : str or Path
        Where it is.

    Returns
    -------
    Checkpoint
        `model`, `optimizer`, and what was kept besides, as `extra` and `tensors`.

    Raises
    ------
    StorageError
        If there is no checkpoint, or the system refuses.
    FormatError
        If it is not whole, or of another version.

    Examples
    --------
    >>> import tempfile
    >>> import threadwise as tw
    >>> model, optimizer = tw.train.MLP([3, 4, 2], seed=1), tw.train.SGD(0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tw.train.save_checkpoint(folder, model, optimizer, extra={"best": 0.5})
    ...     found = tw.train.load_checkpoint(folder)
    >>> found.model.parameters["0.bias"].shape, found.extra
    ((4,), {'best': 0.5})
    """
    folder = Path(folder)
    path = folder / _STATE
    try:
        state = json.loads(path.read_text())
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise FormatError(f"{path} is not JSON: {error}") from error
    try:
        if state["version"] != _VERSION:
            raise FormatError(f"{path} has version {state['version']}, expected {_VERSION}")
        settings = dict(state["model"])
        model = MLP(settings.pop("sizes"), **settings)
        trainer = optimizer(state["optimizer"])
        tensors = read_tensors(folder / state["tensors"])
        _fill(model, trainer, tensors)
        extra = dict(state["extra"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path} is not a checkpoint of training: {error!r}") from error
    begin = "extra/"
    kept = {name.removeprefix(begin): a for name, a in tensors.items() if name.startswith(begin)}
    return Checkpoint(model, trainer, extra, kept)


def _fill(model: MLP, trainer: Optimizer, tensors: dict[str, NDArray[Any]]) -> None:
    if any(name.startswith("optimizer/") for name in tensors):
        trainer.remember(model.parameters)
    for name, array in model.parameters.items():
        places = [(f"model/{name}", array)]
        places += [(f"optimizer/{i}/{name}", a) for i, a in enumerate(trainer.state.get(name, []))]
        for key, place in places:
            if tensors[key].shape != place.shape or tensors[key].dtype != place.dtype:
                raise ShapeError(
                    f"tensor {key!r} has shape {tensors[key].shape}, expected {place.shape}"
                )
            place[...] = tensors[key]
