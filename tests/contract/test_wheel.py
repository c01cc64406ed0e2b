"""The wheel: small, for every Python from 3.11 on, and enough by itself."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(600)  # it may be the first to build anything


def _run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=550, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel for this machine as it is for a release."""
    folder = tmp_path_factory.mktemp("wheel")
    maturin = Path(sys.executable).with_name("maturin")
    _run(maturin, "build", "--release", "--locked", "--out", folder, cwd=ROOT)
    [path] = folder.iterdir()
    return path


def test_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 10e6


def test_is_for_every_python_from_3_11_on(wheel: Path) -> None:
    assert wheel.name.split("-")[2:4] == ["cp311", "abi3"]


def test_contains_the_package_one_binary_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "threadwise/__init__.py" in names
    assert "threadwise/py.typed" in names
    assert "threadwise/samples/stdlib-mistral-2.8m/model.safetensors" in names
    binaries = [name for name in names if name.endswith((".so", ".pyd", ".dylib", ".dll"))]
    assert len(binaries) == 1
    assert binaries[0].startswith("threadwise/_threadwise.")
    assert {Path(name).name for name in names} >= {"LICENSE-MIT", "LICENSE-APACHE", "METADATA"}
    assert [name for name in names if not name.startswith("threadwise")] == []


def test_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    [python] = (tmp_path / "venv").glob("*/python.exe" if sys.platform == "win32" else "bin/python")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    _run(python, "-m", "pip", "install", "--quiet", wheel, cwd=elsewhere)
    program = """
import numpy as np
import threadwise as tw
a = np.ones((300, 300), np.float32)
assert (tw.matmul(a, a, threads=2) == 300).all()
print(tw.info().profile, tw.__file__)
"""
    profile, where = _run(python, "-W", "error", "-c", program, cwd=elsewhere).split(maxsplit=1)
    assert profile == "release"
    assert Path(where).is_relative_to(tmp_path / "venv")
