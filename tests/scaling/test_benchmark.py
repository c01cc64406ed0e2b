"""What is measured is what was asked for, with as many threads as were asked for."""

import threading
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import threadwise as tw
from interpreters import run

pytestmark = pytest.mark.timing

A = np.ones((400, 400), np.float32)


def pool_sizes() -> dict[str, int]:
    return {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}


def test_pools_have_1_then_2_then_1_threads() -> None:
    seen: list[tuple[int, int]] = []

    def workload(threads: int) -> None:
        # As many threads as the executor has can meet, and no more.
        with tw.parallel.ThreadExecutor() as executor:
            meeting = threading.Barrier(executor.threads, timeout=20)
            list(executor.map(lambda _: meeting.wait(), range(executor.threads)))
            assert tw.get_num_threads() == executor.threads
            assert set(pool_sizes().values()) == {threads}
            seen.append((threads, executor.threads))

    result = tw.scaling.benchmark(workload, threads=(1, 2, 1), repeats=2, warmup=0)
    assert [point.threads for point in result.points] == [1, 2, 1]
    assert [set(point.pools.values()) for point in result.points] == [{1}, {2}, {1}]
    assert result.points[0].pools.keys() >= {"threadwise", "openblas"}
    # Two rounds, of which the second begins with the second.
    assert seen == [(1, 1), (2, 2), (1, 1), (2, 2), (1, 1), (1, 1)]


def test_threads_that_a_workload_starts_have_the_same_pool() -> None:
    seen = []

    def workload() -> None:
        thread = threading.Thread(target=lambda: seen.append(tw.get_num_threads()))
        thread.start()
        thread.join()

    tw.scaling.benchmark(workload, threads=(1, 2), repeats=1, warmup=0)
    assert seen == [1, 2]


