import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import threadpoolctl

import threadwise as tw

REPORT = """
import dataclasses, json
import numpy, threadwise as tw
found = tw.info()
print(json.dumps([dataclasses.asdict(found), str(found)]))
"""


def info_under(**environment: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPORT],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    fields, printed = json.loads(done.stdout)
    return fields, printed


def test_says_what_was_built_and_what_it_runs_on() -> None:
    found = tw.info()
    assert found.version == tw.__version__
    assert found.profile == "release"
    assert found.isa_detected[0] == "scalar"
    assert found.isa_used in found.isa_detected
    numbers = ["f32", "f64", "bf16", "f16", "i8", "u8"]
    assert [kernel.split("-")[1] for kernel in found.kernels] == numbers
    assert any(found.isa_used in kernel for kernel in found.kernels)
    assert all(any(isa in kernel for isa in found.isa_detected) for kernel in found.kernels)
    assert 1 <= found.affinity <= found.cpus
    assert found.quota is None or found.quota > 0
    assert found.numa_nodes >= 1


def test_says_who_decided_how_many_threads_there_are() -> None:
    with tw.threads(1):
        found = tw.info()
    assert (found.threads, found.threads_source) == (1, "the threads() context")
    fields, _ = info_under(THREADWISE_NUM_THREADS="1", OMP_NUM_THREADS="3")
    assert (fields["threads"], fields["threads_source"]) == (1, "THREADWISE_NUM_THREADS")
    fields, _ = info_under(THREADWISE_NUM_THREADS="", RAYON_NUM_THREADS="", OMP_NUM_THREADS="1")
    assert (fields["threads"], fields["threads_source"]) == (1, "OMP_NUM_THREADS")


def test_sees_its_own_pool_and_those_of_others() -> None:
    pools = tw.info().pools
    assert pools is not None
    [own] = [pool for pool in pools if pool.library == "threadwise"]
    assert own.threads == tw.get_num_threads()
    assert "_threadwise" in own.file
    configured = np.show_config(mode="dicts")
    assert isinstance(configured, dict)
    if "openblas" in configured["Build Dependencies"]["blas"]["name"]:
        assert "openblas" in {pool.library for pool in pools}


def test_warns_of_more_threads_than_cpus_and_says_what_to_do() -> None:
    fields, printed = info_under(THREADWISE_NUM_THREADS="64", OPENBLAS_NUM_THREADS="1")
    cpus = fields["affinity"] if fields["quota"] is None else None
    [warning] = fields["warnings"]
    assert warning.startswith("threadwise has 64 threads for ")
    assert "set THREADWISE_NUM_THREADS=" in warning
    if cpus is not None:
        assert f"threadpool_limits({cpus})" in warning
    assert "\nwarning           threadwise has 64 threads" in printed


def test_warns_of_another_library_with_more_threads_than_cpus() -> None:
    wanted = tw.info().affinity + 1
    with threadpoolctl.threadpool_limits(wanted, user_api="blas"):
        found = tw.info()
    if not any(p.library == "openblas" and p.threads == wanted for p in found.pools or ()):
        pytest.skip("this NumPy has no OpenBLAS, or one that takes no more threads than CPUs")
    warnings = [text for text in found.warnings if text.startswith("openblas")]
    # SciPy brings one of its own, if something has imported it.
    assert len(warnings) == sum(p.library == "openblas" for p in found.pools or ())
    for warning in warnings:
        assert f"openblas has {wanted} threads for " in warning
        assert "set OPENBLAS_NUM_THREADS=" in warning


def test_a_number_of_threads_that_makes_no_sense_is_a_warning_and_all_else_is_there() -> None:
    fields, printed = info_under(THREADWISE_NUM_THREADS="many")
    assert (fields["threads"], fields["threads_source"]) == (None, None)
    [warning] = fields["warnings"]
    assert warning == (
        "THREADWISE_NUM_THREADS is 'many', expected a whole number from 1 to 1024, or unset"
    )
    own = [pool for pool in fields["pools"] if pool["library"] == "threadwise"]
    assert own[0]["threads"] is None
    assert "threads           undecided: see below" in printed
    assert "? threads (_threadwise" in printed


def test_an_unknown_instruction_set_is_a_warning() -> None:
    fields, printed = info_under(THREADWISE_ISA="sse9")
    assert fields["isa_used"] is None
    assert fields["kernels"] == []
    [warning] = fields["warnings"]
    assert "THREADWISE_ISA is 'sse9'" in warning
    assert "in use            undecided: see below" in printed


def test_a_capped_instruction_set_shows() -> None:
    fields, _ = info_under(THREADWISE_ISA="scalar")
    assert fields["isa_used"] == "scalar"
    assert fields["warnings"] == []
    assert all("scalar" in kernel for kernel in fields["kernels"])


def test_prints_a_page_of_aligned_lines_that_fit() -> None:
    found = dataclasses.replace(tw.info(), warnings=("word " * 50, "another"))
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line[:18].strip() == "" or line[17] == " " for line in lines)
    assert all(line[18] != " " for line in lines)
    assert sum(line.startswith("warning ") for line in lines) == 2


def test_says_how_to_see_pools_where_threadpoolctl_is_missing() -> None:
    printed = str(dataclasses.replace(tw.info(), pools=None))
    assert "pip install threadpoolctl" in printed
