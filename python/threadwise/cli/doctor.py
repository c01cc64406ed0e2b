"""``threadwise doctor``."""

from typing import Annotated

import typer

__all__ = ["doctor"]


def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what threadwise runs on.

    Its build, the processor, the threads of every library, and warnings, each with its remedy. The
    exit code is 1 if there are any.
    """
    import dataclasses
    from json import dumps

    import numpy as np  # noqa: F401 - so that the threads of its BLAS are seen

    import threadwise as tw

    found = tw.info()
    print(dumps(dataclasses.asdict(found), indent=2) if json else found)
    raise typer.Exit(1 if found.warnings else 0)
