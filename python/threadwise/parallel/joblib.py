"""threadwise's threads as a backend of joblib."""

from __future__ import annotations

from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, SequentialBackend

from threadwise import _threadwise
from threadwise.parallel.executor import ThreadExecutor
from threadwise.parallel.task import HERE

__all__ = ["ThreadwiseBackend", "register"]


class ThreadwiseBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # untyped
    """Runs joblib's tasks on a `ThreadExecutor`, so that they share one budget with kernels.

    ``n_jobs`` means what it means to joblib, with threadwise's budget for the number of CPUs:
    ``-1`` is all of it. Within a task, joblib is the plain loop.
    """

    supports_retrieve_callback = True
    uses_threads = True
    supports_sharedmem = True
    default_n_jobs = -1

    _executor: ThreadExecutor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Say how many tasks run at a time."""
        if n_jobs == 0:
            raise ValueError("n_jobs is 0, expected a number of tasks, or -1 for all threads")
        if n_jobs is None or HERE.executor is not None:
            return 1
        return n_jobs if n_jobs > 0 else max(1, _threadwise.get_num_threads() + 1 + n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Get ready for so many tasks at a time."""
        n_jobs = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        self._executor = ThreadExecutor(n_jobs, name="threadwise-joblib")
        return n_jobs

    def submit(self, func: Any, callback: Any = None) -> Any:
        """Have a batch of tasks run, and `callback` called with its future."""
        assert self._executor is not None  # noqa: S101 - joblib configures first
        batch = self._executor.submit(func)
        if callback is not None:
            batch.add_done_callback(callback)
        return batch

    def retrieve_result_callback(self, out: Any) -> Any:
        """Take the results of a batch that is done."""
        return out.result()

    def get_nested_backend(self) -> tuple[Any, None]:
        """Say what joblib uses within a task: the plain loop."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def terminate(self) -> None:
        """Let the threads go."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Drop what has not begun."""
        self.terminate()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)


def register() -> None:
    """Make the backend known to joblib: ``joblib.parallel_config(backend="threadwise")``."""
    register_parallel_backend("threadwise", ThreadwiseBackend)
