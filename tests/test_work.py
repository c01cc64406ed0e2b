"""How work is cut and counted: the value that says so, and what operations do."""

import copy
import dataclasses
import math
import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import threadwise as tw
from interpreters import run
from strategies import normal
from threadwise.errors import DomainError, DTypeError
from threadwise.work import NumaHint, WorkDistribution, WorkerStats, WorkStats

DEFAULT = WorkDistribution()


@st.composite
def distributions(draw: Any) -> WorkDistribution:
    least = draw(st.integers(1, 200))
    return WorkDistribution(
        min_chunk=least,
        max_chunk=least + draw(st.integers(0, 300)),
        tasks_per_thread=draw(st.integers(1, 8)),
        cache_line=2 ** draw(st.integers(0, 9)),
    )


totals = st.integers(0, 3000)
counts = st.integers(1, 9)
itemsizes = st.sampled_from([None, 1, 2, 3, 4, 8, 12, 16, 100])


def test_the_defaults_are_these() -> None:
    assert WorkDistribution(64, 4096, 4, None, 64) == DEFAULT
    assert repr(DEFAULT) == (
        "WorkDistribution(min_chunk=64, max_chunk=4096, tasks_per_thread=4, numa=None, "
        "cache_line=64)"
    )


@pytest.mark.parametrize(
    "value",
    [
        DEFAULT,
        WorkDistribution(1, 2, 3, NumaHint.local(4, pin=True), 128),
        NumaHint.local(),
        NumaHint.interleaved(pin=True),
        tw.work_stats(),
    ],
)
def test_values_compare_hash_and_survive_copies(value: Any) -> None:
    for copied in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):  # noqa: S301 - ours
        assert copied == value
        assert hash(copied) == hash(value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


@pytest.mark.parametrize(
    "hint",
    [
        NumaHint.local(),
        NumaHint.local(3),
        NumaHint.local(pin=True),
        NumaHint.local(0, pin=True),
        NumaHint.interleaved(),
        NumaHint.interleaved(pin=True),
    ],
)
def test_a_hint_is_written_as_it_is_made(hint: NumaHint) -> None:
    assert eval(repr(hint), {"NumaHint": NumaHint}) == hint  # noqa: S307 - what we wrote
    assert dataclasses.replace(DEFAULT, numa=hint) != DEFAULT


def test_hints_that_differ_in_anything_differ() -> None:
    local, spread = NumaHint.local, NumaHint.interleaved
    hints = [local(), local(0), local(1), local(pin=True), spread(), spread(pin=True)]
    assert len(set(hints)) == len(hints)


def test_whole_numbers_of_other_types_become_ints() -> None:
    made = WorkDistribution(np.int8(8), np.int64(9), np.uint16(2), None, np.int32(32))  # type: ignore[arg-type]
    assert made == WorkDistribution(8, 9, 2, None, 32)
    assert {type(value) for value in dataclasses.astuple(made)} == {int, type(None)}


@pytest.mark.parametrize("name", ["min_chunk", "max_chunk", "tasks_per_thread", "cache_line"])
@pytest.mark.parametrize("number", [0, -1, 2**63, -(2**70)])
def test_a_number_that_makes_no_sense_is_refused_by_name(name: str, number: int) -> None:
    expected = rf"^{name} is {number}, expected a whole number from 1 to {2**63 - 1}$"
    with pytest.raises(DomainError, match=expected):
        WorkDistribution(**{name: number})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["min_chunk", "max_chunk", "tasks_per_thread", "cache_line"])
@pytest.mark.parametrize("number", [1.0, "64", True, None, [64]])
def test_what_is_no_whole_number_is_refused_by_name(name: str, number: Any) -> None:
    kind = type(number).__name__
    with pytest.raises(DTypeError, match=rf"^{name} is .* \(a {kind}\), expected a whole number"):
        WorkDistribution(**{name: number})


def test_bounds_the_wrong_way_round_and_odd_lines_are_refused() -> None:
    with pytest.raises(DomainError, match=r"^max_chunk is 9, expected at least min_chunk, 10$"):
        WorkDistribution(min_chunk=10, max_chunk=9)
    with pytest.raises(DomainError, match=r"^cache_line is 48, expected a power of two$"):
        WorkDistribution(cache_line=48)


