"""``threadwise quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from threadwise.quant import Progress

__all__ = ["quantize"]

_PICTURES = (".pdf", ".png", ".svg")
_REPORTS = (".json", ".txt", *_PICTURES)


def quantize(
    src: Annotated[Path, typer.Argument(help="The model: a directory, or a safetensors file.")],
    dst: Annotated[Path, typer.Argument(help="The directory to write.")],
    *,
    bits: Annotated[int | None, typer.Option(help="2, 3, 4 or 8.")] = None,
    group_size: Annotated[
        int | None, typer.Option(help="Weights that share a scale; -1: whole rows.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="mse (least squares) or minmax (faster).")
    ] = None,
    symmetric: Annotated[
        bool | None, typer.Option("--symmetric/--asymmetric", help="Whether 0 is in the middle.")
    ] = None,
    zero_point: Annotated[str | None, typer.Option(help="auto, integer or float.")] = None,
    profile: Annotated[str | None, typer.Option(help="edge, local, cloud or base.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings, in YAML.")] = None,
    threads: Annotated[int | None, typer.Option(help="0: as many as calls use.")] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="Bytes that may be held at once, like 512M.")
    ] = None,
    streaming: Annotated[
        bool | None, typer.Option(help="Hold a block a thread, or load ahead.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Tensors to quantize.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Tensors to leave alone.")
    ] = None,
    layer_bits: Annotated[
        list[str] | None, typer.Option(metavar="GLOB=BITS", help="Other bits for some tensors.")
    ] = None,
    min_cosine: Annotated[
        float | None, typer.Option(help="Below it, a tensor gets wider bits.")
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Below it, stop.")] = False,
    report: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Where the report goes: .json .txt .png .svg .pdf."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DST.")] = False,
    resume: Annotated[
        bool | None, typer.Option(help="Insist on a run that was stopped, or forget it.")
    ] = None,
) -> None:
    """Turn a model into one of 2, 3, 4 or 8 bits.

    Settings that are not given here come from THREADWISE_QUANT_*, from the file, from the profile,
    in this order. DST is whole or absent: a run that was stopped goes on where it was when the
    same command is given again. The exit code is 2 if anything is wrong, 130 after Ctrl-C.
    """
    from threadwise import quant

    for path in report or ():
        _check(path)
    given: dict[str, Any] = {
        "bits": bits,
        "group_size": group_size,
        "method": method,
        "symmetric": symmetric,
        "zero_point": zero_point,
        "threads": threads,
        "max_memory": max_memory,
        "streaming": streaming,
        "include": include,
        "exclude": exclude,
        "layer_bits": _widths(layer_bits or []),
        "min_cosine": min_cosine,
        "fail_fast": fail_fast or None,
    }
    arguments = {name: value for name, value in given.items() if value not in (None, [], {})}
    settings = quant.QuantConfig.resolve(profile=profile, file=config, **arguments)
    try:
        with quant.ProgressBar() as bar:

            def tell(progress: "Progress") -> None:
                if not progress.tensor:
                    _announce(src, settings, progress)
                bar(progress)

            done = quant.quantize_model(
                src, dst, settings, progress=tell, overwrite=overwrite, resume=resume
            )
    except KeyboardInterrupt:
        typer.echo("threadwise: stopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    print(done)
    for path in report or ():
        _keep(done, path)
        print(f"report     {path}")


def _announce(src: Path, settings: Any, progress: "Progress") -> None:
    """Say what will be done, before it is."""
    from threadwise.quant._report_text import size

    group = "whole rows" if settings.group_size == -1 else f"groups of {settings.group_size}"
    kind = settings.zero_point_of(settings.bits)
    zero = "symmetric" if kind == "symmetric" else f"{kind} zero points"
    print(f"model      {src}: {progress.tensors_total} tensors, {size(progress.bytes_total)}")
    print(f"settings   {settings.bits} bits, {group}, {zero}, {settings.method}")
    if progress.tensors_done:
        print(f"resumed    {progress.tensors_done} tensors were finished before")
    print(f"memory     {size(progress.predicted_peak_bytes)} at most", flush=True)


def _widths(pairs: list[str]) -> dict[str, int | str]:
    """Return what GLOB=BITS says; what is no number is refused with all other settings."""
    widths: dict[str, int | str] = {}
    for pair in pairs:
        glob, _, bits = pair.rpartition("=")
        widths[glob] = int(bits) if bits.isdecimal() else bits
    return widths


def _check(report: Path) -> None:
    """Refuse a report that could not be written, before any work."""
    from threadwise._picture import check_drawing
    from threadwise.errors import DomainError
    from threadwise.quant._settings import words

    if report.suffix not in _REPORTS:
        raise DomainError(f"--report is {report}, expected a name that ends in {words(_REPORTS)}")
    if not report.absolute().parent.is_dir():
        raise DomainError(f"--report is {report}, but there is no directory {report.parent}")
    if report.suffix in _PICTURES:
        check_drawing()


def _keep(done: Any, path: Path) -> None:
    from threadwise._file import write

    if path.suffix == ".json":
        done.to_json(path)
    elif path.suffix == ".txt":
        write(path, f"{done.table()}\n")
    else:
        done.plot(path)
