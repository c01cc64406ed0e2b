import json
import subprocess

import threadwise as tw
from interpreters import threadwise

QUIET = {"THREADWISE_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return threadwise("doctor", *arguments, environment=QUIET | environment)


def test_prints_what_info_prints() -> None:
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"threadwise        {tw.__version__} (release build)\n")
    assert "threads           1, from THREADWISE_NUM_THREADS\n" in done.stdout


def test_says_whether_this_machine_is_calibrated() -> None:
    printed = doctor(THREADWISE_CALIBRATION="off").stdout
    assert "\ncalibration       none: constants of the machine are assumed, " in printed


def test_sees_the_pool_of_numpys_blas() -> None:
    pools = json.loads(doctor("--json").stdout)["pools"]
    assert {pool["library"] for pool in pools} >= {
        pool.library for pool in tw.info().pools or () if "numpy" in pool.file
    }


def test_json_has_every_field_of_info() -> None:
    done = doctor("--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert set(found) == set(tw.Info.__dataclass_fields__)
    assert found["version"] == tw.__version__
    assert found["threads"] == 1


def test_warnings_make_the_exit_code_1() -> None:
    crowded = doctor(THREADWISE_NUM_THREADS="64")
    assert crowded.returncode == 1
    assert "warning           threadwise has 64 threads" in crowded.stdout
    unknown = doctor("--json", THREADWISE_ISA="sse9")
    assert unknown.returncode == 1
    assert "THREADWISE_ISA is 'sse9'" in json.loads(unknown.stdout)["warnings"][0]
    for done in (crowded, unknown):
        assert done.stderr == ""
