"""Losses are told apart where their causes are known, and add up."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import threadwise as tw
from scalings import point, result
from threadwise.scaling import Attribution, Probe, ScalingPoint
from threadwise.scaling.attribution import PARTS

ONE = point(1, 1.0)


def attributed(two: ScalingPoint, one: ScalingPoint = ONE, **facts: Any) -> Attribution:
    plain = (Probe(threads=2, compute=1.0, memory=1.0, bandwidth=1e10),)
    return result([one, two], **{"probes": plain} | facts).attribution[1]


def parts(found: Attribution) -> dict[str, float]:
    """Return the parts that are there at all."""
    return {name: share for name, share in found.parts().items() if share > 1e-9}


def test_one_thread_only_works() -> None:
    assert parts(result([ONE]).attribution[0]) == {"work": 1.0}


def test_perfect_scaling_loses_nothing() -> None:
    assert parts(attributed(point(2, 0.5))) == {"work": 1.0}


def test_more_than_perfect_scaling_loses_nothing() -> None:
    assert parts(attributed(point(2, 0.4))) == {"work": 1.0}


def test_idle_time_is_a_serial_part() -> None:
    # A fifth of the work by one thread while the other idles, and the rest by both.
    found = attributed(point(2, 0.6, cpu=1.0))
    assert parts(found) == pytest.approx({"work": 1 / 1.2, "serial": 0.2 / 1.2})
    assert not found.is_imbalance_known
    assert found.loss == pytest.approx(0.2 / 1.2)


def test_time_that_one_thread_waits_too_is_no_loss_of_threads() -> None:
    # Half of it is sleep, which two threads share as they share the rest.
    assert parts(attributed(point(2, 0.5, cpu=0.5), point(1, 1.0, cpu=0.5))) == {"work": 1.0}


def test_the_one_with_most_to_do_is_an_imbalance() -> None:
    found = attributed(point(2, 0.6, cpu=1.0, busy=(0.6, 0.4)))
    assert parts(found) == pytest.approx({"work": 1 / 1.2, "imbalance": 0.2 / 1.2})
    assert found.is_imbalance_known


def test_a_worker_that_did_not_come_is_an_imbalance() -> None:
    found = attributed(point(2, 1.0, cpu=1.0, busy=(1.0,)))
    assert parts(found) == pytest.approx({"work": 0.5, "imbalance": 0.5})


def test_tasks_that_cannot_be_shared_evenly_are_an_imbalance() -> None:
    # Three tasks on two threads: two rounds, in the second of which one has none.
    found = attributed(point(2, 2 / 3, cpu=1.0), tasks=3)
    assert parts(found) == pytest.approx({"work": 0.75, "imbalance": 0.25})
    assert found.is_imbalance_known


def test_waking_threads_is_dispatch() -> None:
    found = attributed(point(2, 0.6, cpu=1.0, wakes=10_000.0), wake_seconds=1e-5)
    assert parts(found) == pytest.approx(
        {"work": 1 / 1.2, "dispatch": 0.1 / 1.2, "serial": 0.1 / 1.2}
    )


def test_looking_for_work_is_dispatch() -> None:
    # Both are at pieces for half a second, and turn round for the rest.
    found = attributed(point(2, 0.6, cpu=1.2, busy=(0.5, 0.5)), wake_seconds=0.0)
    assert parts(found) == pytest.approx({"work": 1 / 1.2, "dispatch": 0.2 / 1.2})


def test_work_that_takes_longer_is_memory_as_far_as_a_copy_takes_longer() -> None:
    slow = (Probe(threads=2, compute=1.05, memory=1.1, bandwidth=1e10),)
    found = attributed(point(2, 0.6), probes=slow)
    assert parts(found) == pytest.approx(
        {"work": 1 / 1.2, "cores": 0.05 / 1.2, "memory": 0.1 / 1.2, "dispatch": 0.05 / 1.2}
    )


def test_threads_beyond_the_cpus_wait_for_one() -> None:
    found = result([ONE, point(4, 0.5, cpu=1.0)], cpus=2).attribution[1]
    assert parts(found) == pytest.approx({"work": 0.5, "cores": 0.5})


def test_cpus_that_others_keep_busy_are_not_there() -> None:
    found = attributed(point(2, 1.0, cpu=1.0), other_cpus=1.0, cpus=2)
    assert parts(found) == pytest.approx({"work": 0.5, "cores": 0.5})


def test_threads_that_sleep_lack_no_cpu() -> None:
    one, four = point(1, 1.0, cpu=0.0), point(4, 0.5, cpu=0.0)
    found = result([one, four], cpus=2).attribution[1]
    assert parts(found) == pytest.approx({"work": 0.5, "serial": 0.5})


def test_work_that_grows_is_as_many_times_the_work() -> None:
    found = attributed(point(2, 1.25, cpu=2.0), weak=True)
    assert parts(found) == pytest.approx({"work": 0.8, "serial": 0.2})


seconds = st.floats(1e-3, 1e3)


@given(st.data(), st.integers(2, 64), st.integers(1, 64))
def test_parts_are_shares_that_add_up(data: st.DataObject, threads: int, cpus: int) -> None:
    one, many, alone, together, wakes = data.draw(st.tuples(*[seconds] * 5))
    busy = data.draw(st.lists(st.floats(0, 1e3), max_size=threads))
    found = result(
        [
            point(1, one, cpu=alone),
            point(threads, many, cpu=together, busy=tuple(busy), wakes=wakes),
        ],
        cpus=cpus,
        weak=data.draw(st.booleans()),
        tasks=data.draw(st.none() | st.integers(1, 99)),
        other_cpus=data.draw(st.none() | st.floats(0, 64)),
    )
    for part, efficiency in zip(found.attribution, found.efficiencies, strict=True):
        assert set(part.parts()) == set(PARTS)
        assert all(-1e-9 <= share <= 1 + 1e-9 for share in part.parts().values())
        assert sum(part.parts().values()) == pytest.approx(1)
        assert part.loss == pytest.approx(1 - part.work)
        assert part.work == pytest.approx(min(efficiency, 1))


def test_a_serial_part_that_was_put_there_is_found() -> None:
    def workload(threads: int) -> None:
        time.sleep(0.02)
        with tw.parallel.ThreadExecutor(threads) as executor:
            list(executor.map(lambda _: time.sleep(0.02), range(4)))

    measured = tw.scaling.benchmark(workload, threads=(1, 2), repeats=3, warmup=0, tasks=4)
    # 100 ms on one thread, 60 on two: of twice 60, 20 were spent waiting.
    # Where other programs keep the CPUs busy, waking up takes some of that.
    two = measured.attribution[1]
    assert two.serial + two.dispatch + two.cores == pytest.approx(1 / 6, abs=0.1)
    assert two.memory < 0.05
    assert measured.amdahl().parallel_fraction == pytest.approx(0.8, abs=0.2)