def test_hints_that_make_no_sense_are_refused() -> None:
    with pytest.raises(DTypeError, match=r"^numa is 1 \(a int\), expected a NumaHint or None$"):
        WorkDistribution(numa=1)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match=r"^policy is 'near', expected 'local' or 'interleaved'$"):
        NumaHint("near")  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match=r"^policy is 1 \(a int\), expected 'local' or 'inter"):
        NumaHint(1)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match=r"^node is 2, expected None: interleaved means all"):
        NumaHint("interleaved", 2)
    with pytest.raises(DomainError, match=r"^node is -1, expected a whole number from 0"):
        NumaHint.local(-1)
    with pytest.raises(DTypeError, match=r"^node is 1.5 \(a float\), expected a whole number"):
        NumaHint.local(1.5)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match=r"^pin is 1 \(a int\), expected True or False$"):
        NumaHint.local(pin=1)  # type: ignore[arg-type]


@given(distributions(), totals, counts)
def test_the_chunk_is_its_formula(given: WorkDistribution, total: int, threads: int) -> None:
    share = math.ceil(total / (threads * given.tasks_per_thread))
    expected = min(max(share, given.min_chunk), given.max_chunk)
    assert given.chunk(total, threads) == expected


@given(distributions(), totals, counts, itemsizes)
def test_ranges_cover_all_in_order_within_both_bounds(
    given: WorkDistribution, total: int, threads: int, itemsize: int | None
) -> None:
    pieces = given.ranges(total, threads, itemsize)
    ends = [0, *(stop for _, stop in pieces)]
    assert [start for start, _ in pieces] == ends[:-1]
    assert ends[-1] == total
    line = 1 if itemsize is None else given.cache_line // math.gcd(given.cache_line, itemsize)
    assert all(start % line == 0 for start, _ in pieces)
    lengths = [stop - start for start, stop in pieces]
    most = max(given.max_chunk // line, 1) * line
    least = min(-(-given.min_chunk // line) * line, most)
    assert all(0 < length <= most for length in lengths)
    assert all(length >= least for length in lengths[:-1])
    if itemsize is None and -(-total // most) <= total // least:
        assert min(lengths, default=least) >= least
        assert max(lengths, default=0) - min(lengths, default=0) <= 1


def test_each_option_changes_the_ranges() -> None:
    base = WorkDistribution(8, 64, 2).ranges(200, 2, 4)
    assert base == [(0, 64), (64, 112), (112, 160), (160, 200)]
    others = [
        WorkDistribution(60, 64, 2).ranges(200, 2, 4),
        WorkDistribution(8, 40, 2).ranges(200, 2, 4),
        WorkDistribution(8, 64, 5).ranges(200, 2, 4),
        WorkDistribution(8, 64, 2, cache_line=128).ranges(200, 2, 4),
        WorkDistribution(8, 64, 2).ranges(200, 4, 4),
        WorkDistribution(8, 64, 2).ranges(200, 2, 8),
        WorkDistribution(8, 64, 2).ranges(200, 2),
        WorkDistribution(8, 64, 2).ranges(199, 2, 4),
    ]
    assert all(other != base for other in others)


def test_the_budget_is_the_default_number_of_threads() -> None:
    with tw.threads(5):
        assert DEFAULT.chunk(10_000) == DEFAULT.chunk(10_000, 5) == 500
        assert DEFAULT.ranges(10_000) == DEFAULT.ranges(10_000, 5)
        of = WorkDistribution.for_matmul
        assert of(4096, 64) == of(4096, 64, 5)
        assert WorkDistribution.for_attention(30, 64).max_chunk == 6


@pytest.mark.parametrize(
    ("rows", "cols", "threads", "expected"),
    [
        (4096, 4096, 2, (2, 512, 4)),
        (4096, 16, 2, (64, 512, 4)),
        (100, 8192, 8, (1, 128, 4)),
        (1_000_000, 100, 2, (64, 1024, 4)),
        (0, 0, 1, (64, 128, 4)),
    ],
)
def test_a_choice_for_matrices_depends_on_rows_columns_and_threads(
    rows: int, cols: int, threads: int, expected: tuple[int, int, int]
) -> None:
    made = WorkDistribution.for_matmul(rows, cols, threads)
    assert made == WorkDistribution(*expected)


@pytest.mark.parametrize(
    ("heads", "seq", "threads", "expected"),
    [
        (32, 512, 4, (1, 8, 1)),
        (32, 513, 4, (1, 8, 2)),
        (32, 513, 64, (1, 1, 2)),
        (0, 0, 1, (1, 1, 1)),
    ],
)
def test_a_choice_for_heads_depends_on_heads_positions_and_threads(
    heads: int, seq: int, threads: int, expected: tuple[int, int, int]
) -> None:
    made = WorkDistribution.for_attention(heads, seq, threads)
    assert made == WorkDistribution(*expected)


@given(st.integers(0, 10_000), st.integers(0, 10_000), counts)
def test_choices_give_every_thread_something_if_there_is_enough(
    rows: int, cols: int, threads: int
) -> None:
    # So many rows that each thread has 32 KiB and 64 rows.
    if rows >= 64 * threads and rows * cols >= 8192 * threads:
        assert (
            len(WorkDistribution.for_matmul(rows, cols, threads).ranges(rows, threads)) >= threads
        )
    heads = rows % 100
    pieces = WorkDistribution.for_attention(heads, cols, threads).ranges(heads, threads)
    assert len(pieces) >= min(heads, threads) / 2


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("total", DEFAULT.chunk),
        ("total", DEFAULT.ranges),
        ("itemsize", lambda n: DEFAULT.ranges(1, None, n)),
        ("rows", lambda n: WorkDistribution.for_matmul(n, 1)),
        ("cols", lambda n: WorkDistribution.for_matmul(1, n)),
        ("heads", lambda n: WorkDistribution.for_attention(n, 1)),
        ("seq", lambda n: WorkDistribution.for_attention(1, n)),
        ("threads", lambda n: DEFAULT.chunk(1, n)),
        ("threads", lambda n: DEFAULT.ranges(1, n)),
        ("threads", lambda n: WorkDistribution.for_matmul(1, 1, n)),
        ("threads", lambda n: WorkDistribution.for_attention(1, 1, n)),
    ],
)
def test_arguments_that_make_no_sense_are_refused_by_name(name: str, call: Any) -> None:
    for number in (-1, 2**64):
        with pytest.raises(DomainError, match=rf"^{name} is {number}, expected a whole number"):
            call(number)
    with pytest.raises(DTypeError, match=rf"^{name} is 'many' \(a str\), expected a whole number"):
        call("many")


SHAPES = [(700, 300, 500), (1, 3000, 900), (7, 2000, 300), (900, 1500, 1), (300, 40, 3000)]
ASKED = [
    DEFAULT,
    WorkDistribution(1, 1),
    WorkDistribution(1, 100, 16, NumaHint.interleaved(pin=True)),
    WorkDistribution(10**6, 10**9, numa=NumaHint.local(pin=True)),
    WorkDistribution.for_matmul(700, 300, 3),
]


@pytest.mark.parametrize("distribution", ASKED, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_the_distribution(distribution: WorkDistribution, dtype: Any) -> None:
    for m, k, n in SHAPES:
        a, b = normal((m, k), dtype), normal((k, n), dtype, seed=1)
        for threads in (1, 3):
            options: Any = {"threads": threads, "distribution": distribution}
            assert tw.matmul(a, b, **options).tobytes() == tw.matmul(a, b).tobytes()
            columns = np.empty((n, m), dtype).T
            tw.matmul(a, b, columns, **options)
            assert columns.tobytes() == tw.matmul(a, b, np.empty((n, m), dtype).T).tobytes()
            layer = tw.linear(a, b.T, b[0], activation="silu", **options)
            assert layer.tobytes() == tw.linear(a, b.T, b[0], activation="silu").tobytes()


def test_the_distribution_counts_for_the_products_of_a_batch_and_for_small_ones() -> None:
    a, b = normal((3, 200, 200)), normal((3, 200, 200), seed=1)
    for distribution in ASKED:
        assert (tw.matmul(a, b, distribution=distribution) == tw.matmul(a, b)).all()
        small = tw.matmul(a[0, :4, :4], b[0, :4, :4], distribution=distribution)
        assert (small == tw.matmul(a[0, :4, :4], b[0, :4, :4])).all()


@pytest.mark.parametrize("given", [64, "64", {"min_chunk": 1}, NumaHint.local(), WorkDistribution])
@pytest.mark.parametrize("size", [2, 300])
def test_an_operation_refuses_what_is_no_distribution(given: Any, size: int) -> None:
    a, out = np.ones((size, size)), np.full((size, size), np.nan)
    expected = r"^distribution is .* \(a \w+\), expected a WorkDistribution or None$"
    for operation in (tw.matmul, tw.linear):
        with pytest.raises(DTypeError, match=expected):
            operation(a, a, out=out, distribution=given)
    assert np.isnan(out).all()


def test_an_operation_refuses_a_node_without_cpus_and_names_the_others() -> None:
    a, out = np.ones((300, 300)), np.full((300, 300), np.nan)
    nowhere = WorkDistribution(numa=NumaHint.local(1023))
    expected = r"^node is 1023, expected a memory node with CPUs for this process: \d+(, \d+)*$"
    for operation in (tw.matmul, tw.linear):
        with pytest.raises(DomainError, match=expected):
            operation(a, a, out=out, distribution=nowhere)
    assert np.isnan(out).all()


@given(
    st.one_of(st.integers(), st.floats(), st.text(max_size=3), st.none()),
    st.one_of(st.integers(), st.floats(), st.none()),
    st.one_of(st.integers(), st.booleans(), st.none()),
)
def test_whatever_is_passed_is_taken_or_refused(first: Any, second: Any, third: Any) -> None:
    for made in (
        lambda: WorkDistribution(first, second, third),
        lambda: WorkDistribution(cache_line=first, numa=second),
        lambda: NumaHint(first, second, third),
        lambda: WorkDistribution.for_matmul(first, second, third).chunk(first, third),
        lambda: WorkDistribution.for_attention(first, second, third).chunk(second, third),
    ):
        try:
            made()
        except tw.errors.ThreadwiseError as error:
            assert ", expected " in str(error)  # noqa: PT017 - any of them


def test_a_value_changed_behind_its_back_is_refused_where_it_is_used() -> None:
    spoiled = WorkDistribution()
    object.__setattr__(spoiled, "min_chunk", 5000)
    with pytest.raises(
        DomainError, match=r"^max_chunk is 4096, expected at least min_chunk, 5000$"
    ):
        spoiled.ranges(10)


def test_stats_are_of_the_caller_and_then_of_each_worker() -> None:
    stats = tw.work_stats()
    assert stats.workers[0].name == "caller"
    assert stats.workers[0].idle_seconds == 0
    assert stats.run_at_home == sum(worker.tasks_home for worker in stats.workers)
    assert stats.stolen == sum(worker.tasks_stolen for worker in stats.workers)
    assert stats.parts_taken == sum(worker.parts_taken for worker in stats.workers)


def test_a_reset_begins_anew_and_the_plain_loop_is_not_counted() -> None:
    a = normal((300, 300))
    tw.matmul(a, a)
    tw.reset_work_stats()
    tw.matmul(a, a, threads=1)
    stats = tw.work_stats()
    assert (stats.tasks_created, stats.run_at_home, stats.stolen, stats.steal_ratio) == (0, 0, 0, 0)
    assert sum(worker.busy_seconds for worker in stats.workers) == 0


def test_stats_are_printed_as_a_table() -> None:
    worker = WorkerStats(
        name="threadwise-0",
        tasks_home=3,
        tasks_stolen=1,
        parts_taken=2,
        busy_seconds=0.5,
        idle_seconds=2,
    )
    caller = dataclasses.replace(worker, name="caller", tasks_stolen=0, idle_seconds=0)
    stats = WorkStats(
        tasks_created=8, run_at_home=6, stolen=1, parts_taken=4, workers=(caller, worker)
    )
    assert stats.steal_ratio == 1 / 8
    assert str(stats).splitlines() == [
        "8 tasks: 6 run at home, 1 stolen (12.5%), 4 parts taken",
        "                   home     stolen      parts         busy         idle",
        "caller                3          0          2      0.500 s      0.000 s",
        "threadwise-0          3          1          2      0.500 s      2.000 s",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_child_of_a_fork_begins_with_no_workers() -> None:
    program = """
        import os
        import warnings
        import numpy as np
        import threadwise as tw
        a = np.ones((600, 600))
        tw.matmul(a, a, threads=3)
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        if os.fork() == 0:
            stats = tw.work_stats()
            os._exit(len(stats.workers) - 1 + stats.tasks_created)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    assert run(program) == "0"
