"""Plans: that they are what happens, that they compute nothing, and what they rest on."""

import json
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


IMPORT = "import numpy as np, threadwise as tw"
SHOW = "print(tw.explain(tw.matmul, np.ones((4, 4)), np.ones((4, 4))).is_calibrated)"
MEASURE = """
import time
begin = time.perf_counter()
found = tw.calibrate()
assert time.perf_counter() - begin < 5
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
