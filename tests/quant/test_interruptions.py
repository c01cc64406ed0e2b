"""Whatever happens to a job: nothing is lost, nothing is half written, and the next run goes on."""

import contextlib
import fcntl
import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import threadwise as tw
from checkpoints import digest, save, write_model
from interpreters import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits of POSIX")

KILLS = 6


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """Write a model that takes some tenths of a second."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "src"
    folder.mkdir()
    for shard in range(3):
        tensors = {}
        for n in range(6):
            # The cubes have long tails, for which three bits are not enough.
            weight = rng.standard_normal((700, 1024)) ** (3 if n == 2 else 1) * 0.1
            tensors[f"layers.{shard}.{n}.weight"] = weight.astype(np.float16)
        save(folder / f"model-{shard}.safetensors", tensors)
    (folder / "config.json").write_text("{}")
    return folder


def partial(folder: Path) -> Path:
    return folder / ".dst.threadwise-partial"


def settings() -> dict[str, Any]:
    """Return what makes some tensors be made again, too."""
    return {"bits": 3, "method": "minmax", "threads": 2, "min_cosine": 0.98}


CHILD = """
    import os, signal, sys, threading, time
    import threadwise as tw

    def kill():
        time.sleep({delay})
        os.kill(os.getpid(), signal.SIGKILL)

    if {delay} is not None:
        threading.Thread(target=kill, daemon=True).start()
    begin = time.monotonic()
    report = tw.quant.quantize_model("src", "dst", **{settings})
    print(time.monotonic() - begin)