def test_numbers_of_threads_are_put_back() -> None:
    before = pool_sizes()
    tw.scaling.benchmark(lambda: None, threads=(1, 2), repeats=1, warmup=0)
    assert pool_sizes() == before
    tw.set_num_threads(3)
    with tw.threads(5):
        tw.scaling.benchmark(lambda: None, threads=(1, 2), repeats=1, warmup=0)
        assert tw.get_num_threads() == 5
    assert tw.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError):
        tw.scaling.benchmark(lambda: 1 // 0, threads=(1,), repeats=1)
    assert tw.get_num_threads() == 3


def test_shared_work_is_done_by_so_many_and_counted() -> None:
    # In a process of its own: the counters are the process's.
    program = """
        import numpy as np
        import threadwise as tw

        a = np.ones((1500, 1500), np.float32)
        result = tw.scaling.benchmark(lambda: tw.matmul(a, a), threads=(1, 2), repeats=3)
        one, two = result.points
        assert one.busy == (), one
        assert len(two.busy) in (1, 2), two
        assert two.busy[0] > 0, two
        assert max(two.busy) <= 1.01 * max(two.wall), two
        assert one.cpus < 1.5 and two.cpus < 2.5, result
        assert [part.is_imbalance_known for part in result.attribution] == [False, True]
        print(*result.speedups)
    """
    assert run(program).startswith("1.0 ")


def test_work_that_is_shared_where_it_may_not_be_is_refused() -> None:
    big = np.ones((1500, 1500), np.float32)
    with pytest.raises(
        tw.errors.DomainError, match=r"shared work among threads while it might use 1"
    ):
        tw.scaling.benchmark(lambda: tw.matmul(big, big, threads=2), threads=(1, 2), repeats=2)


def test_a_workload_that_sets_the_number_of_threads_is_refused() -> None:
    with pytest.raises(tw.errors.DomainError, match=r"has 3 threads after a call that was given 1"):
        tw.scaling.benchmark(lambda: tw.set_num_threads(3), threads=(1,), repeats=1)


def test_a_workload_gets_what_it_has_parameters_for() -> None:
    calls: list[tuple[Any, ...]] = []

    def both(threads: int, *, size: int = 7) -> None:
        calls.append((threads, size))

    def grown(size: int) -> None:
        calls.append((size,))

    def fixed(base: int, threads: int) -> None:
        calls.append((base, threads))

    measure = partial(tw.scaling.benchmark, repeats=1, warmup=0)
    measure(both, threads=(1, 2))
    measure(both, threads=(1, 2), weak=True, serial=grown)
    measure(partial(fixed, 10), threads=(1, 2))
    assert calls == [(1, 1), (2, 1), (1, 1), (2, 2), (1,), (10, 1), (10, 2)]
    assert measure(both, threads=(1,)).workload.endswith(".both")
    assert measure(dict, threads=(1,)).workload == "dict"


def test_rounds_are_interleaved_and_begin_with_another_number_each() -> None:
    order: list[int] = []

    def workload(threads: int) -> None:
        order.append(threads)

    tw.scaling.benchmark(workload, threads=(1, 2), repeats=3, warmup=0)
    assert order == [1, 2, 2, 1, 1, 2]


def test_numbers_above_the_cpus_come_last() -> None:
    order: list[int] = []

    def workload(threads: int) -> None:
        order.append(threads)

    crowd = tw.info().affinity + 1
    result = tw.scaling.benchmark(workload, threads=(crowd, 1), repeats=2, warmup=0)
    assert order == [1, 1, crowd, crowd]
    assert [point.threads for point in result.points] == [crowd, 1]
    assert result.oversubscribed == (True, False)


def test_one_thread_is_measured_even_if_nobody_asks() -> None:
    result = tw.scaling.benchmark(lambda: None, threads=(2,), repeats=1, warmup=0)
    assert [point.threads for point in result.points] == [1, 2]


def test_warm_up_does_not_count_and_short_calls_are_made_in_a_row() -> None:
    calls: list[int] = []

    def workload() -> None:
        time.sleep(0.004)
        calls.append(1)

    result = tw.scaling.benchmark(workload, threads=(1,), repeats=2, warmup=1)
    assert 2 <= result.calls <= 5
    assert len(calls) == 1 + 2 * 2 * result.calls  # each sample is warmed up, too
    assert (len(result.one.wall), result.warmup) == (2, 1)
    assert all(0.004 <= seconds < 0.04 for seconds in result.one.wall)
    assert result.one.cpu_seconds < result.one.seconds


def test_time_and_cpu_time_are_told_apart() -> None:
    def threads_that_sleep(threads: int) -> None:
        with tw.parallel.ThreadExecutor(threads) as executor:
            list(executor.map(lambda _: time.sleep(0.03), range(4)))

    result = tw.scaling.benchmark(threads_that_sleep, threads=(1, 2), repeats=3, warmup=0, tasks=4)
    one, two = result.points
    assert one.seconds >= 0.12
    assert one.cpu_seconds < 0.06
    assert 1.5 < result.speedups[1] < 2.1
    assert two.seconds >= 0.06


def test_memory_is_that_of_the_call_at_its_highest() -> None:
    program = """
        import numpy as np
        import threadwise as tw

        def workload(threads):
            np.ones(threads * 5_000_000)

        result = tw.scaling.benchmark(workload, threads=(1, 2), repeats=1)
        print(*(point.peak_bytes for point in result.points))
    """
    one, two = map(int, run(program).split())
    # The system counts pages for each CPU, and sums them up now and then.
    assert 30e6 <= one < 60e6
    assert 70e6 <= two < 100e6


def test_progress_hears_of_each_sample_and_may_end_it() -> None:
    heard: list[tuple[int, int]] = []
    tw.scaling.benchmark(
        lambda: None,
        threads=(1, 2),
        repeats=2,
        warmup=1,
        serial=lambda: None,
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(done, 9) for done in range(1, 10)]

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tw.scaling.benchmark(lambda: None, threads=(1, 2), progress=stop)
    assert tw.get_num_threads() == tw.info().threads


def test_the_environment_is_recorded() -> None:
    result = tw.scaling.benchmark(lambda: None, threads=(1, 2), repeats=1, warmup=0)
    found, info = result.environment, tw.info()
    assert (found.cpus, found.affinity, found.quota) == (info.cpus, info.affinity, info.quota)
    assert (found.isa, found.threadwise, found.numpy) == (
        info.isa_used,
        tw.__version__,
        np.__version__,
    )
    assert found.date.startswith("20")
    assert found.machine
    for probe in result.probes:
        assert 1 <= probe.compute < 50
        assert 1 <= probe.memory < 50
        assert probe.bandwidth > 1e8
    assert 0 < result.wake_seconds < 0.1
    assert result.other_cpus is None or 0 <= result.other_cpus <= 1.5 * info.cpus


def nothing() -> None:
    """Do nothing."""


def needs(x: int, threads: int) -> None:
    """Need an x."""


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"threads": ()}, tw.errors.DomainError, "threads is empty, expected numbers from 1"),
        ({"threads": (0,)}, tw.errors.DomainError, "threads is 0, expected from 1 to 1024"),
        ({"threads": (1.5,)}, tw.errors.DTypeError, "threads is 1.5 .*expected a whole number"),
        ({"repeats": 0}, tw.errors.DomainError, "repeats is 0, expected from 1"),
        ({"warmup": -1}, tw.errors.DomainError, "warmup is -1, expected from 1"),
        ({"tasks": 0}, tw.errors.DomainError, "tasks is 0, expected from 1"),
        ({"weak": True}, tw.errors.DomainError, "has no parameter size, expected one with"),
        ({"serial": 3}, tw.errors.DTypeError, r"serial is 3 \(a int\), expected a callable"),
        ({"serial": needs}, tw.errors.DTypeError, "serial needs x, expected a callable that needs"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        tw.scaling.benchmark(nothing, **options)


def test_a_real_product_is_measured_against_numpy() -> None:
    result = tw.scaling.benchmark(
        lambda: tw.matmul(A, A), threads=(1, 2), repeats=3, serial=lambda: A @ A
    )
    assert result.serial is not None
    assert result.serial_speedups is not None
    ratios = [result.serial.seconds / point.seconds for point in result.points]
    assert list(result.serial_speedups) == pytest.approx(ratios)
