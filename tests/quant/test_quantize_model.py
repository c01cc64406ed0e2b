"""Whole models: the same files whatever threads and memory there are, and what goes with them."""

import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

import threadwise as tw
from checkpoints import digest, save, write_model
from interpreters import run
from mistral import MODELS, SAMPLE
from threadwise.quant import Progress, QuantConfig, QuantizedTensor


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [{"bits": 4, "zero_point": "integer"}, {"bits": 3, "zero_point": "float"}, {"bits": 8}],
    ids=str,
)
def test_files_do_not_depend_on_threads_or_memory(
    tmp_path: Path, settings: dict[str, Any], shards: int
) -> None:
    write_model(tmp_path / "src", shards=shards, large=5000)
    ways: list[dict[str, Any]] = [
        {"threads": 1},
        {"threads": 2, "max_memory": "2M"},
        {"threads": 3, "streaming": False},
        {"threads": 1, "streaming": False, "max_memory": "4M"},
        {"threads": 7},
    ]
    found = []
    for number, way in enumerate(ways):
        dst = tmp_path / f"dst{number}"
        report = tw.quant.quantize_model(tmp_path / "src", dst, **settings, **way)
        assert report.threads == way["threads"]
        facts = [{**vars(tensor), "seconds": 0} for tensor in report.tensors]
        found.append((digest(dst), facts))
    assert all(each == found[0] for each in found[1:])
    assert not list(tmp_path.glob(".*"))


def test_exactly_as_many_threads_quantize_as_asked_for(tmp_path: Path) -> None:
    write_model(tmp_path / "src", large=50_000)
    program = """
        import os, sys, threading
        import threadwise as tw

        src, dst, streaming = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
        names = {}

        def look():
            while not over:
                for task in os.listdir("/proc/self/task"):
                    try:
                        names[task] = open(f"/proc/self/task/{task}/comm").read().strip()
                    except OSError:
                        pass

        over = []
        looker = threading.Thread(target=look)
        looker.start()
        tw.quant.quantize_model(src, dst, threads=3, streaming=streaming)
        over.append(True)
        looker.join()
        # The system cuts names to 15 letters.
        mine = [name for name in names.values() if name.startswith("threadwise-")]
        print(sum(name.startswith("threadwise-quan") for name in mine), end=" ")
        print(*sorted(name for name in mine if not name.startswith("threadwise-quan")))
    """
    for streaming, others in [(True, set()), (False, {"threadwise-read", "threadwise-writ"})]:
        argv = f"import sys; sys.argv = ['', {str(tmp_path / 'src')!r}, "
        argv += f"{str(tmp_path / str(streaming))!r}, '{streaming}']\n"
        count, *found = run(argv + "\n".join(line[8:] for line in program.splitlines())).split()
        assert int(count) == 3
        # Who waits for the disk at the end may be too quick to be seen.
        assert set(found) - {"threadwise-sync"} == others


def test_everything_else_goes_with_the_model(tmp_path: Path) -> None:
    write_model(tmp_path / "src", shards=2)
    tw.quant.quantize_model(
        tmp_path / "src", tmp_path / "dst", bits=4, symmetric=True, exclude="layers.1.up"
    )
    found = {str(path.relative_to(tmp_path / "dst")) for path in (tmp_path / "dst").rglob("*")}
    assert found == {
        "config.json",
        "extra",
        "extra/notes.txt",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    }
    config = json.loads((tmp_path / "dst" / "config.json").read_text())
    about = config.pop("quantization_config")
    assert config == {"model_type": "toy", "eps": 1e-05}
    assert (about["quant_method"], about["format"]) == ("compressed-tensors", "pack-quantized")


def test_the_format_is_that_of_compressed_tensors_where_it_can_be(tmp_path: Path) -> None:
    src, theirs = SAMPLE, {}
    for kind, symmetric in [("sym", True), ("asym", False)]:
        tw.quant.quantize_model(src, tmp_path / kind, bits=4, symmetric=symmetric)
        ours = json.loads((tmp_path / kind / "config.json").read_text())
        folder = MODELS / f"stdlib-mistral-2.8m-w4a16-{kind}-g32"
        theirs = json.loads((folder / "config.json").read_text())
        about = ours["quantization_config"]
        expected = theirs["quantization_config"]["config_groups"]["group_0"]["weights"]
        assert about["config_groups"]["group_0"]["weights"] == expected
        assert about["ignore"] == ["lm_head", "model.embed_tokens"]
        one, other = (load_file(f / "model.safetensors") for f in (tmp_path / kind, folder))
        assert one.keys() == other.keys()
        for name, part in one.items():
            assert part.shape == other[name].shape, name
            assert part.dtype == other[name].dtype or name.endswith("_scale"), name


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        ({"bits": 4, "zero_point": "float"}, "packed-groups"),
        ({"bits": 3}, "packed-groups"),
        ({"layer_bits": {"*.up": 8}, "exclude": "layers.1.up"}, "packed-groups"),
        ({"group_size": -1}, "pack-quantized"),
        ({"exclude": "layers.1.up"}, "pack-quantized"),
        ({"exclude": "*"}, "none"),
    ],
    ids=str,
)
def test_other_weights_are_in_a_format_of_our_own(
    tmp_path: Path, settings: dict[str, Any], form: str
) -> None:
    write_model(tmp_path / "src")
    report = tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", **settings)
    config = json.loads((tmp_path / "dst" / "config.json").read_text())
    assert report.format == form
    assert config.get("quantization_config", {"format": "none"})["format"] == form


