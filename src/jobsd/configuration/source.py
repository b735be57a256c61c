"""A text that somebody wrote, and what stands where in it.

Lines and columns count from 1, in characters of the file as it was written. An excerpt
shows one line and a caret below it; it is made for terminals, so it holds no control
character and no password.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

from jobsd.configuration.secrecy import Secrets
from jobsd.errors import Fault

_WIDTH = 100
_BEFORE = 60
_FAR = 2000


class Source:
    """One file's text under the name by which people know it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.secrets = Secrets(text)
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def position(self, index: int) -> tuple[int, int]:
        """Return line and column of the character at `index`."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def line(self, number: int) -> tuple[int, int]:
        """Return where a line begins and, without its end, ends."""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return start, end if end >= 0 else len(self.text)


@dataclass(frozen=True, slots=True)
class Place:
    """The characters from `start` up to `end` of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """The line in which it begins."""
        return self.source.position(self.start)[0]

    @property
    def name(self) -> str:
        """FILE:LINE:COLUMN of where it begins."""
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"

    @property
    def is_secret(self) -> bool:
        """Whether what stands here is not to be told."""
        return bool(self.source.secrets.within(self.start, self.end))

    def fault(self, message: str, hint: str = "") -> Fault:
        """Return the fault that `message` tells of what stands here."""
        if not self.source.text:
            return Fault(message, self.source.name, hint=hint)
        return Fault(message, self.name, _excerpt(self), hint)


def _excerpt(place: Place) -> str:
    line = place.line
    start, end = place.source.line(line)
    # A line may be the whole file: what is far from the caret is cut off before any work.
    start, end = max(start, place.start - _FAR), min(end, place.start + _FAR)
    shown = place.source.secrets.starred(start, end)
    first = max(0, place.start - start - _BEFORE)
    shown = "".join(map(_printable, shown[first : first + _WIDTH]))
    at = place.start - start - first
    marked = shown[at : at + max(1, place.end - place.start)].rstrip()
    caret = " " * _columns(shown[:at]) + "^" * max(1, _columns(marked))
    return f"{line:6} | {shown}".rstrip() + f"\n       | {caret}"


def _printable(character: str) -> str:
    if character == "\t":
        return " "
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    return sum(
        0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        for character in text
    )
