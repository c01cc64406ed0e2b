"""Ctrl-C ends a long product within 0.2 s; signals are handled while it runs."""

import os

import pytest

from interpreters import delay, run

pytestmark = [
    pytest.mark.timing,
    pytest.mark.skipif(os.name != "posix", reason="needs signals to a process"),
]

# Repeated elements make work without memory: each product here would take ten seconds to hours.
PRODUCTS = {
    "a square": "tw.matmul(ones(4000, 10**7), ones(10**7, 4000), threads=threads)",
    "two vectors": "tw.matmul(ones(10**12), ones(10**12), threads=threads)",
    "a row": "tw.matmul(ones(10**10), ones(10**10, 64), threads=threads)",
    "many rows": "tw.matmul(ones(10**6, 10**6), ones(10**6, 8), threads=threads)",
    "a small batch": "tw.matmul(ones(5, 300, 10**8), ones(5, 10**8, 300), threads=threads)",
    "a large batch": "tw.matmul(ones(10**5, 8, 10**5), ones(10**5, 10**5, 8), threads=threads)",
    "columns": "tw.matmul(ones(4000, 10**7), ones(10**7, 4000), out=columns, threads=threads)",
    "training": "tw.train.MLP([500, 500, 2]).train_batches(ones(9, 500), [0] * 9, tw.train.SGD(0),"
    " rows=np.zeros(10**7, int), batch_size=500, threads=threads)",
    "a layer": "tw.linear(ones(4000, 10**7), ones(4000, 10**7), threads=threads)",
}

BEFORE = """
def ones(*shape):
    return np.broadcast_to(np.float32(1), shape)
columns = np.empty((4000, 4000), np.float32, order="F")
threads = {threads}
"""

AFTER = "assert (tw.matmul(ones(300, 300), ones(300, 300)) == 300).all()"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("product", PRODUCTS)
def test_ctrl_c_ends_a_long_product_soon(product: str, threads: int) -> None:
    before = BEFORE.format(threads=threads)
    assert delay(PRODUCTS[product], before=before, after=AFTER) < 0.2


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_product_of_the_definition_soon(threads: int) -> None:
    before, scalar = BEFORE.format(threads=threads), {"THREADWISE_ISA": "scalar"}
    product = PRODUCTS["a square"]
    assert delay(product, before=before, after=AFTER, environment=scalar) < 0.2


def test_a_handler_that_does_not_raise_runs_meanwhile_and_the_product_is_right() -> None:
    program = """
        import signal, time
        import numpy as np
        import threadwise as tw

        times = []
        signal.signal(signal.SIGALRM, lambda *_: times.append(time.monotonic()))
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        a = np.broadcast_to(np.float32(1), (512, 300_000))
        begin = time.monotonic()
        c = tw.matmul(a, a.T, threads=2)
        end = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert (c == 300_000).all()
        inside = [t for t in times if begin < t < end]
        assert end - begin > 0.25, "too soon to tell"
        assert len(inside) >= 2, inside
    """
    run(program)


def test_an_exception_of_a_handler_is_raised_as_it_is() -> None:
    program = """
        import signal
        import numpy as np
        import threadwise as tw

        def too_late(*_):
            raise TimeoutError("too late")

        signal.signal(signal.SIGALRM, too_late)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        a = np.broadcast_to(np.float32(1), (4000, 10**7))
        try:
            tw.matmul(a, a.T)
        except TimeoutError as error:
            print(error)
    """
    assert run(program) == "too late"
