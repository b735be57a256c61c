"""What a concurrency limit costs: limited jobs beside the same jobs without a limit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jobsd import configure

from .drain import contender, drain, ours_once
from .enqueue import one_by_one, store
from .filling import fill_limited
from .jobs import alone, noop
from .pairs import Case, Contender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .pairs import Measured
    from .server import Database, Server

_LAYOUT = (1, 3)
_KEYS = (1, 10)


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield enqueues and drains of limited jobs."""
    few, many = max(10, int(5_000 * scale)), max(100, int(50_000 * scale))
    yield Case(
        "enqueue, a key each",
        Contender("limited", partial(_store, server, _one_by_one, few)),
        Contender("unlimited", partial(_store, server, one_by_one, few)),
    )
    yield _drain(server, "drain, a key each", many, many)
    for keys in _KEYS:
        # One after the other: what is measured is the way from one job's end to the next.
        chained = max(100, int(10_000 * scale)) if keys > 1 else max(50, int(2_000 * scale))
        yield _drain(server, f"drain, {keys} keys in all", chained, keys)


def _drain(server: Server, name: str, jobs: int, keys: int) -> Case:
    return Case(
        name,
        contender("limited", partial(_limited_once, server, jobs, keys)),
        contender("unlimited", partial(ours_once, server, "no-op", jobs, *_LAYOUT)),
    )


def _limited_once(server: Server, jobs: int, keys: int) -> tuple[int, Measured]:
    with server.database() as database:
        fill_limited(database, noop.definition.name, jobs, keys)
        database.settle()
        return jobs, drain(server, database, jobs, *_LAYOUT)


def _store(
    server: Server, way: Callable[[Database, int], Callable[[], None]], jobs: int
) -> Measured:
    with server.database() as database:
        database.settle()
        return store(server, database, way, jobs)


def _one_by_one(database: Database, jobs: int) -> Callable[[], None]:
    configure(database.url)
    alone.enqueue(-1)

    def work() -> None:
        for number in range(jobs):
            alone.enqueue(number)

    return work
