"""What there is to say after ``threadwise``."""

from typing import Annotated

import typer

from threadwise.cli.bench import bench
from threadwise.cli.calibrate import calibrate
from threadwise.cli.demo import demo
from threadwise.cli.doctor import doctor
from threadwise.cli.explain import explain
from threadwise.cli.generate import generate
from threadwise.cli.inspect import inspect
from threadwise.cli.perplexity import perplexity
from threadwise.cli.quantize import quantize
from threadwise.cli.scaling import scaling

__all__ = ["app"]

# Plain text and plain tracebacks: the decorated ones cost a third of the start.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# It has a parser of its own, which works without typer.
_forwarded = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command(add_help_option=False, context_settings=_forwarded)(bench)
app.command()(calibrate)
app.command()(demo)
app.command()(doctor)
app.command()(explain)
app.command()(generate)
app.command()(inspect)
app.command()(perplexity)
app.command()(quantize)
app.command()(scaling)


def _version(wanted: bool) -> None:
    from threadwise import __version__

    if wanted:
        print(f"threadwise {__version__}")
        raise typer.Exit


@app.callback()
def threadwise(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Parallel deep learning on the CPU, from NumPy."""
