"""How work is shared among threads: what a caller may say about it, and what was counted.

Nothing in here changes a bit of a result.
"""

from dataclasses import dataclass, fields
from typing import Literal, Self

from threadwise import _threadwise
from threadwise._stats import WorkerStats, WorkStats, reset_work_stats, work_stats

__all__ = [
    "NumaHint",
    "WorkDistribution",
    "WorkStats",
    "WorkerStats",
    "reset_work_stats",
    "work_stats",
]


@dataclass(frozen=True, repr=False)
class NumaHint:
    """Where the threads of a call should be, on a machine with several memory nodes.

    Made by `local` and `interleaved`, and given to a `WorkDistribution`. On a machine with one
    node, or where the affinity mask leaves one, a hint does nothing and costs nothing.

    Parameters
    ----------
    policy : {"local", "interleaved"}
        On one node, or spread over all.
    node : int, optional
        Which one, for ``"local"``; by default the calling thread's.
    pin : bool, default False
        Whether each worker is kept on one CPU for the time of the call.

    Raises
    ------
    DomainError
        If `policy` is another, or `node` is negative or given with ``"interleaved"``.
    DTypeError
        If an argument is of another type.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.NumaHint.local(1, pin=True)
    NumaHint.local(1, pin=True)
    """

    policy: Literal["local", "interleaved"]
    """On one node, or spread over all."""
    node: int | None = None
    """Which one; ``None`` for the calling thread's, and for all."""
    pin: bool = False
    """Whether each worker is kept on one CPU."""

    def __post_init__(self) -> None:
        checked = _threadwise.numa_hint(self.policy, self.node, self.pin)
        for field, value in zip(fields(self), checked, strict=True):
            object.__setattr__(self, field.name, value)

    def __repr__(self) -> str:
        node = [] if self.node is None else [str(self.node)]
        return f"NumaHint.{self.policy}({', '.join(node + ['pin=True'] * self.pin)})"

    @classmethod
    def local(cls, node: int | None = None, *, pin: bool = False) -> Self:
        """Workers on one node, next to the data that lies there.

        Where a call has more threads than the node has CPUs, the others go to the nearest nodes.
        New memory comes from the node of the thread that first touches it, so results and scratch
        memory lie there too.

        Parameters
        ----------
        node : int, optional
            Which one; by default that of the calling thread, at each call. Where this process may
            use no CPU of it, the call raises `DomainError`, which names those that have some.
        pin : bool, default False
            Whether each worker is kept on one CPU, the first of each core before any second, within
            the affinity mask that it inherited. Where that fails, there is one `RuntimeWarning`.

        Returns
        -------
        NumaHint
        """
        return cls("local", node, pin)

    @classmethod
    def interleaved(cls, *, pin: bool = False) -> Self:
        """Workers on all nodes, as many on each, to use the bandwidth of all.

        Pieces of work follow one another from node to node, so each node gets one run of the
        result, whose pages it touches first.

        Parameters
        ----------
        pin : bool, default False
            As for `local`.

        Returns
        -------
        NumaHint
        """
        return cls("interleaved", None, pin)


