"""The reservations by which the workers of one tree keep their claims apart.

A row that another worker is just claiming is locked, and to find that out takes the server
longer than to claim it. With 16 workers a claim met five locked rows for each that it took. So
a worker publishes, before it claims, the least position that its claim will reach, and the
others begin after it. The position is easy to compute: positions are unique, so N jobs of one
queue and priority reach N positions further, or more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.scoreboard.claim_mark import ALL_QUEUES, ClaimMark, read_mark, write_mark
from jobsd.scoreboard.queue_names import OTHER
from jobsd.scoreboard.scoreboard import TAKEN, UP

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from jobsd.scoreboard.scoreboard import Scoreboard, ScoreboardEntry

Flow = tuple[str | None, int]
"""A queue (None: all together) and a priority, of which the jobs of a claim are."""
Key = tuple[int, int]
"""The same with the number of the queue's name."""


class ClaimMarks:
    """The marks of all workers of a tree; each writes its own."""

    def __init__(self, scoreboard: Scoreboard, entry: ScoreboardEntry) -> None:
        self._scoreboard, self._entry = scoreboard, entry

    def key(self, flow: Flow) -> Key | None:
        """Return the key of a flow in the tree; None if its queue has no number."""
        queue, priority = flow
        number = ALL_QUEUES if queue is None else self._scoreboard.queue_names.number(queue)
        return None if number == OTHER else (number, priority)

    def set(self, key: Key, position: int) -> None:
        """Reserve the jobs up to a position, except for jobs that others claim."""
        write_mark(self._entry.words, ClaimMark(*key, position))

    def turn(self) -> AbstractContextManager[None]:
        """Read the marks of others, and set one, before the next worker does."""
        return self._scoreboard.claiming()

    def clear(self) -> None:
        """Withdraw the reservation."""
        write_mark(self._entry.words, None)

    def reached(self) -> dict[Key, int]:
        """Return up to which positions workers claim, or have claimed."""
        reached: dict[Key, int] = {}
        for entry in self._scoreboard.used():
            mark = read_mark(entry.words)
            # A dead worker may not have claimed its range.
            if mark is not None and entry.state in {TAKEN, UP}:
                queue, priority, position = mark
                key = queue, priority
                reached[key] = max(position, reached.get(key, position))
        return reached
