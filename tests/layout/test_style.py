"""What the style asks for and no checker counts."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from layout.house import ROOT, files

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOTES = re.compile(rb"\b(TOD[O]|FIXM[E])\b")
_FILE_LINES = 400
_FUNCTION_LINES = 40


def test_nothing_is_left_for_later_in_a_note() -> None:
    found = [name for name in files() if _is_text(name) and _NOTES.search(_content(name))]

    assert found == []


def test_no_file_is_longer_than_400_lines() -> None:
    code = [*files(".py", ".sql"), "bin/.setup", "bin/jobs", "bin/test", ".ci/run"]
    lengths = {name: _content(name).count(b"\n") for name in code}

    assert {name: n for name, n in lengths.items() if n > _FILE_LINES} == {}


def test_no_function_is_longer_than_40_lines() -> None:
    lengths = {
        f"{name}:{function.lineno} {function.name}": _length(function)
        for name in files(".py")
        if not name.startswith("tests/")
        for function in _functions(ast.parse(_content(name)))
    }

    assert {name: n for name, n in lengths.items() if n > _FUNCTION_LINES} == {}


def _content(name: str) -> bytes:
    return (ROOT / name).read_bytes()


def _is_text(name: str) -> bool:
    return (ROOT / name).is_file() and b"\0" not in _content(name)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines from `def` to the end, with the signature and the docstring."""
    return (function.end_lineno or function.lineno) - function.lineno + 1
