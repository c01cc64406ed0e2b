"""What an operation is about to do, and the measured constants of this machine behind it."""

import inspect
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from threadwise import _threadwise, errors, linalg

__all__ = ["Calibration", "Measured", "Plan", "calibrate", "explain"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What `Plan.measure` found: medians, in seconds."""

    seconds: float
    """The call as planned."""
    serial_seconds: float
    """The same with ``threads=1``."""
    prediction_error: float
    """How far the prediction was off, as a part of what was measured, ``predicted / measured - 1``:
    -0.5 if the call took twice as long as predicted."""
    serial_prediction_error: float
    """The same for one thread."""

    @property
    def speedup(self) -> float:
        """How many times faster the call is than with one thread."""
        return self.serial_seconds / self.seconds

    def __str__(self) -> str:
        return (
            f"measured {self.seconds * 1e6:.1f} us, {self.serial_seconds * 1e6:.1f} us on one "
            f"thread ({self.speedup:.2f}x); predictions were off by {self.prediction_error:+.0%} "
            f"and {self.serial_prediction_error:+.0%}"
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How an operation is computed, and why so. Printed, it is a few lines."""

    kernel: str
    """``{architecture}-{type}-{instruction set}-{form}``. The forms are ``gemm`` (tiles of the
    result in registers), ``packed`` (the same with a packed weight), ``dots`` (few rows against
    contiguous columns), ``streams`` (few rows against contiguous rows) and ``definition`` (a plain
    loop)."""
    threads: int
    """How many take part."""
    chunks: int
    """Pieces of work that the threads take, 0 if the result has no elements: parts of the result,
    and of B where they pack it together. An idle thread may take rows of another's piece."""
    serial_seconds: float
    """What one thread takes, as predicted."""
    parallel_seconds: float
    """What the best number of more threads takes, as predicted; the same as `serial_seconds` if
    there can be no more."""
    dispatch_seconds: float
    """What it costs to share the work out, given who of the workers is awake."""
    reason: str
    """Why, in a sentence."""
    is_calibrated: bool
    """Whether the prediction rests on what `calibrate` measured here."""
    call: Callable[[], object] = field(repr=False, compare=False)
    """Makes the call."""
    serial_call: Callable[[], object] = field(repr=False, compare=False)
    """Makes it with ``threads=1``."""

    @property
    def seconds(self) -> float:
        """What the call takes, as predicted."""
        return self.parallel_seconds if self.threads > 1 else self.serial_seconds

    def measure(self, repeats: int = 15) -> Measured:
        """Make the call and compare it with the prediction.

        Parameters
        ----------
        repeats : int, default 15
            Rounds, at least 1. In each, the call is made as planned and with ``threads=1``, so that
            a change of the machine's speed hits both alike. Short calls are made some times in a
            loop. An `out` is written.

        Returns
        -------
        Measured
            The medians.

        Raises
        ------
        DomainError
            If `repeats` is less than 1.

        Notes
        -----
        In a loop, workers are awake who may have been asleep when the plan was made. Then the call
        takes less time than was predicted, and that is an error of the prediction for the loop.

        Examples
        --------
        >>> import numpy as np
        >>> import threadwise as tw
        >>> a = np.ones((64, 64))
        >>> measured = tw.explain(tw.matmul, a, a).measure(repeats=3)
        >>> measured.seconds > 0
        True
        """
        if repeats < 1:
            raise errors.DomainError(f"repeats is {repeats}, expected at least 1")
        # Short calls are timed some at a time, as they follow each other in a loop.
        number = max(1, min(1000, int(3e-3 / self.serial_seconds)))

        def take(call: Callable[[], object]) -> float:
            begin = time.perf_counter()
            for _ in range(number):
                call()
            return (time.perf_counter() - begin) / number

        take(self.call), take(self.serial_call)
        rounds = [(take(self.call), take(self.serial_call)) for _ in range(repeats)]
        seconds, serial = (_median(column) for column in zip(*rounds, strict=True))
        return Measured(
            seconds=seconds,
            serial_seconds=serial,
            prediction_error=self.seconds / seconds - 1,
            serial_prediction_error=self.serial_seconds / serial - 1,
        )

    def __str__(self) -> str:
        source = "measured" if self.is_calibrated else "assumed; tw.calibrate() measures them"
        return (
            f"{self.kernel}, threads: {self.threads}, pieces of work: {self.chunks}\n"
            f"{self.reason}\n"
            f"(constants of this machine: {source})"
        )


def _median(times: Iterable[float]) -> float:
    """Return the median; the module `statistics` would take as long to import as all of ours."""
    ordered = sorted(times)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def explain(operation: Callable[..., Any], /, *arguments: Any, **options: Any) -> Plan:
    """Say how an operation would compute its result now, and why, without computing it.

    Parameters
    ----------
    operation : {threadwise.matmul, threadwise.linear}
        The function itself.
    *arguments
        What it would be called with.
    **options
        The same, by name.

    Returns
    -------
    Plan
        Its fields are for programs; printed, it is a few lines. `Plan.measure` compares it with
        what really happens.

    Raises
    ------
    DomainError
        If `operation` is another function, or an option makes no sense.
    TypeError
        If `operation` does not take such arguments.
    ShapeError, DTypeError, LayoutError
        As the operation.

    See Also
    --------
    calibrate : measures the constants on which plans rest.

    Notes
    -----
    The time on one thread is predicted as the larger of two: multiply-adds by their rate, and bytes
    by the bandwidth of the cache or memory that they fit. With more threads it is that, divided by
    what further threads add, and what it costs to share the work: less if workers are awake, as
    they are for 40 us after a call. Calls of less than half a million multiply-adds,
    and half a million bytes written or 750 000 read, are never shared. Threads are used where
    that gains a tenth of the time, and as much as sharing costs.
    Where calls follow each other quickly, workers are woken once the calls have lost as much as
    that costs; so the plan of a single call may differ from that of a loop.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> plan = tw.explain(tw.matmul, np.ones((4, 4)), np.ones((4, 4)))
    >>> plan.threads
    1
    """
    ask: Callable[..., Any]
    if operation is linalg.matmul:
        ask = _threadwise.explain_matmul
    elif operation is linalg.linear:
        ask = _threadwise.explain_linear
    else:
        name = getattr(operation, "__qualname__", repr(operation))
        raise errors.DomainError(
            f"operation is {name}, expected threadwise.matmul or threadwise.linear"
        )
    bound = inspect.signature(operation).bind(*arguments, **options)
    bound.apply_defaults()
    found = ask(*bound.arguments.values())
    kernel, threads, chunks, serial, parallel, dispatch, reason, is_calibrated = found

    return Plan(
        kernel=kernel,
        threads=threads,
        chunks=chunks,
        serial_seconds=serial,
        parallel_seconds=parallel,
        dispatch_seconds=dispatch,
        reason=reason,
        is_calibrated=is_calibrated,
        call=partial(operation, *arguments, **options),
        serial_call=partial(operation, *arguments, **{**options, "threads": 1}),
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The constants of a machine, for one thread. Printed, they are a small table."""

    multiply_adds: dict[str, float]
    """Multiply-adds a second of products, by dtype."""
    bandwidth: dict[str, float]
    """Bytes a second that are read: ``"near"``, from a core's own caches; ``"shared"``, from the
    cache that cores share; ``"memory"``."""
    cache_bytes: dict[str, float]
    """What fits ``"near"`` and ``"shared"``, as the system says."""
    second_thread: dict[str, float]
    """How much a second thread adds to the first, 1 for as much again: where ``"compute"`` is the
    limit, and where ``"memory"`` is."""
    dispatch_seconds: dict[str, float]
    """What it costs to share work with a worker that is awake (``"hot"``), and with one that has to
    be woken (``"parked"``)."""
    is_measured: bool
    """Whether they were measured, or are assumed."""
    path: str | None
    """The file in which they are kept for later processes, if they are."""

    def __str__(self) -> str:
        lines = ["measured" if self.is_measured else "assumed"]
        for dtype, rate in self.multiply_adds.items():
            lines.append(f"{dtype:<10} {2 * rate / 1e9:8.1f} GFLOP/s")
        for level, rate in self.bandwidth.items():
            held = self.cache_bytes.get(level)
            limit = f", up to {held / 1e6:.1f} MB" if held else ""
            lines.append(f"{level:<10} {rate / 1e9:8.1f} GB/s{limit}")
        for limit, gain in self.second_thread.items():
            lines.append(f"{limit:<10} {1 + gain:8.2f} x with two threads")
        for state, seconds in self.dispatch_seconds.items():
            lines.append(f"{state:<10} {seconds * 1e6:8.2f} us to share work")
        return "\n".join(lines)


def calibrate(*, threads: int | None = None) -> Calibration:
    """Measure this machine, in less than a second, and use what was found from now on.

    Plans rest on constants of the machine: how fast it multiplies and reads, and what it costs to
    share work among threads. Without this they are assumed, with caution.

    Parameters
    ----------
    threads : int, optional
        How many threads may be used, from 1 to 1024. With 1, what it costs to share work, and what
        a second thread adds, stay as they were. By default what `threadwise.get_num_threads` says.

    Returns
    -------
    Calibration
        What was measured.

    Raises
    ------
    DomainError
        If `threads`, or an environment variable of threadwise, makes no sense.
    MemoryError
        If there are not some 100 MB of memory for the time being.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile.

    Warns
    -----
    RuntimeWarning
        If the result cannot be kept in a file. It is used in this process all the same.

    See Also
    --------
    explain

    Notes
    -----
    The result is kept in ``$XDG_CACHE_HOME/threadwise`` (``~/.cache/threadwise``) for later
    processes that see the same CPU, instruction set, number of CPUs and quota. Nothing is measured
    unless this is called. With ``THREADWISE_CALIBRATION=off`` in the environment nothing is
    measured or read, and the assumed constants are returned. No constant ever changes a result.

    Examples
    --------
    >>> import threadwise as tw
    >>> calibration = tw.calibrate()
    >>> calibration.dispatch_seconds["hot"] <= calibration.dispatch_seconds["parked"]
    True
    """
    constants, is_measured, path, problem = _threadwise.calibrate(threads)
    if problem is not None:
        warnings.warn(
            f"the calibration is used in this process only, it cannot be kept in a file: {problem}",
            RuntimeWarning,
            stacklevel=2,
        )
    value = dict(constants)

    def chosen(*names: str) -> dict[str, float]:
        return {name: value[name] for name in names}

    return Calibration(
        multiply_adds=chosen("float32", "float64", "bfloat16", "float16", "int8"),
        bandwidth=chosen("near", "shared", "memory"),
        cache_bytes={"near": value["near_bytes"], "shared": value["shared_bytes"]},
        second_thread={"compute": value["compute_gain"], "memory": value["memory_gain"]},
        dispatch_seconds=chosen("hot", "parked"),
        is_measured=is_measured,
        path=path,
    )
