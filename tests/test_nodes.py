"""Where workers are on a machine of two memory nodes: a made-up one, where we may mount it.

Where we may not, the machine is as it is; what must hold on any machine is checked all the same.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nodes are read from Linux")

BEGINNING = """
    import contextlib, ctypes, json, os, platform, threading, warnings
    import numpy as np
    import threadwise as tw

    allowed = sorted(os.sched_getaffinity(0))
    a = np.random.default_rng(0).standard_normal((1500, 1500))
    pinned = tw.WorkDistribution(numa=tw.NumaHint.interleaved(pin=True))

    def all_same(expected):
        call = lambda: tw.matmul(a, a, threads=2, distribution=pinned)
        return all(bool((c == expected).all()) for c in [call() for _ in range(20)])

    def outcome(**found):
        print(json.dumps({"nodes": tw.info().numa_nodes, **found}))
"""

PINNED = """
    seen, done = [], threading.Event()

    def workers():
        for task in os.listdir("/proc/self/task"):
            # A thread that has ended stays in the list for a moment.
            with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm") as name:
                if name.read().startswith("threadwise"):
                    yield sorted(os.sched_getaffinity(int(task)))

    def watch():
        while not done.wait(0.001):
            seen.extend(workers())

    watcher = threading.Thread(target=watch)
    expected = tw.matmul(a, a, threads=1)
    watcher.start()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        same = all_same(expected)
    done.set()
    watcher.join()
    alone = sum(len(mask) == 1 for mask in seen) / max(len(seen), 1)
    free = all(mask == allowed for mask in [sorted(os.sched_getaffinity(0)), *workers()])
    outcome(same=same, alone=alone, free=free, warnings=len(warned))
"""

REFUSED = """
    class Step(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte),
                    ("k", ctypes.c_uint)]

    class Filter(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("steps", ctypes.POINTER(Step))]

    # sched_setaffinity fails with EPERM from now on, in this thread and those that it starts.
    call = {"x86_64": 203, "aarch64": 122}[platform.machine()]
    steps = (Step * 4)(Step(0x20, 0, 0, 0), Step(0x15, 0, 1, call), Step(0x06, 0, 0, 0x50001),
                       Step(0x06, 0, 0, 0x7FFF0000))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Filter(4, steps)), 0, 0) == 0
    expected = tw.matmul(a, a, threads=1)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        same = all_same(expected)
    kinds = [warning.category.__name__ for warning in warned]
    outcome(same=same, kinds=kinds, sentences=[str(warning.message) for warning in warned])
"""


def run(program: str, folder: Path) -> Any:
    """Return what the program says where the first and the last CPU have nodes of their own."""
    allowed = sorted(os.sched_getaffinity(0))
    for node, cpu in [("node0", allowed[0]), ("node1", allowed[-1])]:
        (folder / node).mkdir()
        (folder / node / "cpulist").write_text(f"{cpu}\n")
    command = [sys.executable, "-c", textwrap.dedent(BEGINNING) + textwrap.dedent(program)]
    mounted = [
        *(shutil.which("unshare") or "false", "--user", "--map-root-user", "--mount", "sh", "-c"),
        'mount --bind "$1" /sys/devices/system/node && shift && exec "$@"',
        *("sh", str(folder)),
    ]
    may_mount = subprocess.run([*mounted, "true"], check=False, capture_output=True).returncode == 0
    command = mounted + command if may_mount else command
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_pinned_worker_is_on_one_cpu_during_calls_and_free_afterwards(tmp_path: Path) -> None:
    found = run(PINNED, tmp_path)
    assert (found["same"], found["free"], found["warnings"]) == (True, True, 0)
    if found["nodes"] > 1 and len(os.sched_getaffinity(0)) > 1:
        # Half of the time or so: also between calls it is free, and kept off its caller's CPU while
        # it wakes up, which alone makes less than a hundredth.
        assert found["alone"] > 0.05


def test_where_pinning_is_refused_there_is_one_warning_and_no_error(tmp_path: Path) -> None:
    found = run(REFUSED, tmp_path)
    assert found["same"]
    if found["nodes"] > 1 and len(os.sched_getaffinity(0)) > 1:
        assert found["kinds"] == ["RuntimeWarning"]
        expected = "pin=True of a NumaHint has no effect: a worker cannot be kept on CPUs "
        assert found["sentences"][0].startswith(expected)
    else:
        assert found["kinds"] == []
