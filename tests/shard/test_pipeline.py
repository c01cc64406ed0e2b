"""Stages that work at the same time: order, overlap, budget, errors."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import threadwise as tw
from interpreters import delay
from strategies import normal
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.shard import Pipeline, PipelineConfig, PipelineState

TICK = 0.03
IN_TURNS = PipelineConfig(async_execution=False)
BOTH = pytest.mark.parametrize("config", [PipelineConfig(), IN_TURNS], ids=["threads", "turns"])


def _sleeping(stages: int) -> list[Callable[[list[int]], list[int]]]:
    def visit(stage: int, visits: list[int]) -> list[int]:
        time.sleep(TICK)
        return [*visits, stage]

    return [partial(visit, stage) for stage in range(stages)]


def _slowly(x: Any) -> Any:
    time.sleep(0.005)
    return x


@given(st.integers(1, 5), st.integers(1, 8))
def test_states_take_m_plus_s_minus_1_ticks_and_keep_numbers(stages: int, batches: int) -> None:
    state = PipelineState(stages)
    waiting, ticks = list(range(batches)), 0
    out: list[tuple[int, Any] | None] = []
    while len(out) < batches:
        if waiting and state.can_accept():
            number = waiting.pop(0)
            assert state.push([number], micro_batch=100 + number) == 100 + number
        for stage in range(stages):
            held = state.at(stage)
            if held is not None:
                state.put(stage, [*held[1], stage])
        assert state.advance() > 0
        ticks += 1
        while state.has_output():
            out.append(state.pop())
    assert ticks == batches + stages - 1
    assert out == [(100 + n, [n, *range(stages)]) for n in range(batches)]
    assert len(state) == 0
    assert state.pop() is None


def test_a_state_that_is_full_holds_up_what_comes() -> None:
    state = PipelineState(stages=1, depth=2)
    assert [state.push("a"), state.push("b")] == [0, 1]
    assert not state.can_accept()
    with pytest.raises(DomainError, match=r"^the first stage has 2 micro-batches, expected fewer"):
        state.push("c")
    assert [state.advance() for _ in range(3)] == [1, 1, 0]
    assert [state.push("c"), state.push("d", 9), len(state)] == [2, 9, 4]
    assert state.advance() == 0  # two outputs wait
    assert [state.pop(), state.advance(), state.pop(), state.pop()] == [
        (0, "a"),
        1,
        (1, "b"),
        (2, "c"),
    ]
    assert state.at(0) == (9, "d")
    with pytest.raises(DomainError, match=r"^stage 1 works on nothing, expected a micro-batch"):
        state.put(1, "e")


def test_a_state_and_a_pipeline_say_what_they_are() -> None:
    state = PipelineState(3)
    assert repr(state) == "<PipelineState of 3 stages, 0 on their way>"
    for item in "ab":
        state.push(item)
        state.advance()
    expected = "<PipelineState of 3 stages, 2 on their way, stage 1: 1, stage 2: 0>"
    assert repr(state) == expected
    assert repr(Pipeline([len] * 2, IN_TURNS, threads=3)) == (
        "Pipeline(2 stages, PipelineConfig(num_micro_batches=4, async_execution=False, "
        "memory_budget=536870912), threads=3)"
    )


def test_states_without_stages_or_room_are_refused() -> None:
    with pytest.raises(DomainError, match=r"^stages is 0, expected a whole number from 1"):
        PipelineState(0)
    with pytest.raises(DomainError, match=r"^stages is 1025, expected from 1 to 1024"):
        PipelineState(1025)
    with pytest.raises(DTypeError, match=r"^depth is 1.5 \(a float\), expected a whole number"):
        PipelineState(1, 1.5)  # type: ignore[arg-type]


@pytest.mark.timing
@pytest.mark.parametrize(("stages", "batches"), [(2, 6), (3, 5), (4, 1)])
def test_sleeping_stages_take_m_plus_s_minus_1_ticks(stages: int, batches: int) -> None:
    pipeline = Pipeline(_sleeping(stages))
    begin = time.perf_counter()
    results = pipeline.map([number] for number in range(100, 100 + batches))
    ticks = (time.perf_counter() - begin) / TICK
    assert results == [[number, *range(stages)] for number in range(100, 100 + batches)]
    ideal = batches + stages - 1
    assert ticks >= ideal
    if batches > 1:
        assert ticks < (ideal + batches * stages) / 2
    report = pipeline.report
    assert report is not None
    assert report.micro_batches == batches
    assert report.ideal_bubble == (stages - 1) / ideal
    assert report.ideal_bubble - 0.05 < report.bubble < report.ideal_bubble + 0.2
    assert min(report.busy) >= batches * TICK
    assert report.seconds <= ticks * TICK


@pytest.mark.timing
def test_in_turns_stages_do_not_overlap_and_nobody_else_works() -> None:
    idents = set()

    def note(visits: list[int]) -> list[int]:
        idents.add(threading.get_ident())
        return visits

    pipeline = Pipeline([*_sleeping(2), note], IN_TURNS)
    assert pipeline.map([[7], [8], [9]]) == [[7, 0, 1], [8, 0, 1], [9, 0, 1]]
    assert idents == {threading.get_ident()}
    assert pipeline.report is not None
    assert pipeline.report.seconds >= 6 * TICK
    assert pipeline.report.bubble > 0.6


@pytest.mark.parametrize("pieces", [1, 3, 4, 20])
@BOTH
def test_a_batch_is_cut_and_joined_again(pieces: int, config: PipelineConfig) -> None:
    sizes = []

    def double(x: Any) -> Any:
        sizes.append(len(x))
        return 2 * x

    config = PipelineConfig(pieces, config.async_execution)
    batch = normal((7, 3))
    assert_array_equal(Pipeline([double, lambda x: x + 1], config).run(batch), 2 * batch + 1)
    assert len(sizes) == min(pieces, 7)
    assert max(sizes) - min(sizes) <= 1
    assert Pipeline([double], config).run(batch[:0]).shape == (0, 3)
    with pytest.raises(ShapeError, match=r"^batch has shape \(\), expected at least one axis"):
        Pipeline([double]).run(np.float32(1))  # type: ignore[arg-type]


@BOTH
def test_layers_through_a_pipeline_have_the_bits_of_layers(config: PipelineConfig) -> None:
    weights = [normal((16, 16), np.float32, seed) for seed in range(3)]
    stages = [
        lambda x, weight=weight: tw.linear(x, weight, activation="silu") for weight in weights
    ]
    micro_batches = [normal((4, 16), np.float32, seed) for seed in range(5)]
    results = Pipeline(stages, config).map(micro_batches)
    for x, result in zip(micro_batches, results, strict=True):
        for weight in weights:
            x = tw.linear(x, weight, activation="silu")  # noqa: PLW2901 - through all layers
        assert result.tobytes() == x.tobytes()


@BOTH
def test_no_more_than_the_budget_is_on_its_way(config: PipelineConfig) -> None:
    def peak(budget: int, item: Any) -> int:
        chosen = PipelineConfig(async_execution=config.async_execution, memory_budget=budget)
        pipeline = Pipeline([_slowly] * 3, chosen)
        assert len(pipeline.map([item] * 6)) == 6
        assert pipeline.report is not None
        return pipeline.report.peak_bytes

    kilobyte = np.zeros(128)
    assert peak(1, kilobyte) == 1024
    assert peak(2048, kilobyte) == 2048
    assert peak(1 << 20, kilobyte) > 2048
    assert peak(1, {"x": [kilobyte, (kilobyte, 3)]}) == 2048


def test_queues_are_bounded() -> None:
    asked = 0

    def items() -> Iterator[int]:
        nonlocal asked
        for number in range(8):
            asked += 1
            yield number

    def look(_: int) -> int:
        time.sleep(0.2)
        return asked

    # One in each stage, one before each, and one that is asked for ahead.
    assert Pipeline([lambda x: x, look]).map(items())[0] <= 5


@pytest.mark.timing
@BOTH
def test_an_error_of_a_stage_reaches_the_caller_and_stops_the_others(
    config: PipelineConfig,
) -> None:
    seen = []

    def fail(x: int) -> int:
        if x == 2:
            raise LookupError("two")
        return x

    def note(x: int) -> int:
        seen.append(x)
        return x

    stages = [_slowly, fail, note]
    before, begin = threading.active_count(), time.monotonic()
    pipeline = Pipeline(stages, config)
    with pytest.raises(LookupError, match=r"^two") as caught:
        pipeline.map(range(10**6))
    assert time.monotonic() - begin < 1.0
    assert threading.active_count() == before
    assert caught.value.__notes__ == ["in stage 1 of 3, micro-batch 2"]
    assert seen == [0, 1]
    assert pipeline.report is None
    assert pipeline.map([3, 4]) == [3, 4]


@BOTH
def test_an_error_of_what_gives_the_micro_batches_does_so_too(config: PipelineConfig) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match=r"^no more$"):
        Pipeline([lambda x: x], config).map(items())


@pytest.mark.timing
def test_a_stage_that_goes_on_is_interrupted() -> None:
    def loop(x: int) -> Any:
        return [None for _ in iter(int, 1)] if x == 0 else x

    def fail(_: int) -> None:
        time.sleep(0.05)
        raise LookupError("meanwhile")

    before, begin = threading.active_count(), time.monotonic()
    with pytest.raises(LookupError, match="meanwhile"):
        Pipeline([lambda x: x, fail]).map([1, 2])
    with pytest.raises(LookupError, match="meanwhile"):
        Pipeline([lambda x: loop(x - 1), fail]).map([9, 1])
    assert time.monotonic() - begin < 1.5
    assert threading.active_count() == before


def test_stages_share_the_caller_s_threads() -> None:
    budgets = [0, 0, 0]

    def note(x: int, stage: int) -> int:
        budgets[stage] = tw.get_num_threads()
        return x

    stages = [lambda x, stage=stage: note(x, stage) for stage in range(3)]
    Pipeline(stages, threads=5).map([0])
    assert budgets == [2, 2, 1]
    with tw.threads(1):
        Pipeline(stages).map([0])
    assert budgets == [1, 1, 1]
    Pipeline(stages, IN_TURNS, threads=5).map([0])
    assert budgets == [5, 5, 5]


@BOTH
def test_nothing_is_nothing(config: PipelineConfig) -> None:
    pipeline = Pipeline([lambda x: x], config)
    assert pipeline.map([]) == []
    assert pipeline.report is not None
    assert (pipeline.report.micro_batches, pipeline.report.bubble) == (0, 0.0)


def test_a_model_gets_as_many_micro_batches_as_fit() -> None:
    def number(layers: int, hidden: int, budget: int) -> int:
        return PipelineConfig.for_model(layers, hidden, budget).num_micro_batches

    assert number(32, 4096, 5 * 32 * 4096 * 4) == 5
    assert number(32, 4096, 1) == 2
    assert number(1, 1, 1 << 40) == 8
    assert number(0, 4096, 1) == number(32, 0, 1) == 8
    assert PipelineConfig.for_model(1, 1, 77).memory_budget == 77
    assert PipelineConfig() == PipelineConfig(4, True, 512 << 20)


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: PipelineConfig(0), DomainError, "^num_micro_batches is 0, expected"),
    (lambda: PipelineConfig(1.5), DTypeError, "^num_micro_batches is 1.5 "),  # type: ignore[arg-type]
    (lambda: PipelineConfig(memory_budget=0), DomainError, "^memory_budget is 0, expected"),
    (lambda: PipelineConfig(4, "no"), DTypeError, r"^async_execution is 'no' \(a str\)"),  # type: ignore[arg-type]
    (lambda: PipelineConfig.for_model(-1, 1), DomainError, "^layers is -1, expected"),
    (lambda: PipelineConfig.for_model(1, 1, 0), DomainError, "^memory_budget is 0, expected"),
    (lambda: Pipeline([]), DomainError, "^stages is 0, expected"),
    (lambda: Pipeline([len, 3]), DTypeError, "^stage 1 is a int, expected a callable"),  # type: ignore[list-item]
    (lambda: Pipeline([len], threads=0), DomainError, "^threads is 0, expected"),
]


@pytest.mark.parametrize(("make", "error", "sentence"), REFUSED)
def test_what_makes_no_sense_is_refused(
    make: Callable[[], object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.timing
@pytest.mark.parametrize("config", ["", "async_execution=False"])
def test_ctrl_c_ends_a_pipeline_soon(config: str) -> None:
    stages = "[lambda x: time.sleep(0.01)] * 3"
    work = f"tw.shard.Pipeline({stages}, tw.shard.PipelineConfig({config})).map(range(10**9))"
    assert delay(work, after="assert threading.active_count() == 1") < 1
