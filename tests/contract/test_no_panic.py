"""Whatever is passed: a result, or one of our exceptions. Never a panic, never a crash."""

from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import DTYPES, any_arrays, any_floats, normal, windows

import threadwise as tw
from threadwise.errors import ThreadwiseError

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

# What NumPy says of objects that it cannot make an array of.
NUMPYS = (ValueError, TypeError)


def _is_ours_or_numpys(error: Exception, *args: object) -> bool:
    if isinstance(error, ThreadwiseError):
        return True
    for arg in args:
        try:
            np.asarray(arg)
        except NUMPYS as numpys:
            if str(numpys) == str(error):
                return True
    return False


@given(anything, anything, places, numbers)
@example(np.ones((1, 1)), np.ones((1, 1)), np.ones((1,) * 33), None)
@example(np.ones((2, 4)), np.ones((4, 2)), np.ones(5).view(), 2)
def test_matmul_computes_or_refuses(a: Any, b: Any, out: Any, threads: Any) -> None:
    try:
        with np.errstate(all="ignore"):
            c = tw.matmul(a, b, out, threads=threads)
    except Exception as error:  # noqa: BLE001 - a panic is a BaseException and goes through
        assert _is_ours_or_numpys(error, a, b), repr(error)
    else:
        assert c.dtype in DTYPES
        assert out is None or c is out


@given(anything, anything, anything, names, places, numbers)
def test_linear_computes_or_refuses(
    x: Any, weight: Any, bias: Any, activation: Any, out: Any, threads: Any
) -> None:
    try:
        y = tw.linear(x, weight, bias, activation=activation, out=out, threads=threads)
    except Exception as error:  # noqa: BLE001 - a panic is a BaseException and goes through
        assert _is_ours_or_numpys(error, x, weight, bias), repr(error)
    else:
        assert y.dtype in DTYPES
        assert out is None or y is out


@given(any_floats(), any_floats(), any_floats())
def test_what_is_refused_leaves_out_untouched(a: Any, b: Any, out: Any) -> None:
    before = out.tobytes()
    try:
        tw.matmul(a, b, out)
    except ThreadwiseError:
        assert out.tobytes() == before


@given(windows(), st.integers(1, 5), st.integers(0, 5), st.integers(1, 5))
def test_an_out_is_taken_only_if_it_can_hold_the_result(out: Any, m: int, k: int, n: int) -> None:
    a, b = np.ones((m, k), out.dtype), normal((k, n), out.dtype)
    try:
        tw.matmul(a, b, out)
    except ThreadwiseError:
        return
    assert out.tobytes() == tw.matmul(a, b).tobytes()


@given(numbers)
def test_budgets_are_set_or_refused(threads: Any) -> None:
    before = tw.get_num_threads()
    for set_it in (
        tw.set_num_threads,
        lambda n: tw.threads(n).__enter__().__exit__(None, None, None),
    ):
        try:
            set_it(threads)
        except ThreadwiseError:
            assert tw.get_num_threads() == before
        tw.set_num_threads(None)
