import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import threadwise as tw
from interpreters import threadwise
from mistral import SAMPLE

PROMPT = "import os\n"


def expected(**wishes: Any) -> Any:
    return tw.models.load(SAMPLE).generate(PROMPT, **({"max_new_tokens": 8} | wishes))


@pytest.mark.parametrize("how", [[], ["--stream"], ["--no-stream"]])
def test_prints_the_text_and_how_fast_it_was(how: list[str]) -> None:
    done = threadwise("generate", SAMPLE.name, "--prompt", PROMPT, "--max-new-tokens", 8, *how)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected().text + "\n"
    [line] = done.stderr.splitlines()
    count = expected().prompt_tokens
    assert line.startswith(f"{count} tokens read, the first written after ")
    assert " ms; 8 tokens in " in line
    assert line.endswith(" a second (length)")


def test_options_are_those_of_the_function() -> None:
    options = ["--temperature", 0.9, "--top-k", 40, "--top-p", 0.95, "--min-p", 0.01, "--seed", 3]
    more = ["--repetition-penalty", 1.2, "--stop", "zz", "--threads", 1, "--kv-dtype", "float32"]
    done = threadwise(
        *("generate", SAMPLE, "--prompt", PROMPT, "--max-new-tokens", 8, "--json"),
        *(*options, *more, "--max-context", 100, "--quantize", 8),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    model = tw.models.load(SAMPLE, threads=1, kv_dtype="float32", max_context=100, quantize=8)
    wanted = model.generate(
        PROMPT,
        max_new_tokens=8,
        temperature=0.9,
        top_k=40,
        top_p=0.95,
        min_p=0.01,
        seed=3,
        repetition_penalty=1.2,
        stop="zz",
    )
    assert (found["prompt"], found["text"], found["seed"]) == (PROMPT, wanted.text, 3)
    assert found["token_ids"] == wanted.token_ids
    assert found["finish_reason"] == "length"
    assert found["timings"]["seconds"] > found["timings"]["time_to_first_token"] > 0


def test_ranks_and_stages_write_the_same_text() -> None:
    wishes = ["--prompt", PROMPT, "--max-new-tokens", 8]
    for spread in (["--tensor-parallel", 2], ["--pipeline-stages", 3]):
        done = threadwise("generate", SAMPLE, *wishes, *spread)
        assert (done.returncode, done.stdout) == (0, expected().text + "\n"), done.stderr
    refused = threadwise("generate", SAMPLE, *wishes, "--pipeline-stages", 7)
    assert refused.returncode == 2
    assert "pipeline_stages is 7, expected at most 6, the number of layers" in refused.stderr


def test_several_prompts_are_written_together() -> None:
    prompts = ["--prompt", PROMPT, "--prompt", "class A"]
    done = threadwise("generate", SAMPLE, *prompts, "--max-new-tokens", 8)
    assert done.returncode == 0, done.stderr
    other = tw.models.load(SAMPLE).generate("class A", max_new_tokens=8)
    assert done.stdout == f"{expected().text}\n{other.text}\n"
    assert [line[:3] for line in done.stderr.splitlines()] == ["0: ", "1: "]
    lines = threadwise("generate", SAMPLE, *prompts, "--max-new-tokens", 8, "--json", "--stream")
    found = [json.loads(line) for line in lines.stdout.splitlines()]
    pieces, results = found[:-2], found[-2:]
    for index, result in enumerate(results):
        mine = [piece for piece in pieces if piece["index"] == index]
        assert "".join(piece["piece"] for piece in mine) == result["text"]
        tokens = [token for piece in mine for token in piece["token_ids"]]
        assert tokens == result["token_ids"]
    told = threadwise("generate", SAMPLE, *prompts, "--max-new-tokens", 8, "--stream")
    assert len(told.stdout.splitlines()) == len(pieces)


def test_perplexity_is_printed(tmp_path: Path) -> None:
    tokens = np.load(SAMPLE / "heldout_tokens.npy")[:1100]
    np.save(tmp_path / "some.npy", tokens)
    wanted = tw.models.load(SAMPLE).perplexity(tokens)
    done = threadwise("perplexity", SAMPLE.name, tmp_path / "some.npy")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"perplexity {wanted:.4f}, 2 windows of 512 tokens, ")
    options = ["--window", 100, "--threads", 1, "--kv-dtype", "int8", "--quantize", 4]
    more = threadwise(
        *("perplexity", SAMPLE, tmp_path / "some.npy", *options, "--activations", "float", "--json")
    )
    found = json.loads(more.stdout)
    model = tw.models.load(SAMPLE, kv_dtype="int8", quantize=4, activations="float")
    assert found["perplexity"] == model.perplexity(tokens, 100)
    assert (found["windows"], found["window"]) == (11, 100)
    assert found["seconds"] > 0


def test_what_goes_wrong_is_one_sentence(tmp_path: Path) -> None:
    for arguments, sentence in [
        (
            ["generate", tmp_path, "--prompt", "x"],
            f"{tmp_path} has no config.json, expected the di",
        ),
        (
            ["generate", SAMPLE, "--prompt", "x", "--top-p", 7],
            "top_p is 7, expected a number above",
        ),
        (
            ["perplexity", SAMPLE, SAMPLE / "config.json"],
            f"{SAMPLE / 'config.json'} is no .npy fil",
        ),
        (
            ["perplexity", SAMPLE, tmp_path / "no.npy"],
            f"{tmp_path / 'no.npy'}: No such file or dir",
        ),
    ]:
        done = threadwise(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"threadwise: {sentence}")
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.timing
@pytest.mark.skipif(os.name != "posix", reason="needs signals to a process")
def test_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    # One that never ends a text by itself, and has room for a long one.
    endless = tmp_path / "endless"
    shutil.copytree(SAMPLE, endless)
    (endless / "generation_config.json").unlink()
    settings = json.loads((endless / "config.json").read_text())
    (endless / "config.json").write_text(json.dumps(settings | {"eos_token_id": None}))
    wishes = ["--max-new-tokens", "900000", "--max-context", "1000000"]
    program = [
        sys.executable,
        "-m",
        "threadwise",
        "generate",
        str(endless),
        "--prompt",
        "x",
        *wishes,
    ]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.wait(20)
        assert time.monotonic() - began < 2
        assert process.returncode == 130
        assert b"Traceback" not in process.stderr.read()
