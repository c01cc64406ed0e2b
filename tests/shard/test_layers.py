"""Layers that ranks share compute what the whole does, for any number of ranks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import threadwise as tw
from bounds import assert_within, matmul_bound
from strategies import Array, normal
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.shard import (
    Communicator,
    HeadPlan,
    SelfComm,
    TensorParallelConfig,
    ThreadComm,
    all_reduce_sum,
    all_reduce_sum_inplace,
    attention_parallel,
    column_parallel_linear,
    mlp_tensor_parallel,
    row_parallel_linear,
)

WORLDS = range(1, 9)
X = normal((2, 3, 12), np.float64)


class Foreign:
    """A communicator that is none of ours, and has nothing but what the protocol says."""

    def __init__(self, comm: ThreadComm) -> None:
        self.rank, self.size = comm.rank, comm.size

        self.Get_rank, self.Get_size = comm.Get_rank, comm.Get_size
        self.Barrier, self.Bcast, self.Send = comm.Barrier, comm.Bcast, comm.Send
        self.Recv, self.Allgather, self.Split = comm.Recv, comm.Allgather, comm.Split

    def Allreduce(self, *_: Any) -> None:  # noqa: D102, N802 - the protocol's
        raise AssertionError("its sum is added in an order of its own")


def _config(comm: Communicator) -> TensorParallelConfig:
    return TensorParallelConfig(comm.size, comm.rank)


@pytest.mark.parametrize("features", [1, 5, 7, 16])
@pytest.mark.parametrize("world", WORLDS)
def test_columns_are_those_of_the_whole(world: int, features: int) -> None:
    weight, bias = normal((features, 12), np.float64), normal((features,), np.float64)
    whole = tw.linear(X, weight, bias, activation="gelu")

    def work(comm: ThreadComm) -> Array:
        part, shift = _config(comm).shard(weight, "column"), _config(comm).shard(bias, "column")
        assert part.nbytes == 8 * 12 * _config(comm).local_size(features)
        mine = column_parallel_linear(X, part, shift, activation="gelu")
        gathered = column_parallel_linear(
            X, part, shift, activation="gelu", comm=comm, gather_output=True
        )
        assert_array_equal(gathered[..., _config(comm).local_slice(features)], mine)
        return gathered

    for gathered in ThreadComm.run(world, work):
        assert_allclose(gathered, whole, rtol=1e-12, atol=1e-13)


def test_outputs_are_only_gathered_by_a_communicator() -> None:
    with pytest.raises(TypeError, match=r"^comm is None, expected a Communicator"):
        column_parallel_linear(X, normal((5, 12), np.float64), gather_output=True)


@pytest.mark.parametrize("features", [1, 5, 7, 16])
@pytest.mark.parametrize("world", WORLDS)
def test_rows_sum_up_to_the_whole(world: int, features: int) -> None:
    x, weight = normal((2, 3, features)), normal((4, features))
    bias = np.array([1e3, 1e4, 1e5, 1e6], np.float32)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    # The terms are summed by ranks, in one more way than in one product; then the bias rounds.
    bound = 2 * matmul_bound(x, weight.T) + 2.0**-23 * np.abs(bias)

    def work(comm: ThreadComm) -> tuple[bytes, Array]:
        part = _config(comm).shard(weight, "row")
        assert part.nbytes == 4 * 4 * _config(comm).local_size(features)
        mine = x[..., _config(comm).local_slice(features)]
        y = row_parallel_linear(mine, part, bias, comm=comm)
        other = row_parallel_linear(x, part, bias, comm=comm, input_is_parallel=False)
        return y.tobytes() + other.tobytes(), y

    runs = [ThreadComm.run(world, work) for _ in range(3)]
    assert len({bits for results in runs for bits, _ in results}) == 1
    bits, y = runs[0][0]
    assert bits[: len(bits) // 2] == bits[len(bits) // 2 :]
    assert_within(y, exact + bias, bound)


def _mlp(features: int) -> tuple[Array, Array, Array]:
    shapes = [(features, 12), (features, 12), (12, features)]
    gate, up, down = (normal(shape, np.float64, seed) for seed, shape in enumerate(shapes))
    return gate, up, down


@pytest.mark.parametrize("features", [1, 5, 24])
@pytest.mark.parametrize("world", WORLDS)
def test_a_shared_block_computes_what_the_whole_does(world: int, features: int) -> None:
    gate, up, down = _mlp(features)
    inner = X @ gate.T
    whole = (inner / (1 + np.exp(-inner)) * (X @ up.T)) @ down.T

    def work(comm: ThreadComm) -> tuple[Array, int]:
        shard = _config(comm).shard
        parts = shard(gate, "column"), shard(up, "column"), shard(down, "row")
        return mlp_tensor_parallel(X, *parts, comm=comm), sum(part.nbytes for part in parts)

    results = ThreadComm.run(world, work)
    for y, _ in results:
        assert_allclose(y, whole, rtol=1e-11, atol=1e-11)
        assert y.tobytes() == results[0][0].tobytes()
    held = [size for _, size in results]
    assert sum(held) == gate.nbytes + up.nbytes + down.nbytes
    assert max(held) - min(held) <= 3 * 12 * 8


def test_the_activation_of_a_block_is_the_caller_s() -> None:
    gate, up, down = _mlp(5)
    y = mlp_tensor_parallel(X, gate, up, down, comm=SelfComm(), activation="relu")
    whole = (np.maximum(X @ gate.T, 0) * (X @ up.T)) @ down.T
    assert_allclose(y, whole, rtol=1e-11, atol=1e-11)


def _rotate(heads: Array) -> Array:
    angles = np.arange(heads.shape[-2])[:, None] / (1.0 + np.arange(heads.shape[-1] // 2))
    one, other = np.split(heads, 2, axis=-1)
    turned = [one * np.cos(angles) - other * np.sin(angles)]
    turned += [other * np.cos(angles) + one * np.sin(angles)]
    return np.concatenate(turned, axis=-1)


def _attention(x: Array, *weights: Array, heads: int, seen: Array, rotate: Any) -> Array:
    """Compute one head after the other, with NumPy alone."""
    q, k, v, o = weights
    width, y = len(q) // heads, np.zeros((*x.shape[:-1], len(o)))
    group = heads // (len(k) // width)
    for head in range(heads):
        rows = slice(head * width, (head + 1) * width)
        shared = slice(head // group * width, (head // group + 1) * width)
        query, key, value = x @ q[rows].T, x @ k[shared].T, x @ v[shared].T
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        scores = np.where(seen, query @ key.swapaxes(-1, -2) / np.sqrt(width), -np.inf)
        mix = np.exp(scores - scores.max(-1, keepdims=True))
        y += mix / mix.sum(-1, keepdims=True) @ value @ o[:, rows].T
    return y


OPTIONS: list[dict[str, Any]] = [
    {},
    {"is_causal": False},
    {"window": 2},
    {"rotate": _rotate},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "causal")
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 3), (6, 2), (5, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shared_attention_computes_what_the_whole_does(
    dtype: Any, heads: int, kv_heads: int, options: dict[str, Any]
) -> None:
    width, positions = 4, 5
    x = normal((2, positions, 12), dtype)
    q, o = normal((heads * width, 12), dtype), normal((12, heads * width), dtype)
    k, v = (normal((kv_heads * width, 12), dtype, seed) for seed in (1, 2))
    back = np.arange(positions)[:, None] - np.arange(positions)
    seen = (back >= 0) | (not options.get("is_causal", True))
    seen &= back < options.get("window", positions)
    exact = [each.astype(np.float64) for each in (x, q, k, v, o)]
    whole = _attention(*exact, heads=heads, seen=seen, rotate=options.get("rotate"))
    tolerance = 1000 * float(np.finfo(dtype).eps)

    def work(comm: ThreadComm) -> Array:
        plan = HeadPlan(heads, kv_heads, _config(comm))
        rows, shared = plan.query_slice(width), plan.kv_slice(width)
        parts = [part.copy() for part in (q[rows], k[shared], v[shared], o[:, rows])]
        held = 2 * len(plan.query) + 2 * len(plan.kv)
        assert sum(part.nbytes for part in parts) == held * width * 12 * x.itemsize
        return attention_parallel(x, *parts, plan=plan, comm=comm, **options)

    for world in WORLDS:
        results = ThreadComm.run(world, work)
        for y in results:
            assert y.dtype == dtype or "rotate" in options
            assert_allclose(y, whole, rtol=tolerance, atol=tolerance * np.abs(whole).max())
            assert y.tobytes() == results[0].tobytes()


def test_heads_of_float32_are_those_of_the_kernel() -> None:
    x = normal((9, 12))
    q, k, v, o = (normal(shape, seed=1) for shape in [(16, 12), (8, 12), (8, 12), (12, 16)])
    heads = [tw.linear(x, weight).reshape(9, -1, 4).swapaxes(0, 1) for weight in (q, k, v)]
    mixed = tw.nn.attention(*heads, window=3).swapaxes(0, 1).reshape(9, 16)
    plan = HeadPlan(4, 2, TensorParallelConfig(1))
    y = attention_parallel(x, q, k, v, o, plan=plan, comm=SelfComm(), window=3)
    assert_array_equal(y, tw.linear(mixed, o))


def test_attention_refuses_what_does_not_fit_its_plan() -> None:
    plan, weight = HeadPlan(2, 1, TensorParallelConfig(1)), np.ones((4, 12))
    arguments = (weight, weight[:2], weight[:2], np.ones((12, 4)))
    options: dict[str, Any] = {"plan": plan, "comm": SelfComm()}
    assert attention_parallel(X, *arguments, **options).shape == X.shape
    with pytest.raises(DomainError, match=r"^window is 0, expected at least 1 or None"):
        attention_parallel(X, *arguments, window=0, **options)
    with pytest.raises(DomainError, match=r"^window is 2, expected None without is_causal=True"):
        attention_parallel(X, *arguments, window=2, is_causal=False, **options)
    with pytest.raises(ShapeError, match=r"^x has shape \(12,\), expected at least two axes"):
        attention_parallel(X[0, 0], *arguments, **options)
    with pytest.raises(
        ShapeError, match=r"^query has 3 rows, expected a multiple of the rank's he"
    ):
        attention_parallel(X, weight[:3], *arguments[1:], **options)
    with pytest.raises(
        ShapeError, match=r"^key has 0 rows, expected a multiple of the rank's head"
    ):
        attention_parallel(X, weight, weight[:0], *arguments[2:], **options)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
@pytest.mark.parametrize("world", WORLDS)
def test_every_communicator_sums_to_the_same_bits(world: int, dtype: str) -> None:
    def work(comm: ThreadComm) -> set[bytes]:
        terms = (100 * normal((3, 50), np.float64, comm.rank)).astype(dtype)
        total, foreign = all_reduce_sum(terms, comm), all_reduce_sum(terms, Foreign(comm))
        in_place, column = terms.copy(), terms.copy(order="F")
        all_reduce_sum_inplace(in_place, comm)
        all_reduce_sum_inplace(column, comm)
        all_reduce_sum_inplace(terms, Foreign(comm))
        assert terms.dtype == total.dtype == foreign.dtype == np.dtype(dtype)
        return {each.tobytes() for each in (total, foreign, in_place, column, terms)}

    bits: set[bytes] = set().union(*ThreadComm.run(world, work))
    assert len(bits) == 1


def test_a_foreign_communicator_is_one() -> None:
    assert ThreadComm.run(1, lambda comm: isinstance(Foreign(comm), Communicator)) == [True]


SUMS: list[Callable[[Any, SelfComm], Any]] = [all_reduce_sum, all_reduce_sum_inplace]


@pytest.mark.parametrize("total", SUMS)
@pytest.mark.parametrize("dtype", ["f2", "u1", "c8", ">f4", "O"])
def test_other_terms_are_refused(total: Callable[[Any, SelfComm], Any], dtype: str) -> None:
    x = np.ones(3, dtype)
    with pytest.raises(DTypeError, match=r"^x has dtype .*, expected float32, float64, int32 or"):
        total(x, SelfComm())
    assert_array_equal(x, 1)


def test_a_sum_in_place_needs_a_place() -> None:
    with pytest.raises(DTypeError, match=r"^x is a list, expected a numpy.ndarray"):
        all_reduce_sum_inplace([1.0], SelfComm())  # type: ignore[arg-type]
    assert_array_equal(all_reduce_sum([1.0], SelfComm()), [1.0])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    gate, up, down = _mlp(24)

    def work(comm: ThreadComm, threads: int) -> Array:
        shard = _config(comm).shard
        parts = shard(gate, "column"), shard(up, "column"), shard(down, "row")
        return mlp_tensor_parallel(X, *parts, comm=comm, threads=threads)

    one, several = ThreadComm.run(2, work, 1)[0], ThreadComm.run(2, work, threads)[0]
    assert one.tobytes() == several.tobytes()


def test_threads_are_those_of_the_products() -> None:
    comm, weight = SelfComm(), np.ones((12, 12))
    plan = HeadPlan(1, 1, TensorParallelConfig(1))
    calls: list[Callable[[], Any]] = [
        lambda: column_parallel_linear(X, weight, threads=0),
        lambda: row_parallel_linear(X, weight, comm=comm, threads=0),
        lambda: mlp_tensor_parallel(X, weight, weight, weight, comm=comm, threads=0),
        lambda: attention_parallel(X, *[weight] * 4, plan=plan, comm=comm, threads=0),
    ]
    for call in calls:
        with pytest.raises(DomainError, match=r"^threads is 0, expected a whole number from 1"):
            call()
