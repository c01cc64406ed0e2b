"""Reports of quantizations that never were."""

from typing import Any

from threadwise.quant import QuantConfig, QuantReport, TensorReport

__all__ = ["report", "tensor"]


def tensor(name: str, error: float = 0.07, **facts: Any) -> TensorReport:
    """Return the report of a 96 x 64 tensor whose values are off by `error`, at right angles."""
    bits = facts.get("bits", 4)
    given = {
        "shape": (96, 64),
        "bits": bits,
        "asked_bits": bits,
        "group_size": 32,
        "zero_point": "integer",
        "squared_weights": 1.0,
        "squared_values": 1.0 + error**2,
        "products": 1.0,
        "squared_errors": error**2,
        "max_error": error / 10,
        "bytes_before": 96 * 64 * 2,
        "bytes_after": 96 * (64 * bits // 8 + 5) + 16,
        "seconds": 0.002,
    }
    return TensorReport.of_sums(name=name, **given | facts)


def report(*tensors: TensorReport, **facts: Any) -> QuantReport:
    """Return the report of a model that has these tensors, or four of two layers."""
    roles = ("self_attn.q_proj", "mlp.down_proj")
    four = [tensor(f"model.layers.{layer}.{role}.weight") for layer in range(2) for role in roles]
    given: dict[str, Any] = {
        "source": "models/small",
        "destination": "models/small-4bit",
        "format": "pack-quantized",
        "config": QuantConfig(layer_bits={"*.v_proj": 8}, exclude=["a.*"]),
        "tensors": tensors or tuple(four),
        "kept_tensors": 3,
        "kept_bytes": 20_000,
        "threads": 2,
        "seconds": 0.01,
        "predicted_peak_bytes": 64_000_000,
        "measured_peak_bytes": 12_345_678,
    }
    return QuantReport(**given | facts)
