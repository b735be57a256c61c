"""Exit statuses, and which of them each error ends with."""

from __future__ import annotations

import traceback

import click
import psycopg
from psycopg import errors

from jobsd.configuration.faults import report
from jobsd.database import grants
from jobsd.database.connection import OUTAGES
from jobsd.errors import (
    ConfigurationError,
    DatabaseUnreachableError,
    EmbeddedServerError,
    EnqueueError,
    NotFoundError,
    RefusedError,
    SchemaError,
    UnknownJobError,
)
from jobsd.errors import Error as OurError
from jobsd.jobs.registry import ModuleError

from .asking import NotRunningError
from .pidfile import PidfileHeld
from .program import debugs, error, note, program

DONE = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
UNREACHABLE = 4
NOT_FOUND = 5
REFUSED = 6
CRASHED = 70
HELD = 75
CONFIGURATION = 78
INTERRUPTED = 130

_NO_TABLES = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn)


def tell(fault: BaseException) -> int:
    """Tell the operator what went wrong and return the exit status that says so."""
    if debugs():
        note("".join(traceback.format_exception(fault)).rstrip())
    match fault:
        case SystemExit():
            return fault.code if isinstance(fault.code, int) else FAILED
        case click.Abort() | KeyboardInterrupt():
            return INTERRUPTED
        case BrokenPipeError():
            return DONE
        case OurError():
            return _tell_ours(fault)
        case psycopg.Error():
            return _tell_database(fault)
        case _:
            return _tell_unforeseen(fault)


def _tell_ours(fault: OurError) -> int:
    match fault:
        case ConfigurationError():
            note(report(fault.faults))
            return CONFIGURATION
        case ModuleError():
            error(_line(fault), f"`{program()} check` shows where its import fails")
            return CONFIGURATION
        case SchemaError():
            error(str(fault), fault.remedy and f"{program()} {fault.remedy}")
            return CONFIGURATION
        case EmbeddedServerError():
            return _tell_embedded(fault)
        case EnqueueError() if isinstance(fault.__cause__, psycopg.Error):
            return _tell_database(fault.__cause__)
        case _:
            error(_line(fault))
            return _status(fault)


def _status(fault: OurError) -> int:
    statuses: dict[type[OurError], int] = {
        DatabaseUnreachableError: UNREACHABLE,
        NotFoundError: NOT_FOUND,
        UnknownJobError: NOT_FOUND,
        RefusedError: REFUSED,
        PidfileHeld: HELD,
        NotRunningError: NOT_RUNNING,
    }
    return next((n for kind, n in statuses.items() if isinstance(fault, kind)), FAILED)


def _tell_embedded(fault: EmbeddedServerError) -> int:
    """Tell in three lines at most: the last that the server wrote is the one that counts."""
    where = f" (in {fault.where})" if fault.where else ""
    error(f"{fault.what}{where}")
    if fault.log:
        note(f"  it said: {fault.log[-1]}")
    note(f"hint: {fault.expected or 'set DATABASE_URL to use a PostgreSQL of your own'}")
    return UNREACHABLE


def _tell_database(fault: psycopg.Error) -> int:
    if isinstance(fault, psycopg.ProgrammingError) and fault.sqlstate is None:
        # What libpq says of it may be a part of the password.
        error("the URL of the database can't be read")
        return CONFIGURATION
    if isinstance(fault, _NO_TABLES):
        error(f"the tables are not as needed: {_first(fault)}", f"{program()} db migrate")
        return CONFIGURATION
    if isinstance(fault, errors.LockNotAvailable):
        error(f"somebody holds locked what is asked for: {_first(fault)}", "try again")
        return REFUSED
    if isinstance(fault, OUTAGES):
        error(f"the database is away: {_line(fault)}")
        return UNREACHABLE
    hint = grants.REMEDY if isinstance(fault, errors.InsufficientPrivilege) else ""
    error(f"the database refuses: {_first(fault)}", hint)
    return FAILED


def _tell_unforeseen(fault: BaseException) -> int:
    error(f"{type(fault).__name__}: {_line(fault)}", "--debug shows where it happened")
    return CRASHED


def _line(fault: BaseException) -> str:
    return " ".join(str(fault).split())


def _first(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0]
