"""64-bit words of shared memory as attributes of an object."""

from __future__ import annotations

from typing import Protocol


class Wordy(Protocol):
    """An object that has words of its own in the shared memory."""

    words: memoryview[int]


class Word:
    """One word, by its index."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __get__(self, owner: Wordy, kind: type[Wordy] | None = None) -> int:
        return owner.words[self.at]

    def __set__(self, owner: Wordy, value: int) -> None:
        owner.words[self.at] = value


class Text:
    """A text in `room` words from an index on."""

    def __init__(self, at: int, room: int) -> None:
        self.at = at
        self.room = room

    def __get__(self, owner: Wordy, kind: type[Wordy] | None = None) -> str:
        return read_text(owner.words, self.at, self.room)

    def __set__(self, owner: Wordy, text: str) -> None:
        write_text(owner.words, self.at, text, self.room)


def write_text(words: memoryview[int], at: int, text: str | bytes, room: int) -> None:
    """Store a text in `room` words, truncated if it is longer."""
    raw = text.encode() if isinstance(text, str) else text
    padded = raw[: room * 8].ljust(room * 8, b"\0")
    words[at : at + room] = memoryview(padded).cast("q")


def read_text(words: memoryview[int], at: int, room: int) -> str:
    """Return the text that `write_text` has stored."""
    return words[at : at + room].tobytes().rstrip(b"\0").decode(errors="ignore")
