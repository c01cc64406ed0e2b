"""What ranks can say to one another."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from threadwise import _threadwise
from threadwise.errors import DTypeError, LayoutError
from threadwise.shard._crew import run_together, shares

__all__ = ["Communicator", "SelfComm", "ThreadComm"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


@runtime_checkable
class Communicator(Protocol):
    """A rank's connection to the others: what functions of this module ask of one.

    Names and meanings are mpi4py's, so ``mpi4py.MPI.COMM_WORLD`` is one as it is. Buffers are
    NumPy arrays, contiguous by rows; what is received into has its size. What one rank calls
    collectively, all must call, in the same order, and one thread a rank.
    """

    @property
    def rank(self) -> int:
        """Which rank this is, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many ranks there are."""
        ...

    def Get_rank(self) -> int:  # noqa: N802 - MPI's names, here and below
        """Return `rank`."""
        ...

    def Get_size(self) -> int:  # noqa: N802
        """Return `size`."""
        ...

    def Barrier(self) -> None:  # noqa: N802
        """Return when all ranks have called it."""
        ...

    def Bcast(self, buf: Any, root: int = 0) -> None:  # noqa: N802
        """Give everybody what is in `buf` of rank `root`."""
        ...

    def Send(self, buf: Any, dest: int, tag: int = 0) -> None:  # noqa: N802
        """Send what is in `buf` to rank `dest`, with `tag`."""
        ...

    def Recv(self, buf: Any, source: int, tag: int) -> Any:  # noqa: N802
        """Wait for a message of rank `source` with `tag`, into `buf`. MPI's defaults are any."""
        ...

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:  # noqa: N802
        """Sum the `sendbuf` of all ranks, element by element, into each `recvbuf`."""
        ...

    def Allgather(self, sendbuf: Any, recvbuf: Any) -> None:  # noqa: N802
        """Put the `sendbuf` of all ranks one behind the other, into each `recvbuf`."""
        ...

    def Split(self, color: int = 0, key: int = 0) -> Any:  # noqa: N802
        """Make a communicator of the ranks of each `color`, in the order of their `key`."""
        ...


class _Ranks:
    """What `SelfComm` and `ThreadComm` have in common."""

    def __init__(self, rank: _threadwise.Rank) -> None:
        self._rank = rank

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank {self.rank} of {self.size})"

    @property
    def rank(self) -> int:
        """Which rank this is, from 0."""
        return self._rank.rank()

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self._rank.size()

    def Get_rank(self) -> int:  # noqa: N802 - MPI's names, here and below
        """Return `rank`."""
        return self.rank

    def Get_size(self) -> int:  # noqa: N802
        """Return `size`."""
        return self.size

    def Barrier(self) -> None:  # noqa: N802
        """Return when all ranks have called it."""
        self._rank.barrier()

    def Bcast(self, buf: NDArray[Any], root: int = 0) -> None:  # noqa: N802
        """Give everybody what is in the buffer of rank `root`.

        Parameters
        ----------
        buf : ndarray
            Of any dtype but object, contiguous, of the same size on all ranks.
        root : int, default 0
            Whose is sent.
        """
        self._rank.broadcast(_bytes("buf", buf, is_written=True), root)

    def Send(self, buf: NDArray[Any], dest: int, tag: int = 0) -> None:  # noqa: N802
        """Send to rank `dest`, without waiting for it: the message is copied.

        Parameters
        ----------
        buf : ndarray
            Of any dtype but object, contiguous.
        dest : int
            Whom to; it may be this rank.
        tag : int, default 0
            Which kind of message, from 0.
        """
        self._rank.send(_bytes("buf", buf), dest, tag)

    def Recv(self, buf: NDArray[Any], source: int, tag: int = 0) -> None:  # noqa: N802
        """Wait for a message of rank `source` with this tag, the oldest first.

        Parameters
        ----------
        buf : ndarray
            Where it goes: contiguous, writable, of the message's size in bytes.
        source : int
            Whose. Messages of any rank are not to be had: who is first is nobody's choice.
        tag : int, default 0
            Which kind of message. (MPI's default is any.)
        """
        self._rank.receive(_bytes("buf", buf, is_written=True), source, tag)

    def Allreduce(self, sendbuf: NDArray[Any], recvbuf: NDArray[Any]) -> None:  # noqa: N802
        """Sum what all ranks send, element by element, for all ranks.

        Parameters
        ----------
        sendbuf : ndarray of float32, float64, int32 or int64
            The terms, contiguous, as many on all ranks.
        recvbuf : ndarray
            Where the sums go: as large, of the same dtype, another array or the same one.

        Notes
        -----
        Terms are added in the order of ranks: every rank gets the same bits, on every run.
        """
        self._rank.all_reduce(None if sendbuf is recvbuf else sendbuf, recvbuf)

    def Allgather(self, sendbuf: NDArray[Any], recvbuf: NDArray[Any]) -> None:  # noqa: N802
        """Put what all ranks send one behind the other, for all ranks.

        Parameters
        ----------
        sendbuf : ndarray
            Of any dtype but object, contiguous, of the same size on all ranks.
        recvbuf : ndarray
            Where it all goes: `size` times as large, another array.
        """
        self._rank.all_gather(
            _bytes("sendbuf", sendbuf), _bytes("recvbuf", recvbuf, is_written=True)
        )

    def Split(self, color: int = 0, key: int = 0) -> Self:  # noqa: N802
        """Make a communicator of the ranks of each color.

        Parameters
        ----------
        color : int, default 0
            Which group this rank is in, from 0.
        key : int, default 0
            Ranks of the new communicator are in the order of their keys, then of their ranks here.
        """
        made = type(self).__new__(type(self))
        _Ranks.__init__(made, self._rank.split(color, key))
        return made


