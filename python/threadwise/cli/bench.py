"""``threadwise bench``."""

import typer

__all__ = ["bench"]


def bench(context: typer.Context) -> None:
    """Time products, models, training and dispatch, next to others.

    All arguments are those of `python -m threadwise.bench`, whose --help explains them.
    """
    from threadwise.bench.__main__ import main

    raise typer.Exit(main(context.args, program="threadwise bench"))
