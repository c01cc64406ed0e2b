"""Threads, tensor parallelism and stages together."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import threadwise as tw
from strategies import Array, normal
from threadwise.errors import DomainError, DTypeError
from threadwise.shard import (
    ParallelConfig,
    PipelineConfig,
    SelfComm,
    TensorParallelConfig,
    ThreadComm,
    mlp_tensor_parallel,
)


def test_ranks_are_numbered_stage_by_stage() -> None:
    config = ParallelConfig(tensor_parallel=3, pipeline_stages=2)
    assert config.ranks == 6
    assert [config.stage_of(rank) for rank in range(6)] == [0, 0, 0, 1, 1, 1]
    assert config.tensor_of(4) == TensorParallelConfig(3, 1)
    assert [config.layers_of(stage, 7) for stage in range(2)] == [range(4), range(4, 7)]
    assert [ParallelConfig(pipeline_stages=3).layers_of(stage, 1) for stage in range(3)] == [
        range(1),
        range(1, 1),
        range(1, 1),
    ]


def test_threads_are_shared_by_all_ranks() -> None:
    config = ParallelConfig(threads=5, tensor_parallel=2, pipeline_stages=2)
    assert [config.threads_of(rank) for rank in range(4)] == [2, 1, 1, 1]
    with tw.threads(8):
        assert ParallelConfig(tensor_parallel=2).threads_of(1) == 4
    assert ParallelConfig(threads=1, tensor_parallel=4).threads_of(3) == 1


def test_stages_of_ranks_compute_what_one_thread_does() -> None:
    layers = [
        tuple(normal(shape, np.float64, seed) for shape in [(9, 6), (9, 6), (6, 9)])
        for seed in range(3)
    ]
    micro_batches = [normal((2, 6), np.float64, seed) for seed in range(4)]
    config = ParallelConfig(tensor_parallel=2, pipeline_stages=2)

    def work(comm: ThreadComm) -> list[Array]:
        stage, group = config.place(comm)
        tensor = config.tensor_of(comm.rank)
        assert (group.rank, group.size) == (tensor.rank, tensor.world_size)
        shards = [
            [tensor.shard(part, way) for part, way in zip(layers[n], ways, strict=True)]
            for n in config.layers_of(stage, len(layers))
        ]
        results = []
        for number, micro_batch in enumerate(micro_batches):
            x = micro_batch.copy()
            if stage:
                comm.Recv(x, source=comm.rank - config.tensor_parallel, tag=number)
            for gate, up, down in shards:
                x = mlp_tensor_parallel(x, gate, up, down, comm=group)
            if stage + 1 < config.pipeline_stages:
                comm.Send(x, dest=comm.rank + config.tensor_parallel, tag=number)
            results.append(x)
        return results

    ways = ("column", "column", "row")
    results = ThreadComm.run(config.ranks, work)
    for number, x in enumerate(micro_batches):
        for gate, up, down in layers:
            x = mlp_tensor_parallel(x, gate, up, down, comm=SelfComm())  # noqa: PLW2901
        for last in results[2:]:
            assert_allclose(last[number], x, rtol=1e-10, atol=1e-10)


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: ParallelConfig(threads=0), DomainError, "^threads is 0, expected"),
    (lambda: ParallelConfig(threads="2"), DTypeError, "^threads is '2' "),  # type: ignore[arg-type]
    (lambda: ParallelConfig(tensor_parallel=0), DomainError, "^tensor_parallel is 0, expected"),
    (lambda: ParallelConfig(pipeline_stages=1.0), DTypeError, "^pipeline_stages is 1.0 "),  # type: ignore[arg-type]
    (
        lambda: ParallelConfig(tensor_parallel=64, pipeline_stages=32),
        DomainError,
        "^tensor_parallel x pipeline_stages is 64 x 32, expected at most 1024",
    ),
    (lambda: ParallelConfig(pipeline=3), DTypeError, "^pipeline is a int, expected"),  # type: ignore[arg-type]
    (lambda: ParallelConfig().stage_of(1), DomainError, "^rank is 1, expected less than"),
    (
        lambda: ParallelConfig(tensor_parallel=2).place(SelfComm()),
        DomainError,
        "^comm has 1 ranks, expected 2 x 1 = 2",
    ),
]


@pytest.mark.parametrize(("make", "error", "sentence"), REFUSED)
def test_what_makes_no_sense_is_refused(
    make: Callable[[], object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        make()


def test_the_pipeline_s_settings_are_kept() -> None:
    assert ParallelConfig().pipeline == PipelineConfig()
    assert ParallelConfig(pipeline=PipelineConfig(7)).pipeline.num_micro_batches == 7


SIZES = tw.models.ModelConfig.load(tw.samples.path("stdlib-mistral-2.8m"))


def large(**changes: Any) -> tw.models.ModelConfig:
    """Return a model whose products are worth several threads."""
    sizes: dict[str, Any] = {"hidden_size": 4096, "intermediate_size": 14336, "head_dim": 128}
    return replace(SIZES, **sizes, num_attention_heads=32, num_key_value_heads=8, **changes)


def test_a_model_gets_the_threads_that_its_products_are_worth() -> None:
    wide = ParallelConfig.for_model(large(), threads=2)
    assert (wide.threads, wide.ranks) == (2, 1)
    assert wide.pipeline == PipelineConfig.for_model(SIZES.num_hidden_layers, 4096)
    small: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "head_dim": 2}
    assert ParallelConfig.for_model(replace(SIZES, **small), threads=2).threads == 1
    assert ParallelConfig.for_model(large(), threads=1).threads == 1
    with tw.threads(1):
        assert ParallelConfig.for_model(large()).threads == 1


def test_a_choice_says_why() -> None:
    reason = ParallelConfig.for_model(large(num_hidden_layers=7), threads=2).reason
    assert re.match(
        r"the products of a token take [\d.]+ ms on one thread, [\d.]+ ms on 2 th", reason
    )
    assert "add 14 sums" in reason
    assert re.search(r"\(constants of this machine: (measured|assumed; .*)\)$", reason)
    alone = ParallelConfig.for_model(SIZES, threads=1)
    assert "on one thread, as predicted" in alone.reason
    assert alone == ParallelConfig(threads=1, pipeline=alone.pipeline)


def test_what_is_no_model_and_no_threads_are_refused() -> None:
    with pytest.raises(DTypeError, match=r"^config is a dict without hidden_size, expected a Mode"):
        ParallelConfig.for_model({})  # type: ignore[arg-type]
    with pytest.raises(DomainError, match=r"^threads is 0, expected a whole number from 1 to 1024"):
        ParallelConfig.for_model(SIZES, threads=0)
