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

from jobsd.errors import Fault

_WIDTH = 100
_BEFORE = 60
_FAR = 2000

_PASSWORDS = re.compile(
    r"""(?<=://)[^\s/@:"']*:(?P<url>[^\s"']+)@ | \bpassword=(?P<word>[^\s&"']+)""",
    re.VERBOSE | re.IGNORECASE,
)


class Source:
    """One file's text under the name by which people know it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def position(self, index: int) -> tuple[int, int]:
        """Return line and column of the character at `index`."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return a line without its end."""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)]


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

    def fault(self, message: str, hint: str = "") -> Fault:
        """Return the fault that `message` tells of what stands here."""
        if not self.source.text:
            return Fault(message, self.source.name, hint=hint)
        line, column = self.source.position(self.start)
        excerpt = _excerpt(self.source.line(line), line, column, self.end - self.start)
        return Fault(message, self.name, excerpt, hint)


def _excerpt(text: str, line: int, column: int, length: int) -> str:
    # A line may be the whole file: what is far from the caret is cut off before any work.
    cut = max(0, column - 1 - _FAR)
    shown = _PASSWORDS.sub(_starred, text[cut : column - 1 + _FAR])
    first = max(0, column - 1 - cut - _BEFORE)
    shown = "".join(map(_printable, shown[first : first + _WIDTH]))
    at = column - 1 - cut - first
    marked = shown[at : at + max(1, length)].rstrip()
    caret = " " * _columns(shown[:at]) + "^" * max(1, _columns(marked))
    return f"{line:6} | {shown}".rstrip() + f"\n       | {caret}"


def _starred(found: re.Match[str]) -> str:
    """Hide a password; its length stays, or the caret would stand elsewhere."""
    secret = found["url"] or found["word"]
    start = found.start("url" if found["url"] else "word") - found.start()
    return found[0][:start] + "*" * len(secret) + found[0][start + len(secret) :]


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
