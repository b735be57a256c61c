"""The driver alone: it stores the rows of jobs by the least that has to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.database.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

STATEMENTS = {
    statement.name: statement.render("jobsd")
    for statement in Statements("benchmarks", "plain.sql")
}


def insert(connection: Connection[Any], number: int) -> None:
    """Store one job."""
    connection.execute(STATEMENTS["insert"], (f"[{number}]",))


def copy_in(connection: Connection[Any], numbers: Sequence[int]) -> None:
    """Store many jobs in one transaction."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(STATEMENTS["take_ids"], (len(numbers),))
        ids = [row[0] for row in cursor.fetchall()]
        with cursor.copy(STATEMENTS["copy_jobs"]) as copy:
            for number, job_id in zip(numbers, ids, strict=True):
                copy.write_row((job_id, "default", "noop", f"[{number}]"))
        with cursor.copy(STATEMENTS["copy_ready"]) as copy:
            for job_id in ids:
                copy.write_row((job_id, job_id, 0, "default"))
