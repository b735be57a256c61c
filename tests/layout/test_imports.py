"""How much of the product is imports."""

import ast
from typing import TypeGuard

from layout.house import ROOMS, ROOT, files

_PRODUCT = ("src/jobsd/", *(f"{room}/" for room in ROOMS))
_SHARE_MAX = 0.072
"""What is needed to import a name says nothing to who reads what a file does."""


def test_imports_are_a_small_part_of_the_product() -> None:
    product = [name for name in files(".py") if name.startswith(_PRODUCT)]
    sources = [(ROOT / name).read_text(encoding="utf-8") for name in product]

    lines = sum(source.count("\n") for source in sources)
    assert sum(map(_import_lines, sources)) <= lines * _SHARE_MAX


def _import_lines(source: str) -> int:
    """Return the lines of imports and TYPE_CHECKING blocks; blank ones do not count."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_for_checkers(node):
            found |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = source.splitlines()
    return sum(bool(lines[number - 1].strip()) for number in found)


def _is_for_checkers(node: ast.AST) -> TypeGuard[ast.If]:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False
