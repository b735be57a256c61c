"""Outcomes that somebody keeps from being written: he holds a row of theirs locked.

A turn waits half a second for a row (`SELECT … FOR UPDATE` on a job that runs is enough to
lock one). Then it has done nothing, and it is asked which of its jobs can't be had: these are
held back, claimed as before, and everything else goes on. At growing intervals it is asked
again, without waiting, which can be had by now. Where nobody holds a row, the lock is of
another kind: the next turn waits for it as long as any statement does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import errors

from jobsd.clock import monotonic
from jobsd.database.connection import LOCK_SHARE
from jobsd.jobs import claims
from jobsd.processes.running_jobs import ENDED_MAX

from .turn import take

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.database.connection import Session
    from jobsd.jobs.claims import Ended
    from jobsd.performing.pool import Pool
    from jobsd.processes.entry import ScoreboardEntry

    from .ledger import Ledger
    from .turn import Result, Wish
    from .writing import Writing

IN_HAND_MAX = ENDED_MAX // 2 - 12
"""Jobs that are held back or in hand at most, while any are held back: what these became the
scoreboard entry tells for so many more that end, and then it is told anew."""
AGAIN_MIN_S = 0.1
AGAIN_MAX_S = 1.0


class HeldBack:
    """What one worker holds back, and the turns that find out what."""

    def __init__(
        self, session: Session, ledger: Ledger, pool: Pool, entry: ScoreboardEntry
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._pool = pool
        self._entry = entry
        self._told_at = 0
        self._again_s = AGAIN_MIN_S
        self._again_at = 0.0
        self._patient = False

    @property
    def next_at(self) -> float | None:
        """When to ask again (monotonic); None when nothing is held back."""
        return self._again_at if self._ledger.held_back else None

    def take(
        self,
        writing: Writing,
        *,
        release: Iterable[Ended],
        wish: Wish | None,
    ) -> Result | None:
        """Do a turn; None when it has done nothing, for the sake of what is held back now.

        Raises:
            psycopg.errors.LockNotAvailable: when it is no row of ours that is locked.
        """
        release = list(release)
        if self._patient:
            writing.lock_wait = f"{self._session.deadline_s * LOCK_SHARE * 1000:.0f}ms"
        try:
            result = take(self._session, writing, release=release, wish=wish)
        except errors.LockNotAvailable:
            if self._patient:
                raise
            locked = claims.locked(self._session, writing.jobs(release))
            self._patient = not locked
            self._ledger.hold_back(locked)
            self._tell_again()
            self._again_s, self._again_at = AGAIN_MIN_S, monotonic() + AGAIN_MIN_S
            return None
        self._patient = False
        return result

    def look(self) -> bool:
        """Ask, when it is time, what can be had by now; return whether anything can."""
        held = self._ledger.held_back
        if held and self._entry.jobs_ended - self._told_at >= IN_HAND_MAX:
            self._tell_again()
        if not held or monotonic() < self._again_at:
            return False
        free = held - claims.locked(self._session, held)
        self._again_s = min(AGAIN_MAX_S, self._again_s * 2)
        self._again_at = monotonic() + self._again_s
        self._ledger.let_go(free)
        return bool(free)

    def room(self, in_hand: int, most: int) -> int:
        """Return for how many more jobs there is room, where `most` may be in hand."""
        held = len(self._ledger.held_back)
        return (min(most, IN_HAND_MAX) if held else most) - in_hand - held

    def _tell_again(self) -> None:
        self._pool.tell_again(self._ledger.held_runs)
        self._told_at = self._entry.jobs_ended
