"""Lets threadpoolctl see and limit our threads, as it does those of BLAS and OpenMP libraries."""

from importlib.util import find_spec

__all__ = ["register"]


def register() -> None:
    """Announce our pool to threadpoolctl, if that is installed.

    It recognizes libraries by the beginning of their file names, and asks a controller for the
    rest. What it sets holds for the process, as `threadwise.set_num_threads` does.
    """
    if find_spec("threadpoolctl") is None:
        return
    import threadpoolctl  # noqa: PLC0415 - optional

    from threadwise import _threadwise  # noqa: PLC0415 - with it
    from threadwise.errors import DomainError  # noqa: PLC0415 - with it

    class ThreadwiseController(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = "threadwise"
        internal_api = "threadwise"
        filename_prefixes = ("_threadwise",)

        def get_num_threads(self) -> int | None:
            # The process's number, which is what it sets and puts back: not that of a block around.
            block = _threadwise.swap_context(None)
            try:
                return _threadwise.get_num_threads()
            except DomainError:  # the environment makes no sense: our calls say so
                return None
            finally:
                _threadwise.swap_context(block)

        def set_num_threads(self, num_threads: int | None) -> None:
            _threadwise.set_num_threads(num_threads)

        def get_version(self) -> str:
            return _threadwise.version

        def set_additional_attributes(self) -> None:
            self.threading_layer = "threadwise"

    threadpoolctl.register(ThreadwiseController)
