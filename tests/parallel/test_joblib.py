"""Threadwise's threads under joblib."""

import threading

import joblib
import pytest

import threadwise as tw
from interpreters import run


def name(_: int) -> str:
    return threading.current_thread().name


@pytest.fixture(autouse=True)
def _backend() -> None:
    tw.parallel.register_joblib()


def test_tasks_run_on_our_threads_in_order() -> None:
    with joblib.parallel_config(backend="threadwise", n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(pow)(i, 2) for i in range(500)) == [
            i * i for i in range(500)
        ]
        names = joblib.Parallel()(joblib.delayed(name)(i) for i in range(20))
        assert all(each.startswith("threadwise-joblib-") for each in names)
        answers = joblib.Parallel(return_as="generator")(joblib.delayed(abs)(-i) for i in range(9))
        assert list(answers) == list(range(9))
    assert not any("threadwise-joblib" in thread.name for thread in threading.enumerate())


def test_jobs_are_counted_by_the_budget() -> None:
    def jobs(n: int | None) -> int:
        with joblib.parallel_config(backend="threadwise", n_jobs=n):
            return int(joblib.effective_n_jobs(n))

    with tw.threads(5):
        assert [jobs(n) for n in (1, 3, -1, -2, -9)] == [1, 3, 5, 4, 1]
    with pytest.raises(ValueError, match="n_jobs is 0"):
        jobs(0)


def test_nested_calls_are_the_plain_loop() -> None:
    def outer(n: int) -> list[str]:
        return list(joblib.Parallel(n_jobs=4)(joblib.delayed(name)(i) for i in range(n)))

    with joblib.parallel_config(backend="threadwise", n_jobs=2):
        for names in joblib.Parallel()(joblib.delayed(outer)(3) for _ in range(6)):
            assert len(set(names)) == 1


def test_errors_reach_the_caller_and_the_backend_goes_on() -> None:
    with joblib.parallel_config(backend="threadwise", n_jobs=2):
        parallel = joblib.Parallel()
        with pytest.raises(ZeroDivisionError):
            parallel(joblib.delayed(divmod)(1, i) for i in (1, 0, 2))
        assert parallel(joblib.delayed(abs)(-1) for _ in range(3)) == [1, 1, 1]


def test_it_registers_itself_where_joblib_is() -> None:
    program = """
import joblib, threadwise as tw
tw.parallel
print(joblib.Parallel(n_jobs=2, backend="threadwise")(joblib.delayed(abs)(-i) for i in range(3)))
"""
    assert run(program) == "[0, 1, 2]"
