"""Rows that a daemon would have written, for commands that look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.processes import registry

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def register(session: Session, kind: str, **metadata: object) -> int:
    """Register a process that does not run; return the id of its row."""
    return registry.register(
        session, kind=kind, name=f"{kind}-1", supervisor_id=0, metadata=metadata
    )


def beat(
    session: Session, ago: str, hostname: str = "web-1", task: str | None = "heartbeat"
) -> None:
    """Let a heartbeat have run some time ago, enqueued by a recurring task or by nobody."""
    session.connection.execute(
        "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname, task_key)"
        " VALUES (now() - %s::interval, 'test', %s, %s)",
        (ago, hostname, task),
    )
