"""What comes with the package, so that there is something to begin with.

``stdlib-mistral-2.8m`` is a language model: Mistral's architecture, 2.76 million parameters in
bfloat16, a byte-level tokenizer of 1,024 tokens, a sliding window of 256. It was trained on the
source of Python's standard library (PSF license). Its ``heldout_tokens.npy`` are 30,720 tokens of
that kind that it has never seen.
"""

from pathlib import Path

from threadwise import errors

__all__ = ["names", "path"]

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return what there is.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.samples.names()
    ('stdlib-mistral-2.8m',)
    """
    return tuple(sorted(file.parent.name for file in _FOLDER.glob("*/config.json")))


def path(name: str) -> Path:
    """Return the directory of a sample.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Path

    Raises
    ------
    DomainError
        If there is no such sample.

    Examples
    --------
    >>> import threadwise as tw
    >>> (tw.samples.path("stdlib-mistral-2.8m") / "config.json").exists()
    True
    """
    if name not in names():
        raise errors.DomainError(
            f"there is no sample {name!r}, expected one of {', '.join(names())}"
        )
    return _FOLDER / name
