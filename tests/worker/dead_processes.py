"""What a monitor knows of the worker under test when it takes it for dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.supervisor.recovery.claims import DeadProcess

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def dead_process(session: Session, **facts: object) -> DeadProcess:
    """Return what is known of the only process that has a row."""
    row = session.connection.execute("SELECT id FROM jobsd.processes").fetchone()
    assert row is not None
    error = {"type": "ProcessPrunedError", "message": "gone", "stack": ""}
    return DeadProcess(row[0], "worker-test", error, **facts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def terminate(session: Session) -> None:
    """End the connections of all workers of this database."""
    session.connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name LIKE 'jobsd worker%' AND datname = current_database()"
    )
