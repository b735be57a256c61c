"""Periods: the time from one moment until another, either of which may be missing.

Ids are drawn in the order of time, so a bisection of them finds where a period ends, among
millions of jobs as fast as among few. A job that is enqueued by a long transaction is older
than its neighbours: `created_at` is the beginning of its transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from jobsd.database.statements import Statements
from jobsd.jobs.time_limits import WAIT_MAX_S

if TYPE_CHECKING:
    from jobsd.database.connection import Session

Moment = datetime | timedelta
"""An instant, or an age: how long ago."""
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


class Period(NamedTuple):
    """From `since` until just before `until`; None leaves that side open."""

    since: Moment | None = None
    until: Moment | None = None

    @property
    def has_age(self) -> bool:
        """Whether its instants depend on the time at which it is read."""
        return any(isinstance(each, timedelta) for each in self)

    def at(self, now: datetime) -> Instants:
        """Return the instants that the period begins and ends with if it is `now`."""
        return Instants(_instant(self.since, now), _instant(self.until, now))


class Instants(NamedTuple):
    """A period without ages."""

    since: datetime | None
    until: datetime | None

    def texts(self) -> tuple[str, str] | tuple[None, None]:
        """Return both sides as PostgreSQL reads them; None if both are open."""
        if self == (None, None):
            return None, None
        since = "-infinity" if self.since is None else self.since.isoformat()
        return since, "infinity" if self.until is None else self.until.isoformat()

    def hold(self, moment: datetime) -> bool:
        """Return whether a moment is within the period."""
        return (self.since is None or moment >= self.since) and (
            self.until is None or moment < self.until
        )


ALWAYS = Period()


class Lasting(NamedTuple):
    """The least and the greatest length of a time, in seconds."""

    least_s: float = float("-inf")
    most_s: float = float("inf")


ANY_LENGTH = Lasting()

STATEMENTS = Statements("jobsd.acts", "periods.sql")
MARGIN = timedelta(minutes=10)
"""Jobs whose transactions took this long at most are found in the period of their beginning."""
MARGIN_IDS = 10_000
"""The number of later ids that are read, too: some clocks of the past were wrong."""


def first_id_after(session: Session, until: datetime) -> int:
    """Return an id above those of all jobs that were enqueued before a moment."""
    found = session.fetch(STATEMENTS["first_since"], {"moment": until.isoformat()})
    return int(found[0][0]) + MARGIN_IDS


def age(seconds: float) -> timedelta:
    """Return an age, a hundred years at most."""
    return timedelta(seconds=min(seconds, WAIT_MAX_S))


def _instant(moment: Moment | None, now: datetime) -> datetime | None:
    if not isinstance(moment, timedelta):
        return moment
    try:
        return now - moment
    except OverflowError:
        return _EARLIEST
