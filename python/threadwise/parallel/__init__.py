"""Python calls on several threads: an executor, a map that decides, and advice.

Nothing in here is faster than the plain loop by itself: Python threads take turns unless what they
call releases Python's lock. `map` tries, and stays with what is faster; `advise` says why.
"""

import sys as _sys

from threadwise.parallel.advice import Advice, Checked, advise
from threadwise.parallel.calls import Failure
from threadwise.parallel.executor import ThreadExecutor
from threadwise.parallel.mapping import map  # noqa: A004 - the field's name

__all__ = [
    "Advice",
    "Checked",
    "Failure",
    "ThreadExecutor",
    "advise",
    "map",
    "register_joblib",
]


def register_joblib() -> None:
    """Make ``joblib.parallel_config(backend="threadwise")`` work.

    Called by itself where joblib was imported before this module. Needs the package joblib.

    Notes
    -----
    joblib's tasks then run as those of a `ThreadExecutor`: they share one budget with the kernels
    that they call. ``n_jobs=-1`` is the whole budget. Within a task, joblib is the plain loop.

    Examples
    --------
    >>> import joblib
    >>> import threadwise as tw
    >>> tw.parallel.register_joblib()
    >>> with joblib.parallel_config(backend="threadwise", n_jobs=2):
    ...     joblib.Parallel()(joblib.delayed(abs)(x) for x in [-1, -2])
    [1, 2]
    """
    from threadwise.parallel import joblib  # noqa: PLC0415 - optional, and slow to import

    joblib.register()


if "joblib" in _sys.modules:
    register_joblib()