class SelfComm(_Ranks):
    """A communicator of one rank, which computes alone what others share.

    Examples
    --------
    >>> import threadwise as tw
    >>> comm = tw.shard.SelfComm()
    >>> comm.rank, comm.size
    (0, 1)
    """

    def __init__(self) -> None:
        super().__init__(_threadwise.ranks(1)[0])


class ThreadComm(_Ranks):
    """A communicator whose ranks are threads of this process, made by `run`.

    Raises
    ------
    CommunicationError
        In every method: if another rank has failed; if ranks do not call alike, in kind, size or
        dtype; or if none can go on any more, with a sentence that says who waits for what.
    DTypeError, LayoutError, DomainError
        If a buffer is no contiguous array, or a number is no rank. What would have been received
        is then untouched.

    Notes
    -----
    Ranks wait without Python's lock. They look for one another for some microseconds, if each
    can have a CPU, and then sleep.
    """

    @classmethod
    def run(
        cls,
        world: int,
        function: Callable[Concatenate[Any, _P], _R],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> list[_R]:
        """Call a function as each of `world` ranks, on a thread each.

        Parameters
        ----------
        world : int
            How many ranks, from 1 to 1024.
        function : callable
            Called as ``function(comm, *args, **kwargs)``, where `comm` is the rank's `ThreadComm`.
        *args, **kwargs
            Handed to it, the same objects on all ranks.

        Returns
        -------
        list
            What each call returned, in the order of ranks.

        Raises
        ------
        BaseException
            The first exception of a rank. The others are stopped where they wait, or between two
            lines of Python, within a second; one that sleeps in foreign code is left behind.
        KeyboardInterrupt
            If Ctrl-C is pressed meanwhile; the ranks are stopped in the same way.
        DomainError
            If `world` is not from 1 to 1024.
        DTypeError
            If `world` is not a whole number.

        Notes
        -----
        The ranks share the caller's budget of threads (`threadwise.get_num_threads`), so that
        together they use no more than the caller would have; each has at least its own thread.

        Examples
        --------
        >>> import numpy as np
        >>> import threadwise as tw
        >>> def total(comm):
        ...     mine, sums = np.array([1.0, comm.rank]), np.empty(2)
        ...     comm.Allreduce(mine, sums)
        ...     return sums.tolist()
        >>> tw.shard.ThreadComm.run(3, total)
        [[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]]
        """
        ranks = _threadwise.ranks(world)

        def work(rank: _threadwise.Rank) -> _R:
            result = function(cls(rank), *args, **kwargs)
            rank.leave()
            return result

        stop = ranks[0].stop
        budgets = shares(None, len(ranks))
        works = [lambda rank=rank: work(rank) for rank in ranks]
        try:
            return run_together(works, budgets, stop, "rank")
        finally:
            stop()


def _bytes(name: str, buf: NDArray[Any], *, is_written: bool = False) -> NDArray[np.uint8]:
    """View a contiguous array as bytes."""
    if not isinstance(buf, np.ndarray):
        raise DTypeError(f"{name} is a {type(buf).__name__}, expected a numpy.ndarray")
    if buf.dtype.hasobject:
        raise DTypeError(f"{name} has dtype {buf.dtype}, expected numbers, not objects")
    if not buf.flags.c_contiguous:
        expected = "expected an array that is: pass numpy.ascontiguousarray(...)"
        raise LayoutError(f"{name} is not contiguous in memory, {expected}")
    if is_written and not buf.flags.writeable:
        raise LayoutError(f"{name} is read-only, expected a writable array")
    if not buf.nbytes:
        return np.empty(0, np.uint8)
    return np.asarray(buf).reshape(-1).view(np.uint8)
