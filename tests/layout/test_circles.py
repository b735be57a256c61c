"""No circle of imports, those for type checkers included, in the rooms that are done."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

import pytest

from layout.house import ROOT, files

if TYPE_CHECKING:
    from collections.abc import KeysView

ROOMS = (
    "jobsd.configuration",
    "jobsd.daemon",
    "jobsd.database",
    "jobsd.dispatcher",
    "jobsd.embedded",
    "jobsd.heartbeat",
    "jobsd.instruments",
    "jobsd.operations",
    "jobsd.processes",
    "jobsd.recurring",
    "jobsd.scheduler",
    "jobsd.schedules",
    "jobsd.supervisor",
    "jobsd.worker",
)
"""The rooms that hold this; each is added once it does."""

_TOP = ("daemon/", "dispatcher/", "scheduler/", "supervisor/", "web/", "worker/")


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_of_a_room_imports_itself_by_way_of_others(room: str) -> None:
    modules = {name for name in _imports() if name.startswith(f"{room}.")}

    assert modules
    assert sorted(name for name in modules if name in _reached_from(name)) == []


def _reached_from(name: str) -> set[str]:
    """Return all modules that importing this one would import, each `if` taken."""
    reached: set[str] = set()
    waiting = list(_imports()[name])
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += _imports()[module]
    return reached


@cache
def _imports() -> dict[str, set[str]]:
    """Return the modules of the package, and those of them that each one names in imports."""
    paths = {_module(file): file for file in files(".py") if _is_packaged(file)}
    return {name: _named(name, path, paths.keys()) for name, path in paths.items()}


def _is_packaged(file: str) -> bool:
    return file.startswith(("src/jobsd/", *_TOP)) and not (ROOT / file).is_symlink()


def _module(file: str) -> str:
    path = file.removeprefix("src/") if file.startswith("src/") else f"jobsd/{file}"
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _named(name: str, path: str, modules: KeysView[str]) -> set[str]:
    package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - max(0, node.level - 1)]
            parts = [*(above if node.level else []), *([node.module] if node.module else [])]
            base = ".".join(parts)
            names = {f"{base}.{each.name}" for each in node.names}
            found |= {each if each in modules else base for each in names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return {each for each in found if each in modules and each != name}
