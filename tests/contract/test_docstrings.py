"""Docstrings of all that is public: the sections that each needs, and every parameter by its name.

`test_api` has the names, and what is asked of single functions beyond this.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import pytest

from surface import MODULES

FUNCTIONS: dict[str, Callable[..., object]] = {}
CLASSES: dict[str, type] = {}
for _module in MODULES:
    for _name in _module.__all__:
        _found = getattr(_module, _name)
        if inspect.isfunction(_found) or inspect.isbuiltin(_found):
            FUNCTIONS[f"{_found.__module__}.{_name}"] = _found
        elif inspect.isclass(_found):
            CLASSES[f"{_found.__module__}.{_name}"] = _found

SURE = {"info", "names", "register_joblib", "reset_work_stats", "work_stats"}
"""What cannot go wrong, or only by something that is not there."""
MADE = {
    *("CausalLM", "Communicator", "KvCache", "Optimizer", "PackedWeight"),
    *("QuantizedModel", "Stream", "ThreadComm", "Schedule"),
}
"""Classes whose objects other functions make, or that are only the base of others."""


def _sections(of: object) -> set[str]:
    return set(re.findall(r"^([A-Z]\w+(?: \w+)*)\n-+$", inspect.getdoc(of) or "", re.MULTILINE))


def _documented(of: object) -> list[str]:
    text = inspect.getdoc(of) or ""
    section = text.split("Parameters\n----------\n")[-1].split("\n\n")
    body = "\n\n".join(section)
    body = re.split(r"\n\n[A-Z][\w ]+\n-+\n", body)[0]
    lines = re.findall(r"^(\**\w+(?:, \**\w+)*)(?: : .*)?$", body, re.MULTILINE)
    return [name.lstrip("*") for line in lines for name in line.split(", ")]


def _parameters(of: Callable[..., object]) -> list[str]:
    return [name for name in inspect.signature(of).parameters if name not in {"self", "cls"}]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_its_sections(name: str) -> None:
    function = FUNCTIONS[name]
    signature, sections = inspect.signature(function), _sections(function)
    needed = {"Examples"} | ({"Parameters"} if signature.parameters else set())
    if signature.return_annotation not in {None, "None", inspect.Signature.empty}:
        needed.add("Returns")
    if function.__name__ not in SURE:
        needed.add("Raises")
    assert needed - sections == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_documents_each_parameter_in_order(name: str) -> None:
    function = FUNCTIONS[name]
    if _parameters(function):
        assert _documented(function) == _parameters(function)


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_the_first_line_is_a_sentence(name: str) -> None:
    text = inspect.getdoc((FUNCTIONS | CLASSES)[name]) or ""
    assert re.match(r"[A-Z`].*\.$", text.splitlines()[0])


def _fields(kind: type) -> Iterator[tuple[str, bool]]:
    """Yield the fields of a class, and whether a docstring follows each."""
    for base in reversed(kind.__mro__[:-1]):
        if not base.__module__.startswith("threadwise") or not _has_source(base):
            continue
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for at, node in enumerate(tree.body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                after = tree.body[at + 1] if at + 1 < len(tree.body) else None
                text = after.value if isinstance(after, ast.Expr) else None
                is_text = isinstance(text, ast.Constant) and isinstance(text.value, str)
                yield node.target.id, is_text


def _has_source(kind: type) -> bool:
    return kind.__module__ != "threadwise._threadwise"


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_documents_what_it_is_made_of(name: str) -> None:
    kind = CLASSES[name]
    if issubclass(kind, BaseException | Enum) or kind.__name__ in MADE:
        assert len(inspect.getdoc(kind) or "") > 40
        return
    by_field = dict(_fields(kind))
    known = {field for field, is_said in by_field.items() if is_said}
    known |= set(_documented(kind)) if "Parameters" in _sections(kind) else set()
    hidden: set[str] = set()
    if dataclasses.is_dataclass(kind):
        hidden = {field.name for field in dataclasses.fields(kind) if not field.repr}
    asked = [each for each in _parameters(kind) if not each.startswith("_")]
    assert [each for each in asked if each not in known | hidden] == []


def _methods() -> Iterator[tuple[str, Callable[..., object]]]:
    for path, kind in CLASSES.items():
        for name, found in vars(kind).items():
            if name.startswith("_"):
                continue
            if isinstance(found, property):
                assert found.fget
                yield f"{path}.{name}", found.fget
            elif isinstance(found, staticmethod | classmethod):
                yield f"{path}.{name}", found.__func__
            elif inspect.isfunction(found):
                yield f"{path}.{name}", found


METHODS = dict(_methods())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_does_and_names_its_parameters(name: str) -> None:
    method = METHODS[name]
    text = inspect.getdoc(method) or ""
    if not text:  # what a base class has said of it
        kind = CLASSES[name.rpartition(".")[0]]
        text = next(filter(None, (_said(base, method.__name__) for base in kind.__mro__)), "")
    assert re.match(r"[A-Z`].*[.:]$", text.splitlines()[0])
    silent = [each for each in _parameters(method) if not re.search(rf"\b{each}\b", text)]
    assert silent == []


def _said(kind: type, name: str) -> str:
    return inspect.getdoc(vars(kind).get(name)) or ""


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_annotations_are_complete_and_mean_something(name: str) -> None:
    function: Any = (FUNCTIONS | METHODS)[name]
    if inspect.isbuiltin(function):
        return  # its stub has them, which stubtest compares
    module = importlib.import_module(function.__module__)
    names = {"self", "cls"}
    hints = set(function.__annotations__)
    assert {*inspect.signature(function).parameters, "return"} - names <= hints
    guarded = "if TYPE_CHECKING" in inspect.getsource(module)
    if not guarded:
        typing.get_type_hints(function)
