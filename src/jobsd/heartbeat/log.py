"""The `heartbeat_logs` table, and queries of it that read like sentences.

    HeartbeatLog.latest()
    HeartbeatLog.recent().limit(10)
    HeartbeatLog.by_hostname("web-1").recent()
    HeartbeatLog.since(hours=1)

Each duration is a text such as "10m", a number of seconds or a `timedelta`. Ages are compared
with the database's clock, which also set the times of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast, overload

from jobsd import errors, text
from jobsd.database.statements import Statements
from jobsd.enqueueing.on_demand import lent
from jobsd.jobs.time_limits import WAIT_MAX_S, duration_s

if TYPE_CHECKING:
    from jobsd.database.connection import Session


Duration = float | str | timedelta

STATEMENTS = Statements("jobsd.heartbeat", "log.sql")

ROWS_MAX = 10_000
"""No query returns more rows than this; for more, query by time, or with SQL."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without heartbeats: from the last one before it to the next, or to now."""

    start: datetime
    end: datetime
    missed: int
    """The number of missed heartbeats."""

    @property
    def duration_s(self) -> float:
        """Its length, until now if it has not ended."""
        return (self.end - self.start).total_seconds()

    def __repr__(self) -> str:
        return text.facts_of(self, start=self.start, end=self.end, missed=self.missed)


@dataclass(frozen=True, slots=True)
class HeartbeatLog:
    """One heartbeat: its time, environment and machine."""

    id: int
    executed_at: datetime
    environment: str
    hostname: str

    def __repr__(self) -> str:
        return text.facts_of(
            self,
            id=self.id,
            executed_at=self.executed_at,
            environment=self.environment,
            hostname=self.hostname,
        )

    @staticmethod
    def all() -> HeartbeatLogs:
        """Return all heartbeats, the latest first."""
        return HeartbeatLogs()

    @staticmethod
    def latest() -> HeartbeatLog | None:
        """Return the last heartbeat, or None when there was none yet."""
        return HeartbeatLogs().latest()

    @staticmethod
    def recent(
        limit: int = 10,
        since: Duration | datetime | None = None,
        hostname: str | None = None,
    ) -> HeartbeatLogs:
        """Return the latest heartbeats, newest first.

        `since` is an aware datetime, or how long ago: "1h".
        """
        return HeartbeatLogs().recent(limit, since, hostname)

    @staticmethod
    def by_hostname(hostname: str) -> HeartbeatLogs:
        """Return the heartbeats of one machine, the latest first."""
        return HeartbeatLogs().by_hostname(hostname)

    @staticmethod
    def since(moment: Duration | datetime | None = None, **ago: float) -> HeartbeatLogs:
        """Return the heartbeats since a moment, or of the last hour: `since(hours=1)`."""
        return HeartbeatLogs().since(moment, **ago)

    @staticmethod
    def verify_recent(within: Duration = "10m") -> bool:
        """Return whether the last heartbeat is at most this old."""
        return HeartbeatLogs().verify_recent(within)

    @staticmethod
    def gaps(every: Duration = "5m", since: Duration | datetime = "24h") -> list[Gap]:
        """Return the times without heartbeats, oldest first, also one that lasts until now.

        A heartbeat may come half of `every` late before it counts as missed.
        """
        with lent() as session:
            return gaps(session, every, since)


