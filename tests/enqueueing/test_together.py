"""Coroutines that enqueue at the same time, each over a connection of its own."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from database.pgbouncer import pgbouncer
from enqueueing.ways import note
from jobsd import Limit, job
from jobsd.database.connection import Target
from jobsd.enqueueing import async_pool, client
from jobsd.enqueueing.async_pool import AsyncPool
from jobsd.enqueueing.client import Client
from jobsd.errors import DatabaseUnreachableError, EnqueueError
from waiting import wait_until

if TYPE_CHECKING:
    from enqueueing.ways import Stored
    from jobsd.database.connection import Session
    from jobsd.jobs.draft import EnqueuedJob

_END = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE application_name = 'jobsd client' AND datname = current_database()"
)
_OPEN = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name = 'jobsd client' AND datname = current_database()"
)


@job(limits_concurrency=Limit())
def limited(value: int) -> None: ...


@pytest.fixture(autouse=True)
def mine(default_client: Client) -> Client:
    """The client of all that a test enqueues."""
    return default_client


async def _each(count: int, first: int = 0) -> list[EnqueuedJob | BaseException]:
    """Enqueue so many at once."""
    coroutines = (note.aenqueue(first + n) for n in range(count))
    return await asyncio.gather(*coroutines, return_exceptions=True)


def _open(session: Session) -> int:
    row = session.connection.execute(_OPEN).fetchone()
    return row[0] if row else 0


def test_each_gets_the_answer_to_its_own_job(session: Session) -> None:
    async def run() -> list[EnqueuedJob]:
        return list(
            await asyncio.gather(
                note.aenqueue(0),
                note.using(wait=60).aenqueue(1),
                limited.aenqueue(2),
                note.using(queue="other").aenqueue(3),
                limited.aenqueue(4),
                note.using(unique_key="5").aenqueue(5),
            )
        )

    jobs = asyncio.run(run())

    states = [each.state for each in jobs]
    assert states == ["ready", "scheduled", "ready", "ready", "ready", "ready"]
    query = "SELECT (arguments -> 0)::int, id FROM jobsd.jobs ORDER BY 1"
    assert session.connection.execute(query).fetchall() == [
        (number, each.id) for number, each in enumerate(jobs)
    ]


def test_a_refused_job_takes_none_with_it(stored: Stored, session: Session) -> None:
    session.connection.execute(
        "ALTER TABLE jobsd.jobs ADD CONSTRAINT none CHECK (arguments <> '[7]')"
    )

    outcomes = asyncio.run(_each(20))
    session.connection.execute("ALTER TABLE jobsd.jobs DROP CONSTRAINT none")

    failed = [each for each in outcomes if isinstance(each, BaseException)]
    assert [type(each) for each in failed] == [EnqueueError]
    assert outcomes.index(failed[0]) == 7
    assert '"none"' in str(failed[0])
    assert sorted(map(int, map(str, stored()))) == [n for n in range(20) if n != 7]


def test_a_job_with_an_invalid_name_is_refused_apart_from_the_others(
    stored: Stored,
) -> None:
    async def run() -> list[Any]:
        bad = note.using(queue="\ud800")
        return await asyncio.gather(
            *(note.aenqueue(n) for n in range(3)), bad.aenqueue(3), return_exceptions=True
        )

    assert isinstance(asyncio.run(run())[3], Exception)
    assert sorted(map(str, stored())) == ["0", "1", "2"]


def test_each_of_several_that_the_server_ends_gets_an_error(
    target: Target, session: Session, stored: Stored
) -> None:
    async def run() -> list[EnqueuedJob | BaseException]:
        await note.aenqueue(-1)
        with session.connection.transaction():
            session.connection.execute("LOCK jobsd.jobs IN ACCESS EXCLUSIVE MODE")
            waiting = asyncio.create_task(_each(5))
            await asyncio.to_thread(_until_they_wait, target, 5)
            session.connection.execute(_END)
        return await waiting

    outcomes = asyncio.run(run())

    # The server has answered each that its statement was ended.
    assert [(type(each), getattr(each, "known", None)) for each in outcomes] == [
        (EnqueueError, True)
    ] * 5
    assert stored() == [-1]


def _until_they_wait(target: Target, count: int) -> None:
    """Wait until this number of statements of clients wait for a lock."""
    query = f"{_OPEN} AND wait_event_type = 'Lock'"
    with psycopg.connect(target.url, autocommit=True) as other:
        wait_until(lambda: other.execute(query).fetchone() == (count,), within_s=30)


def test_all_that_wait_for_a_connection_fail_when_none_can_be_made() -> None:
    client.configure(client=Client(Target("postgresql://127.0.0.1:1/x")))

    outcomes = asyncio.run(_each(5))

    assert [type(each) for each in outcomes] == [DatabaseUnreachableError] * 5
    assert len({id(each) for each in outcomes}) == 5


def test_together_with_a_statement_that_waits_too_long(
    target: Target, session: Session, stored: Stored
) -> None:
    quick = Target(target.url, target.schema, deadline_s=2)
    client.configure(client=Client(quick))

    async def run() -> list[EnqueuedJob | BaseException]:
        with session.connection.transaction():
            session.connection.execute("LOCK jobsd.jobs IN ACCESS EXCLUSIVE MODE")
            return await _each(5)

    outcomes = asyncio.run(run())

    assert [getattr(each, "known", None) for each in outcomes] == [True] * 5
    assert stored() == []
    assert [type(each).__name__ for each in asyncio.run(_each(2))] == ["EnqueuedJob"] * 2


def test_arguments_larger_than_the_socket_buffer_are_sent(stored: Stored) -> None:
    @job
    def large(text: str) -> None: ...

    texts = [str(n) * 1_000_000 for n in range(4)]

    async def run() -> None:
        await asyncio.gather(*(large.aenqueue(text) for text in texts))

    asyncio.run(run())

    assert sorted(map(str, stored())) == texts


def test_a_socket_that_libpq_has_closed_is_unknown_to_the_loop(
    stored: Stored, session: Session
) -> None:
    """Its number is given to others at once: the loop must be able to watch those."""

    async def run() -> None:
        for number in range(5):
            await note.aenqueue(number)
            session.connection.execute(_END)
            await asyncio.sleep(0.05)
            ours, theirs = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=ours)
            theirs.send(b"x")
            async with asyncio.timeout(30):
                assert await reader.read(1) == b"x"
            writer.close()
            theirs.close()

    asyncio.run(run())

    assert stored() == [0, 1, 2, 3, 4]


def test_connections_of_collected_clients_are_closed(target: Target, session: Session) -> None:
    async def run() -> int:
        for number in range(10):
            client.configure(client=Client(target))
            await note.aenqueue(number)
        gc.collect()
        await asyncio.to_thread(wait_until, lambda: _open(session) <= 2, 30)
        loop: Any = asyncio.get_running_loop()
        return len(loop._selector.get_map())

    watched = asyncio.run(run())

    # The loop itself has one, by which other threads wake it.
    assert watched <= 3


def test_a_child_that_ends_leaves_its_parents_connection_watched(
    stored: Stored, mine: Client
) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(note.aenqueue(1))
    child = os.fork()
    if not child:
        asyncio.run(note.aenqueue(2))
        client.configure()
        gc.collect()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    loop.run_until_complete(note.aenqueue(3))
    pool = loop.run_until_complete(_pool(mine))
    states = [each.pgconn.transaction_status for each in pool.idle]
    loop.close()

    assert (status, stored(), states) == (0, [1, 2, 3], [TransactionStatus.IDLE])


async def _pool(mine: Client) -> AsyncPool:
    await asyncio.sleep(0)
    return async_pool.pool_of(mine)


def test_through_a_pooler(target: Target, stored: Stored) -> None:
    with pgbouncer(target.url) as url:
        client.configure(client=Client(Target(url, target.schema)))
        asyncio.run(_each(250))
        client.configure()

    assert sorted(map(int, map(str, stored()))) == list(range(250))
