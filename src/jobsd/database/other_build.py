"""Distinguishes tables made by another build of the program from our own.

Each applied step has stored the hash of its statements. If both the tables and this program
have a step, the two hashes are compared; if one of them lacks it, versions decide (`migrate`).
Before there were hashes, a step stored none: it is of another build, too.
"""

import shlex

from psycopg import errors

from jobsd.errors import SchemaError

from . import steps
from .connection import Session
from .statements import Statement, quote_identifier

# The column is missing if an older build has made the table.
_APPLIED = Statement(
    "applied",
    "SELECT version, to_jsonb(step) ->> 'statements_hash' FROM jobsd.schema_migrations AS step",
)

UNDEFINED = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.InvalidSchemaName,
)
"""Raised if the tables lack an object that a statement of ours names."""


_migrate_command = "db migrate"


def migrate_by(command: str) -> None:
    """Set the command that errors name for missing tables: that of a framework."""
    global _migrate_command  # noqa: PLW0603 - the program's one
    _migrate_command = command


def remedy() -> str:
    """Return what to run where tables are missing."""
    return f"run `{_migrate_command}`"


class OtherBuildError(SchemaError):
    """The tables were made by another build of jobsd than this program. Exit status 78."""


Applied = dict[int, str | None]
"""The hashes of the steps that were applied, by their versions."""


def applied_steps(session: Session) -> Applied:
    """Return the steps that have made the tables.

    Raises:
        psycopg.errors.UndefinedTable: if there are no tables.
    """
    return dict(session.fetch(_APPLIED))


def refuse(schema: str, applied: Applied) -> None:
    """Check that each step that the tables and this program both have is the same.

    Raises:
        OtherBuildError: naming the steps that differ, and the remedy.
    """
    others = [
        step.title
        for step in steps.migrations()
        if step.version in applied and applied[step.version] != step.hash
    ]
    if others:
        raise OtherBuildError(_sentence(schema, others), remedy="")


def unlike_tables(schema: str, error: BaseException) -> SchemaError:
    """Return the error that names the object that the tables lack, for one of `UNDEFINED`."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    message = f"the tables in schema {schema!r} are missing, or another build's: {said}"
    return SchemaError(f"{message}; {remedy()}")


def _sentence(schema: str, others: list[str]) -> str:
    differ = "differs" if len(others) == 1 else "differ"
    drop = shlex.quote(f"DROP SCHEMA {quote_identifier(schema)} CASCADE")
    return (
        f"the tables in schema {schema!r} were made by another build of jobsd than this"
        f" program: {', '.join(others)} {differ}. Run the build that made them; or, where all"
        f" jobs in them may go, as in development, stop what uses them, drop them with"
        f" `db psql -c {drop}`, and run `db migrate`"
    )