@dataclass(frozen=True)
class WorkDistribution:
    """How a call's work is cut into pieces that threads share.

    An operation cuts its work by itself; this is for those who know better, and for one's own
    loops.

    Parameters
    ----------
    min_chunk : int, default 64
        The fewest things in a piece, so that it is worth handing over.
    max_chunk : int, default 4096
        The most, at least `min_chunk`.
    tasks_per_thread : int, default 4
        Pieces for each thread, if that lies within the bounds: more of them even out better, where
        some take longer than others.
    numa : NumaHint, optional
        Where the threads should be, on a machine with several memory nodes.
    cache_line : int, default 64
        Bytes that CPUs cannot write to but as a whole, a power of two. Pieces of elements begin at
        multiples of it, so that no two threads write to one line.

    Raises
    ------
    DomainError
        If a number is less than 1, `max_chunk` less than `min_chunk`, or `cache_line` no power of
        two.
    DTypeError
        If an argument is of another type.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.WorkDistribution(min_chunk=10, max_chunk=40).ranges(100, threads=1)
    [(0, 25), (25, 50), (50, 75), (75, 100)]
    """

    min_chunk: int = 64
    """The fewest things in a piece."""
    max_chunk: int = 4096
    """The most."""
    tasks_per_thread: int = 4
    """Pieces for each thread."""
    numa: NumaHint | None = None
    """Where the threads should be."""
    cache_line: int = 64
    """Bytes that CPUs cannot write to but as a whole."""

    def __post_init__(self) -> None:
        numbers = _threadwise.distribution(
            self.min_chunk, self.max_chunk, self.tasks_per_thread, self.numa, self.cache_line
        )
        names = ("min_chunk", "max_chunk", "tasks_per_thread", "cache_line")
        for name, number in zip(names, numbers, strict=True):
            object.__setattr__(self, name, number)

    @classmethod
    def for_matmul(cls, rows: int, cols: int, threads: int | None = None) -> Self:
        """Choose for the rows of a matrix, as in a product with it.

        Parameters
        ----------
        rows, cols : int
            The size of the matrix.
        threads : int, optional
            How many will share it; by default what `threadwise.get_num_threads` says.

        Returns
        -------
        WorkDistribution
            Four pieces a thread. At most as many rows as make four pieces a thread, from 128 to
            1024. At least as many as hold 8192 elements, which is 32 KiB of float32, from 1 to 64.

        Raises
        ------
        DomainError
            If a number is negative, or `threads` is not from 1 to 1024.
        DTypeError
            If an argument is not a whole number.

        Notes
        -----
        The least falls as rows get longer, because elements take time and not rows: sixteen long
        rows are worth sixteen pieces, and a least that grew with `cols` would leave them to one
        thread.

        Examples
        --------
        >>> import threadwise as tw
        >>> tw.WorkDistribution.for_matmul(4096, 1024, threads=2)
        WorkDistribution(min_chunk=8, max_chunk=512, tasks_per_thread=4, numa=None, cache_line=64)
        """
        least, most, tasks, line = _threadwise.distribution_for_matmul(rows, cols, threads)
        return cls(least, most, tasks, None, line)

    @classmethod
    def for_attention(cls, heads: int, seq: int, threads: int | None = None) -> Self:
        """Choose for the heads of attention.

        Parameters
        ----------
        heads : int
            How many there are.
        seq : int
            Positions that each looks at.
        threads : int, optional
            How many will share them; by default what `threadwise.get_num_threads` says.

        Returns
        -------
        WorkDistribution
            By single heads if need be; at most a thread's even share in a piece. Above 512
            positions two pieces a thread, where heads are long enough to take unequal time, else
            one.

        Raises
        ------
        DomainError
            If a number is negative, or `threads` is not from 1 to 1024.
        DTypeError
            If an argument is not a whole number.

        Notes
        -----
        The most is a share and not all heads, which would be no bound: no piece of one sequence is
        ever longer. So it also holds where the heads of many sequences are cut together.

        Examples
        --------
        >>> import threadwise as tw
        >>> tw.WorkDistribution.for_attention(32, 2048, threads=4).chunk(32, threads=4)
        4
        """
        least, most, tasks, line = _threadwise.distribution_for_attention(heads, seq, threads)
        return cls(least, most, tasks, None, line)

    def chunk(self, total: int, threads: int | None = None) -> int:
        """Say how long a piece of `total` things should be.

        Parameters
        ----------
        total : int
            How many there are.
        threads : int, optional
            How many share them; by default what `threadwise.get_num_threads` says.

        Returns
        -------
        int
            ``total / (threads * tasks_per_thread)``, rounded up, within the bounds.

        Raises
        ------
        DomainError
            If a number is negative, or `threads` is not from 1 to 1024.
        DTypeError
            If an argument is not a whole number.
        """
        return _threadwise.distribution_chunk(self, total, threads)

    def ranges(
        self, total: int, threads: int | None = None, itemsize: int | None = None
    ) -> list[tuple[int, int]]:
        """Cut ``range(total)`` into pieces about `chunk` long.

        Parameters
        ----------
        total : int
            How many things there are.
        threads : int, optional
            How many share them; by default what `threadwise.get_num_threads` says.
        itemsize : int, optional
            Bytes of each, if they lie in memory one behind the other.

        Returns
        -------
        list of (int, int)
            Where each begins and ends: in order, none empty, from 0 to `total`, and as even as the
            bounds allow. Each has at most `max_chunk` things, and at least `min_chunk`, but for the
            last where no cut has both: then the others have just `min_chunk`.

        Raises
        ------
        DomainError
            If a number is negative, `itemsize` is 0, or `threads` is not from 1 to 1024.
        DTypeError
            If an argument is not a whole number.

        Notes
        -----
        With `itemsize` pieces begin at multiples of ``cache_line // itemsize``, or where that does
        not divide evenly, of the fewest things that fill whole lines. For that the least is rounded
        up and the most down. Where no whole number of lines is left between them, the most counts;
        where it is less than a line, a piece is a line. The last piece ends at `total`, be it
        within a line.

        Examples
        --------
        >>> import threadwise as tw
        >>> tw.WorkDistribution(min_chunk=1).ranges(100, threads=1, itemsize=4)
        [(0, 32), (32, 64), (64, 96), (96, 100)]
        """
        return _threadwise.distribution_ranges(self, total, threads, itemsize)
