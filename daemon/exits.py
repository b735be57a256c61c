"""Reports an error on stderr, and says which status it ends with."""

from __future__ import annotations

import traceback

import click
import psycopg
from psycopg import errors

from jobsd.configuration.faults import report as report_faults
from jobsd.database import grants
from jobsd.database.connection import OUTAGES
from jobsd.errors import (
    ConfigurationError,
    DatabaseUnreachableError,
    DuplicateError,
    EmbeddedServerError,
    EnqueueError,
    NotFoundError,
    RefusedError,
    SchemaError,
    UnknownJobError,
)
from jobsd.errors import Error as OurError
from jobsd.jobs.registry import ModuleError

from .pidfile import PidfileHeld
from .program import error, note, program, wants_debug
from .statuses import (
    CONFIGURATION,
    CRASHED,
    DONE,
    FAILED,
    HELD,
    INTERRUPTED,
    NOT_FOUND,
    NOT_RUNNING,
    REFUSED,
    UNREACHABLE,
    USAGE,
)
from .supervisor_request import NotRunningError

_NO_TABLES = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn)


def report(fault: BaseException, *, debug: bool = False) -> int:
    """Report what went wrong and return the exit status that says so."""
    if debug or wants_debug():
        note("".join(traceback.format_exception(fault)).rstrip())
    match fault:
        case SystemExit():
            return fault.code if isinstance(fault.code, int) else FAILED
        case click.Abort() | KeyboardInterrupt():
            return INTERRUPTED
        case BrokenPipeError():
            return DONE
        case OurError():
            return _report_ours(fault)
        case psycopg.Error():
            return _report_database(fault)
        case _:
            return _report_unforeseen(fault)


def _report_ours(fault: OurError) -> int:
    match fault:
        case ConfigurationError():
            note(report_faults(fault.faults))
            usage = all(each.source.startswith("--") for each in fault.faults)
            return USAGE if usage else CONFIGURATION
        case ModuleError():
            error(_line(fault), f"`{program()} check` shows where its import fails")
            return CONFIGURATION
        case SchemaError():
            error(str(fault), fault.remedy and f"{program()} {fault.remedy}")
            return CONFIGURATION
        case EmbeddedServerError():
            return _report_embedded(fault)
        case EnqueueError() if isinstance(fault.__cause__, psycopg.Error):
            return _report_database(fault.__cause__)
        case _:
            error(_line(fault))
            return _status(fault)


def _status(fault: OurError) -> int:
    statuses: dict[type[OurError], int] = {
        DatabaseUnreachableError: UNREACHABLE,
        NotFoundError: NOT_FOUND,
        UnknownJobError: NOT_FOUND,
        RefusedError: REFUSED,
        DuplicateError: REFUSED,
        PidfileHeld: HELD,
        NotRunningError: NOT_RUNNING,
    }
    return next((n for kind, n in statuses.items() if isinstance(fault, kind)), FAILED)


def _report_embedded(fault: EmbeddedServerError) -> int:
    """Report in three lines at most: the last that the server wrote is the one that counts."""
    where = f" (in {fault.where})" if fault.where else ""
    error(f"{fault.what}{where}")
    if fault.log:
        note(f"  the server's log ends with: {fault.log[-1]}")
    note(f"hint: {fault.expected or 'set DATABASE_URL to use a PostgreSQL of your own'}")
    return UNREACHABLE


def _report_database(fault: psycopg.Error) -> int:
    if isinstance(fault, psycopg.ProgrammingError) and fault.sqlstate is None:
        # What libpq says of it may be a part of the password.
        error("the URL of the database can't be read")
        return CONFIGURATION
    if isinstance(fault, _NO_TABLES):
        error(f"the tables are not as needed: {_first(fault)}", f"{program()} db migrate")
        return CONFIGURATION
    if isinstance(fault, errors.LockNotAvailable):
        error(f"what is asked for is locked: {_first(fault)}", "try again")
        return REFUSED
    if isinstance(fault, OUTAGES):
        error(f"the database can't be reached: {_line(fault)}")
        return UNREACHABLE
    hint = grants.REMEDY if isinstance(fault, errors.InsufficientPrivilege) else ""
    error(f"the database refuses: {_first(fault)}", hint)
    return FAILED


def _report_unforeseen(fault: BaseException) -> int:
    error(f"{type(fault).__name__}: {_line(fault)}", "use --debug for the full traceback")
    return CRASHED


def _line(fault: BaseException) -> str:
    return " ".join(str(fault).split())


def _first(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0]
