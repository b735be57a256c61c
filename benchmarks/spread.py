"""Whether jobs of many priorities, or in many queues, are drained as fast as those of one."""

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

_PRIORITIES, _QUEUES = 30_000, 3_000


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a drain of many priorities, and of many queues: by `*`, and by a pattern."""
    jobs = max(20, int(2 * DRAINED * scale))
    for name, spread, taken in (
        (f"{_PRIORITIES:,} priorities", {"priorities": _PRIORITIES}, "*"),
        (f"{_QUEUES:,} queues", {"queues": _QUEUES}, "*"),
        (f"{_QUEUES:,} queues by a pattern", {"queues": _QUEUES}, "queue-*"),
    ):
        yield Case(
            name,
            Contender("many", partial(_drain, server, jobs, taken, **spread)),
            Contender("one", partial(_drain, server, jobs, taken)),
            target="ratio ≥ 0.7",
        )


def _drain(server: Server, jobs: int, taken: str, **spread: int) -> Measured:
    with server.database() as database:
        fill_spread(database, noop.definition.name, jobs, **spread)
        database.settle()
        return drain(server, database, jobs, *LAYOUT, queues=taken)
