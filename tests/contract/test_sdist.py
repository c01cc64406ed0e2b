"""The source distribution: all that its lock file speaks of, so that it builds with --locked."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(300)


def _run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_lock_file_fits_the_workspace_that_is_packed(tmp_path: Path) -> None:
    maturin = Path(sys.executable).with_name("maturin")
    _run(maturin, "sdist", "--out", tmp_path, cwd=ROOT)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    [sources] = (path for path in tmp_path.iterdir() if path.is_dir())
    assert (sources / "Cargo.lock").read_bytes() == (ROOT / "Cargo.lock").read_bytes()
    # Cargo refuses here if members are missing that the lock file knows.
    crates = _run("cargo", "tree", "--locked", "--workspace", "--depth", "0", cwd=sources)
    packed = {line.split()[0] for line in crates.splitlines() if line.startswith("threadwise")}
    assert packed == {path.parent.name for path in (ROOT / "rust").glob("*/Cargo.toml")}
