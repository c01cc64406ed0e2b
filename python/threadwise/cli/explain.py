"""``threadwise explain``."""

from typing import Annotated

import typer

__all__ = ["explain"]

DTYPES = ("float32", "float64", "float16", "int8")


def explain(
    shape: Annotated[str, typer.Argument(help="MxKxN, for example 64x512x1024.")],
    *,
    dtype: Annotated[str, typer.Option(help=f"One of {', '.join(DTYPES)}.")] = DTYPES[0],
    threads: Annotated[int | None, typer.Option(help="How many may take part.")] = None,
) -> None:
    """Say how a product would be computed."""
    import re

    import numpy as np

    import threadwise as tw

    if not re.fullmatch(r"\d+x\d+x\d+", shape):
        raise tw.errors.DomainError(f"the shape is {shape}, expected MxKxN like 64x512x1024")
    if dtype not in DTYPES:
        raise tw.errors.DomainError(f"dtype is {dtype}, expected one of {', '.join(DTYPES)}")
    m, k, n = map(int, shape.split("x"))
    # A plan looks at how operands lie, and reads no element.
    print(tw.explain(tw.matmul, np.empty((m, k), dtype), np.empty((k, n), dtype), threads=threads))
