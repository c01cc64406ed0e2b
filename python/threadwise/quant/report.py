"""How good a quantized model is, tensor by tensor, and what it cost to make it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite, log10, prod, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadwise import _file, _notebook
from threadwise._picture import check_drawing
from threadwise.errors import DomainError
from threadwise.quant.config import QuantConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["QuantReport", "TensorReport"]

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TensorReport:
    """How close the values of a quantized tensor are to its weights."""

    name: str
    """As in the model's files."""
    shape: tuple[int, ...]
    """Of the weight."""
    bits: int
    """Of a code."""
    asked_bits: int
    """What the configuration wanted; fewer than `bits` if they were not enough."""
    group_size: int
    """Weights that share a scale, -1 for whole rows."""
    zero_point: str
    """``"symmetric"``, ``"integer"`` or ``"float"``."""
    cosine: float
    """Of the angle between weights w and values v, as vectors: Σwv / √(Σw² Σv²)."""
    sqnr_db: float
    """Signal to quantization noise, 10 log₁₀(Σw² / Σ(w-v)²) decibels; infinite if all is exact."""
    relative_error: float
    """√(Σ(w-v)² / Σw²)."""
    max_error: float
    """The largest \\|w-v\\|."""
    bytes_before: int
    """What it took in the files."""
    bytes_after: int
    """What it takes: codes, scales, zero points and shape."""
    seconds: float
    """How long threads quantized it, summed; reading and writing do not count."""

    @classmethod
    def of_sums(
        cls,
        *,
        squared_weights: float,
        squared_values: float,
        products: float,
        squared_errors: float,
        **facts: Any,
    ) -> "TensorReport":
        """Return the report that follows from Σw², Σv², Σwv and Σ(w-v)²; `facts` are other fields.

        The sums are `squared_weights`, `squared_values`, `products` and `squared_errors`. Weights
        that are all 0 have no angle: cosine is 1 if the values are 0 too, else 0.
        """
        norms = sqrt(squared_weights) * sqrt(squared_values)
        noise, signal = squared_errors, squared_weights
        ratio = sqrt(noise / signal) if signal else (0.0 if not noise else float("inf"))
        return cls(
            # Rounding may carry a quotient past 1.
            cosine=max(-1.0, min(1.0, products / norms)) if norms else float(not noise),
            sqnr_db=-20 * log10(ratio)
            if 0 < ratio < float("inf")
            else float("inf" if not ratio else "-inf"),
            relative_error=ratio,
            **facts,
        )

    @property
    def weights(self) -> int:
        """How many there are."""
        return prod(self.shape)

    @property
    def bits_per_weight(self) -> float:
        """Bits that a weight takes, with its share of scales, zero points and shape."""
        return 8 * self.bytes_after / self.weights if self.weights else 0.0

    @property
    def fell_back(self) -> bool:
        """Whether the bits that were asked for were not enough for `QuantConfig.min_cosine`."""
        return self.bits != self.asked_bits


