"""Safetensors files, next to the format's own package."""

import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load_file, save

import threadwise as tw
from threadwise.quant import _files

DTYPES = [np.float32, np.float16, ml_dtypes.bfloat16, np.int8, np.uint16, np.int64, np.bool_]

shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(
    lambda name: name != "__metadata__"
)


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    """Draw any bits, in any shape."""
    shape, dtype = draw(shapes), np.dtype(draw(st.sampled_from(DTYPES)))
    size = int(np.prod(shape)) * dtype.itemsize
    bits = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 2, size, np.uint8)
    array: NDArray[Any] = bits.view(dtype).reshape(shape)
    return array


tensors = st.dictionaries(names, arrays(), max_size=5)
metadata = st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"]), max_size=4))


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(tensors, metadata)
def test_what_the_package_writes_is_read(
    written: dict[str, NDArray[Any]], texts: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(save(written, texts or None))
        for place in (path, folder):
            [file] = _files.read(place)
            assert file.metadata == texts
            assert {tensor.name for tensor in file.tensors} == set(written)
            assert all(same(tensor.array(), written[tensor.name]) for tensor in file.tensors)


@given(tensors, metadata)
def test_what_is_written_the_package_reads(
    written: dict[str, NDArray[Any]], texts: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        src, dst = Path(folder) / "src.safetensors", Path(folder) / "dst"
        src.write_bytes(save(written, texts or None))
        report = tw.quant.quantize_model(src, dst, exclude="*")
        assert report.kept_tensors == len(written)
        [path] = dst.iterdir()
        found = load_file(path)
        assert found.keys() == written.keys()
        assert all(same(found[name], written[name]) for name in written)
        raw = path.read_bytes()
        [length] = struct.unpack("<Q", raw[:8])
        assert (8 + length) % 64 == 0
        assert json.loads(raw[8 : 8 + length]).get("__metadata__", {}) == texts
        [file] = _files.read(path)
        # Mapped as they lie: elements at multiples of their size.
        assert all(each.array().flags.aligned for each in file.tensors)


@given(st.data(), tensors)
def test_damaged_files_are_read_or_refused(
    data: st.DataObject, written: dict[str, NDArray[Any]]
) -> None:
    raw = bytearray(save(written))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(raw)
        try:
            [file] = _files.read(path)
        except tw.errors.FormatError as error:
            assert str(path) in str(error)  # noqa: PT017 - any of many sentences
            return
        # Whatever is believed here, the package believes too.
        believed = theirs(bytes(raw))
        for tensor in file.tensors:
            begin = file.data + tensor.begin
            assert believed[tensor.name] == bytes(raw[begin : begin + tensor.nbytes])


def theirs(raw: bytes) -> dict[str, bytes]:
    """Return what the package makes of a file."""
    found = deserialize(raw)  # type: ignore[no-untyped-call]
    return {name: about["data"] for name, about in found}


def header(text: str, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode() + data


ONE = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "the file has 0 bytes, expected at least 8, the length of its header"),
        (struct.pack("<Q", 2**63), "the header has 9223372036854775808 bytes, expected at most"),
        (struct.pack("<Q", 9) + b"{}", "the header has 9 bytes, but the file ends after 2 of them"),
        (header("{"), "the header is not the JSON of safetensors: EOF while parsing an object"),
        (header(f"{{{ONE},{ONE}}}", b"x"), "tensor 'a' is in the header twice"),
        (header(f"{{{ONE}}}"), "the file ends 1 bytes too early: tensor 'a' is cut"),
        (header(f"{{{ONE}}}", b"xy"), "1 bytes after the last tensor belong to none"),
        (
            header('{"a":{"dtype":"F32","shape":[9,9],"data_offsets":[0,1]}}', b"x"),
            "tensor 'a' has 1 bytes, expected 324 for F32 of shape (9, 9)",
        ),
    ],
)
def test_hostile_files_are_refused_in_a_sentence(tmp_path: Path, raw: bytes, sentence: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw)
    with pytest.raises(tw.errors.FormatError) as caught:
        tw.quant.load_quantized(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")
    if b'"a":' not in raw[20:]:  # the package believes the second of two
        with pytest.raises(SafetensorError):
            theirs(raw)


def test_files_that_are_not_there_are_no_matter_of_format(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(tw.errors.StorageError, match=f"^{path}: cannot be opened: No such file"):
        tw.quant.load_quantized(path)
    assert issubclass(tw.errors.StorageError, OSError)
