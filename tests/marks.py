"""Tests with marks, as pages of the documentation are made of them: found by reading."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Marked:
    """A test and the arguments of its marks, by their names; those of parameters too."""

    path: Path
    name: str
    marks: dict[str, list[tuple[Any, ...]]]

    @property
    def id(self) -> str:
        """What pytest calls it, without parameters."""
        return f"tests/{self.path.relative_to(TESTS)}::{self.name}"

    @property
    def link(self) -> str:
        """The sentence that the test states, and where it stands, for a page in docs."""
        sentence = self.name.removeprefix("test_").replace("_", " ")
        awaited = " (not yet)" if "xfail" in self.marks else ""
        return f"[{sentence}](../../tests/{self.path.relative_to(TESTS)}){awaited}"


def marked(*wanted: str) -> list[Marked]:
    """Return the tests that bear one of these marks, by path and place."""
    return [
        test
        for path in sorted(TESTS.rglob("test_*.py"))
        for test in _tests_in(path)
        if test.marks.keys() & set(wanted)
    ]


def _tests_in(path: Path) -> Iterator[Marked]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks: dict[str, list[tuple[Any, ...]]] = {}
            for decorator in node.decorator_list:
                for name, arguments in _marks(decorator):
                    marks.setdefault(name, []).append(arguments)
            yield Marked(path, node.name, marks)


def _marks(decorator: ast.expr) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the marks of one decorator; arguments that are no literals are left out."""
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, tuple(_literals(node.args))


def _literals(arguments: list[ast.expr]) -> Iterator[Any]:
    for argument in arguments:
        try:
            yield ast.literal_eval(argument)
        except ValueError:
            continue
