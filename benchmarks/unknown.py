"""Whether jobs that nobody here can run hold up the others: a million of them, put aside."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .drain import drain
from .filling import fill, fill_parked
from .jobs import noop
from .kept import DRAINED, LAYOUT
from .pairs import Case, Contender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .pairs import Measured
    from .server import Database, Server

_PARKED = 1_000_000
_ELSEWHERE = "elsewhere"


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a drain beside parked jobs, and one behind jobs that are yet to be parked."""
    parked, jobs = max(100, int(_PARKED * scale)), max(20, int(2 * DRAINED * scale))
    with server.database() as beside, server.database() as alone:
        fill_parked(beside, _ELSEWHERE, parked)
        yield Case(
            f"drain beside {parked:,} parked",
            Contender("beside", partial(_drain, server, beside, jobs)),
            Contender("alone", partial(_drain, server, alone, jobs)),
            target="ratio ≥ 0.98",
        )
    yield Case(
        f"drain behind {parked:,} unknown",
        Contender("behind", partial(_drain_behind, server, parked, jobs)),
        Contender("alone", partial(_drain_behind, server, 0, jobs)),
        pairs_max=3,
    )


def _drain(server: Server, database: Database, jobs: int) -> Measured:
    fill(database, noop.definition.name, jobs)
    database.settle()
    return drain(server, database, jobs, *LAYOUT)


def _drain_behind(server: Server, unknown: int, jobs: int) -> Measured:
    """Drain what lies behind unknown jobs, from the start: the walk over these counts."""
    with server.database() as database:
        fill_parked(database, _ELSEWHERE, 0)
        if unknown:
            fill(database, _ELSEWHERE, unknown)
        return _drain(server, database, jobs)
