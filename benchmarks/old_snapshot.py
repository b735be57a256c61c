"""A drain after very many jobs, while a transaction is open that is older than all of them.

As long as it is, what the jobs leave behind can't be vacuumed: a search from the head of
an index walks over all of it.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from .kept import DRAINED, drain_more
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .server import Database, Server

_ROUNDS = 4


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a drain under an old snapshot, beside one without."""
    jobs = max(20, int(DRAINED * scale))
    yield Case(
        f"after {_ROUNDS * jobs:,} jobs",
        Contender("held", partial(_consume, server, jobs, held=True)),
        Contender("not held", partial(_consume, server, jobs, held=False)),
        target="ratio ≥ 0.9",
    )


def _consume(server: Server, jobs: int, *, held: bool) -> Measured:
    with server.database() as database:
        database.settle()
        with _snapshot(database) if held else contextlib.nullcontext():
            before = [drain_more(server, database, jobs) for _ in range(_ROUNDS)]
            last = drain_more(server, database, jobs)
    first = before[0].figures["jobs_per_s"]
    return Measured({**last.figures, "first_jobs_per_s": first}, last.usage)


@contextlib.contextmanager
def _snapshot(database: Database) -> Generator[None]:
    """Hold a transaction open that sees the database as it is now."""
    with database.connect(autocommit=False) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", prepare=False)
        connection.execute("SELECT count(*) FROM jobsd.jobs", prepare=False)
        yield
        connection.rollback()
