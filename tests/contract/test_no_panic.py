"""Whatever is passed: a result, or one of our exceptions. Never a panic, never a crash."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

import threadwise as tw
from strategies import DTYPES, any_arrays, any_floats, normal, windows
from threadwise.errors import LayoutError, ThreadwiseError

RESULTS = (*DTYPES, np.float16, np.int32)

objects = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.floats(), max_size=4),
    st.recursive(st.floats(), lambda inner: st.lists(inner, max_size=3), max_leaves=8),
    st.dictionaries(st.text(max_size=2), st.floats(), max_size=2),
    st.sampled_from([len, object(), type, Ellipsis, NotImplemented, range(3), memoryview(b"ab")]),
)
anything = st.one_of(any_floats(), any_floats(), windows(), any_arrays, objects)
places = st.one_of(st.none(), anything)
numbers = st.one_of(st.none(), st.integers(1, 4), st.integers(), objects)
names = st.one_of(
    st.sampled_from([None, "relu", "gelu", "gelu_tanh", "silu", "\ud800", "re\0lu"]), objects
)

NUMPYS = (ValueError, TypeError)  # what it raises where it cannot make an array


def _complaints(*args: object) -> Iterator[str]:
    for arg in args:
        try:
            np.asarray(arg)
        except NUMPYS as error:
            yield str(error)


def _computes_or_refuses(operation: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Accept a result, an exception of ours, and NumPy's about what is no array.

    A panic is a BaseException, so it is not caught here and fails the test.
    """
    out = options["out"]
    try:
        result = operation(*args, **options)
    except ThreadwiseError:
        return
    except NUMPYS as error:
        if str(error) not in _complaints(*args):
            raise
    else:
        assert result.dtype in RESULTS
        assert out is None or result is out


@given(anything, anything, places, numbers)
@example(np.ones((1, 1)), np.ones((1, 1)), np.ones((1,) * 33), None)
def test_matmul_computes_or_refuses(a: Any, b: Any, out: Any, threads: Any) -> None:
    _computes_or_refuses(tw.matmul, a, b, out=out, threads=threads)


@given(st.tuples(anything, anything, anything), names, places, numbers)
def test_linear_computes_or_refuses(
    args: tuple[Any, Any, Any], activation: Any, out: Any, threads: Any
) -> None:
    _computes_or_refuses(tw.linear, *args, activation=activation, out=out, threads=threads)


@given(st.tuples(anything, anything, anything), st.tuples(numbers, numbers, numbers), places)
def test_attention_computes_or_refuses(args: Any, options: Any, out: Any) -> None:
    window, scale, threads = options
    more = {"window": window, "scale": scale, "threads": threads}
    _computes_or_refuses(tw.nn.attention, *args, out=out, **more)


@given(anything, anything, numbers, objects, places)
def test_rope_computes_or_refuses(
    x: Any, positions: Any, theta: Any, scaling: Any, out: Any
) -> None:
    _computes_or_refuses(tw.nn.rope, x, positions, theta=theta, scaling=scaling, out=out)


@given(anything, anything, places, numbers)
def test_swiglu_and_softmax_compute_or_refuse(x: Any, up: Any, out: Any, threads: Any) -> None:
    _computes_or_refuses(tw.nn.swiglu, x, up, out=out, threads=threads)
    _computes_or_refuses(tw.nn.softmax, x, out=out, threads=threads)


@given(anything, anything, places, numbers)
def test_training_computes_or_refuses(x: Any, y: Any, out: Any, threads: Any) -> None:
    def accumulated(*shards: Any, **options: Any) -> Any:
        return tw.train.aggregate_gradients(shards, **options)

    def predicted(x: Any, **options: Any) -> Any:
        return tw.train.MLP([2, 3, 2], dropout=0.5).predict(x, **options)

    def derived(x: Any, y: Any, out: Any, threads: Any) -> Any:
        gradients = tw.train.MLP([2, 3, 2], dtype=np.float64).gradients(x, y, threads=threads)
        return gradients["0.weight"] if out is None else out

    if isinstance(x, np.ndarray):
        _computes_or_refuses(accumulated, x, y, out=out, threads=threads)
    _computes_or_refuses(predicted, x, out=out, threads=threads)
    if out is None:
        _computes_or_refuses(derived, x, y, out=out, threads=threads)


@given(any_floats(), any_floats(), any_floats())
def test_what_is_refused_leaves_out_untouched(a: Any, b: Any, out: Any) -> None:
    before = out.tobytes()
    try:
        tw.matmul(a, b, out)
    except ThreadwiseError:
        assert out.tobytes() == before


@given(windows(axes=2), st.integers(0, 5))
def test_an_out_is_taken_only_if_it_can_hold_the_result(out: Any, k: int) -> None:
    m, n = out.shape
    a, b = normal((m, k), out.dtype), normal((k, n), out.dtype)
    try:
        tw.matmul(a, b, out)
    except LayoutError:
        return
    assert out.tobytes() == tw.matmul(a, b).tobytes()


@given(numbers)
def test_budgets_are_set_or_refused(threads: Any) -> None:
    before = tw.get_num_threads()
    for limit in (
        tw.set_num_threads,
        lambda n: tw.threads(n).__enter__().__exit__(None, None, None),
    ):
        try:
            limit(threads)
        except ThreadwiseError:
            assert tw.get_num_threads() == before
        tw.set_num_threads(None)


@given(anything, anything, numbers)
def test_communicators_pass_on_or_refuse(a: Any, b: Any, number: Any) -> None:
    comm = tw.shard.SelfComm()
    calls: list[Callable[[], object]] = [
        lambda: comm.Allreduce(a, b),
        lambda: comm.Allgather(a, b),
        lambda: comm.Bcast(a, number),
        lambda: comm.Send(a, 0, number),
        lambda: comm.Send(a, number),
        lambda: comm.Split(number, number),
        lambda: tw.shard.TensorParallelConfig(number, 0).local_size(number),
        lambda: tw.shard.PipelineState(number, number),
        lambda: tw.shard.PipelineConfig.for_model(number, number, number),
    ]
    for call in calls:
        with contextlib.suppress(ThreadwiseError):
            call()
