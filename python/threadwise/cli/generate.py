"""``threadwise generate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from threadwise.models import CausalLM

__all__ = ["generate"]


def generate(
    model: Annotated[Path, typer.Argument(help="The model's directory, or a sample's name.")],
    *,
    prompt: Annotated[list[str], typer.Option(help="What to go on with; may be repeated.")],
    max_new_tokens: Annotated[int, typer.Option(help="When to stop at the latest.")] = 128,
    temperature: Annotated[float, typer.Option(help="0: the likeliest token, none drawn.")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from so many tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from this part of all.")] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Draw from what is as likely, times the likeliest.")
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1: rather what was not there.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(help="What is drawn with it is the same.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text.")] = None,
    threads: Annotated[int | None, typer.Option(help="How many may take part.")] = None,
    tensor_parallel: Annotated[int, typer.Option(help="Ranks that share layers.")] = 1,
    pipeline_stages: Annotated[int, typer.Option(help="Stages, one behind the other.")] = 1,
    kv_dtype: Annotated[
        str, typer.Option(help="float16, float32 or int8, for keys and values.")
    ] = "float16",
    max_context: Annotated[int | None, typer.Option(help="Tokens a text may have.")] = None,
    quantize: Annotated[int | None, typer.Option(help="To 2, 3, 4 or 8 bits, first.")] = None,
    stream: Annotated[
        bool | None, typer.Option("--stream/--no-stream", help="Whether to print as it comes.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Write what follows a prompt.

    The text is printed as it comes, that of several prompts at the end; how fast it was, on the
    standard error output. With --json an object a prompt; with --stream too, a line a piece before.
    The exit code is 130 after Ctrl-C.
    """
    import threadwise as tw
    from threadwise.cli._model import folder

    made = tw.models.load(
        folder(model),
        threads=threads,
        tensor_parallel=tensor_parallel,
        pipeline_stages=pipeline_stages,
        kv_dtype=kv_dtype,
        max_context=max_context,
        quantize=quantize,
    )
    wishes: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
        "stop": stop or None,
    }
    streams = (len(prompt) == 1 and not json) if stream is None else stream
    try:
        _write(made, prompt, wishes, streams=streams, as_json=json)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _write(
    model: "CausalLM", prompts: list[str], wishes: dict[str, Any], *, streams: bool, as_json: bool
) -> None:
    from json import dumps

    from threadwise.cli._model import plain, speed

    stream = model.generate(prompts, stream=True, **wishes)
    for piece in stream if streams else ():
        if as_json:
            line = {"index": piece.prompt, "piece": str(piece), "token_ids": piece.token_ids}
            print(dumps(line), flush=True)
        elif len(prompts) == 1:
            print(piece, end="", flush=True)
        else:
            print(f"{piece.prompt}: {str(piece)!r}", flush=True)
    for number, (prompt, found) in enumerate(zip(prompts, stream.result(), strict=True)):
        if as_json:
            print(dumps(plain(found, prompt)))
            continue
        if not streams:
            print(found.text)
        elif len(prompts) == 1:
            print()
        which = "" if len(prompts) == 1 else f"{number}: "
        typer.echo(f"{which}{speed(found)}", err=True)
