"""Plans: that they are what happens, that they compute nothing, and what they rest on."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import threadwise as tw
from interpreters import run


def ones(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


def test_a_plan_names_the_kernel_and_gives_the_reason() -> None:
    plan = tw.explain(tw.matmul, ones(64, 64), ones(64, 64))
    assert plan.kernel.endswith("-gemm")
    assert "f32" in plan.kernel
    assert (plan.threads, plan.chunks) == (1, 1)
    assert plan.reason.startswith("1 thread:")
    assert plan.seconds == plan.serial_seconds > 0
    assert not plan.is_calibrated
    assert "assumed" in str(plan)


@pytest.mark.parametrize(
    ("a", "b", "form"),
    [
        ((1, 500), (500, 700), "streams"),
        ((200, 300), (300, 200), "gemm"),
        ((300,), (300,), "dots"),
        ((5, 7, 30, 40), (40, 50), "gemm"),
        ((5, 30, 40), (5, 40, 50), "gemm"),
    ],
)
def test_forms_follow_shapes(a: tuple[int, ...], b: tuple[int, ...], form: str) -> None:
    for dtype in (np.float32, np.float64):
        plan = tw.explain(tw.matmul, ones(*a, dtype=dtype), ones(*b, dtype=dtype))
        assert plan.kernel.endswith(form), plan
        assert plan.chunks >= 1


F32, F64 = np.float32, np.float64
SHARED: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "squares": (tw.matmul, (ones(300, 300), ones(300, 300)), {}),
    "float64 beside float32": (tw.matmul, (ones(300, 300, dtype=F64), ones(300, 300)), {}),
    "float16": (tw.matmul, (ones(400, 300, dtype="f2"), ones(300, 300, dtype="f2")), {}),
    "integers": (tw.matmul, (ones(900, 700, dtype="i1"), ones(700, 900, dtype="i1")), {}),
    "two vectors": (tw.matmul, (ones(2 * 10**6), ones(2 * 10**6)), {}),
    "a row": (tw.matmul, (ones(2000), ones(2000, 2000)), {}),
    "a column": (tw.matmul, (ones(2000, 2000), ones(2000)), {}),
    "a narrow B": (tw.matmul, (ones(9000, 512), ones(512, 4)), {}),
    "a wide transposed B": (tw.matmul, (ones(64, 512), ones(2048, 512).T), {}),
    "long sums": (tw.matmul, (ones(20, 100_000), ones(100_000, 20)), {}),
    "into columns": (
        tw.matmul,
        (ones(300, 200), ones(200, 500)),
        {"out": ones(500, 300).T},
    ),
    "into every other column": (
        tw.matmul,
        (ones(300, 200), ones(200, 500)),
        {"out": ones(300, 1000)[:, ::2]},
    ),
    "a batch": (tw.matmul, (ones(40, 100, 100), ones(40, 100, 100)), {}),
    "a batch of batches": (tw.matmul, (ones(9, 1, 100, 100), ones(5, 100, 100)), {}),
    "a batch with one B": (tw.matmul, (ones(9, 5, 100, 100), ones(100, 100)), {}),
    "a few large ones": (tw.matmul, (ones(3, 500, 500), ones(3, 500, 500)), {}),
    "a layer": (tw.linear, (ones(64, 512), ones(1024, 512), ones(1024)), {"activation": "silu"}),
    "a layer of one row": (tw.linear, (ones(512), ones(4096, 512)), {}),
    "a layer of few features": (tw.linear, (ones(9000, 512), ones(4, 512), ones(4)), {}),
    "a packed layer": (tw.linear, (ones(64, 512), tw.pack(ones(1024, 512))), {}),
    "a packed B": (tw.matmul, (ones(3, 20, 512), tw.pack(ones(1024, 512))), {}),
    "a packed B and columns": (
        tw.matmul,
        (ones(3, 512, 200).transpose(0, 2, 1), tw.pack(ones(1024, 512))),
        {},
    ),
    "fine pieces": (
        tw.matmul,
        (ones(500, 100), ones(100, 500)),
        {"distribution": tw.WorkDistribution(1, 1000, 8)},
    ),
    "one piece": (
        tw.matmul,
        (ones(250, 400), ones(400, 500)),
        {"distribution": tw.WorkDistribution(10**6, 10**9)},
    ),
    "small": (tw.matmul, (ones(64, 64), ones(64, 64)), {}),
    "nothing": (tw.matmul, (ones(0, 700), ones(700, 30)), {}),
    "a batch of nothing": (tw.matmul, (ones(0, 10, 100), ones(0, 100, 3)), {}),
    "no terms": (tw.matmul, (ones(700, 0), ones(0, 30)), {}),
}


@pytest.mark.parametrize("case", SHARED)
def test_what_is_planned_is_what_happens(case: str) -> None:
    operation, arguments, options = SHARED[case]
    tw.set_num_threads(2)
    large = ones(500, 500)
    attempts = []
    # Workers who do not come, on a busy machine, change the plan from one call to the next.
    for _ in range(40):
        plan = tw.explain(operation, *arguments, **options)
        tw.reset_work_stats()
        operation(*arguments, **options)
        created = tw.work_stats().tasks_created
        attempts.append((plan.threads, plan.chunks, created))
        if created == (plan.chunks if plan.threads > 1 else 0):
            return
        tw.matmul(large, large)
    pytest.fail(f"threads, pieces, and those that there were: {attempts}")


def test_plans_of_a_batch_of_nothing_and_of_one_piece_say_so() -> None:
    assert tw.explain(tw.matmul, ones(0, 10, 100), ones(0, 100, 3)).chunks == 0
    one = tw.WorkDistribution(10**6, 10**9)
    row = tw.explain(tw.matmul, ones(4, 900), ones(900, 900), threads=2, distribution=one)
    assert (row.threads, row.chunks) == (1, 1)
    assert row.reason.startswith("1 thread: ")


def test_work_that_is_too_little_is_not_shared_whoever_is_awake() -> None:
    plan = tw.explain(tw.matmul, ones(79, 79), ones(79, 79), threads=4)
    assert plan.threads == 1
    assert plan.reason.endswith(" us of work, which is too little to be shared")


def test_layers_packed_weights_and_integers_have_plans() -> None:
    x, weight = ones(3, 40), ones(50, 40)
    assert tw.explain(tw.linear, x, weight).kernel.endswith("dots")
    packed = tw.explain(tw.linear, x, tw.pack(weight), activation="relu")
    assert packed.kernel.endswith("packed")
    integers = tw.explain(tw.matmul, ones(20, 90, dtype=np.int8), ones(90, 20, dtype=np.int8))
    assert integers.chunks == 1


def test_threads_are_only_as_many_as_allowed_and_pieces_as_the_caller_wants() -> None:
    a = ones(1000, 1000)
    assert tw.explain(tw.matmul, a, a, threads=1).threads == 1
    assert tw.explain(tw.matmul, a, a, threads=3).threads <= 3
    fine = tw.WorkDistribution(min_chunk=1, max_chunk=8, tasks_per_thread=64)
    coarse = tw.explain(tw.matmul, a, a, threads=2)
    assert tw.explain(tw.matmul, a, a, threads=2, distribution=fine).chunks > coarse.chunks


def test_a_plan_computes_nothing() -> None:
    a, out = ones(300, 300), np.full((300, 300), np.nan, np.float32)
    plan = tw.explain(tw.matmul, a, a, out)
    assert_array_equal(out, np.full((300, 300), np.nan, np.float32))
    plan.call()
    assert_array_equal(out, np.full((300, 300), 300, np.float32))


@pytest.mark.timing
def test_a_plan_is_made_at_once() -> None:
    a = np.empty((4000, 4000), np.float32)  # multiplying them takes a good part of a second
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        tw.explain(tw.matmul, a, a)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.01


def test_a_plan_is_printed_in_three_lines_and_its_call_is_not() -> None:
    plan = tw.explain(tw.matmul, ones(64, 64), ones(64, 64))
    assert str(plan).splitlines() == [
        f"{plan.kernel}, threads: 1, pieces of work: 1",
        plan.reason,
        "(constants of this machine: assumed; tw.calibrate() measures them)",
    ]
    assert "call" not in repr(plan)


def test_what_was_measured_is_printed_with_its_errors() -> None:
    measured = tw.Measured(
        seconds=2e-6, serial_seconds=3e-6, prediction_error=0.25, serial_prediction_error=-0.5
    )
    assert str(measured) == (
        "measured 2.0 us, 3.0 us on one thread (1.50x); predictions were off by +25% and -50%"
    )


def test_measuring_says_how_far_the_prediction_was_off() -> None:
    plan = tw.explain(tw.matmul, ones(200, 200), ones(200, 200))
    measured = plan.measure(repeats=3)
    assert measured.serial_seconds > 0
    assert measured.prediction_error == pytest.approx(plan.seconds / measured.seconds - 1)
    assert measured.speedup == pytest.approx(measured.serial_seconds / measured.seconds)
    assert "on one thread" in str(measured)
    with pytest.raises(tw.errors.DomainError, match="repeats is 0, expected at least 1"):
        plan.measure(repeats=0)


def test_what_is_no_operation_or_no_argument_is_refused() -> None:
    a = ones(2, 3)
    with pytest.raises(tw.errors.DomainError, match=r"operation is sum, expected threadwise"):
        tw.explain(np.sum, a, a)
    with pytest.raises(TypeError):
        tw.explain(tw.matmul, a)
    with pytest.raises(tw.errors.ShapeError, match="a has 3 columns"):
        tw.explain(tw.matmul, a, a)
    with pytest.raises(tw.errors.DTypeError, match="dtype"):
        tw.explain(tw.matmul, a.astype(complex), a.T)
    what: object
    for what in (3, "matmul", [], np.matmul, tw.pack, tw.nn.rms_norm):
        with pytest.raises(
            tw.errors.DomainError, match=r"^operation is .*, expected threadwise\.m"
        ):
            tw.explain(what, a, a.T)  # type: ignore[arg-type]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"weight": ones(5, 4)}, "x has 3 features .* weight has 4 in_features"),
    ({"bias": ones(4)}, "bias has 4 elements"),
    ({"activation": "tanh"}, "activation is 'tanh'"),
    ({"out": ones(2, 4)}, "out has shape"),
    ({"out": ones(2, 5, dtype=F64)}, "out has dtype"),
    ({"threads": 0}, "threads is 0"),
    ({"distribution": 3}, "distribution is 3"),
    ({"weight": tw.pack(ones(5, 3)), "bias": ones(5, dtype=F64)}, "bias has dtype float64"),
]


@pytest.mark.parametrize(("wrong", "sentence"), REFUSED)
def test_what_an_operation_refuses_its_plan_refuses_in_the_same_words(
    wrong: dict[str, Any], sentence: str
) -> None:
    given = {"x": ones(2, 3), "weight": ones(5, 3), **wrong}
    with pytest.raises(tw.errors.ThreadwiseError, match=sentence) as ours:
        tw.explain(tw.linear, **given)
    with pytest.raises(type(ours.value)) as theirs:
        tw.linear(**given)
    assert str(ours.value) == str(theirs.value)


IMPORT = "import numpy as np, threadwise as tw"
SHOW = "print(tw.explain(tw.matmul, np.ones((4, 4)), np.ones((4, 4))).is_calibrated)"
MEASURE = """
import time
begin = time.perf_counter()
found = tw.calibrate()
assert time.perf_counter() - begin < 3
assert found.is_measured and found.multiply_adds["float32"] > 1e8, found
print(found.path)
"""


def test_what_was_measured_is_used_by_the_next_process_and_not_if_switched_off(
    tmp_path: Path,
) -> None:
    here = {"XDG_CACHE_HOME": str(tmp_path), "THREADWISE_CALIBRATION": "on"}
    assert run(f"{IMPORT}\n{SHOW}", environment=here) == "False"
    assert list(tmp_path.iterdir()) == [], "nothing is measured unless somebody asks"
    path = Path(run(f"{IMPORT}\n{MEASURE}", environment=here))
    assert path.parent == tmp_path / "threadwise"
    assert json.loads(path.read_text())["machine"]["float32"] > 1e8
    assert run(f"{IMPORT}\n{SHOW}", environment=here) == "True"
    off = {**here, "THREADWISE_CALIBRATION": "off"}
    shown = run(f"{IMPORT}\n{SHOW}\nprint(tw.calibrate().path)", environment=off)
    assert shown.split() == ["False", "None"]
    path.write_text(path.read_text()[:100])
    assert run(f"{IMPORT}\n{SHOW}", environment=here) == "False", "a broken file is passed over"


def test_a_place_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    program = f"""
{IMPORT}
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = tw.calibrate(threads=1)
assert found.path is None, found
assert [w.category for w in caught] == [RuntimeWarning], caught
assert "in this process only" in str(caught[0].message), caught
{SHOW}
"""
    here = {"XDG_CACHE_HOME": str(blocked), "THREADWISE_CALIBRATION": "on"}
    assert run(program, environment=here) == "True"


def test_a_file_of_another_machine_is_passed_over(tmp_path: Path) -> None:
    here = {"XDG_CACHE_HOME": str(tmp_path), "THREADWISE_CALIBRATION": "on"}
    path = Path(run(f"{IMPORT}\n{MEASURE}", environment=here))
    record = json.loads(path.read_text())
    for key, value in {"cpu": "another", "cpus": 1000, "version": 0}.items():
        path.write_text(json.dumps({**record, "host": {**record["host"], key: value}}))
        assert run(f"{IMPORT}\n{SHOW}", environment=here) == "False", key
    machine = {**record["machine"], "float32": -1.0}
    path.write_text(json.dumps({**record, "machine": machine}))
    assert run(f"{IMPORT}\n{SHOW}", environment=here) == "False", "no machine multiplies backwards"
    path.write_text(json.dumps(record))
    assert run(f"{IMPORT}\n{SHOW}", environment=here) == "True"


def test_processes_may_measure_at_the_same_time(tmp_path: Path) -> None:
    here = {"XDG_CACHE_HOME": str(tmp_path), "THREADWISE_CALIBRATION": "on"}
    program = f"{IMPORT}\nprint(tw.calibrate().path)"
    with ThreadPoolExecutor(3) as pool:
        paths = set(pool.map(lambda _: run(program, environment=here), range(3)))
    assert [str(path) for path in (tmp_path / "threadwise").iterdir()] == list(paths)
    assert run(f"{IMPORT}\n{SHOW}", environment=here) == "True"


def test_one_thread_measures_nothing_of_two_and_keeps_what_was_known(tmp_path: Path) -> None:
    here = {"XDG_CACHE_HOME": str(tmp_path), "THREADWISE_CALIBRATION": "on"}
    program = f"""
{IMPORT}
first, second = tw.calibrate(threads=2), tw.calibrate(threads=1)
assert second.dispatch_seconds == first.dispatch_seconds
assert second.second_thread == first.second_thread
assert second.multiply_adds != first.multiply_adds
"""
    run(program, environment=here)


@pytest.mark.timing
@pytest.mark.skipif(os.name != "posix", reason="needs signals to a process")
def test_ctrl_c_ends_measuring_and_nothing_is_kept(tmp_path: Path) -> None:
    here = {"XDG_CACHE_HOME": str(tmp_path), "THREADWISE_CALIBRATION": "on"}
    program = f"""
{IMPORT}
import signal, sys, time
sent = 0.0
def interrupt(*_):
    global sent
    sent = time.monotonic()
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.06)
try:
    tw.calibrate()
except KeyboardInterrupt:
    assert time.monotonic() - sent < 0.2
else:
    sys.exit("it ended too soon")
{SHOW}
"""
    assert run(program, environment=here) == "False"
    assert list(tmp_path.iterdir()) == []


def test_a_number_of_threads_that_makes_no_sense_is_refused_also_when_switched_off() -> None:
    with pytest.raises(tw.errors.DomainError, match="threads is 0, expected a whole number"):
        tw.calibrate(threads=0)
    found = tw.calibrate()
    assert (found.is_measured, found.path) == (False, None)
    assert str(found).startswith("assumed\nfloat32 ")
