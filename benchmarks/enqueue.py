"""How fast jobs are stored: the public way beside the driver's, into the same two tables."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from psycopg import conninfo

from jobsd import configure, enqueue_many
from jobsd.database.grants import grants

from . import plain, wire
from .children import Children, cpu_of, span_s
from .jobs import noop
from .meter import Meter
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd import FunctionJob

    from .server import Database, Server

    Prepare = Callable[[Database, int], Callable[[], None]]
    """Connects, warms up, and returns what stores so many jobs."""

BULK = 1000
_ROLE = "jobsd_benchmark_enqueuer"
_CLIENTS = 8


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield each way to enqueue; the last ones say what eight clients gain over one."""
    few, many = max(10, int(5_000 * scale)), max(BULK, int(200_000 * scale) // BULK * BULK)
    ways: list[tuple[str, Prepare, Prepare, int, int, str]] = [
        ("one at a time", one_by_one, _plain_one_by_one, few, 1, "ratio ≥ 0.85"),
        ("8 clients at once", one_by_one, _plain_one_by_one, 2 * few, _CLIENTS, ""),
        ("bulk by 1,000", in_bulk, _plain_in_bulk, many, 1, "≥ 100,000 jobs/s, ratio ≥ 0.6"),
        ("in a caller's transaction", _within, _plain_within, few, 1, ""),
    ]
    for name, ours, theirs, jobs, clients, target in ways:
        yield Case(
            name,
            contender("jobsd", server, ours, jobs, clients),
            contender("driver", server, theirs, jobs, clients),
            target=target,
        )
    for name, way, jobs in (("one at a time", one_by_one, few), ("bulk", in_bulk, many)):
        yield Case(
            f"{name}, as a role that may only enqueue",
            _dropping(server, contender("enqueue-only", server, _lesser(way), jobs, 1)),
            contender("owner", server, way, jobs, 1),
        )
    for name, one in (("jobsd", one_by_one), ("driver", _plain_one_by_one)):
        yield Case(
            f"{name}: 8 clients to one",
            contender("8 clients", server, one, 2 * few, _CLIENTS),
            contender("1 client", server, one, few, 1),
            target="ratio ≥ 3" if name == "jobsd" else "",
        )


def contender(
    name: str, server: Server, prepare: Prepare, jobs: int, clients: int
) -> Contender:
    """Return what stores so many jobs by `clients` processes, in a database of its own."""
    once = partial(_once, server, prepare, jobs, clients)

    def count() -> float:
        with wire.recorded() as record:
            once()
            return record.round_trips() / jobs

    return Contender(name, once, count)


def _once(server: Server, prepare: Prepare, jobs: int, clients: int) -> Measured:
    with server.database() as database:
        database.settle()
        return store(server, database, prepare, jobs, clients)


def store(
    server: Server, database: Database, prepare: Prepare, jobs: int, clients: int = 1
) -> Measured:
    """Store so many jobs by `clients` processes at once."""
    each = jobs // clients
    children = Children(clients, lambda _number: prepare(database, each))
    meter = Meter(server, database.name)
    laps = children.run()
    usage = meter.read().per(each * clients, cpu_of(laps))
    return Measured({"jobs_per_s": each * clients / span_s(laps)}, usage)


def one_by_one(
    database: Database, jobs: int, job: FunctionJob[[int], None] = noop
) -> Callable[[], None]:
    """Connect and warm up; return what stores so many jobs, one after the other."""
    configure(database.url)
    job.enqueue(-1)

    def work() -> None:
        for number in range(jobs):
            job.enqueue(number)

    return work


def _lesser(way: Prepare) -> Prepare:
    """Return what does the same as a role that may do nothing else."""

    def prepare(database: Database, jobs: int) -> Callable[[], None]:
        with database.connect() as connection:
            connection.execute(f"CREATE ROLE {_ROLE}".encode())
            for statement in grants("jobsd", _ROLE, "enqueue-only").split(";\n"):
                connection.execute(statement.encode())
        url = conninfo.make_conninfo(database.url, options=f"-c role={_ROLE}")
        return way(replace(database, url=url), jobs)

    return prepare


def _dropping(server: Server, lesser: Contender) -> Contender:
    """Return the same, which leaves no role behind."""

    def run() -> Measured:
        try:
            return lesser.run()
        finally:
            with server.connect() as connection:
                connection.execute(f"DROP ROLE IF EXISTS {_ROLE}".encode())

    return Contender(lesser.name, run)


def _plain_one_by_one(database: Database, jobs: int) -> Callable[[], None]:
    connection = database.connect()
    plain.insert(connection, 0)

    def work() -> None:
        for number in range(jobs):
            plain.insert(connection, number)

    return work


def in_bulk(
    database: Database, jobs: int, job: FunctionJob[[int], None] = noop
) -> Callable[[], None]:
    """Connect and warm up; return what stores so many jobs, a thousand at once."""
    configure(database.url)
    job.enqueue(-1)

    def work() -> None:
        for first in range(0, jobs, BULK):
            enqueue_many(job.with_args(number) for number in range(first, first + BULK))

    return work


def _plain_in_bulk(database: Database, jobs: int) -> Callable[[], None]:
    connection = database.connect()
    connection.execute(plain.STATEMENTS["take_ids"], (1,))

    def work() -> None:
        for first in range(0, jobs, BULK):
            plain.copy_in(connection, range(first, first + BULK))

    return work


def _within(database: Database, jobs: int) -> Callable[[], None]:
    configure(database.url)
    connection = database.connect(autocommit=False)
    connection.execute(plain.STATEMENTS["make_orders"])
    connection.commit()

    def work() -> None:
        for number in range(jobs):
            connection.execute(plain.STATEMENTS["order"], (number,))
            noop.using(connection=connection).enqueue(number)
            connection.commit()

    return work


def _plain_within(database: Database, jobs: int) -> Callable[[], None]:
    connection = database.connect(autocommit=False)
    connection.execute(plain.STATEMENTS["make_orders"])
    connection.commit()

    def work() -> None:
        for number in range(jobs):
            connection.execute(plain.STATEMENTS["order"], (number,))
            plain.insert(connection, number)
            connection.commit()

    return work
