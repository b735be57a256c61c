"""Tests use what the product offers: few of them reach for a private name."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

from layout.house import ROOT, files

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE_MAX = 99
"""To be lowered with each name that becomes public, or that no test needs."""

_PUBLIC = frozenset({"_asdict", "_exit", "_fields", "_getframe", "_make", "_replace"})
"""Names with an underscore that the standard library documents."""

_OWN = frozenset({"self", "cls"})


def test_few_private_names_are_used_by_tests() -> None:
    found = Counter(
        {
            name: sum(1 for _ in _private(ast.parse((ROOT / name).read_text(encoding="utf-8"))))
            for name in files(".py")
            if name.startswith("tests/")
        }
    )

    print(*(f"{count:4} {name}" for name, count in found.most_common() if count), sep="\n")
    assert found.total() <= PRIVATE_MAX


def test_own_and_documented_names_are_not_counted() -> None:
    text = "self._a; x._replace(); os._exit(0); x.__dict__; x._b; self.x._c"
    imports = "from jobsd.web import _d, e\nfrom waiting import _f"

    assert list(_private(ast.parse(text))) == ["_b", "_c"]
    assert list(_private(ast.parse(imports))) == ["_d"]


def _private(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if not (isinstance(node.value, ast.Name) and node.value.id in _OWN):
                yield from filter(_is_private, [node.attr])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jobsd"):
            yield from filter(_is_private, [alias.name for alias in node.names])


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in _PUBLIC