@dataclass(frozen=True, kw_only=True)
class QuantReport:
    """What `quantize_model` did. Printed, it is a table.

    Examples
    --------
    A report that was kept as JSON comes back whole::

        report = QuantReport.from_json("report.json")
        print(report)
        report.plot("report.png")
    """

    source: str
    """The model's directory."""
    destination: str
    """The quantized model's directory."""
    format: str
    """``"pack-quantized"``, which is compressed-tensors' and which others read, or
    ``"packed-groups"``, our own."""
    config: QuantConfig
    """The settings."""
    tensors: tuple[TensorReport, ...]
    """Those that were quantized, in the order of the files."""
    kept_tensors: int
    """How many stayed as they are."""
    kept_bytes: int
    """What those take."""
    threads: int
    """How many worked."""
    seconds: float
    """From beginning to end."""
    predicted_peak_bytes: int | None
    """Memory that the job was predicted to need at most; None if nobody predicted."""
    measured_peak_bytes: int | None
    """The most anonymous memory that it had; None where the system does not say."""

    @property
    def weights(self) -> int:
        """How many weights were quantized."""
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def bytes_before(self) -> int:
        """Of all tensors, also those that stayed as they are."""
        return self.kept_bytes + sum(tensor.bytes_before for tensor in self.tensors)

    @property
    def bytes_after(self) -> int:
        """The same, now."""
        return self.kept_bytes + sum(tensor.bytes_after for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits that a quantized weight takes, with everything it needs."""
        stored = sum(tensor.bytes_after for tensor in self.tensors)
        return 8 * stored / self.weights if self.weights else 0.0

    @property
    def compute_seconds(self) -> float:
        """How long each thread quantized, in the mean; reading and writing do not count."""
        return sum(tensor.seconds for tensor in self.tensors) / self.threads if self.threads else 0

    @property
    def least_cosine(self) -> TensorReport | None:
        """The tensor whose values are furthest from its weights; None if there is none."""
        return min(self.tensors, key=lambda tensor: tensor.cosine, default=None)

    @property
    def mean_cosine(self) -> float:
        """The mean of the cosines, each tensor weighed by its size; 1 if there is none."""
        total = sum(tensor.cosine * tensor.weights for tensor in self.tensors)
        return total / self.weights if self.weights else 1.0

    def table(self, rows: int | None = None) -> str:
        """Return the report as text.

        Parameters
        ----------
        rows : int, optional
            The most tensors to name: if there are more, those with the least cosines. By default
            all are.
        """
        from threadwise.quant._report_text import text  # noqa: PLC0415 - not needed to quantize

        return text(self, rows)

    def __str__(self) -> str:
        return self.table(60)

    def __repr__(self) -> str:
        return (
            f"<QuantReport of {len(self.tensors)} tensors in {self.destination}: "
            f"{self.bits_per_weight:.2f} bits a weight, mean cosine {self.mean_cosine:.4f}>"
        )

    def _repr_html_(self) -> str:
        return _notebook.table(str(self))

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the report as JSON, and write it to the file `path` if there is one.

        Numbers that are not finite are strings in it.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        tensors = [
            _plain(asdict(tensor))
            | {"bits_per_weight": tensor.bits_per_weight, "fell_back": tensor.fell_back}
            for tensor in self.tensors
        ]
        totals = {
            "weights": self.weights,
            "bits_per_weight": self.bits_per_weight,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "mean_cosine": self.mean_cosine,
            "compute_seconds": self.compute_seconds,
        }
        facts = _plain(asdict(self)) | {"totals": totals, "tensors": tensors}
        text = json.dumps({"threadwise_report": _VERSION, **facts}, indent=1, allow_nan=False)
        if path is not None:
            _file.write(Path(path), text)
        return text

    @classmethod
    def from_json(cls, file: str | Path) -> "QuantReport":
        """Return the report that `to_json` wrote.

        Parameters
        ----------
        file : str or Path
            Where the file is, or its text, which begins with a brace.

        Raises
        ------
        DomainError
            If it is no such report.
        OSError
            If the file cannot be read.
        """
        text, name = _file.text(file)
        try:
            found = json.loads(text)
            if found["threadwise_report"] != _VERSION:
                raise ValueError(f"its version is {found['threadwise_report']!r}")
            tensors = (
                _made(TensorReport, each, shape=tuple(each["shape"])) for each in found["tensors"]
            )
            config = QuantConfig(**found["config"])
            made: QuantReport = _made(cls, found, config=config, tensors=tuple(tensors))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise DomainError(f"{name} is no report that threadwise wrote: {why}") from None
        return made

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw error and bits of all tensors, a column a layer.

        Parameters
        ----------
        path : str or Path, optional
            A file to write, of the kind that its ending says.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        DomainError
            If no tensor was quantized, or matplotlib does not know the ending.
        ModuleNotFoundError
            If matplotlib is not installed.
        OSError
            If the file cannot be written.
        """
        check_drawing()
        from threadwise.quant._picture import draw  # noqa: PLC0415 - an extra

        return draw(self, None if path is None else Path(path))


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON can say."""
    return {
        name: repr(value) if isinstance(value, float) and not isfinite(value) else value
        for name, value in facts.items()
    }


def _made(kind: Any, facts: Mapping[str, Any], **others: Any) -> Any:
    """Return the `kind` with these facts; what else there is among them follows from them."""
    given = {each.name: facts[each.name] for each in fields(kind) if each.name not in others}
    for each in fields(kind):
        if each.type is float:
            given[each.name] = float(given[each.name])
    return kind(**given, **others)