"""


def child(folder: Path, delay: float | None) -> subprocess.CompletedProcess[str]:
    program = textwrap.dedent(CHILD).format(delay=delay, settings=settings())
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_tensors_that_are_made_again_are_among_them(tmp_path: Path, src: Path) -> None:
    report = tw.quant.quantize_model(src, tmp_path / "dst", **settings())
    assert [tensor.name for tensor in report.tensors if tensor.fell_back] == [
        f"layers.{shard}.2.weight" for shard in range(3)
    ]


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path: Path, src: Path) -> None:
    tw.quant.quantize_model(src, tmp_path / "whole", **settings())
    expected = digest(tmp_path / "whole")
    seconds = float(child(tmp_path, None).stdout)
    assert digest(tmp_path / "dst") == expected
    rng = random.Random(0)  # noqa: S311 - moments, not secrets
    reached = []
    for _ in range(KILLS):
        for file in (tmp_path / "dst").rglob("*"):
            file.unlink()
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / "dst").rmdir()
        killed = child(tmp_path, rng.uniform(0, seconds))
        if killed.returncode == 0:
            assert digest(tmp_path / "dst") == expected
            continue
        assert killed.returncode == -9, killed.stderr
        journal = partial(tmp_path) / "journal.jsonl"
        is_named = (tmp_path / "dst").exists()
        # The last traces of a run go with its journal: what is there is any model then.
        is_over = is_named and not journal.exists()
        if not is_named:
            reached.append(len(journal.read_text().splitlines()) if journal.exists() else 0)
        done = child(tmp_path, None)
        if is_over:
            assert "it exists already, expected a new directory" in done.stderr
        else:
            assert done.returncode == 0, done.stderr
        assert digest(tmp_path / "dst") == expected
        assert not partial(tmp_path).exists()
    assert reached, "some were killed before the end"


def test_a_run_that_was_stopped_is_not_begun_again(tmp_path: Path, src: Path) -> None:
    tw.quant.quantize_model(src, tmp_path / "whole", **settings())
    stop(tmp_path, src, after=5)
    report = tw.quant.quantize_model(src, tmp_path / "dst", resume=True, **settings())
    assert digest(tmp_path / "dst") == digest(tmp_path / "whole")
    assert {tensor.name for tensor in report.tensors} == {
        f"layers.{shard}.{n}.weight" for shard in range(3) for n in range(6)
    }


def stop(folder: Path, src: Path, after: int, **others: Any) -> None:
    """Stop a job after some tensors."""

    def listen(progress: tw.quant.Progress) -> None:
        if progress.tensors_done >= after:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        tw.quant.quantize_model(src, folder / "dst", progress=listen, **settings() | others)
    assert partial(folder).is_dir()
    assert not (folder / "dst").exists()


def resumed(folder: Path, src: Path, **others: Any) -> int:
    """Do the job; return how many tensors an earlier run had finished."""
    first: list[int] = []
    tw.quant.quantize_model(
        src,
        folder / "dst",
        progress=lambda progress: first.append(progress.tensors_done),
        **settings() | others,
    )
    return first[0]


def test_another_job_begins_anew_or_is_refused(tmp_path: Path, src: Path) -> None:
    stop(tmp_path, src, after=5)
    with pytest.raises(tw.errors.FormatError, match="there is no unfinished run of this job"):
        tw.quant.quantize_model(src, tmp_path / "dst", resume=True, **settings() | {"bits": 4})
    assert resumed(tmp_path, src, bits=4) == 0


@pytest.mark.parametrize("change", ["file", "never"])
def test_what_was_made_of_other_weights_is_forgotten(
    tmp_path: Path, src: Path, change: str
) -> None:
    stop(tmp_path, src, after=5)
    if change == "file":
        os.utime(src / "model-1.safetensors")
    assert resumed(tmp_path, src, resume=False if change == "never" else None) == 0


def test_threads_and_memory_may_change_between_runs(tmp_path: Path, src: Path) -> None:
    stop(tmp_path, src, after=4)
    again = {"threads": 1, "streaming": False, "max_memory": "4M"}
    assert resumed(tmp_path, src, **again) >= 4
    tw.quant.quantize_model(src, tmp_path / "whole", **settings())
    assert digest(tmp_path / "dst") == digest(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["bytes", "line", "journal"])
def test_what_was_lost_of_a_stopped_run_is_made_again(
    tmp_path: Path, src: Path, damage: str
) -> None:
    stop(tmp_path, src, after=5)
    journal = partial(tmp_path) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    if damage == "bytes":
        # Of the third tensor: the last parts of the file are later ones'.
        file = partial(tmp_path) / "model" / "model-0.safetensors"
        raw = bytearray(file.read_bytes())
        raw[2 * 700 * 1024 * 9 // 16 + 5000] ^= 1
        file.write_bytes(raw)
    elif damage == "line":
        journal.write_bytes(b"".join(lines[:4]) + lines[4][:-20])
    else:
        journal.write_bytes(lines[0][:50])
    assert resumed(tmp_path, src) in {"bytes": (1, 2, 3), "line": (3,), "journal": (0,)}[damage]
    tw.quant.quantize_model(src, tmp_path / "whole", **settings())
    assert digest(tmp_path / "dst") == digest(tmp_path / "whole")


def test_killed_after_the_last_step_there_is_nothing_left_to_do(tmp_path: Path, src: Path) -> None:
    lines: list[bytes] = []

    def listen(progress: tw.quant.Progress) -> None:
        if progress.tensors_done == progress.tensors_total:
            lines.append((partial(tmp_path) / "journal.jsonl").read_bytes())

    first = tw.quant.quantize_model(src, tmp_path / "dst", progress=listen, **settings())
    before = digest(tmp_path / "dst")
    folder = (tmp_path / "dst").stat()
    partial(tmp_path).mkdir()
    last = json.dumps({"complete": folder.st_ino}).encode()
    (partial(tmp_path) / "journal.jsonl").write_bytes(lines[-1] + last + b"\n")
    second = tw.quant.quantize_model(src, tmp_path / "dst", **settings())
    assert [t.cosine for t in second.tensors] == [t.cosine for t in first.tensors]
    assert digest(tmp_path / "dst") == before
    assert not partial(tmp_path).exists()


def test_a_full_disk_is_one_sentence_and_no_loss(tmp_path: Path, src: Path) -> None:
    program = """
        import resource
        import threadwise as tw
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        try:
            tw.quant.quantize_model("src", "dst", threads=2, bits=4)
        except tw.errors.StorageError as error:
            print(error)
    """
    sentence = run(program, cwd=tmp_path)
    expected = f"{partial(tmp_path)}/model/model-0.safetensors: tensor 'layers.0."
    assert sentence.startswith(expected), sentence
    assert "cannot be written: File too large" in sentence
    assert not (tmp_path / "dst").exists()
    tw.quant.quantize_model(src, tmp_path / "dst", resume=True, threads=2, bits=4)
    tw.quant.quantize_model(src, tmp_path / "whole", threads=1, bits=4)
    assert digest(tmp_path / "dst") == digest(tmp_path / "whole")


@pytest.mark.parametrize("streaming", [True, False])
def test_a_file_that_ends_meanwhile_is_one_sentence(
    tmp_path: Path, src: Path, streaming: bool
) -> None:
    file = src / "model-1.safetensors"

    def listen(progress: tw.quant.Progress) -> None:
        if not progress.tensor:
            os.truncate(file, 3_000_000)

    dst = tmp_path / "dst"
    with pytest.raises(tw.errors.StorageError, match=r"'layers\.1\.\d\.weight': cannot be read: "):
        tw.quant.quantize_model(src, dst, progress=listen, streaming=streaming, threads=3)
    assert not dst.exists()
    with pytest.raises(tw.errors.FormatError, match=r"the file ends \d+ bytes too early"):
        tw.quant.quantize_model(src, dst)


@pytest.mark.parametrize("streaming", [True, False])
def test_an_error_of_one_worker_ends_all(tmp_path: Path, streaming: bool) -> None:
    weights = np.ones((6000, 512), np.float32)
    weights[4000, 3] = np.nan
    src = save(tmp_path / "m.safetensors", {f"w{n}": weights for n in range(4)})
    with pytest.raises(tw.errors.DomainError, match=r"(?i)tensor 'w0': .*\[4000, 3\] is nan"):
        tw.quant.quantize_model(
            src, tmp_path / "dst", include="*", threads=4, streaming=streaming, max_memory="9M"
        )
    assert not (tmp_path / "dst").exists()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    write_model(tmp_path / "src")
    partial(tmp_path).mkdir()
    with (partial(tmp_path) / "journal.jsonl").open("w") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        with pytest.raises(tw.errors.StorageError, match="another process is at work on it"):
            tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst")
    tw.quant.quantize_model(tmp_path / "src", tmp_path / "dst")


@pytest.mark.timing
@pytest.mark.parametrize("streaming", [True, False])
def test_ctrl_c_ends_it_soon(tmp_path: Path, src: Path, streaming: bool) -> None:
    program = f"""
        import os, signal, sys, threading, time
        import threadwise as tw

        delays = []
        for attempt in range(4):
            def send():
                global sent
                time.sleep(0.15)
                sent = time.monotonic()
                os.kill(os.getpid(), signal.SIGINT)
            def listen(progress):
                if not progress.tensor:
                    sender.start()
            sender = threading.Thread(target=send)
            try:
                tw.quant.quantize_model(
                    "src", "dst", threads=2, streaming={streaming}, progress=listen, resume=False
                )
                sys.exit("it ended too soon")
            except KeyboardInterrupt:
                delays.append(time.monotonic() - sent)
            sender.join()
            if delays[-1] < 0.2:
                break
        assert not os.path.exists("dst")
        print(min(delays))
    """
    # Eight gigabytes of zeros, which take no disk.
    about = {"w.weight": {"dtype": "F32", "shape": [2**21, 1024], "data_offsets": [0, 2**33]}}
    text = json.dumps(about).encode()
    file = src / "model-0.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(file, 8 + len(text) + 2**33)
    assert float(run(program, cwd=tmp_path)) < 0.2
