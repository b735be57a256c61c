"""Makes docs/behaviours.md of the table of behaviours and the marks of the tests.

    python tests/behaviours/page.py

Run it when a test gets or loses a mark, or a decision changes.
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TESTS = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("behaviours.toml")
FRAME = Path(__file__).with_name("page.md")
PAGE = TESTS.parent / "docs/behaviours.md"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One behaviour, and what we have decided about it."""

    number: int
    section: str
    behaviour: str
    decision: str


@dataclass(frozen=True, slots=True)
class Proof:
    """A test that bears numbers of behaviours."""

    path: Path
    name: str
    numbers: frozenset[int]
    is_awaited: bool
    """Whether the test is expected to fail still."""

    @property
    def link(self) -> str:
        """The sentence that the test states, and where it stands."""
        sentence = self.name.removeprefix("test_").replace("_", " ")
        awaited = " (not yet)" if self.is_awaited else ""
        return f"[{sentence}](../tests/{self.path.relative_to(TESTS)}){awaited}"


def behaviours() -> list[Behaviour]:
    """Return the table in its order."""
    sections = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [
        Behaviour(int(number), section, **row)
        for section, rows in sections.items()
        for number, row in rows.items()
    ]


def proofs() -> list[Proof]:
    """Return the tests that bear marks, by path and place."""
    return [proof for path in sorted(TESTS.rglob("test_*.py")) for proof in _proofs_in(path)]


def page(table: Iterable[Behaviour], marked: Iterable[Proof]) -> str:
    """Return the text of the page."""
    found = list(marked)
    lines: list[str] = []
    section = ""
    for row in table:
        if row.section != section:
            section = row.section
            lines += [f"\n## {section}\n", "| | behaviour | decision | tests |", "|-|-|-|-|"]
        links = "<br>".join(proof.link for proof in found if row.number in proof.numbers)
        kind, _, why = row.decision.partition(": ")
        decision = f"*{kind}*: {why}" if why else f"*{kind}*"
        lines.append(f"| {row.number} | {row.behaviour} | {decision} | {links} |")
    return FRAME.read_text(encoding="utf-8").format(sections="\n".join(lines).strip())


def _proofs_in(path: Path) -> Iterator[Proof]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    of_all = [mark for node in tree.body if _is_pytestmark(node) for mark in _marks(node)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [*of_all, *(mark for each in node.decorator_list for mark in _marks(each))]
            numbers = {number for name, call in marks for number in _numbers(name, call)}
            if numbers:
                awaited = any(name == "xfail" for name, _ in marks)
                yield Proof(path, node.name, frozenset(numbers), awaited)


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def _marks(marked: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield the marks with arguments, also those of single parameters."""
    for node in ast.walk(marked):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def _numbers(name: str, call: ast.Call) -> Iterator[int]:
    if name == "behaviour":
        yield from (ast.literal_eval(argument) for argument in call.args)


if __name__ == "__main__":
    PAGE.write_text(page(behaviours(), proofs()), encoding="utf-8")
