"""The processes of all trees on the database, as rows, and whether they are alive.

Life is judged as far as this host can know.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, Literal

from jobsd.database.connection import Session
from jobsd.processes import registry
from jobsd.processes.registry import ProcessRow
from jobsd.scoreboard import thresholds

from .words import counted

Life = Literal["alive", "silent", "gone"]

_GROUPS_MAX = 3


def life(row: ProcessRow, threshold_s: float) -> Life:
    """Return "alive"; "silent" when its heartbeat is overdue; "gone" when it has ended.

    For a process of a tree with other settings, its own threshold must have passed, too. Only
    for processes of our own boot and namespace can this host know that they have ended.
    """
    if is_of_here(row.metadata) and registry.start_time(row.pid) != row.metadata.get("started"):
        return "gone"
    dead_s = thresholds.dead_after_s(thresholds.thresholds_in(row.metadata), threshold_s)
    return "silent" if row.heartbeat_age_s > dead_s else "alive"


def has_scheduler(session: Session, threshold_s: float) -> bool:
    """Return whether a scheduler is running, without which no task is enqueued in time."""
    return has_alive(session, threshold_s, "scheduler")


def has_alive(session: Session, threshold_s: float, kind: str) -> bool:
    """Return whether a process of this kind is running."""
    return any(
        row.kind == kind and life(row, threshold_s) == "alive"
        for row in registry.processes(session)
    )


def is_of_here(metadata: Mapping[str, object]) -> bool:
    """Return whether a row is of a process of this boot and namespace (this container)."""
    here = registry.identity(os.getpid())
    return all(metadata.get(key) == here[key] for key in ("boot", "namespace"))


def unlike_trees(rows: Iterable[ProcessRow]) -> str:
    """Name the trees with other settings for judging processes; "" if none has."""
    said = sorted(
        (str(thresholds.thresholds_in(row.metadata) or ""), f"{row.hostname} (pid {row.pid})")
        for row in rows
        if row.kind == "supervisor"
    )
    groups = [
        f"{', '.join(where for _, where in trees)}: {settings or 'not said'}"
        for settings, trees in groupby(said, key=lambda each: each[0])
    ]
    if len(groups) < 2:
        return ""
    message = "; ".join(groups[:_GROUPS_MAX])
    return (
        f"trees have different supervisor settings, so the longest ones apply to all: {message}"
    )


def unlike_programs(rows: Iterable[ProcessRow]) -> str:
    """Name the hosts whose programs expect another version of the tables; "" if all are alike.

    A program from before these rows has no version in them, and is not judged.
    """
    said = sorted(
        (version, f"{row.hostname} (pid {row.pid})")
        for row in rows
        if row.kind == "supervisor" and isinstance(version := row.metadata.get("tables"), int)
    )
    groups = [
        f"{', '.join(where for _, where in trees)}: {version}"
        for version, trees in groupby(said, key=lambda each: each[0])
    ]
    if len(groups) < 2:
        return ""
    message = "; ".join(groups[:_GROUPS_MAX])
    return f"trees run different versions, made for these versions of the tables: {message}"


Row = dict[str, Any]

_IDENTITY = ("boot", "namespace", "started", "supervisor")


def processes(session: Session, threshold_s: float, *, here: bool = False) -> list[Row]:
    """Return the processes table; `life` is alive, silent or gone.

    A process is silent when it has had no heartbeat for `threshold_s`. With `here` only the
    processes of this machine, or of this container, are returned.
    """
    return process_rows(
        (row for row in registry.processes(session) if not here or is_of_here(row.metadata)),
        threshold_s,
    )


def process_rows(rows: Iterable[ProcessRow], threshold_s: float) -> list[Row]:
    """Return rows of the processes table with their `life`, as `processes` does."""
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
            "machine": row.machine,
        }
        for row in rows
    ]


def trees(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each tree with a living process: its host, and its processes."""
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
    """Return the columns of a process's row; columns of the tree only for its first process."""
    hidden = _IDENTITY if row.kind == "supervisor" else (*_IDENTITY, *thresholds.NAMES)
    return {key: value for key, value in row.metadata.items() if key not in hidden}
