"""What is read of quantized models: ours, and those of compressed-tensors."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

import threadwise as tw
from checkpoints import write_model
from mistral import MODELS
from threadwise.quant import QuantizedTensor

BF16 = ml_dtypes.bfloat16


def unpacked(words: NDArray[Any], bits: int, count: int) -> NDArray[np.int64]:
    """Return the codes of rows: bit streams, least significant first."""
    stream = np.unpackbits(
        np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1),
        axis=1,
        bitorder="little",
    )
    codes = stream[:, : count * bits].reshape(len(words), count, bits).astype(np.int64)
    values: NDArray[np.int64] = codes @ (1 << np.arange(bits, dtype=np.int64))
    return values


def defined(parts: dict[str, NDArray[Any]], name: str, bits: int, group: int) -> NDArray[Any]:
    """Return the values in float32 of a tensor by the definition of its format."""
    rows, columns = (int(n) for n in parts[f"{name}_shape"])
    group = columns if group == -1 else group
    codes = unpacked(parts[f"{name}_packed"], bits, columns)
    spread = np.arange(columns) // group
    scales = parts[f"{name}_scale"].astype(np.float32)[:, spread]
    if f"{name}_minimum" in parts:
        minima = parts[f"{name}_minimum"].astype(np.float32)[:, spread].astype(np.float64)
        # One rounding at the end, as a fused multiply-add has it.
        exact: NDArray[Any] = codes * scales.astype(np.float64) + minima
        return exact.astype(np.float32)
    zeros: Any = 2 ** (bits - 1)
    if f"{name}_zero_point" in parts:
        zeros = unpacked(parts[f"{name}_zero_point"].T, bits, rows).T[:, spread]
    values: NDArray[Any] = (codes - zeros).astype(np.float32) * scales
    return values


@pytest.mark.parametrize("kind", ["sym", "asym"])
def test_weights_of_compressed_tensors_are_read_bit_for_bit(kind: str) -> None:
    folder = MODELS / f"stdlib-mistral-2.8m-w4a16-{kind}-g32"
    parts = load_file(folder / "model.safetensors")
    model = tw.quant.load_quantized(folder)
    quantized = [name for name in model if isinstance(model[name], QuantizedTensor)]
    assert len(quantized) == 42
    assert len(model) == 57
    for name in quantized:
        weight = model[name]
        assert isinstance(weight, QuantizedTensor)
        assert weight.shape == tuple(parts[f"{name}_shape"])
        assert weight.scales.dtype == BF16
        expected = defined(parts, name, 4, 32)
        assert weight.dequantize().tobytes() == expected.tobytes()
        # Its own dequantization is in the scales' type.
        ours = weight.dequantize(dtype=BF16)
        assert ours.tobytes() == expected.astype(BF16).tobytes()
    for name in set(model) - set(quantized):
        assert np.asarray(model[name]).tobytes() == parts[name].tobytes()


@pytest.mark.parametrize(
    "settings",
    [
        {"bits": 4, "symmetric": True},
        {"bits": 4, "zero_point": "integer"},
        {"bits": 4, "zero_point": "float"},
        {"bits": 2, "group_size": 16},
        {"bits": 3, "zero_point": "integer"},
        {"bits": 3, "symmetric": True, "group_size": -1},
        {"bits": 8, "group_size": 64},
        {"bits": 4, "layer_bits": {"*.gate": 8, "*.down": 2}},
    ],
    ids=str,
)
@pytest.mark.parametrize("shards", [1, 3])
def test_what_is_written_is_read_as_its_format_defines_it(
    tmp_path: Path, settings: dict[str, Any], shards: int
) -> None:
    originals = write_model(tmp_path / "src", shards=shards)
    report = tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", **settings)
    model = tw.quant.load_quantized(tmp_path / "dst")
    assert set(model) == set(originals)
    parts: dict[str, NDArray[Any]] = {}
    for file in (tmp_path / "dst").glob("*.safetensors"):
        parts |= load_file(file)
    about = {tensor.name: tensor for tensor in report.tensors}
    assert len(about) == 7
    for name, original in originals.items():
        found = model[name]
        if name not in about:
            assert np.asarray(found).dtype == original.dtype
            assert np.asarray(found).tobytes() == original.tobytes()
            continue
        assert isinstance(found, QuantizedTensor)
        tensor = about[name]
        bits = settings.get("layer_bits", {}).get(f"*.{name.split('.')[2]}", settings["bits"])
        assert (tensor.bits, found.bits, found.shape) == (bits, bits, original.shape)
        if original.size:
            expected = defined(parts, name, bits, tensor.group_size)
            assert found.dequantize().tobytes() == expected.tobytes()
            # The engine makes the same of the tensor alone.
            alone = tw.quant.quantize(
                original,
                bits,
                group_size=tensor.group_size,
                symmetric=tensor.zero_point == "symmetric",
                zero_point="float" if tensor.zero_point == "float" else "integer",
            )
            assert alone == found
        sizes = [parts[key].nbytes for key in parts if key.removesuffix(key[len(name) :]) == name]
        assert tensor.bytes_after == sum(sizes)


def test_tensors_are_mapped_and_not_copied(tmp_path: Path) -> None:
    write_model(tmp_path / "src", shards=2)
    tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", symmetric=True)
    model = tw.quant.load_quantized(tmp_path / "dst")
    for name in model:
        tensor = model[name]
        parts = [tensor.codes, tensor.scales] if isinstance(tensor, QuantizedTensor) else [tensor]
        for part in parts:
            assert part.flags.aligned
            assert not part.flags.writeable
            assert not part.flags.owndata
    assert "absent" not in model
    with pytest.raises(KeyError):
        model["absent"]
    assert repr(model).startswith("<7 quantized tensors and 6 others, ")


def test_formats_that_are_not_known_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "src")
    tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", bits=2)
    path = tmp_path / "dst" / "config.json"
    config = json.loads(path.read_text())

    def refused(match: str, **changes: Any) -> None:
        about = config["quantization_config"] | changes
        path.write_text(json.dumps(config | {"quantization_config": about}))
        with pytest.raises(tw.errors.FormatError, match=match):
            tw.quant.load_quantized(tmp_path / "dst")

    refused("quant_method is 'gptq' and format is", quant_method="gptq")
    refused("version 2 of packed-groups, expected 1", version=2)
    refused("is packed, and config.json is silent on it", tensors={})
    path.write_text("{}")
    with pytest.raises(tw.errors.FormatError, match="expected compressed-tensors with pack"):
        tw.quant.load_quantized(tmp_path / "dst")
    path.write_text("[")
    with pytest.raises(tw.errors.FormatError, match="is not JSON"):
        tw.quant.load_quantized(tmp_path / "dst")


def test_modules_find_their_group_in_the_configuration(tmp_path: Path) -> None:
    write_model(tmp_path / "src")
    names = ("layers.0.up.weight", "layers.0.down.weight")
    tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", symmetric=True, include=names)
    path = tmp_path / "dst" / "config.json"
    config = json.loads(path.read_text())
    group = config["quantization_config"]["config_groups"]["group_0"]
    wrong = group | {"weights": group["weights"] | {"group_size": 64}}
    groups = {"a": wrong, "b": group | {"targets": ["re:.*0.up", "layers.0.down"]}}
    config["quantization_config"]["config_groups"] = groups
    path.write_text(json.dumps(config))
    model = tw.quant.load_quantized(tmp_path / "dst")
    for name in names:
        weight = model[name]
        assert isinstance(weight, QuantizedTensor)
        assert weight.group_size == 32
