"""Which part of a weight, and which heads, each rank has."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from threadwise import _threadwise
from threadwise.errors import ShapeError

__all__ = ["HeadPlan", "TensorParallelConfig", "TensorParallelStrategy"]


class TensorParallelStrategy(Enum):
    """How the weight of a layer, of shape (out_features, in_features), is split among ranks.

    Notes
    -----
    The names are those of Megatron-LM, whose weights are (in_features, out_features): a column
    there is a row here.

    References
    ----------
    M. Shoeybi et al., *Megatron-LM: Training Multi-Billion Parameter Language Models Using Model
    Parallelism*, 2019, arXiv:1909.08053, section 3.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.shard.TensorParallelStrategy.for_projection("down_proj")
    <TensorParallelStrategy.ROW: 'row'>
    """

    COLUMN = "column"
    """Along out_features: each rank computes some outputs from all inputs."""
    ROW = "row"
    """Along in_features: each rank computes, from some inputs, one term of all outputs."""
    NONE = "none"
    """Not at all: each rank has the whole."""

    @classmethod
    def for_projection(cls, name: str) -> Self:
        """Choose for a projection of models of the Llama and Mistral families.

        Parameters
        ----------
        name : str
            As in these models' files: ``"q_proj"``, ``"down_proj"``.

        Returns
        -------
        TensorParallelStrategy
            `COLUMN` for what spreads heads or intermediate features (``q_proj``, ``k_proj``,
            ``v_proj``, ``gate_proj``, ``up_proj``), `ROW` for what gathers them (``o_proj``,
            ``down_proj``), `NONE` for all else.
        """
        return cls(_threadwise.projection_strategy(name))


@dataclass(frozen=True)
class TensorParallelConfig:
    """One rank among those that share the layers of a network.

    Extents are split as evenly as whole numbers allow, the longer shares first: 5 over 4 ranks are
    2, 1, 1 and 1, and of 2 over 4 the last two ranks have none.

    Parameters
    ----------
    world_size : int
        How many ranks there are, from 1 to 1024.
    rank : int, default 0
        Which one this is, from 0.

    Raises
    ------
    DomainError
        If there are no ranks or too many, or `rank` is not one of them.
    DTypeError
        If an argument is not a whole number.

    Examples
    --------
    >>> import threadwise as tw
    >>> [tw.shard.TensorParallelConfig(4, rank).local_size(5) for rank in range(4)]
    [2, 1, 1, 1]
    """

    world_size: int
    """How many ranks there are."""
    rank: int = 0
    """Which one this is."""

    def __post_init__(self) -> None:
        _threadwise.local_part(self.world_size, self.rank, 0)

    def local_size(self, n: int) -> int:
        """Say how many of `n` things this rank has."""
        return _threadwise.local_part(self.world_size, self.rank, n)[1]

    def local_offset(self, n: int) -> int:
        """Say how many of `n` things the ranks before this one have."""
        return _threadwise.local_part(self.world_size, self.rank, n)[0]

    def local_slice(self, n: int) -> slice:
        """Say which of `n` things this rank has."""
        begin, size = _threadwise.local_part(self.world_size, self.rank, n)
        return slice(begin, begin + size)

    def shard(self, weight: NDArray[Any], strategy: TensorParallelStrategy | str) -> NDArray[Any]:
        """Copy this rank's part of a weight.

        Parameters
        ----------
        weight : ndarray, shape (out_features, in_features) or (out_features,)
            The whole weight, or a bias. It may be a memory map, of which only the part is read.
        strategy : TensorParallelStrategy or str
            How it is split. Of a bias, the elements go with the outputs: ``"column"`` splits it,
            and otherwise each rank has it whole.

        Returns
        -------
        ndarray
            The part, contiguous, in memory of its own: the whole can be let go. A whole that is
            ``"none"`` split is not copied if it is contiguous already.

        Raises
        ------
        ShapeError
            If `weight` has neither one axis nor two.
        ValueError
            If `strategy` is no such name.
        """
        strategy = TensorParallelStrategy(strategy)
        if weight.ndim not in (1, 2):
            axes = "expected two axes, (out_features, in_features), or one, that of a bias"
            raise ShapeError(f"weight has shape {weight.shape}, {axes}")
        if strategy is TensorParallelStrategy.COLUMN:
            return np.array(weight[self.local_slice(weight.shape[0])], order="C")
        if strategy is TensorParallelStrategy.ROW and weight.ndim == 2:
            return np.array(weight[:, self.local_slice(weight.shape[1])], order="C")
        return np.ascontiguousarray(weight)


@dataclass(frozen=True)
class HeadPlan:
    """Which heads of attention one rank has.

    Query heads are split evenly. A rank holds every head of keys and values that one of its query
    heads needs: where these divide by the ranks each is on one rank; where they do not, those at
    the borders are on both sides; and where there are fewer of them than ranks, each is on several.

    Parameters
    ----------
    heads : int
        Query heads.
    kv_heads : int
        Heads of keys and values, each for as many of the query heads.
    config : TensorParallelConfig
        The rank.

    Raises
    ------
    DomainError
        If there are no heads, or `kv_heads` does not divide `heads`.
    DTypeError
        If a number is not a whole one.

    Examples
    --------
    >>> import threadwise as tw
    >>> world = [tw.shard.TensorParallelConfig(4, rank) for rank in range(4)]
    >>> [tw.shard.HeadPlan(8, 2, config).kv for config in world]
    [range(0, 1), range(0, 1), range(1, 2), range(1, 2)]
    """

    heads: int
    """Query heads of all ranks."""
    kv_heads: int
    """Heads of keys and values of all ranks."""
    config: TensorParallelConfig
    """The rank."""
    query: range = field(init=False)
    """The rank's query heads."""
    kv: range = field(init=False)
    """The heads of keys and values that these need."""
    segments: Sequence[tuple[range, int]] = field(init=False)
    """The query heads that share a head of keys and values, and that, both counted in the rank."""

    def __post_init__(self) -> None:
        query, kv, segments = _threadwise.head_plan(
            self.heads, self.kv_heads, self.config.world_size, self.config.rank
        )
        found = tuple((range(begin, end), head) for begin, end, head in segments)
        for name, value in (("query", range(*query)), ("kv", range(*kv)), ("segments", found)):
            object.__setattr__(self, name, value)

    def query_slice(self, head_dim: int) -> slice:
        """Say which rows of ``q_proj``, and columns of ``o_proj``, are the rank's.

        `head_dim` is the width of a head.
        """
        return slice(self.query.start * head_dim, self.query.stop * head_dim)

    def kv_slice(self, head_dim: int) -> slice:
        """Say which rows of ``k_proj`` and ``v_proj`` are the rank's, for heads of `head_dim`."""
        return slice(self.kv.start * head_dim, self.kv.stop * head_dim)
