"""Reports an error on stderr, and returns its exit status."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import TYPE_CHECKING, TypeGuard

import click

from jobsd import errors
from jobsd.configuration.faults import report as report_faults
from jobsd.daemon import statuses
from jobsd.daemon.program import drop_output, error, note, program, wants_debug
from jobsd.errors import Error as OurError
from jobsd.jobs.registry import ModuleError

from . import pidfile, supervisor_request

if TYPE_CHECKING:
    import psycopg


def report(fault: BaseException, *, debug: bool = False) -> int:
    """Report an error and return its exit status."""
    if debug or wants_debug():
        note("".join(traceback.format_exception(fault)).rstrip())
    match fault:
        case SystemExit():
            return fault.code if isinstance(fault.code, int) else statuses.FAILED
        case click.Abort() | KeyboardInterrupt():
            return statuses.INTERRUPTED
        case BrokenPipeError():
            return statuses.DONE
        case OurError():
            return _report_ours(fault)
        # Output that a disk refuses. An error of a file that we open has a file name.
        case OSError(
            errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EIO, filename=None
        ):
            error(f"can't write the output: {fault.strerror}")
            drop_output()
            return statuses.FAILED
        case _ if _is_of_driver(fault):
            return _report_of_driver(fault)
        case _:
            return _report_unforeseen(fault)


def _report_ours(fault: OurError) -> int:
    match fault:
        case errors.ConfigurationError():
            note(report_faults(fault.faults))
            usage = all(each.source.startswith("--") for each in fault.faults)
            return statuses.USAGE if usage else statuses.CONFIGURATION
        case ModuleError():
            error(_line(fault), f"`{program()} check` shows where its import fails")
            return statuses.CONFIGURATION
        case errors.SchemaError():
            error(str(fault), fault.remedy and f"{program()} {fault.remedy}")
            return statuses.CONFIGURATION
        case errors.EmbeddedServerError():
            return _report_embedded(fault)
        case errors.EnqueueError() if (cause := fault.__cause__) and _is_of_driver(cause):
            if not fault.known:
                cause.add_note("look whether the job was enqueued before you enqueue it again")
            return _report_of_driver(cause)
        case _:
            error(_line(fault))
            return _status(fault)


def _status(fault: OurError) -> int:
    known: dict[type[OurError], int] = {
        errors.DatabaseUnreachableError: statuses.UNREACHABLE,
        errors.NotFoundError: statuses.NOT_FOUND,
        errors.UnknownJobError: statuses.NOT_FOUND,
        errors.RefusedError: statuses.REFUSED,
        errors.DuplicateError: statuses.REFUSED,
        pidfile.PidfileHeld: statuses.HELD,
        supervisor_request.NotRunningError: statuses.NOT_RUNNING,
    }
    return next((n for kind, n in known.items() if isinstance(fault, kind)), statuses.FAILED)


def _report_embedded(fault: errors.EmbeddedServerError) -> int:
    """Report in three lines at most, with the last line of the server's log."""
    where = f" (in {fault.where})" if fault.where else ""
    error(f"{fault.what}{where}")
    if fault.log:
        note(f"  the server's log ends with: {fault.log[-1]}")
    note(f"hint: {fault.expected or 'set DATABASE_URL to use a PostgreSQL of your own'}")
    return statuses.UNREACHABLE


def _is_of_driver(fault: BaseException) -> TypeGuard[psycopg.Error]:
    """Return whether it is an error of the driver; a driver that is not loaded raised none."""
    driver = sys.modules.get("psycopg")
    return driver is not None and isinstance(fault, driver.Error)


def _report_of_driver(fault: psycopg.Error) -> int:
    from .database_faults import report_database

    return report_database(fault)


def _report_unforeseen(fault: BaseException) -> int:
    error(f"{type(fault).__name__}: {_line(fault)}", "use --debug for the full traceback")
    return statuses.CRASHED


def _line(fault: BaseException) -> str:
    return " ".join(str(fault).split())
