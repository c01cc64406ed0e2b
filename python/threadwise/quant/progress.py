"""How far a quantization is: for programs as numbers, for people as a line that moves."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from time import monotonic
from types import TracebackType
from typing import Any, Self

from threadwise._progress import in_notebook
from threadwise.errors import DTypeError
from threadwise.quant._report_text import size

__all__ = ["Progress", "ProgressBar", "listening"]

_EVERY = 5.0
"""Seconds between two lines where there is no line that can move."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is: what `quantize_model` tells its callback.

    The first one comes before any work, the next ones whenever a tensor is done.
    """

    tensor: str
    """The tensor that was done last, empty before the first."""
    tensors_done: int
    """Of those that are quantized or kept."""
    tensors_total: int
    """How many there are."""
    bytes_done: int
    """Bytes of the model's tensors that are done."""
    bytes_total: int
    """Bytes of all of the model's tensors."""
    bytes_resumed: int
    """Of those that are done, bytes that an earlier run did before it was stopped."""
    seconds: float
    """Since the beginning."""
    predicted_peak_bytes: int
    """The most memory that the job is predicted to need."""

    @property
    def bytes_per_second(self) -> float:
        """The mean rate until now, 0 before the first tensor."""
        return (self.bytes_done - self.bytes_resumed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float:
        """How long the rest takes at this rate, infinite before the first tensor."""
        rate = self.bytes_per_second
        return (self.bytes_total - self.bytes_done) / rate if rate > 0 else float("inf")

    def __str__(self) -> str:
        done = f"{size(self.bytes_done)} of {size(self.bytes_total)}"
        count = f"[{self.tensors_done}/{self.tensors_total}] {done}"
        if not self.bytes_per_second:
            return count
        return (
            f"{count}, {size(self.bytes_per_second)}/s, {self.seconds_left:.0f} s left: "
            f"{self.tensor}"
        )


class ProgressBar:
    """Shows progress to people: ``quantize_model(..., progress=ProgressBar())``.

    A bar of tqdm in a notebook and on a terminal; where there is neither, or no tqdm, a line on
    standard error every few seconds. It is closed by the last tensor, or as a context manager.

    Examples
    --------
    >>> from threadwise.quant import Progress, ProgressBar
    >>> with ProgressBar() as bar:
    ...     bar(Progress(tensor="", tensors_done=0, tensors_total=1, bytes_done=0, bytes_total=9,
    ...                  bytes_resumed=0, seconds=0.0, predicted_peak_bytes=64))
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._said = monotonic()
        self._moves = find_spec("tqdm") is not None and (sys.stderr.isatty() or in_notebook())

    def __call__(self, progress: Progress) -> None:
        """Show `progress`."""
        if not self._moves:
            self._say(progress)
            return
        if self._bar is None:
            self._bar = _tqdm(progress)
        self._bar.set_postfix_str(progress.tensor.removesuffix(".weight"), refresh=False)
        self._bar.update(progress.bytes_done - self._bar.n)
        if progress.tensors_done == progress.tensors_total:
            self.close()

    def _say(self, progress: Progress) -> None:
        now = monotonic()
        if now - self._said >= _EVERY:
            self._said = now
            print(progress, file=sys.stderr, flush=True)  # noqa: T201 - that is what it is for

    def close(self) -> None:
        """Leave the bar as it is, on a line of its own."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        """Return the bar itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self.close()


def _tqdm(progress: Progress) -> Any:
    from tqdm.auto import tqdm  # noqa: PLC0415 - an extra

    return tqdm(
        total=progress.bytes_total,
        initial=progress.bytes_resumed,
        unit="B",
        unit_scale=True,
        dynamic_ncols=True,
        smoothing=0.1,
    )


@contextmanager
def listening(
    progress: bool | Callable[[Progress], object] | None,
) -> Iterator[Callable[[Progress], object]]:
    """Give what is to be called for an argument `progress`: True for a bar, or the callback itself.

    Raises
    ------
    DTypeError
        If it is neither.
    """
    if progress is True:
        with ProgressBar() as bar:
            yield bar
    elif progress is None or progress is False:
        yield lambda _: None
    elif callable(progress):
        yield progress
    else:
        raise DTypeError(
            f"progress is {progress!r}, expected a function of one argument, True, False or None"
        )
