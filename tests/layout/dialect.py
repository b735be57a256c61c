"""Counts eleven turns of speech that make prose hard to read and impossible to search.

They replace a noun by a pronoun or a clause: "what is due" for "due jobs", "who waits" for
"waiting threads", "so many" for a number with its noun. Docstrings, comments, comments of SQL
and the names of tests are counted, by room and per 1,000 words.

`PYTHONPATH=tests python -m layout.dialect ROOM` prints a room's sentences, and all rates.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layout.house import ROOMS, ROOT, files

if TYPE_CHECKING:
    from collections.abc import Iterator

SQL, TESTS, SINGLE = "comments of SQL", "names of tests", "single files"

_BEHIND_WHAT = (
    *("is", "are", "was", "were", "has", "had", "have", "can", "may", "must", "would"),
    *("it", "they", "we", "there", "no", "this", "that", "another", "a", "the", "comes"),
    *("came", "goes", "stands", "stays", "becomes", "became", "happens", "happened"),
)
_BEHIND_WHERE = (
    *("it", "there", "they", "none", "nothing", "no", "one", "that", "this", "both", "these"),
    *("those", "all", "only", "each", "neither", "is", "are", "was"),
)
TURNS = {
    "what is": rf"what (?:{'|'.join(_BEHIND_WHAT)})",
    "who": r"(?:who|whoever|whom|whose)",
    "nobody": r"(?:nobody|somebody|everybody)",
    "where": rf"where (?:{'|'.join(_BEHIND_WHERE)})",
    "so many": r"so (?:many|much|long|large|few|old)(?! (?:that|as))",
    "such": r"such\b(?! as)",
    "else": r"else",
    "those that": r"(?:those|that|one) (?:that|which)",
    "tell": r"(?:tells?|told|says?|said)",
    "anew": r"anew",
    "meant": r"meant",
}
PATTERNS = {name: re.compile(rf"\b{turn}\b", re.IGNORECASE) for name, turn in TURNS.items()}
_WORD = re.compile(r"[A-Za-z']+")
_ORDER = re.compile(r"\b(?:noqa|pyright|type):.*")
_TEST = re.compile(r"^ *(?:async )?def test_(\w+)", re.MULTILINE)


@dataclass
class Count:
    """The words of a room, and its sentences with a turn."""

    words: int = 0
    found: list[str] = field(default_factory=list[str])

    @property
    def rate(self) -> float:
        """The turns per 1,000 words."""
        return 1000 * len(self.found) / self.words if self.words else 0.0


def count() -> dict[str, Count]:
    """Return the counts by room."""
    counts: defaultdict[str, Count] = defaultdict(Count)
    for file in files(".py", ".sql"):
        if (room := _room(file)) is None:
            continue
        for prose in _prose(file):
            counts[room].words += len(_WORD.findall(prose))
            counts[room].found += (
                f"{file}: {name}: {prose}"
                for name, turn in PATTERNS.items()
                for _ in turn.findall(prose)
            )
    return dict(counts)


def _room(file: str) -> str | None:
    first, *others = file.split("/")
    if first == "tests":
        return TESTS if file.endswith(".py") else None
    if first == "benchmarks":
        return None
    if file.endswith(".sql"):
        return SQL
    if first in ROOMS:
        return first
    return others[1] if len(others) > 2 else SINGLE


def _prose(file: str) -> Iterator[str]:
    """Yield the texts of a file, each in one line."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.startswith("tests/"):
        yield from (name.replace("_", " ") for name in _TEST.findall(text))
    elif file.endswith(".sql"):
        for block in re.findall(r"(?:^[ \t]*--.*\n)+", text, re.MULTILINE):
            yield " ".join(line.strip(" -") for line in block.splitlines())
    else:
        yield from _comments(text)
        yield from _docstrings(text)


def _comments(text: str) -> Iterator[str]:
    """Yield the comments of a module; those of successive lines are one."""
    block, last = list[str](), 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 and block:
            yield " ".join(block)
            block.clear()
        block.append(_ORDER.sub("", token.string).strip("# "))
        last = token.start[0]
    if block:
        yield " ".join(block)


def _docstrings(text: str) -> Iterator[str]:
    """Yield the texts that stand alone in a body: docstrings, also those of constants."""
    for node in ast.walk(ast.parse(text)):
        body: object = getattr(node, "body", None)
        for each in body if isinstance(body, list) else []:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                yield " ".join(str(each.value.value).split())


def main() -> None:
    """Print the rate of each room, or the sentences of those that are given."""
    counts = count()
    for room in sys.argv[1:]:
        print("\n".join(counts[room].found))
    for room, each in sorted(counts.items(), key=lambda item: -item[1].rate):
        print(f"{each.rate:5.1f}  {len(each.found):4} in {each.words:5} words  {room}")


if __name__ == "__main__":
    main()
