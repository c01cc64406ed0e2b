"""``threadwise inspect``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from threadwise.quant._inspection import Found

__all__ = ["inspect"]


def inspect(
    path: Annotated[Path, typer.Argument(help="A safetensors file, or a model's directory.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what is in the files of a model.

    Tensors, their types, shapes and sizes, how they are quantized, and what metadata there are.
    Only the files' headers are read, however large the files are.
    """
    from json import dumps

    from threadwise.quant._inspection import look

    found = look(path)
    print(dumps(_plain(found), indent=2) if json else _text(found))


def _plain(found: "Found") -> dict[str, Any]:
    from dataclasses import asdict

    files = [{**asdict(file), "path": str(file.path)} for file in found.files]
    return {"path": str(found.path), "quantization": found.quantization, "files": files}


def _text(found: "Found") -> str:
    from threadwise.quant._report_text import size

    parts = []
    for file in found.files:
        head = f"{file.path}: {len(file.tensors)} tensors, {size(file.nbytes)}"
        metadata = [f"  {key}: {value}" for key, value in sorted(file.metadata.items())]
        rows = [(each.name, each.kind, each.extents(), size(each.nbytes)) for each in file.tensors]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
        name, kind, shape, nbytes = widths
        lines = (f"  {a:<{name}}  {b:<{kind}}  {c:>{shape}}  {d:>{nbytes}}" for a, b, c, d in rows)
        parts.append("\n".join([head, *metadata, *lines]))
    tensors = [each for file in found.files for each in file.tensors]
    total = f"{len(tensors)} tensors in {len(found.files)} files" if len(found.files) > 1 else ""
    quantized = [each for each in tensors if each.bits is not None]
    summary = [total] if total else []
    if found.quantization is not None:
        summary.append(
            f"quantized: {len(quantized)} of {len(tensors)} tensors, {found.quantization}"
        )
    return "\n\n".join([*parts, *(["\n".join(summary)] if summary else [])])
