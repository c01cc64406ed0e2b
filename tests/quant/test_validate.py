"""Quality, measured again from files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import threadwise as tw
from checkpoints import write_model
from threadwise.quant import QuantizedTensor


@pytest.mark.parametrize(
    "settings", [{"bits": 2}, {"bits": 4}, {"bits": 8, "symmetric": True}], ids=str
)
def test_the_report_of_the_job_is_what_the_files_say(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    src, dst = tmp_path / "src", tmp_path / "dst"
    originals = write_model(src, shards=2, large=3000)
    report = tw.quant.quantize_model(src, dst, **settings)
    again = tw.quant.validate(src, dst)
    assert (again.kept_tensors, again.kept_bytes) == (report.kept_tensors, report.kept_bytes)
    assert (again.format, again.config.bits) == (report.format, report.config.bits)
    assert again.bits_per_weight == report.bits_per_weight
    found = {tensor.name: tensor for tensor in again.tensors}
    assert found.keys() == {tensor.name for tensor in report.tensors}
    model = tw.quant.load_quantized(dst)
    for tensor in report.tensors:
        other = found[tensor.name]
        # Sums of n squares in float64, in two orders: each is within n units of the exact one.
        unit = 4 * max(tensor.weights, 1) * 2.0**-53
        assert other.cosine == pytest.approx(tensor.cosine, rel=unit)
        assert other.relative_error == pytest.approx(tensor.relative_error, rel=unit)
        assert other.max_error == tensor.max_error
        assert other.bytes_after == tensor.bytes_after
        weight = model[tensor.name]
        assert isinstance(weight, QuantizedTensor)
        w = originals[tensor.name].astype(np.float64)
        v = weight.dequantize().astype(np.float64)
        assert np.abs(w - v).max(initial=0) == tensor.max_error


def test_files_that_do_not_belong_together_are_told_apart(tmp_path: Path) -> None:
    src, dst = tmp_path / "src", tmp_path / "dst"
    write_model(src)
    tw.quant.quantize_model(src, dst)
    path = src / "model.safetensors"
    tensors = load_file(path)

    def refused(match: str, changed: dict[str, Any]) -> None:
        save_file(changed, path)
        with pytest.raises(tw.errors.FormatError, match=match):
            tw.quant.validate(src, dst)

    refused("tensor 'more' is missing", tensors | {"more": np.ones(3)})
    flat = tensors["layers.0.up.weight"].reshape(-1)
    refused(r"has shape \(64, 64\), expected \(4096,\)", tensors | {"layers.0.up.weight": flat})
    head = tensors["lm_head.weight"] + 1
    refused("'lm_head.weight' is not quantized, and differs", tensors | {"lm_head.weight": head})
