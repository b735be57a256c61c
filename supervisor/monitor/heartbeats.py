"""The heartbeats of a tree, and the survey of the database that comes with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jobsd import machine
from jobsd.clock import monotonic, monotonic_ns
from jobsd.database.connection import Session, Statements
from jobsd.scoreboard.thresholds import NAMES, thresholds_of
from jobsd.supervisor.recovery.peers import PeerProcess

STATEMENTS = Statements("jobsd.supervisor.monitor", "monitor.sql")


@dataclass(frozen=True, slots=True)
class Beat:
    """The heartbeat of one process: its row, its last tick (monotonic), its supervisor.

    `ages_s` are the running times of its jobs.
    """

    row_id: int
    ticked_ns: int
    supervisor_id: int
    ages_s: Mapping[int, float] = field(default_factory=dict[int, float])


@dataclass(frozen=True, slots=True)
class LastHeartbeat:
    """When the heartbeat job last ran, as it was known at `seen_at` (monotonic)."""

    executed_at: datetime | None = None
    age_then_s: float = 0.0
    seen_at: float = field(default_factory=monotonic)

    @property
    def age_s(self) -> float:
        """Seconds since then, first by the server's clock and from there on by ours."""
        return self.age_then_s + monotonic() - self.seen_at


@dataclass(frozen=True, slots=True)
class LastHeartbeats:
    """The last heartbeat of all, and the last of a run that a recurring task enqueued."""

    of_any: LastHeartbeat = field(default_factory=LastHeartbeat)
    of_task: LastHeartbeat = field(default_factory=LastHeartbeat)

    @classmethod
    def by(cls, row: Sequence[Any]) -> LastHeartbeats:
        """Return the times in a row: a time and its age for each."""
        at, age_s, of_task_at, of_task_age_s = row
        return cls(
            LastHeartbeat(at, age_s or 0.0), LastHeartbeat(of_task_at, of_task_age_s or 0.0)
        )

    @property
    def seen_at(self) -> float:
        """The time of this reading, monotonic."""
        return self.of_any.seen_at


@dataclass(frozen=True, slots=True)
class Survey:
    """The state of the database beside our heartbeats.

    `beaten` are the existing rows, which have the heartbeats; `locked` are rows that may exist,
    but are locked by another session. `orphans` are the ids of processes without a row that
    have claims.
    """

    beaten: frozenset[int]
    others: list[PeerProcess]
    orphans: list[int]
    heartbeats: LastHeartbeats
    locked: frozenset[int] = frozenset()
    everything_paused: bool = False


def write_heartbeats(session: Session, beats: list[Beat]) -> Survey:
    """Write the heartbeats and return a survey, by one statement.

    This is the only statement of an idle tree's monitor, six times a minute.
    """
    now = monotonic_ns()
    parameters = {
        "ids": [beat.row_id for beat in beats],
        "ages": [(now - beat.ticked_ns) / 1e9 for beat in beats],
        "supervisor_ids": [beat.supervisor_id for beat in beats],
        "machine": json.dumps(machine.strain()),
        "running": [json.dumps(beat.ages_s) if beat.ages_s else None for beat in beats],
    }
    ((beaten, others, orphans, *heartbeats, locked, paused),) = session.fetch(
        STATEMENTS["survey"], parameters
    )
    return Survey(
        frozenset(beaten),
        [_peer_process(row) for row in others],
        orphans,
        LastHeartbeats.by(heartbeats),
        frozenset(locked),
        paused,
    )


def last_heartbeats(session: Session) -> LastHeartbeats:
    """Return when the heartbeat job last ran."""
    (row,) = session.fetch(STATEMENTS["heartbeat"])
    return LastHeartbeats.by(row)


def leave(session: Session, ids: list[int], names: list[str], supervisor_id: int) -> None:
    """Remove the rows of a tree that has ended, except rows that still have claims."""
    parameters = {"ids": ids, "names": names, "supervisor_id": supervisor_id}
    session.fetch(STATEMENTS["leave"], parameters)


def _peer_process(row: list[Any]) -> PeerProcess:
    row_id, kind, name, pid, hostname, heartbeat = row[:6]
    boot, namespace, started, supervisor_started = (row[at] or "" for at in (6, 7, 8, 10))
    supervisor_pid, threads = _number(row[9]), _number(row[11])
    said = dict(zip(NAMES, row[13:], strict=True))
    return PeerProcess(
        row_id,
        kind,
        name,
        pid,
        hostname,
        heartbeat,
        boot,
        namespace,
        started,
        threads,
        thresholds_of({"started": started, **said}),
        (supervisor_pid, supervisor_started) if supervisor_pid and supervisor_started else None,
        Path(row[12]) if row[12] else None,
    )


def _number(said: str | None) -> int:
    """Return a number, or 0: the metadata of foreign rows may hold any value."""
    return int(said) if said and said.isascii() and said.isdigit() and len(said) < 10 else 0
