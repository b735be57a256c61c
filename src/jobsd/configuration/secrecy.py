"""Decides which parts of a file are never shown, because they may hold passwords.

In a parsed document these are the values below `database` or below a key whose name suggests a
secret, and each value in which a password is recognised. In comments, and in a text that could
not be parsed, they are recognised by the text alone.
"""

import re
from bisect import bisect_left, insort

from jobsd.logs.redaction import redact, starred

# Misspelt ones, too: `pasword`, `databse`.
_SOUND = r"pas|secret|token|url|dsn|data?b"
_SOUNDS = re.compile(_SOUND, re.IGNORECASE)
_UNREAD = re.compile(
    rf"(?P<before>(?:{_SOUND})[^\s:=]*\s*[:=]\s*)(?P<secret>\S[^\n]*)", re.IGNORECASE
)
_SHOWN_BELOW = frozenset({"schema", "wakeups"})
# Quotes stay, and so does the scheme of a URL: the fault may be in it.
_OPENING = re.compile(r"""["']?(?:[a-z+]+://)?""")


def is_secret(key: str, *, below: bool) -> bool:
    """Return whether the value of a key is secret; `below`: the mapping of the key is."""
    return key not in _SHOWN_BELOW if below else _SOUNDS.search(key) is not None


def has_password(text: str) -> bool:
    """Return whether a password is recognised in a text."""
    return redact(text) != text


class Secrets:
    """The secret parts of one text; from `unread` on it was not parsed."""

    def __init__(self, text: str) -> None:
        self.unread = len(text)
        self._text = text
        self._parts: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> None:
        """Keep a part of the text secret."""
        insort(self._parts, (start, end))

    def add_value(self, start: int, end: int) -> None:
        """Keep the characters of one value secret."""
        opening = _OPENING.match(self._text, start, end)
        closed = end - start > 1 and self._text[start] == self._text[end - 1]
        quotes = closed and self._text[start] in "\"'"
        self.add(opening.end() if opening else start, end - 1 if quotes else end)

    def within(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the secret parts that begin between two positions, or reach into the range."""
        first = max(0, bisect_left(self._parts, (start, 0)) - 1)
        last = bisect_left(self._parts, (end, 0))
        return [part for part in self._parts[first:last] if part[1] > start]

    def starred(self, start: int, end: int) -> str:
        """Return a part of the text with a star for each hidden letter."""
        letters = list(self._text[start:end])
        for part in self.within(start, end):
            first, last = max(part[0], start) - start, min(part[1], end) - start
            letters[first:last] = "*" * (last - first)
        shown = "".join(letters)
        read = max(0, min(self.unread, end) - start)
        return starred(shown[:read] + _UNREAD.sub(_stars, shown[read:]))


def _stars(found: re.Match[str]) -> str:
    return found["before"] + "*" * len(found["secret"])
