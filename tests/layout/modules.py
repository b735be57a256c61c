"""The modules of the package, and what each of them imports."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

from layout.house import ROOMS, ROOT, files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, KeysView

_TOP = tuple(f"{room}/" for room in ROOMS)


@cache
def imports(*, within_functions: bool) -> dict[str, set[str]]:
    """Return the modules of the package, and those of them that each one names in imports."""
    paths = {module_of(file): file for file in sources()}
    walk = ast.walk if within_functions else _outside_of_functions
    return {name: _named(name, path, paths.keys(), walk) for name, path in paths.items()}


def _outside_of_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _outside_of_functions(node)


@cache
def sources() -> list[str]:
    """Return the files of the package, relative to the root."""
    packaged = [file for file in files(".py") if file.startswith(("src/jobsd/", *_TOP))]
    return [file for file in packaged if not (ROOT / file).is_symlink()]


def module_of(file: str) -> str:
    """Return the module that a file is."""
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
