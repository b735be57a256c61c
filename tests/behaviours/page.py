"""Makes docs/evidence/behaviours.md of the table of behaviours and the marks of the tests.

    python tests/behaviours/page.py

Run it when a test gets or loses a mark, or a decision changes.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

from marks import TESTS, Marked, marked

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLE = Path(__file__).with_name("behaviours.toml")
FRAME = Path(__file__).with_name("page.md")
PAGE = TESTS.parent / "docs/evidence/behaviours.md"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One behaviour, and what we have decided about it."""

    number: int
    section: str
    behaviour: str
    decision: str


def behaviours() -> list[Behaviour]:
    """Return the table in its order."""
    sections = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [
        Behaviour(int(number), section, **row)
        for section, rows in sections.items()
        for number, row in rows.items()
    ]


def proofs() -> list[Marked]:
    """Return the tests that bear numbers of behaviours, by path and place."""
    return marked("behaviour")


def numbers(proof: Marked) -> set[int]:
    """Return the numbers that a test bears."""
    return {number for arguments in proof.marks["behaviour"] for number in arguments}


def page(table: Iterable[Behaviour], proven: Iterable[Marked]) -> str:
    """Return the text of the page."""
    found = list(proven)
    lines: list[str] = []
    section = ""
    for row in table:
        if row.section != section:
            section = row.section
            lines += [f"\n## {section}\n", "| | behaviour | decision | tests |", "|-|-|-|-|"]
        links = "<br>".join(proof.link for proof in found if row.number in numbers(proof))
        kind, _, why = row.decision.partition(": ")
        decision = f"*{kind}*: {why}" if why else f"*{kind}*"
        lines.append(f"| {row.number} | {row.behaviour} | {decision} | {links} |")
    return FRAME.read_text(encoding="utf-8").format(sections="\n".join(lines).strip())


if __name__ == "__main__":
    PAGE.write_text(page(behaviours(), proofs()), encoding="utf-8")
