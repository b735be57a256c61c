"""Reads facts about the server, our tables and versions, and no environment variables."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jobsd import machine
from jobsd.clock import utc_now
from jobsd.database.connection import Session, Statement, Statements
from jobsd.database.steps import migrations

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "system.sql")

_PACKAGES = ("psycopg", "croniter", "structlog", "Jinja2", "waitress", "tzdata")
_TABLE = ("table", "bytes", "index_bytes", "live_rows", "dead_rows", "vacuumed_at")


def system(session: Session) -> Row:
    """Return the facts of server, tables and versions."""
    schema = session.target.schema
    asked: list[tuple[Statement, Row]] = [
        (STATEMENTS[name], {}) for name in ("server", "connections", "migrations")
    ]
    before = utc_now()
    (server,), connections, steps, tables = session.fetch_together(
        [*asked, (STATEMENTS["tables"], {"schema": schema})]
    )
    name, database, role, size, clock, connections_max, standby = server
    applied = {number for number, *_ in steps}
    return {
        "server": {
            "version": name,
            "database": database,
            "role": role,
            "schema": schema,
            "bytes": size,
            "standby": standby,
            "connections_max": connections_max,
            "clock_ahead_s": round((clock - before).total_seconds(), 3),
        },
        "connections": dict(connections),
        "migrations": {
            "version": max(applied, default=0),
            "applied_at": steps[0][2] if steps else None,
            "pending": [step.title for step in migrations() if step.version not in applied],
        },
        "tables": [dict(zip(_TABLE, row, strict=True)) for row in tables],
        "program": _program(),
    }


def _program() -> Row:
    return {
        "hostname": machine.hostname(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "packages": {
            # For jobsd the version that runs: the installed one may have changed since.
            "jobsd": machine.PROGRAM_VERSION,
            **{each: found for each in _PACKAGES if (found := _version(each))},
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
