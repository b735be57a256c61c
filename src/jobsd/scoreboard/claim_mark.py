"""How far a worker claims, in its scoreboard entry, for the other workers of its tree.

Three words can't be written at once. So a check of all three is written behind them, and
whoever reads a mark that is just being written finds that it does not fit.
"""

from __future__ import annotations

from typing import NamedTuple

MARK_AT, MARK_WORDS = 52, 4
ALL_QUEUES = -1
"""Stands for all queues together, as a worker of `*` claims from them."""


class ClaimMark(NamedTuple):
    """A queue, by the number of its name in the tree, a priority and a position."""

    queue: int
    priority: int
    position: int


def write_mark(words: memoryview[int], mark: ClaimMark | None) -> None:
    """Write the mark of the entry that has these words, or take it away."""
    words[MARK_AT] = 0
    if mark is not None:
        for at, value in enumerate(mark, MARK_AT + 1):
            words[at] = value
        words[MARK_AT] = hash(mark)


def read_mark(words: memoryview[int]) -> ClaimMark | None:
    """Return the mark of the entry that has these words, if it has one that is whole."""
    if (check := words[MARK_AT]) == 0:
        return None
    mark = ClaimMark(*words[MARK_AT + 1 : MARK_AT + MARK_WORDS])
    return mark if hash(mark) == check else None
