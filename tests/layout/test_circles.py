"""No circle of imports, those for type checkers included.

In most rooms not even one that is closed by an import within a function. In `jobs` three
methods import what is built on their class: `EnqueuedJob.result`, `CurrentJob.complete` and
`aenqueue`.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

import pytest

from layout.house import ROOT, files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping

ROOMS = (
    "jobsd.configuration",
    "jobsd.daemon",
    "jobsd.database",
    "jobsd.dispatcher",
    "jobsd.embedded",
    "jobsd.heartbeat",
    "jobsd.instruments",
    "jobsd.operations",
    "jobsd.performing",
    "jobsd.processes",
    "jobsd.recurring",
    "jobsd.scheduler",
    "jobsd.schedules",
    "jobsd.supervisor",
    "jobsd.testing",
    "jobsd.web",
    "jobsd.worker",
)
"""The rooms in which that goes for imports within functions, too."""

_TOP = ("daemon/", "dispatcher/", "scheduler/", "supervisor/", "web/", "worker/")


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_of_a_room_imports_itself_by_way_of_others(room: str) -> None:
    modules = {name for name in _imports(within_functions=True) if name.startswith(f"{room}.")}

    assert modules
    assert _in_circles(modules, within_functions=True) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = _imports(within_functions=False).keys()

    assert len(modules) > 400
    assert _in_circles(modules, within_functions=False) == []


def _in_circles(modules: Iterable[str], *, within_functions: bool) -> list[str]:
    imports = _imports(within_functions=within_functions)
    return sorted(name for name in modules if name in _reached_from(name, imports))


def _reached_from(name: str, imports: Mapping[str, set[str]]) -> set[str]:
    """Return all modules that importing this one would import, each `if` taken."""
    reached: set[str] = set()
    waiting = list(imports[name])
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += imports[module]
    return reached


@cache
def _imports(*, within_functions: bool) -> dict[str, set[str]]:
    """Return the modules of the package, and those of them that each one names in imports."""
    paths = {_module(file): file for file in files(".py") if _is_packaged(file)}
    walk = ast.walk if within_functions else _outside_of_functions
    return {name: _named(name, path, paths.keys(), walk) for name, path in paths.items()}


def _outside_of_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _outside_of_functions(node)


def _is_packaged(file: str) -> bool:
    return file.startswith(("src/jobsd/", *_TOP)) and not (ROOT / file).is_symlink()


def _module(file: str) -> str:
    path = file.removeprefix("src/") if file.startswith("src/") else f"jobsd/{file}"
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _named(
    name: str,
    path: str,
    modules: KeysView[str],
    walk: Callable[[ast.AST], Iterator[ast.AST]],
) -> set[str]:
    package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
    found: set[str] = set()
    for node in walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - max(0, node.level - 1)]
            parts = [*(above if node.level else []), *([node.module] if node.module else [])]
            base = ".".join(parts)
            names = {f"{base}.{each.name}" for each in node.names}
            found |= {each if each in modules else base for each in names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return {each for each in found if each in modules and each != name}
