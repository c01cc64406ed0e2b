"""``threadwise perplexity``."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["perplexity"]


def perplexity(
    model: Annotated[Path, typer.Argument(help="The model's directory, or a sample's name.")],
    tokens: Annotated[Path, typer.Argument(help="A text's tokens: integers in a .npy file.")],
    *,
    window: Annotated[int, typer.Option(help="Tokens that are read at a time.")] = 512,
    threads: Annotated[int | None, typer.Option(help="How many may take part.")] = None,
    kv_dtype: Annotated[
        str, typer.Option(help="float16, float32 or int8, for keys and values.")
    ] = "float16",
    activations: Annotated[
        str, typer.Option(help="int8 or float: how inputs meet quantized weights.")
    ] = "int8",
    quantize: Annotated[int | None, typer.Option(help="To 2, 3, 4 or 8 bits, first.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say how well a model foresees a text.

    The less, the better: as if so many next tokens were equally likely. The exit code is 130 after
    Ctrl-C.
    """
    import time
    from json import dumps

    import numpy as np

    import threadwise as tw
    from threadwise.cli._model import folder
    from threadwise.errors import FormatError

    try:
        text = np.load(tokens, allow_pickle=False)
    except ValueError as error:
        raise FormatError(f"{tokens} is no .npy file: {error}") from None
    made = tw.models.load(
        folder(model),
        threads=threads,
        kv_dtype=kv_dtype,
        quantize=quantize,
        activations=activations,
    )
    begin = time.perf_counter()
    try:
        found = made.perplexity(text, window)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    seconds, windows = time.perf_counter() - begin, len(text) // window
    if json:
        facts = {"perplexity": found, "windows": windows, "window": window, "seconds": seconds}
        print(dumps(facts))
        return
    rate = windows * window / seconds
    print(f"perplexity {found:.4f}, {windows} windows of {window} tokens, {rate:.0f} tokens/s")
