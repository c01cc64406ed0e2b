"""How many threads calls use: for one call, for a block of code, for the process."""

from types import TracebackType
from typing import Self

from threadwise import _threadwise

__all__ = ["get_num_threads", "set_num_threads", "threads"]


def get_num_threads() -> int:
    """Return how many threads a call from this Python thread may use, the calling one included.

    Returns
    -------
    int
        The first of these that is set: the innermost `threads` context of this Python thread;
        `set_num_threads`; the environment variables ``THREADWISE_NUM_THREADS``,
        ``RAYON_NUM_THREADS`` and ``OMP_NUM_THREADS``, which are read once; otherwise the CPUs in
        the affinity mask, or the control group's CPU quota, rounded up, if that is less.

    Raises
    ------
    DomainError
        If the answer is up to ``THREADWISE_NUM_THREADS`` and that is not a whole number from 1 to
        1024. (The variables of other libraries are passed over where they make no sense to us.)

    See Also
    --------
    threads, set_num_threads

    Examples
    --------
    >>> import threadwise as tw
    >>> with tw.threads(2):
    ...     tw.get_num_threads()
    2
    """
    return _threadwise.get_num_threads()


def set_num_threads(threads: int | None, /) -> None:
    """Set how many threads calls in this process may use, the calling one included.

    Parameters
    ----------
    threads : int or None
        From 1 to 1024. 1 means the plain loop, without any machinery. ``None`` returns to the
        default, as `get_num_threads` describes it.

    Raises
    ------
    DomainError
        If `threads` is not from 1 to 1024.
    DTypeError
        If `threads` is not a whole number.

    Notes
    -----
    A `threads` context and the argument ``threads=`` of a call take precedence. The number is an
    upper limit: small work runs on fewer threads. It never changes a result.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.set_num_threads(1)
    >>> tw.get_num_threads()
    1
    >>> tw.set_num_threads(None)
    """
    _threadwise.set_num_threads(threads)


class threads:  # noqa: N801 - used like a function, as threadpoolctl's and contextlib's are
    """Limit the threads that calls in a block of code may use.

    Parameters
    ----------
    n : int or None
        From 1 to 1024; ``None`` lifts the limits of the surrounding blocks.

    Raises
    ------
    DomainError
        On entry, if `n` is not from 1 to 1024.
    DTypeError
        On entry, if `n` is not a whole number.

    Notes
    -----
    The limit holds for the Python thread that enters the block, and for no other. Blocks nest: the
    innermost counts. One object may be entered again, also inside its own block.

    Examples
    --------
    >>> import threadwise as tw
    >>> with tw.threads(1):
    ...     with tw.threads(2):
    ...         tw.get_num_threads()
    ...     tw.get_num_threads()
    2
    1
    """

    def __init__(self, n: int | None, /) -> None:
        self._n = n
        self._before: list[int | None] = []

    def __enter__(self) -> Self:
        self._before.append(_threadwise.swap_context(self._n))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        _threadwise.swap_context(self._before.pop())

    def __repr__(self) -> str:
        return f"threads({self._n})"
