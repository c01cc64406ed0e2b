"""Layers whose weights are split among ranks."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from threadwise.errors import DTypeError
from threadwise.linalg import Activation, linear
from threadwise.shard._communicator import Communicator, SelfComm, ThreadComm
from threadwise.shard._split import TensorParallelConfig

__all__ = [
    "all_reduce_sum",
    "all_reduce_sum_inplace",
    "column_parallel_linear",
    "mlp_tensor_parallel",
    "row_parallel_linear",
]

_TERMS = ("float32", "float64", "int32", "int64")


def all_reduce_sum(x: ArrayLike, comm: Communicator) -> NDArray[Any]:
    """Sum an array over all ranks, element by element.

    Parameters
    ----------
    x : ndarray of float32, float64, int32 or int64
        This rank's terms; of the same shape and dtype on all ranks. Other objects are converted by
        `numpy.asarray` first.
    comm : Communicator
        The ranks. All must call this.

    Returns
    -------
    ndarray
        The sum, a new array, the same bits on every rank, on every run and by every communicator:
        the terms are added in the order of ranks.

    Raises
    ------
    DTypeError
        If `x` is of another dtype.
    CommunicationError
        If the ranks do not call alike, or another one has failed.

    Notes
    -----
    By a `ThreadComm` the ranks sum in shared memory, without Python's lock. MPI's own sum is added
    in an order of MPI's choice, so of other communicators `Allgather` is used: each rank holds the
    terms of all for the time of the call.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> def work(comm):
    ...     return tw.shard.all_reduce_sum(np.full(2, comm.rank + 1.0), comm).tolist()
    >>> tw.shard.ThreadComm.run(2, work)
    [[3.0, 3.0], [3.0, 3.0]]
    """
    terms = _terms(x)
    if isinstance(comm, (SelfComm, ThreadComm)):
        total = np.empty_like(terms)
        comm.Allreduce(terms, total)
        return total
    parts = np.empty((comm.size, *terms.shape), terms.dtype)
    comm.Allgather(terms, parts)
    total = np.array(parts[0])
    for part in parts[1:]:
        total += part
    return total


def all_reduce_sum_inplace(x: NDArray[Any], comm: Communicator) -> None:
    """Sum an array over all ranks, where it is.

    Parameters
    ----------
    x : ndarray of float32, float64, int32 or int64
        This rank's terms, which the sum replaces. Writable, in any strides; one that is not
        contiguous by rows is copied to and fro.
    comm : Communicator
        The ranks. All must call this.

    Raises
    ------
    DTypeError
        If `x` is no array, or of another dtype.
    CommunicationError
        If the ranks do not call alike, or another one has failed; `x` is then untouched.

    See Also
    --------
    all_reduce_sum : the sum, and its order.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> def work(comm):
    ...     x = np.full(2, comm.rank + 1.0)
    ...     tw.shard.all_reduce_sum_inplace(x, comm)
    ...     return x.tolist()
    >>> tw.shard.ThreadComm.run(2, work)
    [[3.0, 3.0], [3.0, 3.0]]
    """
    if not isinstance(x, np.ndarray):
        raise DTypeError(f"x is a {type(x).__name__}, expected a numpy.ndarray")
    if isinstance(comm, (SelfComm, ThreadComm)) and x.flags.c_contiguous:
        _terms(x)
        comm.Allreduce(x, x)
    else:
        x[...] = all_reduce_sum(x, comm)


def column_parallel_linear(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: Activation | None = None,
    gather_output: bool = False,
    comm: Communicator | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Apply this rank's rows of a layer: ``activation(x @ weight.T + bias)``.

    Parameters
    ----------
    x : ndarray, shape (..., in_features)
        The input, the same on all ranks, as for `threadwise.linear`.
    weight : ndarray or PackedWeight, shape (local_out_features, in_features)
        The rank's part, ``config.shard(weight, "column")``; it may have no rows.
    bias : ndarray, shape (local_out_features,), optional
        The rank's part, ``config.shard(bias, "column")``.
    activation : {None, "relu", "gelu", "gelu_tanh", "silu"}, optional
        As for `threadwise.linear`.
    gather_output : bool, default False
        Whether each rank gets the outputs of all. Leave it out before a layer split by row, which
        takes them as they are.
    comm : Communicator, optional
        The ranks; needed, and called collectively, with `gather_output`.
    threads : int, optional
        How many threads this rank may use; by default what `threadwise.get_num_threads` says, which
        in `ThreadComm.run` is the rank's share.

    Returns
    -------
    ndarray, shape (..., local_out_features) or (..., out_features)
        The rank's outputs, or all, in the order of ranks.

    Raises
    ------
    ThreadwiseError
        As `threadwise.linear`; with `gather_output`, also as `Communicator`.
    TypeError
        If `gather_output` is asked for without `comm`.

    References
    ----------
    M. Shoeybi et al., *Megatron-LM*, 2019, arXiv:1909.08053, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> x, weight = np.array([[1.0, 2.0]]), np.arange(6.0).reshape(3, 2)
    >>> def work(comm):
    ...     config = tw.shard.TensorParallelConfig(comm.size, comm.rank)
    ...     part = config.shard(weight, "column")
    ...     return tw.shard.column_parallel_linear(x, part).tolist()
    >>> tw.shard.ThreadComm.run(2, work)
    [[[2.0, 8.0]], [[14.0]]]
    """
    y: NDArray[Any] = linear(x, weight, bias, activation=activation, threads=threads)
    if not gather_output:
        return y
    if comm is None:
        raise TypeError("comm is None, expected a Communicator: gather_output asks all ranks")
    return _gathered(y, comm)


