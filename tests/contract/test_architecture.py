"""The rules of the source: where unsafe code is, which way arrows point, how long files are."""

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RUST = ROOT / "rust"
PYTHON = ROOT / "python" / "threadwise"

ARROWS = {
    "threadwise-kernels": set(),
    "threadwise-runtime": set(),
    "threadwise-arrays": set(),
    "threadwise": {"threadwise-kernels", "threadwise-runtime"},
    "threadwise-python": {"threadwise", "threadwise-arrays"},
}
"""Which crates of ours each crate may use: downwards, and none twice removed."""


def _sources() -> Iterator[Path]:
    for folder, ending in [(RUST, "rs"), (ROOT / "python", "py"), (ROOT / "tests", "py")]:
        yield from folder.rglob(f"*.{ending}")


def _manifest(folder: str) -> dict[str, Any]:
    return tomllib.loads((RUST / folder / "Cargo.toml").read_text())


@pytest.mark.parametrize("crate", ["threadwise", "threadwise-python"])
def test_unsafe_is_only_named_to_be_forbidden(crate: str) -> None:
    lines = {
        line.strip()
        for path in (RUST / crate).rglob("*")
        if path.is_file()
        for line in path.read_text().splitlines()
        if "unsafe" in line
    }
    assert lines == {"#![forbid(unsafe_code)]"}
    assert "#![forbid(unsafe_code)]" in (RUST / crate / "src" / "lib.rs").read_text().splitlines()


@pytest.mark.parametrize("crate", ["threadwise-arrays", "threadwise-kernels", "threadwise-runtime"])
def test_each_unsafe_operation_says_why_it_is_safe(crate: str) -> None:
    bare = []
    for path in (RUST / crate).rglob("*.rs"):
        lines = path.read_text().splitlines()
        for i, line in enumerate(lines):
            code = line.split("//")[0]
            if re.search(r"\bunsafe (\{|impl)", code):
                above = "\n".join(lines[max(0, i - 8) : i + 1])
                bare += [] if "// SAFETY:" in above else [f"{path.relative_to(ROOT)}:{i + 1}"]
    assert bare == []


@pytest.mark.parametrize("crate", ARROWS)
def test_arrows_point_downwards(crate: str) -> None:
    manifest = _manifest(crate)
    assert manifest["package"]["name"] == crate
    tables = [manifest, *manifest.get("target", {}).values()]
    used = {name for table in tables for name in table.get("dependencies", {})}
    tested = {name for table in tables for name in table.get("dev-dependencies", {})}
    assert {name for name in used if name.startswith("threadwise")} == ARROWS[crate]
    assert {name for name in tested if name.startswith("threadwise")} <= ARROWS[crate]


def test_every_crate_that_ships_is_held_to_the_arrows() -> None:
    shipped = {path.parent.name for path in RUST.glob("*/Cargo.toml")} - {"threadwise-benches"}
    assert shipped == set(ARROWS)


def test_rayons_global_pool_is_never_used() -> None:
    # Its parallel iterators, its joins and its free functions all run there.
    outside = re.compile(r"rayon::(prelude|iter|join|scope|spawn|slice)|build_global")
    found = [path for path in RUST.rglob("*.rs") if outside.search(path.read_text())]
    assert found == []


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_package_imports_its_binary() -> None:
    folders = [ROOT / name for name in ("tests", "benches", "docs", "notebooks")]
    outside = [path for folder in folders for path in folder.rglob("*.py")]
    binary = "threadwise._threadwise"
    assert [path for path in outside if any(n.startswith(binary) for n in _imports(path))] == []
    assert any(binary in _imports(path) for path in PYTHON.rglob("*.py"))


def test_the_package_needs_numpy_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [re.split(r"\W", name)[0] for name in project["dependencies"]] == ["numpy"]


def test_files_are_short() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in _sources()}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) < 250


def test_builds_assume_no_particular_cpu() -> None:
    configured = [
        *ROOT.glob("*.toml"),
        *ROOT.glob(".cargo/*"),
        *ROOT.glob("rust/**/*.toml"),
        *ROOT.glob("rust/**/build.rs"),
        *ROOT.glob(".github/workflows/*"),
        ROOT / "Makefile",
        ROOT / ".ci" / "run",
    ]
    assert ROOT / "Cargo.toml" in configured
    assert [path for path in configured if "target-cpu" in path.read_text()] == []
