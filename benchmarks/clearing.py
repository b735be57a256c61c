"""Compares a drain during which the shipped batches delete the history with one alone."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from jobsd.acts.retention import batches, with_rests
from jobsd.database.connection import Session

from .children import Children
from .kept import DRAINED, Kept, drain_more
from .pairs import Case, Contender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .children import Lap
    from .pairs import Measured
    from .server import Database, Server

_HISTORY = 5_000_000
_OLDER_THAN_S = 86400.0


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a drain beside the clearing of 5 M finished jobs."""
    jobs = max(20, int(4 * DRAINED * scale))
    with contextlib.closing(Kept(server, "finished", max(100, int(_HISTORY * scale)))) as kept:
        yield Case(
            "drain",
            Contender("clearing", lambda: _drain_while_clearing(server, kept.database, jobs)),
            Contender("alone", lambda: drain_more(server, kept.database, jobs)),
            target="ratio ≥ 0.85, ≥ 50,000 cleared/s",
        )


def _drain_while_clearing(server: Server, database: Database, jobs: int) -> Measured:
    children = Children(1, lambda _number: _clear(database))
    measured = drain_more(server, database, jobs, meanwhile=children.go)
    os.kill(children.pids[0], signal.SIGTERM)
    laps: list[Lap[int]] = children.laps()
    cleared_per_s = laps[0].value / (laps[0].ended - laps[0].began)
    return replace(measured, figures={**measured.figures, "cleared_per_s": cleared_per_s})


def _clear(database: Database) -> Callable[[], int]:
    """Return a function that deletes batch after batch until it is stopped or done."""
    stopping: list[bool] = []
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stopping.append(True))
    session = Session(database.target, "jobsd benchmarks")
    _ = session.connection

    def work() -> int:
        cleared = 0
        for batch in with_rests(batches(session, older_than_s=_OLDER_THAN_S)):
            cleared += batch.cleared
            if stopping:
                break
        return cleared

    return work
