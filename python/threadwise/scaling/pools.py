"""Pools of threads of one size, for as long as something is measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

from threadwise import _threadwise
from threadwise.errors import DomainError

__all__ = ["Pools"]

_OURS = "threadwise"


class Pools:
    """Sets how many threads the pools of this process have, and says how many they have.

    threadwise's own, for this Python thread and for all others; and through threadpoolctl, where
    that is installed, those of BLAS and OpenMP libraries.
    """

    def __init__(self) -> None:
        self._controller: Any = None
        self._modules = -1

    @contextmanager
    def of(self, threads: int) -> Iterator[None]:
        """Have pools of so many threads within a block; they are put back after it."""
        process = _process()
        block = _threadwise.swap_context(threads)
        try:
            _threadwise.set_num_threads(threads)
            with ExitStack() as stack:
                others = self._others()
                if others is not None:
                    stack.enter_context(others.limit(limits=threads))
                yield
        finally:
            _threadwise.swap_context(block)
            _threadwise.set_num_threads(process)

    def sizes(self, threads: int) -> dict[str, int]:
        """Return how many threads each library has within the block; ours must have `threads`.

        Raises
        ------
        DomainError
            If threadwise has another number: somebody has set it.
        """
        block = _threadwise.swap_context(None)
        process = _threadwise.get_num_threads()
        _threadwise.swap_context(block)
        for size in (_threadwise.get_num_threads(), process):
            if size != threads:
                raise DomainError(
                    f"threadwise has {size} threads after a call that was given {threads}: a "
                    "workload must leave the number of threads as it is"
                )
        others = self._others()
        found = [] if others is None else others.info()
        return {_OURS: threads} | {
            pool["internal_api"]: pool["num_threads"]
            for pool in found
            if pool["num_threads"] is not None
        }

    def _others(self) -> Any:
        if find_spec("threadpoolctl") is None:
            return None
        import threadpoolctl  # noqa: PLC0415 - optional, and slow to import

        # A module that was imported since may have brought a library.
        if self._modules != len(sys.modules):
            self._controller = threadpoolctl.ThreadpoolController()
            self._modules = len(sys.modules)
        return self._controller.select(user_api=["blas", "openmp"])


def _process() -> int | None:
    """Return what `set_num_threads` was given last, None for the default."""
    block = _threadwise.swap_context(None)
    try:
        system = _threadwise.system()
    finally:
        _threadwise.swap_context(block)
    return system["threads"] if system["threads_source"] == "set_num_threads()" else None
