"""Words of shared memory, as attributes of what they belong to."""

from __future__ import annotations

from typing import Protocol


class Wordy(Protocol):
    """Whatever has words of its own in the shared memory."""

    words: memoryview[int]


class Word:
    """One word, by its index."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __get__(self, owner: Wordy, kind: type[Wordy] | None = None) -> int:
        return owner.words[self.at]

    def __set__(self, owner: Wordy, value: int) -> None:
        owner.words[self.at] = value
