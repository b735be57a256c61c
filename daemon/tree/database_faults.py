"""Reports an error of the driver, and returns its exit status."""

import psycopg
from psycopg import errors

from jobsd.daemon.program import error, program
from jobsd.daemon.statuses import CONFIGURATION, FAILED, REFUSED, UNREACHABLE
from jobsd.database import connection, grants
from jobsd.database.other_build import UNDEFINED


def report_database(fault: psycopg.Error) -> int:
    """Report an error of the driver and return its exit status."""
    if isinstance(fault, psycopg.ProgrammingError) and fault.sqlstate is None:
        # libpq's message may contain a part of the password.
        error("the URL of the database can't be read")
        return CONFIGURATION
    if isinstance(fault, UNDEFINED):
        error(
            f"the tables do not fit this version of jobsd: {_first(fault)}",
            f"{program()} db migrate",
        )
        return CONFIGURATION
    if isinstance(fault, errors.LockNotAvailable):
        error(f"another transaction holds the lock: {_first(fault)}", "try again")
        return REFUSED
    if isinstance(fault, connection.OUTAGES):
        hint = " ".join(getattr(fault, "__notes__", ()))
        error(f"the database can't be reached: {' '.join(str(fault).split())}", hint)
        return UNREACHABLE
    hint = grants.REMEDY if isinstance(fault, errors.InsufficientPrivilege) else ""
    error(f"the database refused the command: {_first(fault)}", hint)
    return FAILED


def _first(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0]
