"""What `import threadwise` costs and leaves alone."""

import pytest

from interpreters import run
from surface import MODULES

pytestmark = pytest.mark.timing

LIMIT = 0.020

TIMED = """
import time
import numpy
begin = time.perf_counter()
import threadwise
print(time.perf_counter() - begin)
"""


def test_takes_at_most_20_ms_more_than_numpy() -> None:
    # The quickest of several: what is slower than that was slowed down by other processes.
    assert min(float(run(TIMED)) for _ in range(7)) <= LIMIT


@pytest.mark.parametrize("module", [module.__name__ for module in MODULES])
def test_each_module_is_imported_alone_and_without_a_warning(module: str) -> None:
    # `run` makes every warning an error.
    assert run(f"import {module} as found; print(found.__name__)") == module


def test_loads_nothing_that_only_commands_need() -> None:
    program = """
        import sys
        import threadwise
        print(*{"typer", "rich", "click", "asyncio", "multiprocessing"} & set(sys.modules))
    """
    assert run(program) == ""


def test_starts_no_thread_and_asks_for_no_settings() -> None:
    program = """
        import threading
        import threadwise
        print(threading.active_count())
    """
    nonsense = {"THREADWISE_NUM_THREADS": "nonsense", "THREADWISE_ISA": "nonsense"}
    assert run(program, environment=nonsense) == "1"


def test_does_without_threadpoolctl() -> None:
    program = """
        import importlib.abc, sys

        class Absent(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "threadpoolctl":
                    raise ModuleNotFoundError(name)

        import importlib.util
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name == "threadpoolctl" else find(name)
        sys.meta_path.insert(0, Absent())
        import threadwise as tw
        print(tw.matmul([[2.0]], [[3.0]]).item(), tw.info().pools)
    """
    assert run(program) == "6.0 None"
