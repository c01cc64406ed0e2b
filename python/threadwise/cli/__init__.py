"""The command line: ``threadwise``, or ``python -m threadwise``. One command a file."""

import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name."""
    if find_spec("typer") is None:
        sys.exit(_complain('the command line needs typer: pip install "threadwise[cli]"'))
    from threadwise.cli._app import app
    from threadwise.errors import ThreadwiseError

    try:
        app()
    except (ThreadwiseError, ModuleNotFoundError, MemoryError) as error:
        sys.exit(_complain(str(error)))
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        sys.exit(_complain(f"{where}{error.strerror or error}"))


def _complain(text: str) -> int:
    print(f"threadwise: {text}", file=sys.stderr)
    return 2
