"""The tables of the queue, made and kept at the version of jobsd by `manage.py migrate`."""

from typing import Any

from jobsd.database import connection, statements
from jobsd.database.migrate import migrate

from . import library, queue

_STATEMENTS = statements.Statements("jobsd.django", "tables.sql")


def make(_apps: Any, schema_editor: Any) -> None:  # noqa: ANN401 - Django's
    """Bring the tables in the queue's database up to date; a step of a migration."""
    bring_up_to_date(using=schema_editor.connection.alias)


def bring_up_to_date(*, using: str, **_facts: Any) -> None:  # noqa: ANN401
    """Bring the tables up to date over a connection of ours, each step in its own transaction.

    Also after each `migrate`: a new version of jobsd has new steps.
    """
    if using == queue.alias() and library.db.connections[using].vendor == "postgresql":
        migrate(connection.Target(queue.url_of(library.db.connections[using]), queue.SCHEMA))


def empty_with_a_test(*, using: str, **facts: Any) -> None:  # noqa: ANN401
    """Empty the queue when a test flushes its database, as a TransactionTestCase does.

    Django flushes the tables of models only. After a flush it sends the signal that it sends
    after `migrate`, but without a plan. Only in Django's test environment: a `manage.py flush`
    deletes no jobs.
    """
    if not queue.is_in_test() or "plan" in facts or using != queue.alias():
        return
    if library.db.connections[using].vendor == "postgresql":
        with library.db.connections[using].cursor() as cursor:
            cursor.execute(_STATEMENTS["empty"].render(queue.SCHEMA))
            cursor.execute("; ".join(row[0] for row in cursor.fetchall()) or "SELECT")
