"""The memory of results: their own, and large ones begin at cache lines."""

import ctypes
import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import threadwise as tw

CORE = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
umath: Any = importlib.import_module(f"{CORE}._multiarray_umath")
get_handler_name: Any = importlib.import_module(f"{CORE}.multiarray").get_handler_name

SIDE = 150
"""Of the results below, which are larger than 64 KiB."""


def _product(side: int = SIDE) -> Any:
    return tw.matmul(np.ones((side, 3), np.float32), np.ones((3, side), np.float32))


def test_large_results_begin_at_cache_lines() -> None:
    kept = [_product(SIDE + i) for i in range(20)]
    assert [c.ctypes.data % 64 for c in kept] == [0] * 20
    assert {get_handler_name(c) for c in kept} == {"threadwise"}
    assert get_handler_name(_product(20)) == "default_allocator"


def test_other_arrays_have_numpys_memory() -> None:
    _product()
    assert get_handler_name() == "default_allocator"
    assert get_handler_name(np.ones((SIDE, SIDE))) == "default_allocator"


@pytest.mark.parametrize("rows", [1, SIDE - 1, SIDE + 100, 3000])
def test_a_result_can_be_resized(rows: int) -> None:
    c = _product()
    c.resize((rows, SIDE), refcheck=False)
    both = min(rows, SIDE)
    assert_array_equal(c[:both], 3.0)
    assert_array_equal(c[both:], 0.0)
    assert c.flags.owndata


def test_memory_is_given_back() -> None:
    places = [_product(400).ctypes.data for _ in range(50)]
    assert len(set(places)) < 10, "what one result gives back, the next one has"


MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
CALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
REALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Allocator(ctypes.Structure):
    _fields_ = [
        ("context", ctypes.c_void_p),
        ("malloc", MALLOC),
        ("calloc", CALLOC),
        ("realloc", REALLOC),
        ("free", FREE),
    ]


class _Handler(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("allocator", _Allocator),
    ]


@contextmanager
def _handler_of_the_program() -> Iterator[None]:
    """Has NumPy take memory from a handler "mine", as a program may."""
    libc, python = ctypes.CDLL(None), ctypes.pythonapi
    for function in (libc.malloc, libc.calloc, libc.realloc):
        function.restype = ctypes.c_void_p
    size_t, pointer = ctypes.c_size_t, ctypes.c_void_p
    allocator = _Allocator(
        None,
        MALLOC(lambda _, size: libc.malloc(size_t(size))),
        CALLOC(lambda _, n, size: libc.calloc(size_t(n), size_t(size))),
        REALLOC(lambda _, at, size: libc.realloc(pointer(at), size_t(size))),
        FREE(lambda _, at, __: libc.free(pointer(at))),
    )
    handler = _Handler(b"mine", 1, allocator)
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    python.PyCapsule_New.restype = ctypes.py_object
    python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    table = python.PyCapsule_GetPointer(umath._ARRAY_API, None)  # noqa: SLF001
    place = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[304]
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(place)
    before = set_handler(python.PyCapsule_New(ctypes.addressof(handler), b"mem_handler", None))
    try:
        yield
    finally:
        set_handler(before)
        gc.collect()


def test_a_handler_of_the_program_is_left_alone() -> None:
    with _handler_of_the_program():
        assert get_handler_name() == "mine"
        c = _product()
        assert get_handler_name(c) == "mine"
        assert get_handler_name() == "mine"
        assert_array_equal(c, 3.0)
        del c
    assert get_handler_name(_product()) == "threadwise"
