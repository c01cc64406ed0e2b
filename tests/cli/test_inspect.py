"""``threadwise inspect``."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import threadwise as tw
from checkpoints import save, write_model
from interpreters import threadwise
from mistral import MODELS

inspect = partial(threadwise, "inspect")


def test_a_file_is_its_tensors_and_metadata(tmp_path: Path) -> None:
    tensors: dict[str, NDArray[Any]] = {
        "b": np.ones((2, 3, 4), np.float32),
        "a": np.ones((), np.int64),
    }
    path = save(tmp_path / "x.safetensors", tensors, format="np", author="nobody")
    done = inspect(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{path}: 2 tensors, {path.stat().st_size} B",
        "  author: nobody",
        "  format: np",
        "  a  I64   a number   8 B",
        "  b  F32  2 x 3 x 4  96 B",
    ]


def test_a_quantized_tensor_is_one_line() -> None:
    done = inspect(MODELS / "stdlib-mistral-2.8m-w4a16-asym-g32")
    lines = done.stdout.splitlines()
    [line] = [each for each in lines if "layers.3.mlp.up_proj" in each]
    name, kind = "model.layers.3.mlp.up_proj.weight", "4 bits, groups of 32, integer"
    assert " ".join(line.split()) == f"{name} {kind} 512 x 192 56.8 KB"
    assert lines[0].endswith(": 57 tensors, 2.18 MB")
    assert lines[-1] == "quantized: 42 of 57 tensors, pack-quantized"


def test_shards_are_counted_together_and_programs_get_json(tmp_path: Path) -> None:
    originals = write_model(tmp_path / "src", shards=3)
    tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", bits=3, group_size=-1)
    lines = inspect(tmp_path / "dst").stdout.splitlines()
    assert lines[-2:] == ["13 tensors in 3 files", "quantized: 7 of 13 tensors, packed-groups"]
    # 45 codes of three bits need as many words as 53: how many there are, only the data say.
    [line] = [each for each in lines if "layers.1.up" in each]
    assert "3 bits, whole rows, float 33 x <=53" in " ".join(line.split())
    found = json.loads(inspect(tmp_path / "dst", "--json").stdout)
    tensors = [tensor for file in found["files"] for tensor in file["tensors"]]
    assert {tensor["name"] for tensor in tensors} == set(originals)
    assert found["quantization"] == "packed-groups"
    assert {tensor["bits"] for tensor in tensors} == {None, 3}
    nbytes = sum(tensor["nbytes"] for tensor in tensors)
    headers = sum(path.stat().st_size for path in (tmp_path / "dst").glob("*.safetensors")) - nbytes
    assert 0 < headers < 10_000


def test_only_headers_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "x.safetensors", {"a": np.ones(4, np.uint8)})
    raw = path.read_bytes()
    size = 10**11
    text = raw[8:-4].decode().rstrip().replace("[4]", f"[{size}]").replace(",4]", f",{size}]")
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    os.truncate(path, 8 + len(text) + size)  # a hole, which takes no disk
    assert f"  a  U8  {size}  100 GB" in inspect(path).stdout


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nonsense" * 3)
    done = inspect(path)
    assert (done.returncode, done.stdout) == (2, "")
    length = int.from_bytes(b"nonsense", "little")
    sentence = f"the header has {length} bytes, expected at most 100000000"
    assert done.stderr == f"threadwise: {path}: {sentence}\n"
