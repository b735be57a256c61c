"""One word for one concept: the words of a private language stay out of names.

A name is a file's, an identifier's or an event's. It is cut into words at underscores, dots
and capitals, and no word may be one of these. Docstrings and comments are English, which has
them all.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING

import pytest

from jobsd.events.event_list import EVENTS
from layout.house import ROOT, files

if TYPE_CHECKING:
    from collections.abc import Iterator

BANNED = frozenset(
    """
    bury buries buried burial burials
    told tell tells
    look looks looked
    crew
    wear wears worn
    owe owes owed
    fate fates
    stranger strangers
    wish wishes
    ear ears
    """.split()
)
"""What to say instead is in the names of today: recovery, emit, report, poll, child, recycle,
pending, outcome, peer, request, listener."""

ROOMS = sorted({file.rpartition("/")[0] for file in files(".py", ".sql")})
"""Every folder that has code."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_of_a_room_has_a_banned_word(room: str) -> None:
    found = {
        f"{file}: {name}"
        for file in files(".py", ".sql")
        if file.rpartition("/")[0] == room
        for name in (file, *_names(file))
        if BANNED & set(_words(name))
    }

    assert sorted(found) == []


def test_no_event_has_a_banned_word() -> None:
    named = [word for event in EVENTS.values() for word in (event.name, *event.facts)]

    assert [name for name in named if BANNED & set(_words(name))] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("_wake_on_signals", ["wake", "on", "signals"]),
        ("HangDetection", ["hang", "detection"]),
        ("test_years.py", ["test", "years", "py"]),
        ("RESTS_S", ["rests", "s"]),
        ("job.reported", ["job", "reported"]),
    ],
)
def test_a_name_is_cut_into_its_words(name: str, words: list[str]) -> None:
    assert _words(name) == words


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _names(file: str) -> Iterator[str]:
    """Yield the identifiers of a module, or the names of the statements and columns of SQL."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".sql"):
        yield from re.findall(r"^-- (\w+):", text, re.MULTILINE)
        yield from re.findall(r"[a-z_]+", re.sub(r"--.*|'[^']*'", "", text))
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.string
    # The text of an f-string, and the annotations that are texts, are not looked into.
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^[a-z]+\.[a-z_]+$", node.value)