def test_a_target_that_exists_is_left_alone_or_replaced_as_a_whole(tmp_path: Path) -> None:
    write_model(tmp_path / "src")
    dst = tmp_path / "dst"
    dst.mkdir()
    (dst / "mine").write_text("precious")
    with pytest.raises(tw.errors.FormatError, match=f"^{dst}: it exists already, expected a new"):
        tw.quant.quantize_model(tmp_path / "src", dst)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dst", "src"]
    assert [path.name for path in dst.iterdir()] == ["mine"]
    tw.quant.quantize_model(tmp_path / "src", dst, overwrite=True)
    assert not (dst / "mine").exists()
    assert tw.quant.load_quantized(dst)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dst", "src"]


def test_a_stack_of_matrices_is_quantized_where_it_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stack = (rng.standard_normal((2, 3, 37, 64)) * 0.1).astype(np.float32)
    save(tmp_path / "src.safetensors", {"experts": stack, "other": stack})
    for kind in ("integer", "float"):
        tw.quant.quantize_model(
            tmp_path / "src.safetensors", tmp_path / kind, include="experts", zero_point=kind
        )
        model = tw.quant.load_quantized(tmp_path / kind)
        found = model["experts"]
        assert isinstance(found, QuantizedTensor)
        assert found == tw.quant.quantize(stack, 4, zero_point=kind)
        assert np.asarray(model["other"]).tobytes() == stack.tobytes()
        [tensor] = tw.quant.validate(tmp_path / "src.safetensors", tmp_path / kind).tensors
        assert 0.99 < tensor.cosine < 1


def test_a_number_that_is_not_finite_is_named(tmp_path: Path) -> None:
    weight = np.ones((600, 64), ml_dtypes.bfloat16)
    weight[300, 5], weight[590, 0] = np.nan, np.inf
    stack = np.ones((2, 3, 40, 32), np.float32)
    stack[1, 2, 35, 7] = -np.inf
    for name, array, index in [("w", weight, "[300, 5]"), ("s", stack, "[1, 2, 35, 7]")]:
        src = save(tmp_path / f"{name}.safetensors", {"fine": np.ones((4, 32), "f4"), name: array})
        with pytest.raises(tw.errors.DomainError) as caught:
            tw.quant.quantize_model(src, tmp_path / "dst", include="*", threads=2)
        sentence = str(caught.value)
        assert sentence.startswith(f"{src}: tensor '{name}': ")
        assert index in sentence
        assert not (tmp_path / "dst").exists()


def test_tensors_below_the_least_cosine_get_wider_bits(tmp_path: Path) -> None:
    src = tmp_path / "src"
    write_model(src, large=3000)
    narrow = tw.quant.quantize_model(src, tmp_path / "a", bits=2, min_cosine=0)
    assert all(tensor.bits == 2 for tensor in narrow.tensors)
    cosines = sorted(tensor.cosine for tensor in narrow.tensors if tensor.weights)
    least = sum(cosines[2:4]) / 2
    found = []
    for threads in (1, 3):
        dst = tmp_path / f"b{threads}"
        report = tw.quant.quantize_model(src, dst, bits=2, min_cosine=least, threads=threads)
        wider = {tensor.name for tensor in report.tensors if tensor.fell_back}
        assert wider == {tensor.name for tensor in narrow.tensors if tensor.cosine < least}
        assert all(tensor.cosine >= least for tensor in report.tensors)
        assert {tensor.bits for tensor in report.tensors if tensor.name in wider} == {3}
        found.append(digest(dst))
    assert found[0] == found[1]
    again = tw.quant.validate(src, tmp_path / "b1")
    assert [t.bits for t in again.tensors] == [
        next(t.bits for t in report.tensors if t.name == mine.name) for mine in again.tensors
    ]
    strict = tw.quant.quantize_model(src, tmp_path / "c", bits=2, min_cosine=1)
    assert {tensor.bits for tensor in strict.tensors if tensor.weights} == {8}


def test_a_tensor_that_is_not_good_enough_can_end_the_job(tmp_path: Path) -> None:
    write_model(tmp_path / "src")
    with pytest.raises(
        tw.errors.DomainError, match=r"tensor '.+': the cosine with 2 bits is 0\.\d"
    ):
        tw.quant.quantize_model(
            tmp_path / "src", tmp_path / "dst", bits=2, min_cosine=0.999, fail_fast=True
        )
    assert not (tmp_path / "dst").exists()


