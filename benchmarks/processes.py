"""Whether more worker processes get in each other's way: as many jobs, drained by 2 to 16."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .drain import drain
from .filling import fill
from .jobs import noop
from .kept import DRAINED
from .pairs import Case, Contender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .pairs import Measured
    from .server import Server

_FEW, _MORE = 2, (4, 8, 16)
_THREADS = 3


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield each number of processes beside two."""
    jobs = max(20, int(2 * DRAINED * scale))
    for processes in _MORE:
        yield Case(
            f"{processes} processes",
            Contender(f"{processes} processes", partial(_drain, server, jobs, processes)),
            Contender(f"{_FEW} processes", partial(_drain, server, jobs, _FEW)),
            target="≥ 0.8 of two",
        )


def _drain(server: Server, jobs: int, processes: int) -> Measured:
    with server.database() as database:
        fill(database, noop.definition.name, jobs)
        database.settle()
        return drain(server, database, jobs, processes, _THREADS)
