"""What can go wrong, and what it means.

Every exception that threadwise raises on its own account is a `ThreadwiseError`, and also the
built-in exception that a caller who does not know threadwise would catch. Messages are one
sentence: what, what it is, what was expected, and what to do where that is not plain.
"""

__all__ = [
    "CommunicationError",
    "DTypeError",
    "DomainError",
    "FormatError",
    "LayoutError",
    "ShapeError",
    "StorageError",
    "ThreadwiseError",
]


class ThreadwiseError(Exception):
    """Base of every exception raised by threadwise itself."""


class ShapeError(ThreadwiseError, ValueError):
    """Arrays disagree about an extent they share, or have too few or too many axes."""


class LayoutError(ThreadwiseError, ValueError):
    """An array does not lie in memory as the operation needs it.

    It is misaligned, read-only where a result should go, or overlaps another argument.
    """


class DTypeError(ThreadwiseError, TypeError):
    """An array has a dtype, or an argument a type, that the operation does not take."""


class DomainError(ThreadwiseError, ValueError):
    """An argument or a setting of the right type has a value that makes no sense."""


class CommunicationError(ThreadwiseError, RuntimeError):
    """Ranks or stages that work together cannot go on.

    Another one has failed, they call different things where all must call the same, or each waits
    for another.
    """


class FormatError(ThreadwiseError, ValueError):
    """A file is not what it should be: truncated, malformed, or not where an index says it is."""


class StorageError(ThreadwiseError, OSError):
    """The system refuses to read or to write a file: it is missing, or the disk is full."""
