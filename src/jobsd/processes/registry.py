"""The `processes` table: which processes live, where, and how old their heartbeats are."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsd.database.connection import Session, Statements
from jobsd.machine import hostname, process_stat
from jobsd.scoreboard.thresholds import Thresholds

if TYPE_CHECKING:
    from .context import Context

STATEMENTS = Statements("jobsd.processes", "registry.sql")


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One row of the `processes` table."""

    id: int
    kind: str
    name: str
    pid: int
    hostname: str
    supervisor_id: int | None
    heartbeat_age_s: float
    created_at: datetime
    metadata: dict[str, Any]
    machine: dict[str, Any] | None = None
    """Of a supervisor: see `machine.strain`."""


def new_name(kind: str) -> str:
    """Return a unique name for a process."""
    import secrets  # noqa: PLC0415 - it is large, and most readers of rows name nothing

    return f"{kind}-{secrets.token_hex(6)}"


def identity(pid: int) -> dict[str, str]:
    """Return the identity of a process of this machine: boot, namespace and start time.

    Host name and process id are not enough: containers share both.
    """
    return {"boot": _boot_id(), "namespace": _pid_namespace(), "started": start_time(pid)}


def below(supervisor_pid: int) -> dict[str, dict[str, object]]:
    """Return the identity of the supervisor, for a row of its tree.

    The supervisor's own row may come later than this one, or be gone before it.
    """
    started = start_time(supervisor_pid) if supervisor_pid else ""
    return {"supervisor": {"pid": supervisor_pid, "started": started}} if started else {}


def start_time(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, "" when it is gone.

    A process that has ended but was not reaped yet is gone too.
    """
    stat = process_stat(pid)
    return "" if stat is None or stat.state in {"Z", "X"} else stat.started


def register(  # noqa: PLR0913 - the columns of a row
    session: Session,
    *,
    kind: str,
    name: str,
    supervisor_id: int,
    metadata: dict[str, Any],
    pid: int = 0,
    thresholds: Thresholds | None = None,
    supervisor_pid: int = 0,
) -> int:
    """Write the row of a process, of this one unless `pid` is given, and return its id.

    `supervisor_pid` is for all but supervisors.
    """
    pid = pid or os.getpid()
    judged_by = {} if thresholds is None else thresholds.metadata()
    parameters = {
        "kind": kind,
        "name": name,
        "pid": pid,
        "hostname": hostname(),
        "supervisor_id": supervisor_id,
        "metadata": json.dumps(
            {**identity(pid), **below(supervisor_pid), **judged_by, **metadata}
        ),
    }
    return int(session.fetch(STATEMENTS["register"], parameters)[0][0])


def deregister(session: Session, row_id: int) -> bool:
    """Remove a process's row; return False if it still has claims, or is gone already."""
    return bool(session.fetch(STATEMENTS["deregister"], {"id": row_id}))


def remove(session: Session, row_id: int) -> bool:
    """Remove the row of a process that has ended; return False as `deregister` does.

    It also returns False if another session has locked the row: it does not wait.
    """
    return bool(session.fetch(STATEMENTS["remove"], {"id": row_id}))


def enter(session: Session, context: Context, kind: str, metadata: dict[str, Any]) -> int:
    """Register this process below its supervisor, note it in its entry, return the row's id."""
    context.metadata = {**metadata, "number": context.entry.number}
    if context.journals is not None and kind == "worker":
        context.metadata["journals"] = str(context.journals)
    row_id = register(
        session,
        kind=kind,
        name=context.name,
        supervisor_id=context.scoreboard.supervisor_row,
        metadata=context.metadata,
        supervisor_pid=context.scoreboard.supervisor_pid,
        thresholds=context.scoreboard.thresholds,
    )
    context.entry.row_id = row_id
    return row_id


def leave(session: Session, context: Context, row_id: int) -> None:
    """Remove this process's row if it has one, note it in its entry, drop the connection."""
    if row_id:
        deregister(session, row_id)
        context.entry.row_id = 0
    session.close()


def everything_paused(session: Session) -> bool:
    """Return whether everything is paused; see `acts.everything`."""
    return bool(session.fetch(STATEMENTS["everything_paused"])[0][0])


def find(session: Session, name: str) -> int:
    """Return the id of the row of this name, 0 when there is none."""
    rows = session.fetch(STATEMENTS["find"], {"name": name})
    return int(rows[0][0]) if rows else 0


def processes(session: Session) -> list[ProcessRow]:
    """Return all rows, the trees one after the other, each supervisor first."""
    return [ProcessRow(*row) for row in session.fetch(STATEMENTS["all"])]


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())
