"""Judges whether the processes in the table are alive, as far as this host can know."""

import os
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Literal

from jobsd.processes import registry, thresholds
from jobsd.processes.registry import ProcessRow

Life = Literal["alive", "silent", "gone"]

_GROUPS_MAX = 3


def life(row: ProcessRow, threshold_s: float) -> Life:
    """Return "alive"; "silent" when its heartbeat stands still; "gone" when it has ended.

    A process of a tree with other settings is silent once these have it so, too.
    Only of processes of our own boot and namespace can be known that they have ended.
    """
    if is_of_here(row.metadata) and registry.start_time(row.pid) != row.metadata.get("started"):
        return "gone"
    dead_s = thresholds.dead_after_s(thresholds.thresholds_in(row.metadata), threshold_s)
    return "silent" if row.heartbeat_age_s > dead_s else "alive"


def is_of_here(metadata: Mapping[str, object]) -> bool:
    """Return whether a row is of a process of this boot and namespace: of this container."""
    here = registry.identity(os.getpid())
    return all(metadata.get(key) == here[key] for key in ("boot", "namespace"))


def unlike_trees(rows: Iterable[ProcessRow]) -> str:
    """Say which trees have other settings by which a process is judged; "" when none has."""
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
    """Say which hosts run programs for which version of the tables; "" when all are alike.

    A program from before these rows says nothing, and is not judged.
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
