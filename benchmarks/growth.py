"""Whether cost depends on what lies in the tables: a full database beside an empty one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from . import enqueue
from .kept import DRAINED, Kept, drain_alone, drain_more
from .pairs import Case, Contender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .pairs import Measured
    from .server import Database, Server

_ENQUEUED = 2_000
_FILLINGS = (
    ("finished", 1_000_000),
    ("finished", 10_000_000),
    ("ready", 1_000_000),
    ("scheduled", 1_000_000),
)


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a drain and an enqueue for each filling."""
    for state, full in _FILLINGS:
        rows = max(100, int(full * scale))
        with contextlib.closing(Kept(server, state, rows)) as kept:
            yield _drain(server, f"{rows:,} {state}", kept, scale)
            yield _enqueue(server, f"{rows:,} {state}", kept, scale)


def _drain(server: Server, name: str, kept: Kept, scale: float) -> Case:
    jobs = max(20, int(DRAINED * scale))
    return Case(
        f"drain, {name}",
        Contender("full", lambda: drain_more(server, kept.database, jobs)),
        Contender("empty", lambda: drain_alone(server, jobs)),
        target="ratio ≥ 0.95" if "finished" in name else "",
    )


def _enqueue(server: Server, name: str, kept: Kept, scale: float) -> Case:
    jobs = max(10, int(_ENQUEUED * scale))
    return Case(
        f"enqueue, {name}",
        Contender("full", lambda: _store(server, kept.database, jobs)),
        Contender("empty", lambda: _store_alone(server, jobs)),
    )


def _store(server: Server, database: Database, jobs: int) -> Measured:
    return enqueue.store(server, database, enqueue.one_by_one, jobs)


def _store_alone(server: Server, jobs: int) -> Measured:
    with server.database() as database:
        database.settle()
        return _store(server, database, jobs)
