"""The wheel: small, for every Python from 3.11 on, enough by itself, nothing but the package."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "threadwise"
MOST_BYTES = 10_000_000
"""Of which the sample model is more than half."""

pytestmark = pytest.mark.timeout(600)  # it may be the first to build anything

CAPABILITIES = """
import ensurepip, json, sys, sysconfig, venv
is_usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
print(json.dumps([list(sys.version_info[:2]), is_usual]))
"""

ALONE = """
import sys
import numpy as np
import threadwise as tw

a = np.arange(90_000, dtype=np.float32).reshape(300, 300) % 7
assert (tw.matmul(a, a, threads=2) == a @ a).all()
q = tw.quant.quantize(a, bits=4)
assert abs(np.asarray(q) - a).max() < 0.5
assert tw.linear(a, q).shape == (300, 300)
model = tw.models.load(tw.samples.path("stdlib-mistral-2.8m"), quantize=4)
assert len(model.generate([1, 2, 3], max_new_tokens=4).token_ids) == 4
assert not {"typer", "ml_dtypes", "tokenizers", "yaml", "matplotlib"} & set(sys.modules)
print(tw.info().profile, tw.__file__)
"""

STORY = "from threadwise.cli._story import tell; assert tell(windows=2, new_tokens=8, rounds=1)"
"""What ``threadwise demo`` does, with less of everything."""


def _run(*command: str | Path, cwd: Path, codes: tuple[int, ...] = (0,)) -> str:
    ended = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=550, check=False
    )
    assert ended.returncode in codes, ended.stdout + ended.stderr
    return ended.stdout.strip()


def _pythons() -> dict[str, Path]:
    """Return an interpreter of each version that the wheel is for, of those on this machine."""
    names = [f"python3.{minor}" for minor in range(11, 30)]
    found = [Path(sys.executable).resolve()]
    found += sorted((Path.home() / ".pyenv" / "versions").glob("*/bin/python"))
    found += [Path(path) for path in map(shutil.which, names) if path]
    versions: dict[str, Path] = {}
    for python in found:
        asked = subprocess.run(
            [python, "-c", CAPABILITIES], capture_output=True, text=True, timeout=60, check=False
        )
        if asked.returncode == 0:
            version, is_usual = json.loads(asked.stdout)
            if is_usual and version >= [3, 11]:
                versions.setdefault(".".join(map(str, version)), python)
    return versions


PYTHONS = _pythons()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel for this machine as it is for a release."""
    folder = tmp_path_factory.mktemp("wheel")
    maturin = Path(sys.executable).with_name("maturin")
    _run(maturin, "build", "--release", "--locked", "--out", folder, cwd=ROOT)
    [path] = folder.iterdir()
    return path


def test_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < MOST_BYTES


def test_is_for_every_python_from_3_11_on(wheel: Path) -> None:
    assert wheel.name.split("-")[2:4] == ["cp311", "abi3"]


def test_contains_the_package_one_binary_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in names if ".dist-info/" in name}
    assert {Path(name).name for name in about} >= {"LICENSE-MIT", "LICENSE-APACHE", "METADATA"}
    [binary] = {name for name in names if name.endswith((".so", ".pyd", ".dylib", ".dll"))}
    assert binary.startswith("threadwise/_threadwise.")
    package = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".so", ".pyd"}
    }
    assert package >= {
        "threadwise/py.typed",
        "threadwise/_threadwise.pyi",
        "threadwise/samples/stdlib-mistral-2.8m/model.safetensors",
    }
    assert names == about | package | {binary}


@pytest.mark.parametrize("version", PYTHONS)
def test_works_in_an_empty_environment(version: str, wheel: Path, tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    _run(PYTHONS[version], "-m", "venv", place, cwd=tmp_path)
    folder = place / ("Scripts" if os.name == "nt" else "bin")
    elsewhere.mkdir()
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(folder / "python", *install, wheel, cwd=elsewhere)
    printed = _run(folder / "python", "-W", "error", "-c", ALONE, cwd=elsewhere)
    profile, where = printed.split(maxsplit=1)
    assert profile == "release"
    assert Path(where).is_relative_to(place)

    # Without typer the command says what is missing.
    ended = subprocess.run([folder / "threadwise"], capture_output=True, text=True, check=False)
    assert (ended.returncode, "threadwise[cli]" in ended.stderr) == (2, True)

    _run(folder / "python", *install, f"{wheel}[cli,hf]", cwd=elsewhere)
    found = json.loads(_run(folder / "threadwise", "doctor", "--json", cwd=elsewhere, codes=(0, 1)))
    assert found["threads"] >= 1
    assert "class Queue:" in _run(folder / "python", "-W", "error", "-c", STORY, cwd=elsewhere)
