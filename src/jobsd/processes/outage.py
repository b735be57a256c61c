"""An outage of the database: each process waits for its end, and the tree reports it once.

A first error may be only a broken connection: it is replaced at once, and if that works, there
was no outage. A second error in a row is an outage. So is a first error that shows that the
server itself is ill: it lacks disk space, memory or connections, or its disk has failed. A
success with the next statement does not prove it well. All processes of a tree share the
outage: the first one reports it for all, and the last one that recovers reports its end. A
process that dies meanwhile no longer counts.

Tables that are not ours are no outage, since the server answers. A process waits for matching
tables, and one process reports for all that another build has made the tables, or which object
they lack. Tables that do not exist yet are recognized by a second check, after the first error:
the monitor migrates them, and reports if it can't.
"""

import psycopg
from psycopg import errors

from jobsd.clock import monotonic, monotonic_ns
from jobsd.database.grants import REMEDY
from jobsd.database.names import StillLookingUpError
from jobsd.database.other_build import UNDEFINED, OtherBuildError
from jobsd.errors import SchemaError
from jobsd.events.events import emit
from jobsd.scoreboard.scoreboard import (
    TABLES_LACK_SOMETHING,
    TABLES_OF_ANOTHER_BUILD,
    Scoreboard,
    ScoreboardEntry,
)

PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 1.0
"""However long an outage lasts, we are back about a second after the database.

The pause counts from the start of one attempt to the start of the next: a host that does not
answer has used up its time already (`connect_timeout`), and no further pause is added."""

_ILL = ("53", "58", "57P02")
"""SQLSTATEs of an ill server: out of resources, failed system, crash."""
RELAPSE_S = 10.0
"""An illness that returns within this time has not ended: the pauses stay as long."""


class Outage:
    """An outage as one process sees it, from the first error to the first success."""

    def __init__(self, scoreboard: Scoreboard, entry: ScoreboardEntry) -> None:
        self._scoreboard = scoreboard
        self._entry = entry
        self._errors = 0
        self._first = ""
        self._undefined: BaseException | None = None
        self._pause_s = PAUSE_MIN_S
        self._reported = False
        self._ill_at = float("-inf")
        self._attempt_at = float("inf")

    def note(self, error: BaseException) -> float:
        """Note an error; return the seconds to wait before the next attempt."""
        if isinstance(error, StillLookingUpError):
            return 0.0
        took_s = max(0.0, monotonic() - self._attempt_at)
        if isinstance(error, (SchemaError, *UNDEFINED)):
            rest_s = self._wait_for_tables(error)
        else:
            rest_s = self._pause(error)
        if rest_s:
            rest_s = max(PAUSE_MIN_S, rest_s - took_s)
        self._attempt_at = monotonic() + rest_s
        return rest_s

    def _wait_for_tables(self, error: BaseException) -> float:
        """Note foreign tables; return the seconds from one attempt to the next."""
        self._entry.tables_awaited = 1
        first, self._undefined = self._undefined, None
        if isinstance(error, OtherBuildError):
            self._report_tables(error, TABLES_OF_ANOTHER_BUILD)
        elif not isinstance(error, SchemaError):
            if first is None:
                self._undefined = error
                return 0.0
            self._report_tables(error, TABLES_LACK_SOMETHING)
        return PAUSE_MAX_S

    def recognized(self) -> None:
        """Note that our build has made the tables, though they may lack an object."""
        if self._undefined is not None:
            self._report_tables(self._undefined, TABLES_LACK_SOMETHING)
        elif self._scoreboard.tables_are_foreign:
            self._scoreboard.tables_foreign = 0

    def _report_tables(self, error: BaseException, found: int) -> None:
        """Report the state of the tables, unless it was reported already."""
        self._note_answer()
        with self._scoreboard.announcing():
            if self._scoreboard.tables_foreign >= found:
                return
            self._scoreboard.tables_foreign = found
        emit("schema.foreign", error=_in_one_line(error))

    def _pause(self, error: BaseException) -> float:
        """Note an error; return the seconds from one attempt to the next."""
        self._errors += 1
        ill = _is_ill(error)
        if ill:
            self._ill_at = monotonic()
        if self._errors == 1:
            self._first = _in_one_line(error)
            if not ill:
                return 0.0
        if not self._reported:
            self._reported = True
            with self._scoreboard.announcing():
                self._entry.database_down = 1
                _begin(self._scoreboard, error)
        pause_s = self._pause_s
        self._pause_s = min(PAUSE_MAX_S, pause_s * 2)
        return pause_s

    def over(self) -> None:
        """Note a success."""
        self._undefined = None
        self._entry.tables_awaited = 0
        self._note_answer()

    def _note_answer(self) -> None:
        """Note that the server answers: an outage is over for this process."""
        if self._errors == 1 and not self._reported:
            emit("database.reconnected", error=self._first)
        self._attempt_at = float("inf")
        if self._errors:
            self._errors, self._reported = 0, False
            if monotonic() - self._ill_at > RELAPSE_S:
                self._pause_s = PAUSE_MIN_S
        if not self._scoreboard.database_seen:
            self._scoreboard.database_seen = 1
        if self._entry.database_down or (
            self._scoreboard.outage_since_ns and self._entry.row_id
        ):
            self._end()

    def _end(self) -> None:
        scoreboard = self._scoreboard
        with scoreboard.announcing():
            self._entry.database_down = 0
            since_ns = scoreboard.outage_since_ns
            if not since_ns or any(entry.database_down for entry in scoreboard.living()):
                return
            lasted_ns = monotonic_ns() - since_ns
            scoreboard.outage_since_ns = 0
            scoreboard.outage_ns += lasted_ns
        emit("database.available", duration=round(lasted_ns / 1e9, 3))


def begin(scoreboard: Scoreboard, error: BaseException) -> None:
    """Report an outage that begins before the supervisor has child processes."""
    with scoreboard.announcing():
        _begin(scoreboard, error)


def _begin(scoreboard: Scoreboard, error: BaseException) -> None:
    if not scoreboard.outage_since_ns:
        scoreboard.outage_since_ns = monotonic_ns()
        scoreboard.outages += 1
        event = "database.unavailable" if scoreboard.database_seen else "database.awaited"
        emit(event, error=_in_one_line(error))


def _is_ill(error: BaseException) -> bool:
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    return sqlstate is not None and sqlstate.startswith(_ILL)


def _in_one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{text}; {REMEDY}" if isinstance(error, errors.InsufficientPrivilege) else text