def row_parallel_linear(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    comm: Communicator,
    input_is_parallel: bool = True,
    threads: int | None = None,
) -> NDArray[Any]:
    """Apply a layer by columns: the sum over all ranks of ``x @ weight.T``, plus `bias`.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., local_in_features)
        The rank's features, as a layer split by column leaves them; or all, the same on all ranks,
        where `input_is_parallel` is false.
    weight : ndarray or PackedWeight, shape (out_features, local_in_features)
        The rank's part, ``config.shard(weight, "row")``; it may have no columns.
    bias : ndarray, shape (out_features,), optional
        The whole, on all ranks. It is added once, after the sum.
    comm : Communicator
        The ranks. All must call this.
    input_is_parallel : bool, default True
        Whether `x` has the rank's features only.
    threads : int, optional
        How many threads this rank may use; by default what `threadwise.get_num_threads` says.

    Returns
    -------
    ndarray, shape (..., out_features)
        The whole output, the same bits on every rank and on every run.

    Raises
    ------
    ThreadwiseError
        As `threadwise.linear` and `all_reduce_sum`.

    References
    ----------
    M. Shoeybi et al., *Megatron-LM*, 2019, arXiv:1909.08053, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> x, weight = np.array([[1.0, 2.0]]), np.arange(6.0).reshape(3, 2)
    >>> def work(comm):
    ...     config = tw.shard.TensorParallelConfig(comm.size, comm.rank)
    ...     part = config.shard(weight, "row")
    ...     return tw.shard.row_parallel_linear(
    ...         x, part, comm=comm, input_is_parallel=False
    ...     ).tolist()
    >>> tw.shard.ThreadComm.run(2, work)
    [[[2.0, 8.0, 14.0]], [[2.0, 8.0, 14.0]]]
    """
    if not input_is_parallel:
        whole = np.asarray(x)
        config = TensorParallelConfig(comm.size, comm.rank)
        x = whole[..., config.local_slice(whole.shape[-1])]
    y: NDArray[Any] = linear(x, weight, threads=threads)
    all_reduce_sum_inplace(y, comm)
    if bias is not None:
        y += np.asarray(bias)
    return y


def mlp_tensor_parallel(
    x: ArrayLike,
    gate: ArrayLike,
    up: ArrayLike,
    down: ArrayLike,
    *,
    comm: Communicator,
    activation: Activation = "silu",
    threads: int | None = None,
) -> NDArray[Any]:
    """Apply a gated feed-forward block: ``(f(x @ gate.T) * (x @ up.T)) @ down.T``.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., d)
        The input, the same on all ranks.
    gate, up : ndarray or PackedWeight, shape (local_features, d)
        The rank's parts, ``config.shard(gate, "column")``.
    down : ndarray or PackedWeight, shape (d, local_features)
        The rank's part, ``config.shard(down, "row")``.
    comm : Communicator
        The ranks. All must call this.
    activation : {"silu", "relu", "gelu", "gelu_tanh"}, default "silu"
        The function f; with ``"silu"`` it is SwiGLU.
    threads : int, optional
        How many threads this rank may use; by default what `threadwise.get_num_threads` says.

    Returns
    -------
    ndarray, shape (..., d)
        The whole output, the same bits on every rank and on every run.

    Raises
    ------
    ThreadwiseError
        As `threadwise.linear` and `all_reduce_sum`.

    Notes
    -----
    One sum over the ranks, at the end. Ranks without any features take part in it with zeros.

    References
    ----------
    .. [1] M. Shoeybi et al., *Megatron-LM*, 2019, arXiv:1909.08053, section 3.
    .. [2] N. Shazeer, *GLU Variants Improve Transformer*, 2020, arXiv:2002.05202.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> gate, up, down = np.ones((3, 2)), np.eye(3, 2), np.ones((2, 3))
    >>> def work(comm):
    ...     config = tw.shard.TensorParallelConfig(comm.size, comm.rank)
    ...     parts = [config.shard(gate, "column"), config.shard(up, "column")]
    ...     parts.append(config.shard(down, "row"))
    ...     y = tw.shard.mlp_tensor_parallel(
    ...         np.array([[1.0, 2.0]]), *parts, comm=comm, activation="relu"
    ...     )
    ...     return y.tolist()
    >>> tw.shard.ThreadComm.run(2, work)
    [[[9.0, 9.0]], [[9.0, 9.0]]]
    """
    hidden: NDArray[Any] = linear(x, gate, activation=activation, threads=threads)
    hidden *= linear(x, up, threads=threads)
    return row_parallel_linear(hidden, down, comm=comm, threads=threads)


def _terms(x: ArrayLike) -> NDArray[Any]:
    """Take what can be summed, contiguous by rows."""
    terms = np.asarray(x, order="C")
    if terms.dtype.name not in _TERMS or not terms.dtype.isnative:
        raise DTypeError(f"x has dtype {terms.dtype}, expected {', '.join(_TERMS[:-1])} or int64")
    return terms


def _gathered(y: NDArray[Any], comm: Communicator) -> NDArray[Any]:
    """Join the last axes of all ranks. Shares may differ in length, messages may not."""
    lengths = np.empty(comm.size, np.int64)
    comm.Allgather(np.array([y.shape[-1]], np.int64), lengths)
    padded = np.zeros((*y.shape[:-1], int(lengths.max())), y.dtype)
    padded[..., : y.shape[-1]] = y
    parts = np.empty((comm.size, *padded.shape), y.dtype)
    comm.Allgather(padded, parts)
    return np.concatenate(
        [part[..., :length] for part, length in zip(parts, lengths, strict=True)], axis=-1
    )
