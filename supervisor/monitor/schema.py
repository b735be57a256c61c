"""Migrates the database later, if it could not be reached at the start."""

import threading
from collections.abc import Callable

from psycopg import errors

from jobsd.clock import monotonic
from jobsd.database import connection, migrate
from jobsd.database.other_build import OtherBuildError
from jobsd.errors import ConfigurationError, SchemaError
from jobsd.events.events import emit

from .one_database import Comparison

AGAIN_S = 5.0
"""How often we check for tables that our role may not create."""


def blocked(cause: str) -> None:
    """Report that a migration is kept waiting, and its cause."""
    emit("database.migration_blocked", cause=cause)


def _ignore(_cause: str) -> None:
    pass


class Schema:
    """Brings the tables up to date, once in the life of a monitor, and reports it once."""

    def __init__(self, target: connection.Target, applied: str = "") -> None:
        """`applied` names the application's database, if it is still to be compared."""
        self._target = target
        self._comparison = Comparison(target, applied)
        self._are_right = False
        self._reported = False
        self._again_at = 0.0

    def ready(self, waiting: Callable[[], None]) -> bool:
        """Return whether the tables are usable; migrate them if we may.

        Another program may be migrating and make us wait for long: meanwhile `waiting` is
        called each second.

        Raises:
            psycopg.OperationalError: if the database can't be reached.
            OtherBuildError: if another build has made the tables.
        """
        if not self._are_right and monotonic() >= self._again_at:
            self._bring_up_to_date(waiting)
        elif self._are_right:
            self._comparison.poll()
        return self._are_right

    def are_gone(self) -> None:
        """Check the schema again: a table was missing."""
        self._are_right = False

    def _bring_up_to_date(self, waiting: Callable[[], None]) -> None:
        try:
            report = _ignore if self._reported else blocked
            applied = _in_thread(lambda: self._bring_up(report), waiting)
        except OtherBuildError:
            self._again_at = monotonic() + AGAIN_S
            raise
        except (ConfigurationError, SchemaError, errors.LockNotAvailable) as error:
            self._again_at = monotonic() + AGAIN_S
            if not self._reported:
                _report(error)
            self._reported = True
            return
        self._are_right, self._reported = True, False
        if applied:
            emit("database.migrated", steps=applied)

    def _bring_up(self, report: Callable[[str], None]) -> list[str]:
        """Make tables only in the database into which the application enqueues."""
        self._comparison.require()
        return migrate.bring_up(self._target, report)


def _report(error: Exception) -> None:
    if isinstance(error, ConfigurationError):
        emit("database.foreign", error=error)
    else:
        emit("schema.outdated", error=error)


def _in_thread(work: Callable[[], list[str]], waiting: Callable[[], None]) -> list[str]:
    done: list[list[str]] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    thread = threading.Thread(target=run, name="migrate", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(1.0)
        waiting()
    if failed:
        raise failed[0]
    return done[0]