@dataclass(frozen=True, eq=False)
class HeartbeatLogs(Sequence[HeartbeatLog]):
    """A query of the log, which may be narrowed further, and the list of its rows.

    The database is asked once, when the first row is needed; a new query asks again.
    """

    hostname: str | None = None
    moment: datetime | None = None
    within_s: float | None = None
    rows_max: int = ROWS_MAX
    session: Session | None = field(default=None, repr=False)
    of_tasks: bool = False
    """Only heartbeats of runs that a recurring task enqueued."""

    def limit(self, rows: int) -> HeartbeatLogs:
        """Return at most this many."""
        return replace(self, rows_max=min(max(int(rows), 0), ROWS_MAX))

    def by_hostname(self, hostname: str) -> HeartbeatLogs:
        """Return the heartbeats of one machine."""
        if not (isinstance(hostname, str) and text.is_storable(hostname)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise errors.Error(f"hostname: {hostname!r:.60} is not a host name")
        return replace(self, hostname=hostname)

    def since(self, moment: Duration | datetime | None = None, **ago: float) -> HeartbeatLogs:
        """Return the heartbeats since an aware datetime, or an age: "1h" or `hours=1`."""
        if moment is None:
            moment = timedelta(**ago)
        elif ago:
            raise TypeError("since() takes one time")
        since, within_s = _window("since", moment)
        return replace(self, moment=since, within_s=within_s)

    def recent(
        self,
        limit: int = 10,
        since: Duration | datetime | None = None,
        hostname: str | None = None,
    ) -> HeartbeatLogs:
        """Return the latest, newest first."""
        logs = self.limit(limit)
        if since is not None:
            logs = logs.since(since)
        return logs if hostname is None else logs.by_hostname(hostname)

    def latest(self) -> HeartbeatLog | None:
        """Return the last one, or None."""
        return next(iter(self.limit(1)), None)

    def verify_recent(self, within: Duration = "10m") -> bool:
        """Return whether the last one is at most this old."""
        moment, within_s = _window("within", within)
        logs = replace(self, moment=moment, within_s=within_s)
        return len(logs.limit(1)) == 1

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> HeartbeatLog: ...
    @overload
    def __getitem__(self, index: slice) -> list[HeartbeatLog]: ...
    def __getitem__(self, index: int | slice) -> HeartbeatLog | list[HeartbeatLog]:
        return self._rows[index]

    def __iter__(self) -> Iterator[HeartbeatLog]:
        return iter(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._rows == list(cast("Any", other))

    __hash__ = None  # type: ignore[assignment] # equal to lists, which have none either

    def __repr__(self) -> str:
        return repr(self._rows)

    @cached_property
    def _rows(self) -> list[HeartbeatLog]:
        parameters = {
            "hostname": self.hostname,
            "since": self.moment,
            "within_s": self.within_s,
            "limit": self.rows_max,
            "of_tasks": self.of_tasks,
        }
        with lent(self.session) as session:
            return [_row(row) for row in session.fetch(STATEMENTS["select"], parameters)]


def health_status(
    within: Duration = "10m", *, session: Session | None = None
) -> dict[str, Any]:
    """Return `{"healthy": …, "last_heartbeat": …}`, as a health check's JSON.

    It is healthy if the last heartbeat is at most `within` old. The time is ISO 8601 in UTC,
    or None if there was no heartbeat. `session` replaces the program's own.

    Raises:
        DatabaseUnreachableError: when the database cannot be reached.
    """
    return status_of(HeartbeatLogs(session=session), within)


def status_of(logs: HeartbeatLogs, within: Duration) -> dict[str, Any]:
    """Return the health status by the heartbeats of a query."""
    latest = logs.latest()
    time = latest.executed_at.isoformat().replace("+00:00", "Z") if latest else None
    return {"healthy": logs.verify_recent(within), "last_heartbeat": time}


def record(
    session: Session, environment: str, hostname: str, job_id: int = 0, class_name: str = ""
) -> HeartbeatLog:
    """Insert the heartbeat of a job, and return its row."""
    facts = {
        "environment": environment,
        "hostname": hostname,
        "job_id": job_id,
        "class_name": class_name,
    }
    return _row(session.fetch(STATEMENTS["record"], facts)[0])


def gaps(session: Session, every: Duration, since: Duration | datetime) -> list[Gap]:
    """Return the times without heartbeats: see `HeartbeatLog.gaps`."""
    every_s = _age_s("every", every)
    if every_s <= 0:
        raise errors.Error("every: must be more than 0")
    moment, within_s = _window("since", since)
    parameters = {"since": moment, "within_s": within_s, "longest_s": every_s * 1.5}
    rows = session.fetch(STATEMENTS["gaps"], parameters)
    return [_gap(start, end, every_s) for start, end in rows]


def clear(session: Session, keep_s: float, limit: int) -> int:
    """Delete at most `limit` rows older than `keep_s`; return the number of deleted rows.

    The last heartbeat stays, however old: it shows since when there has been none.
    """
    return len(session.fetch(STATEMENTS["clear"], {"keep_s": keep_s, "limit": limit}))


def _gap(start: datetime, end: datetime, every_s: float) -> Gap:
    missed = max(1, round((end - start).total_seconds() / every_s) - 1)
    return Gap(start.astimezone(UTC), end.astimezone(UTC), missed)


def _row(row: tuple[Any, ...]) -> HeartbeatLog:
    row_id, executed_at, environment, hostname = row
    return HeartbeatLog(row_id, executed_at.astimezone(UTC), environment, hostname)


def _window(option: str, moment: Duration | datetime) -> tuple[datetime | None, float | None]:
    """Return the moment if it is one; otherwise its distance from now in seconds."""
    if not isinstance(moment, datetime):
        return None, _age_s(option, moment)
    if moment.utcoffset() is None:
        raise errors.Error(f"{option}: {moment} has no time zone; give an aware datetime")
    return moment, None


def _age_s(option: str, age: Duration) -> float:
    """Return the seconds of an age; an age too long for PostgreSQL means all time."""
    return min(duration_s(option, age), WAIT_MAX_S)
