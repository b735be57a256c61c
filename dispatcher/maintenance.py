"""Looks after the limits: whoever waits for a slot that is free becomes ready.

Who frees a slot promotes the next job itself. What is left for us: the limited jobs that
have become due; slots whose job is neither ready nor claimed, though nothing of ours
leaves one; and jobs that wait though a slot is free, because who freed it has died before
it could say so, or was not let to the key's lock. A pass goes through all keys for which
jobs wait, a statement at a time, so that due jobs don't wait for its end. Passes come at
an interval and when somebody asks for one; often where nobody can, without wake-ups.
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


DEAF_S = 5.0
"""How often a pass is made by who can't be asked for one."""
SHARE = 20
"""A pass that was made unasked takes a twentieth of the time at most."""


class Maintenance:
    """The limits, as one dispatcher looks after them."""

    def __init__(self, session: Session, options: DispatcherOptions, jobs: JobsOptions) -> None:
        self._session = session
        self._keep = jobs.preserve_finished_jobs
        self._default_s = jobs.default_concurrency_control_period_s
        self._every_s = (
            options.concurrency_maintenance_interval_s
            if options.concurrency_maintenance
            else float("inf")
        )
        self._owed = Owed()
        self._pass: Iterator[None] = iter(())
        self._goes_on = False
        self._asked = False
        self._began_at = 0.0
        # The first pass is made at once: what died before us may have left something.
        self._pass_at = monotonic() if options.concurrency_maintenance else float("inf")

    def owe(self, keys: Iterable[str]) -> None:
        """Take in keys for which jobs were blocked that may find a slot."""
        self._owed.owe(keys)

    def look_now(self) -> None:
        """Make a pass at once, and when one is being made, another one behind it."""
        self._asked = True

    def begin_anew(self) -> None:
        """Take note that a pass was broken off by an outage: it has to be made again."""
        self._asked = self._asked or self._goes_on
        self._goes_on = False

    def step(self) -> None:
        """Do what is due, in a few statements."""
        if due := self._owed.due():
            promotion = limits.promote(self._session, due, keep=self._keep)
            self._owed.answered(due, promotion.missed)
            promotion.tell()
        now = monotonic()
        if not self._goes_on and (self._asked or now >= self._pass_at):
            self._asked = False
            self._began_at, self._pass_at = now, now + self._every_s
            self._pass = self._go_through()
            self._goes_on = True
        if self._goes_on:
            self._goes_on = next(self._pass, False) is None
            if not self._goes_on:
                self._look_unasked()

    @property
    def next_at(self) -> float:
        """When there is something to do (monotonic)."""
        if self._goes_on or self._asked:
            return 0.0
        owed_at = self._owed.next_at
        return self._pass_at if owed_at is None else min(self._pass_at, owed_at)

    def hand_over(self) -> None:
        """Ask the others for what we have left undone."""
        if self._owed.next_at is not None or self._goes_on or self._asked:
            self._session.fetch(limits.STATEMENTS["ask"])

    def _look_unasked(self) -> None:
        """Make the next pass soon where nobody can ask for it: without wake-ups."""
        if self._session.listening or self._every_s == float("inf"):
            return
        now = monotonic()
        soon = now + max(DEAF_S, SHARE * (now - self._began_at))
        self._pass_at = min(self._pass_at, soon)

    def _go_through(self) -> Iterator[None]:
        for freed in limits.free_stale(self._session, self._default_s):
            if freed:
                keys = sorted({slot.key for slot in freed})
                jobs = [slot.job_id for slot in freed]
                emit("slots.freed", size=len(freed), concurrency_keys=keys, job_ids=jobs)
                self.owe(keys)
            yield
        for promotion in limits.promote_all(self._session, keep=self._keep):
            self.owe(promotion.missed)
            promotion.tell()
            yield
