"""What a concurrency limit costs: limited jobs beside the same jobs without a limit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .drain import contender, drain, ours_once
from .enqueue import BULK, in_bulk, one_by_one, store
from .filling import fill_limited
from .jobs import BODIES, alone
from .pairs import Case, Contender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .pairs import Measured
    from .server import Database, Server


class _Drain(NamedTuple):
    name: str
    body: str
    jobs: int
    keys: int
    """0: one for each job."""
    limit: int
    layout: tuple[int, int]
    """Processes by threads."""
    target: str


_DRAINS = (
    _Drain("a key each", "no-op", 50_000, 0, 1, (1, 3), "ratio ≥ 0.3"),
    _Drain("1,000 keys", "no-op", 50_000, 1_000, 1, (1, 3), "ratio ≥ 0.3"),
    _Drain("10 keys", "no-op", 50_000, 10, 1, (1, 3), "ratio ≥ 0.5"),
    _Drain("one key", "no-op", 20_000, 1, 1, (1, 3), "ratio ≥ 0.5"),
    _Drain("one key, 2x5", "no-op", 20_000, 1, 1, (2, 5), "ratio ≥ 0.4"),
    _Drain("1 ms of sleep, 6 keys", "1 ms sleep", 6_000, 6, 1, (1, 3), "ratio ≥ 0.9"),
    _Drain("1 ms of sleep, a key for 6", "1 ms sleep", 6_000, 1, 6, (1, 3), "ratio ≥ 0.9"),
    _Drain("1 ms of sleep, 3 keys", "1 ms sleep", 6_000, 3, 1, (1, 3), "ratio ≥ 0.75"),
)


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield enqueues and drains of limited jobs."""
    few, many = max(10, int(5_000 * scale)), max(BULK, int(100_000 * scale) // BULK * BULK)
    for name, way, jobs, target in (
        ("enqueue, a key each", one_by_one, few, "ratio ≥ 0.85"),
        ("enqueue in bulk, a key each", in_bulk, many, "ratio ≥ 0.7"),
    ):
        yield Case(
            name,
            Contender("limited", partial(_store, server, partial(way, job=alone), jobs)),
            Contender("unlimited", partial(_store, server, way, jobs)),
            target=target,
        )
    for case in _DRAINS:
        jobs = max(50, int(case.jobs * scale))
        yield Case(
            f"drain, {case.name}",
            contender("limited", partial(_limited_once, server, case, jobs)),
            contender("unlimited", partial(ours_once, server, case.body, jobs, *case.layout)),
            target=case.target,
        )


def _limited_once(server: Server, case: _Drain, jobs: int) -> tuple[int, Measured]:
    with server.database() as database:
        name = BODIES[case.body].definition.name
        fill_limited(database, name, jobs, case.keys or jobs, case.limit)
        database.settle()
        return jobs, drain(server, database, jobs, *case.layout)


def _store(
    server: Server, way: Callable[[Database, int], Callable[[], None]], jobs: int
) -> Measured:
    with server.database() as database:
        database.settle()
        return store(server, database, way, jobs)
