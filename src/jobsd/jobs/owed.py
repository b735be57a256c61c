"""Keys of limits of which a slot may be free, until who waits for them is promoted.

Whoever enqueues holds a key's lock until its transaction ends, which may take as long as
the user likes; nobody of ours waits for that. A key whose lock was not got is remembered,
and asked for again at growing intervals; one that was not done is asked for at once.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

WAIT_MIN_S = 0.02
WAIT_MAX_S = 1.0
KEYS_MAX = 1000
"""Keys that one statement promotes."""


class Owed:
    """The keys that one process has still to promote, and when."""

    def __init__(self) -> None:
        self._due_at: dict[str, float] = {}
        self._wait_s: dict[str, float] = {}

    def owe(self, keys: Iterable[str]) -> None:
        """Take in keys of which a slot is given back by the statement before."""
        for key in keys:
            self._due_at[key] = 0.0

    @property
    def next_at(self) -> float | None:
        """When the next key is due (monotonic); None when there is none."""
        return min(self._due_at.values()) if self._due_at else None

    def due(self) -> list[str]:
        """Return the keys to promote now. They stay owed until `answered` says otherwise."""
        if not self._due_at:
            return []
        now = monotonic()
        return list(islice((key for key, at in self._due_at.items() if at <= now), KEYS_MAX))

    def answered(
        self, asked: Iterable[str], missed: Collection[str], begun: Collection[str] = ()
    ) -> None:
        """Take note that the keys `asked` for are promoted, but for the `missed` ones.

        Of those the `begun` ones are asked for again at once.
        """
        for key in asked:
            if key in begun:
                self._due_at[key] = 0.0
                self._wait_s.pop(key, None)
            elif key in missed:
                wait_s = self._wait_s.get(key, WAIT_MIN_S)
                self._due_at[key] = monotonic() + wait_s
                self._wait_s[key] = min(WAIT_MAX_S, wait_s * 2)
            else:
                del self._due_at[key]
                self._wait_s.pop(key, None)