@pytest.mark.parametrize("size", [1e-7, 1e6])
def test_weights_that_float16_cannot_scale_have_float32_scales(tmp_path: Path, size: float) -> None:
    rng = np.random.default_rng(0)
    tensors = {f"w{n}": rng.standard_normal((5000, 32)).astype(np.float32) for n in range(6)}
    tensors["w2"] *= np.float32(size)
    src = save(tmp_path / "model.safetensors", tensors)
    for threads in (1, 3):
        dst = tmp_path / str(threads)
        report = tw.quant.quantize_model(src, dst, include="*", threads=threads)
        assert all(tensor.cosine > 0.99 for tensor in report.tensors)
        model = tw.quant.load_quantized(dst)
        for name in tensors:
            weight = model[name]
            assert isinstance(weight, QuantizedTensor)
            assert weight.scales.dtype == (np.float32 if name == "w2" else np.float16)
    assert digest(tmp_path / "1") == digest(tmp_path / "3")


def test_progress_is_told_before_and_after_each_tensor(tmp_path: Path) -> None:
    originals = write_model(tmp_path / "src")
    told: list[Progress] = []
    here = threading.get_ident()
    threads = []

    def listen(progress: Progress) -> None:
        told.append(progress)
        threads.append(threading.get_ident())

    report = tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", progress=listen)
    assert set(threads) == {here}
    assert [each.tensors_done for each in told] == list(range(len(originals) + 1))
    assert told[0].tensor == ""
    assert {each.tensor for each in told[1:]} == set(originals)
    total = sum(tensor.nbytes for tensor in originals.values())
    assert [told[0].bytes_done, told[-1].bytes_done, told[0].bytes_total] == [0, total, total]
    assert all(a.bytes_done <= b.bytes_done for a, b in itertools.pairwise(told))
    assert told[0].predicted_peak_bytes == report.predicted_peak_bytes


def test_an_exception_of_the_listener_ends_the_job_and_is_raised(tmp_path: Path) -> None:
    write_model(tmp_path / "src")

    def listen(progress: Progress) -> None:
        if progress.tensors_done == 3:
            raise LookupError(progress.tensor)

    with pytest.raises(LookupError):
        tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", progress=listen)
    assert not (tmp_path / "dst").exists()
    told: list[Progress] = []
    tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", progress=told.append)
    assert told[0].tensors_done >= 3, "it goes on where it was"
    assert told[0].bytes_resumed == told[0].bytes_done


def test_memory_is_bounded_predicted_and_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((40_000, 1024)).astype(np.float16)  # 80 MB
    save(tmp_path / "model.safetensors", {"one.giant.weight": weight})
    del weight
    program = """
        import threadwise as tw
        report = tw.quant.quantize_model("model.safetensors", "dst", threads=2, method="minmax")
        small = tw.quant.quantize_model(
            "model.safetensors", "small", threads=2, method="minmax", max_memory="2M"
        )
        print(report.predicted_peak_bytes, report.measured_peak_bytes, small.predicted_peak_bytes)
    """
    predicted, measured, small = map(int, run(program, cwd=tmp_path).split())
    assert measured <= predicted <= 128e6
    assert small < predicted - 10e6


def test_settings_come_from_a_configuration_and_what_overrides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = SAMPLE
    config = QuantConfig(bits=8, group_size=64)
    report = tw.quant.quantize_model(src, tmp_path / "a", config, bits=2, method="minmax")
    assert {(tensor.bits, tensor.group_size) for tensor in report.tensors} == {(2, 64)}
    assert report.config == config.replace(bits=2, method="minmax")
    monkeypatch.setenv("THREADWISE_QUANT_BITS", "3")
    report = tw.quant.quantize_model(src, tmp_path / "b")
    assert {tensor.bits for tensor in report.tensors} == {3}
    with pytest.raises(TypeError, match="there is no setting 'bit'; did you mean bits"):
        tw.quant.quantize_model(src, tmp_path / "c", bit=4)
    with pytest.raises(tw.errors.DomainError, match="max_memory is 1000, expected at least"):
        tw.quant.quantize_model(src, tmp_path / "c", max_memory=1000)
    with pytest.raises(tw.errors.FormatError, match="is quantized already"):
        tw.quant.quantize_model(tmp_path / "b", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_names_that_would_come_twice_are_refused(tmp_path: Path) -> None:
    ones = np.ones((4, 32), np.float32)
    src = save(tmp_path / "m.safetensors", {"a.weight": ones, "a.weight_packed": ones})
    with pytest.raises(
        tw.errors.FormatError, match=r"'a\.weight_packed': another tensor would have"
    ):
        tw.quant.quantize_model(src, tmp_path / "dst", include="a", min_cosine=0)


@pytest.mark.timing
def test_other_python_threads_go_on(tmp_path: Path) -> None:
    write_model(tmp_path / "src", large=100_000)
    ticks: list[float] = []
    over = threading.Event()

    def tick() -> None:
        while not over.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    begin = time.monotonic()
    tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst", threads=1)
    end = time.monotonic()
    over.set()
    ticker.join()
    assert len([t for t in ticks if begin < t < end]) > 3
