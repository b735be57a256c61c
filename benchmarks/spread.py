"""Whether jobs of many priorities are drained as fast as those of one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .drain import drain
from .filling import fill_spread
from .jobs import noop
from .kept import DRAINED, LAYOUT
from .pairs import Case, Contender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .pairs import Measured
    from .server import Server

_PRIORITIES = 30_000


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a drain of many priorities."""
    jobs = max(20, int(2 * DRAINED * scale))
    yield Case(
        f"{_PRIORITIES:,} priorities",
        Contender("many", partial(_drain, server, jobs, _PRIORITIES)),
        Contender("one", partial(_drain, server, jobs, 1)),
        target="ratio ≥ 0.7",
    )


def _drain(server: Server, jobs: int, priorities: int) -> Measured:
    with server.database() as database:
        fill_spread(database, noop.definition.name, jobs, priorities)
        database.settle()
        return drain(server, database, jobs, *LAYOUT)
