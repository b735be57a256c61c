"""A way to a server on which an answer can be lost: what was asked is done, unheard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay import Link, Relay, led_through

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from jobsd.database.connection import Target

_AT_REST = b"Z\x00\x00\x00\x05I"
"""How an answer ends behind which no transaction is open."""
_PREPARED = b"1\x00\x00\x00\x04" + _AT_REST
"""What is only prepared has done nothing yet."""


class LostAnswers(Relay):
    """Passes on what goes between programs and a server, until an answer is to be lost."""

    def __init__(self, url: str) -> None:
        self._what: bytes | None = None
        self.lost = 0
        """How many answers were lost so far."""
        super().__init__(url)

    def lose(self, what: bytes = b"") -> None:
        """Lose the next answer to something that has these bytes in it, and the connection."""
        self._what = what

    def question(self, link: Link, data: bytes) -> bytes:
        """Note whether it is the one whose answer is to be lost."""
        if self._what is not None and self._what in data:
            self._what = None
            link.unheard = True
        return data

    def answer(self, link: Link, data: bytes) -> bytes | None:
        """Lose the answer, and behind it the connection."""
        if not link.unheard or data == _PREPARED:
            return data
        if not data.endswith(_AT_REST):
            return b""
        self.lost += 1
        return None


def losing(target: Target) -> AbstractContextManager[tuple[LostAnswers, Target]]:
    """Open such a way, and give it with the target that leads through it."""
    return led_through(LostAnswers(target.url), target)
