"""Looks after the limits: whoever waits for a slot that is free becomes ready.

Who frees a slot promotes the next job itself. What is left for us: the limited jobs that
have become due; those whose enqueuer did not get the lock of their key, and names it to us;
and all that was to be said by somebody who has died, whose answer was lost, or whom nobody
heard. For that we look at the keys for which jobs wait, every five seconds while there are
any, after each outage, and when somebody asks for it; nothing can switch this off, since
nobody else would find these jobs. It only reads: what it finds is promoted as what we were
told. At an interval we also free the slots whose job is neither ready nor claimed, though
nothing of ours leaves one.

A statement looks at a thousand keys, so that due jobs don't wait for its end; and we rest for
twice as long as all of it took (20 us a key: 2 s for 100,000 keys that are all full; 3 ms for
one key with a million jobs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.instruments.events import emit
from jobsd.jobs import limits
from jobsd.jobs.owed import Owed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobsd.configuration.options import DispatcherOptions, JobsOptions
    from jobsd.database.connection import Session


LOOK_S = 5.0
"""How often we look while jobs are blocked; where nobody can wake us, at `polling_interval`."""
REST = 2
"""So many times as long as a look has taken we rest before the next one."""


class Maintenance:
    """The limits, as one dispatcher looks after them."""

    def __init__(self, session: Session, options: DispatcherOptions, jobs: JobsOptions) -> None:
        self._session = session
        self._keep = jobs.preserve_finished_jobs
        self._default_s = jobs.default_concurrency_control_period_s
        self._deaf_s = min(LOOK_S, options.polling_interval_s)
        self._every_s = (
            options.concurrency_maintenance_interval_s
            if options.concurrency_maintenance
            else float("inf")
        )
        self._owed = Owed()
        self._look: Iterator[None] | None = None
        self._began_at = 0.0
        self._look_at = 0.0
        self._asked = False
        self._asked_at = 0.0
        self._blocked = False
        # At once: what died before us may have left something.
        self._free_at = 0.0 if options.concurrency_maintenance else float("inf")
        self._frees = False

    def owe(self, keys: Iterable[str]) -> None:
        """Take in keys for which jobs were blocked that may find a slot."""
        self._owed.owe(keys)

    def look_now(self) -> None:
        """Look at once, and when a look goes on, once more behind it."""
        self._asked = True

    def begin_anew(self) -> None:
        """Take note of an outage: look at once when it is over, and do what it broke off."""
        self._asked = True
        self._asked_at = 0.0
        if self._frees:
            self._free_at = 0.0
        self._end()

    def step(self, *, blocked: bool) -> None:
        """Do what is due, in a few statements; `blocked` says whether any jobs are."""
        self._blocked = blocked
        if due := self._owed.due():
            promotion = limits.promote(self._session, due, keep=self._keep)
            self._owed.answered(due, promotion.missed, promotion.begun)
            promotion.report()
        if self._look is None and self._begins_at <= monotonic():
            self._begin()
        if self._look is not None and next(self._look, True):
            self._rest()

    @property
    def next_at(self) -> float:
        """When there is something to do (monotonic)."""
        if self._look is not None:
            return 0.0
        owed_at = self._owed.next_at
        return self._begins_at if owed_at is None else min(self._begins_at, owed_at)

    def hand_over(self) -> None:
        """Ask the others for what we have left undone."""
        if self._owed.next_at is not None or self._look is not None or self._asked:
            self._session.fetch(limits.STATEMENTS["ask"])

    @property
    def _begins_at(self) -> float:
        begins_at = self._free_at
        if self._blocked:
            begins_at = min(begins_at, self._look_at)
        return min(begins_at, self._asked_at) if self._asked else begins_at

    def _begin(self) -> None:
        self._began_at = now = monotonic()
        self._asked = False
        self._frees = now >= self._free_at
        if self._frees:
            self._free_at = now + self._every_s
        self._look = self._go_through(frees=self._frees)

    def _rest(self) -> None:
        now = monotonic()
        took_s = now - self._began_at
        every_s = LOOK_S if self._session.listening else self._deaf_s
        self._look_at = max(self._began_at + every_s, now + REST * took_s)
        self._asked_at = now + took_s
        self._end()

    def _end(self) -> None:
        self._look = None
        self._frees = False

    def _go_through(self, *, frees: bool) -> Iterator[None]:
        if frees:
            for freed in limits.free_stale(self._session, self._default_s):
                if freed:
                    self._tell(freed)
                yield
        for keys in limits.roomy(self._session):
            self.owe(keys)
            yield

    def _tell(self, freed: list[limits.Freed]) -> None:
        keys = sorted({slot.key for slot in freed})
        jobs = [slot.job_id for slot in freed]
        emit("slots.freed", size=len(freed), concurrency_keys=keys, job_ids=jobs)
        self.owe(keys)
