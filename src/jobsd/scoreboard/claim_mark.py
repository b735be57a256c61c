"""A worker's claim mark: how far it claims, in its scoreboard entry, for its tree's workers.

Three words can't be written at once. So they are followed by a checksum, and a reader of a mark
that is just being written finds that the checksum does not match.
"""

from __future__ import annotations

from typing import NamedTuple

MARK_AT, MARK_WORDS = 52, 4
ALL_QUEUES = -1
"""The number for all queues together, from which a worker of `*` claims."""


class ClaimMark(NamedTuple):
    """A queue, by the number of its name in the tree, a priority and a position."""

    queue: int
    priority: int
    position: int


def write_mark(words: memoryview[int], mark: ClaimMark | None) -> None:
    """Write the mark into an entry's words, or clear it."""
    words[MARK_AT] = 0
    if mark is not None:
        for at, value in enumerate(mark, MARK_AT + 1):
            words[at] = value
        words[MARK_AT] = hash(mark)


def read_mark(words: memoryview[int]) -> ClaimMark | None:
    """Return the mark in an entry's words, or None if it has none or is incomplete."""
    if (check := words[MARK_AT]) == 0:
        return None
    mark = ClaimMark(*words[MARK_AT + 1 : MARK_AT + MARK_WORDS])
    return mark if hash(mark) == check else None
