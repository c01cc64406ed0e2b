"""Which part of a weight and which heads each rank has."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from strategies import normal
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.shard import HeadPlan, TensorParallelConfig, TensorParallelStrategy


def _world(size: int) -> list[TensorParallelConfig]:
    return [TensorParallelConfig(size, rank) for rank in range(size)]


@given(st.integers(0, 2**40), st.integers(1, 70))
def test_shares_follow_one_another_and_differ_by_one_at_most(n: int, world: int) -> None:
    end = 0
    for config in _world(world):
        assert config.local_offset(n) == end
        assert config.local_size(n) in {n // world, -(-n // world)}
        end += config.local_size(n)
        assert config.local_slice(n) == slice(config.local_offset(n), end)
    assert end == n


def test_the_remainder_goes_to_the_first_ranks() -> None:
    assert [config.local_size(5) for config in _world(4)] == [2, 1, 1, 1]
    assert [config.local_size(2) for config in _world(4)] == [1, 1, 0, 0]


def test_every_projection_has_its_way() -> None:
    ways = {
        name: TensorParallelStrategy.for_projection(name)
        for name in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    }
    row = {name for name, way in ways.items() if way is TensorParallelStrategy.ROW}
    assert row == {"o_proj", "down_proj"}
    assert set(ways.values()) == {TensorParallelStrategy.ROW, TensorParallelStrategy.COLUMN}
    assert TensorParallelStrategy.for_projection("lm_head") is TensorParallelStrategy.NONE


@pytest.mark.parametrize("world", range(1, 9))
def test_shards_are_the_rank_s_part_in_memory_of_their_own(world: int) -> None:
    weight, bias = normal((5, 7)), normal((5,))
    parts = [config.shard(weight, "column") for config in _world(world)]
    assert_array_equal(np.concatenate(parts), weight)
    assert all(part.base is None for part in parts)
    assert [part.nbytes for part in parts] == [4 * 7 * c.local_size(5) for c in _world(world)]
    parts = [config.shard(weight, TensorParallelStrategy.ROW) for config in _world(world)]
    assert_array_equal(np.concatenate(parts, axis=1), weight)
    assert all(part.base is None and part.flags.c_contiguous for part in parts)
    assert [part.nbytes for part in parts] == [4 * 5 * c.local_size(7) for c in _world(world)]
    biases = [config.shard(bias, "column") for config in _world(world)]
    assert_array_equal(np.concatenate(biases), bias)
    for config in _world(world):
        assert_array_equal(config.shard(weight, "none"), weight)
        assert_array_equal(config.shard(bias, "row"), bias)


REFUSED: list[tuple[tuple[Any, ...], type[Exception], str]] = [
    ((0, 0), DomainError, "^world_size is 0, expected"),
    ((1025, 0), DomainError, "^world_size is 1025, expected from 1 to 1024"),
    ((4, 4), DomainError, "^rank is 4, expected less than world_size, 4"),
    ((4, -1), DomainError, "^rank is -1, expected a whole number"),
    ((2.0, 0), DTypeError, r"^world_size is 2.0 \(a float\), expected"),
    ((True, 0), DTypeError, r"^world_size is True \(a bool\), expected"),
]


@pytest.mark.parametrize(("arguments", "error", "sentence"), REFUSED)
def test_ranks_that_are_none_are_refused(
    arguments: tuple[Any, ...], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        TensorParallelConfig(*arguments)


def test_what_cannot_be_split_is_refused() -> None:
    config = TensorParallelConfig(2)
    with pytest.raises(ShapeError, match=r"^weight has shape \(1, 2, 3\), expected two axes"):
        config.shard(np.ones((1, 2, 3)), "row")
    with pytest.raises(ValueError, match="'diagonal' is not a valid"):
        config.shard(np.ones((2, 3)), "diagonal")
    with pytest.raises(DomainError, match=r"^n is -1, expected"):
        config.local_size(-1)


@given(st.integers(1, 12), st.integers(1, 8), st.integers(1, 20))
def test_each_query_head_is_on_one_rank_beside_its_keys(
    kv_heads: int, group: int, world: int
) -> None:
    heads, seen = kv_heads * group, []
    for config in _world(world):
        plan = HeadPlan(heads, kv_heads, config)
        assert plan.query == range(heads)[config.local_slice(heads)]
        for shared, kv in plan.segments:
            seen += [plan.query[head] for head in shared]
            assert {plan.query[head] // group for head in shared} == {plan.kv[kv]}
        assert [kv for _, kv in plan.segments] == list(range(len(plan.kv)))
        assert plan.query_slice(3) == slice(3 * plan.query.start, 3 * plan.query.stop)
        assert plan.kv_slice(3) == slice(3 * plan.kv.start, 3 * plan.kv.stop)
    assert seen == list(range(heads))


def test_keys_that_divide_are_split_and_others_are_repeated() -> None:
    def kv(heads: int, kv_heads: int, world: int) -> list[list[int]]:
        return [list(HeadPlan(heads, kv_heads, config).kv) for config in _world(world)]

    assert kv(8, 4, 2) == [[0, 1], [2, 3]]
    assert kv(8, 2, 4) == [[0], [0], [1], [1]]
    assert kv(6, 3, 2) == [[0, 1], [1, 2]]
    assert kv(2, 1, 3) == [[0], [0], []]


def test_heads_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(DomainError, match=r"^kv_heads is 3, expected a divisor of heads, 8"):
        HeadPlan(8, 3, TensorParallelConfig(2))
    with pytest.raises(DomainError, match=r"^heads is 0, expected"):
        HeadPlan(0, 1, TensorParallelConfig(2))
