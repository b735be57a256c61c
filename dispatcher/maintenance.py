"""Looks after the limits: whoever waits beside a slot that is free is met by workers again.

Who gives a slot back hands it over itself. What is left for us is what nobody has handed over:
the job of a queue that was paused while it came first of its key, or what somebody's hand has
done. For that we look at the keys of which jobs are blocked, every five seconds while there are
any, after each outage, and when somebody asks for it; nothing can switch this off. It only
reads, and hands over what it finds. At an interval we also free the slots of before (rows of
`concurrency_slots`) whose job is neither ready nor claimed, and forget keys that nobody has
held for a day.

A statement looks at a thousand keys, so that due jobs don't wait for its end; and we rest for
twice as long as all of it took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.instruments.events import emit
from jobsd.jobs import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self._default_s = jobs.default_concurrency_control_period_s
        self._deaf_s = min(LOOK_S, options.polling_interval_s)
        self._every_s = (
            options.concurrency_maintenance_interval_s
            if options.concurrency_maintenance
            else float("inf")
        )
        self._look: Iterator[None] | None = None
        self._began_at = 0.0
        self._look_at = 0.0
        self._asked = False
        self._asked_at = 0.0
        self._blocked = False
        # At once: what died before us may have left something.
        self._free_at = 0.0 if options.concurrency_maintenance else float("inf")
        self._frees = False

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
        if self._look is None and self._begins_at <= monotonic():
            self._begin()
        if self._look is not None and next(self._look, True):
            self._rest()

    @property
    def next_at(self) -> float:
        """When there is something to do (monotonic)."""
        if self._look is not None:
            return 0.0
        return self._begins_at

    def hand_over(self) -> None:
        """Ask the others for what we have left undone."""
        if self._look is not None or self._asked:
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
            limits.forget_keys(self._session)
        for keys in limits.uncovered(self._session):
            limits.hand_over(self._session, keys)
            yield

    def _tell(self, freed: list[limits.Freed]) -> None:
        keys = sorted({slot.key for slot in freed})
        jobs = [slot.job_id for slot in freed]
        emit("slots.freed", size=len(freed), concurrency_keys=keys, job_ids=jobs)
