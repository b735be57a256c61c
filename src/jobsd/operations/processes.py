"""The processes of all trees on the database, as rows."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from jobsd.database.connection import Session
from jobsd.processes import registry, thresholds
from jobsd.processes.registry import ProcessRow

from .liveness import is_of_here, life
from .words import counted

Row = dict[str, Any]

_IDENTITY = ("boot", "namespace", "started", "supervisor")


def processes(session: Session, threshold_s: float, *, here: bool = False) -> list[Row]:
    """Return the processes table; `life` is alive, silent or gone.

    A process is silent when it has had no heartbeat for `threshold_s`. With `here` only those
    of this machine, or of this container, are returned.
    """
    return [
        {
            "id": row.id,
            "kind": row.kind,
            "name": row.name,
            "pid": row.pid,
            "hostname": row.hostname,
            "heartbeat_age": timedelta(seconds=max(0.0, row.heartbeat_age_s)),
            "metadata": _shown(row),
            "supervisor_id": row.supervisor_id,
            "created_at": row.created_at,
            "life": life(row, threshold_s),
        }
        for row in registry.processes(session)
        if not here or is_of_here(row.metadata)
    ]


def trees(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each tree that has a living process: where it is, and what it has."""
    supervisors = {row["id"]: row for row in rows if row["kind"] == "supervisor"}
    found: dict[int, list[Row]] = {key: [] for key in supervisors}
    for row in rows:
        if row["life"] == "alive":
            found.setdefault(row["supervisor_id"] or row["id"], []).append(row)
    return [
        _tree(supervisors.get(key), members)
        for key, members in found.items()
        if members or key in supervisors
    ]


def _tree(supervisor: Row | None, members: Sequence[Row]) -> Row:
    kinds = [row["kind"] for row in members if row["kind"] != "supervisor"]
    first = supervisor or members[0]
    workers = [row["metadata"] for row in members if row["kind"] == "worker"]
    queues = dict.fromkeys(
        name for each in workers for name in str(each.get("queues", "*")).split(",")
    )
    return {
        "hostname": first["hostname"],
        "pid": supervisor and supervisor["pid"],
        "life": supervisor["life"] if supervisor else "gone",
        "heartbeat_age": first["heartbeat_age"],
        "members": ", ".join(counted(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)),
        "queues": ", ".join(queues),
    }


def _shown(row: ProcessRow) -> dict[str, object]:
    """Return what a row says of its process; what is the same in a tree, of its first only."""
    hidden = _IDENTITY if row.kind == "supervisor" else (*_IDENTITY, *thresholds.NAMES)
    return {key: value for key, value in row.metadata.items() if key not in hidden}
