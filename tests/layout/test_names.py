"""What the pages of explanation name exists: files, statements, functions, words of code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layout.house import ROOT, files

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = sorted(
    ["ARCHITECTURE.md", "CONTRIBUTING.md"]
    + [f"docs/explanation/{page.name}" for page in (ROOT / "docs/explanation").glob("*.md")]
)
MADE = (".venv/", "build/", "storage/")
"""Where things lie that a clone does not have."""

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_SUFFIX = r"\.(?:py|sql|toml|md|yml|stamp|tsv)"
_PATH = re.compile(rf"[\w.*-]+/(?:[\w.*/-]+)?|[\w*-]+{_SUFFIX}")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_FUNCTIONS = re.compile(r"^\|.* \| `([\w.]+)` \| `([\w/]+\.py)` \|", re.MULTILINE)
_STATEMENTS = re.compile(r"`([\w/]+\.sql)`: ([^|;]*)")


def _codes(page: str) -> Iterator[str]:
    text = _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    yield from _CODE.findall(text)


def _words() -> list[tuple[str, str, str]]:
    """Return the rows of the table by which a room is found: word, file, name in it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(
        r"^\| (\w[\w ]*) \| `([\w/.]+\.py)` \| `([\w.]+)` \|$", text, re.MULTILINE
    )


@pytest.mark.parametrize("page", PAGES)
def test_each_file_that_a_page_names_is_there(page: str) -> None:
    named = {code for code in _codes(page) if _PATH.fullmatch(code)}

    assert {name for name in named if not _is_there(name)} == set()


@pytest.mark.parametrize("page", PAGES)
def test_each_name_that_a_page_names_is_there(page: str) -> None:
    named = {
        code for code in _codes(page) if _NAME.fullmatch(code) and not _PATH.fullmatch(code)
    }

    assert {name for name in named if not _is_known(name)} == set()


@pytest.mark.parametrize("page", PAGES)
def test_each_statement_that_a_page_names_is_in_its_file(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {
        (file, statement)
        for file, others in _STATEMENTS.findall(text)
        for statement in _CODE.findall(others)
    }

    assert {each for each in named if f"-- {each[1]}:" not in _content(each[0])} == set()


@pytest.mark.parametrize(("word", "file", "name"), _words())
def test_a_room_is_found_by_its_word(word: str, file: str, name: str) -> None:
    assert (ROOT / file).exists()
    assert name in _defined(ROOT / file), f"{word}: {file} has no {name}"


@pytest.mark.parametrize("page", PAGES)
def test_each_function_of_a_table_is_in_its_file(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {(ROOT / "src/jobsd" / file, name) for name, file in _FUNCTIONS.findall(text)}

    assert {(str(file), name) for file, name in named if name not in _defined(file)} == set()


def test_the_name_in_a_room_has_its_word() -> None:
    without = {
        word
        for word, file, name in _words()
        if word.lower().replace(" ", "_") not in f"{file} {name}".lower()
    }

    assert without == set()


def _is_there(name: str) -> bool:
    """Return whether a path leads somewhere, from the root or from the package."""
    places = (ROOT, ROOT / "src/jobsd")
    return name.startswith(MADE) or any(any(place.glob(name.strip("/"))) for place in places)


def _content(name: str) -> str:
    return (ROOT / "src/jobsd" / name).read_text(encoding="utf-8")


def _is_known(name: str) -> bool:
    """Return whether code has this name: of a class its own, and else as a word."""
    if name[0].isupper() and "." in name:
        return name in _members()
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", _sources()) is not None


@cache
def _sources() -> str:
    """Return all that is no document, one after the other."""
    names = [name for name in files() if not name.endswith(".md") and name != _here()]
    return "\n".join(
        (ROOT / name).read_bytes().decode(errors="replace")
        for name in names
        if (ROOT / name).is_file()
    )


def _here() -> str:
    return str(Path(__file__).relative_to(ROOT))


@cache
def _members() -> set[str]:
    """Return the functions and classes of all files of the product, with their classes."""
    return {
        name
        for file in files(".py")
        if not file.startswith(("tests/", "benchmarks/"))
        for name in _defined(ROOT / file)
    }


@cache
def _defined(path: Path) -> set[str]:
    """Return the functions and classes of a file, if it is there."""
    if not path.exists():
        return set()
    return set(_names(ast.parse(path.read_text(encoding="utf-8")), ""))


def _names(tree: ast.AST, within: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield within + node.name
            yield from _names(node, f"{within}{node.name}.")
