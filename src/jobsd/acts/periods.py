"""Periods: the time from one moment until another, either of which may be missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from jobsd.jobs.time_limits import WAIT_MAX_S

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
