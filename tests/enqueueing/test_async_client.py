"""Enqueueing from event loops: cancelled anywhere, in several loops, behind a fork."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import conninfo
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from enqueueing.drivers import address
from enqueueing.ways import note
from jobsd import Job, aenqueue_many, enqueue_many
from jobsd.database.connection import Target
from jobsd.enqueueing import async_pool, client
from jobsd.enqueueing.client import Client
from jobsd.errors import DatabaseUnreachableError, EnqueueError, Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enqueueing.ways import Stored
    from jobsd.database.connection import Session

POINTS = 1000


@pytest.fixture(autouse=True)
def mine(target: Target) -> Iterator[Client]:
    """The client of all that a test enqueues, with four connections in each loop at most."""
    made = Client(target, size_max=4)
    client.configure(client=made)
    yield made
    client.configure()


def test_a_job_is_committed_when_it_was_awaited(stored: Stored) -> None:
    class Noted(Job):
        def perform(self, value: int) -> None: ...

    async def run() -> list[str]:
        one = await note.aenqueue(1)
        two = await note.using(wait=60).aenqueue(2)
        three = await Noted.aenqueue(3)
        return [one.state, two.state, three.state]

    assert asyncio.run(run()) == ["ready", "scheduled", "ready"]
    assert stored() == [1, 2, 3]


def test_many_are_committed_when_they_were_awaited(stored: Stored) -> None:
    done = asyncio.run(aenqueue_many(note.with_args(n) for n in range(2500)))

    assert (len(done), done[2499].state, stored()) == (2500, "ready", list(range(2500)))


def test_coroutines_share_the_connections_of_their_loop(stored: Stored, mine: Client) -> None:
    async def run() -> int:
        await asyncio.gather(*(note.aenqueue(n) for n in range(50)))
        return len(async_pool.pool_of(mine).idle)

    assert 1 <= asyncio.run(run()) <= 4
    assert sorted(map(int, map(str, stored()))) == list(range(50))


def test_of_a_server_that_has_become_a_standby_no_idle_connection_is_lent_again(
    stored: Stored, mine: Client
) -> None:
    async def run() -> tuple[int, int]:
        await asyncio.gather(*(note.aenqueue(n) for n in range(50)))
        pool = async_pool.pool_of(mine)
        async with async_pool.connection_of(mine), async_pool.connection_of(mine):
            pass
        before = len(pool.idle)
        with contextlib.suppress(ReadOnlySqlTransaction):
            async with async_pool.connection_of(mine):
                raise ReadOnlySqlTransaction
        return before, len(pool.idle)

    before, after = asyncio.run(run())

    assert before >= 2
    assert after <= 1
    assert len(stored()) == 50


@pytest.mark.failure(
    "a coroutine is cancelled anywhere while it enqueues",
    "each job is stored once or not at all, and no connection is used in mid-statement",
)
@pytest.mark.parametrize("alone", [False, True])
def test_a_coroutine_may_be_cancelled_anywhere(
    *, alone: bool, stored: Stored, mine: Client
) -> None:
    draw = random.Random(16)  # noqa: S311 - no secret
    reported: list[int] = []

    async def enqueue(number: int) -> None:
        # The statement of a unique job is another one.
        given = note.using(unique_key=number) if alone else note
        await given.aenqueue(number)
        reported.append(number)

    async def cancelled(number: int) -> None:
        task = asyncio.create_task(enqueue(number))
        for _ in range(draw.randrange(6)):
            await asyncio.sleep(0)
        if draw.random() < 0.7:
            await asyncio.sleep(draw.random() * 0.002)
        if number % 4:
            task.cancel()
        await asyncio.wait([task])

    async def run() -> set[int]:
        for first in range(0, POINTS, 4):
            await asyncio.gather(*(cancelled(first + n) for n in range(4)))
        await enqueue(-1)
        await asyncio.sleep(0)
        idle = async_pool.pool_of(mine).idle
        return {connection.pgconn.transaction_status for connection in idle}

    states = asyncio.run(run())

    counts = Counter(stored())
    assert set(counts.values()) == {1}
    assert set(reported) <= counts.keys()
    assert states == {TransactionStatus.IDLE}
    assert POINTS / 4 <= len(reported) < POINTS


def test_a_bulk_that_is_cancelled_is_stored_whole_or_not_at_all(stored: Stored) -> None:
    draw = random.Random(16)  # noqa: S311 - no secret

    async def run() -> None:
        for _ in range(20):
            await note.aenqueue(-1)
            task = asyncio.create_task(aenqueue_many([note.with_args(n) for n in range(50)]))
            await asyncio.sleep(draw.random() * 0.01)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(run())

    counts = Counter(stored())
    assert counts.pop(-1) == 20
    assert not counts or (len(counts), len(set(counts.values()))) == (50, 1)


def test_each_loop_has_connections_of_its_own(stored: Stored) -> None:
    for number in range(3):
        asyncio.run(note.aenqueue(number))

    assert stored() == [0, 1, 2]


def test_a_child_has_connections_of_its_own(stored: Stored) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(note.aenqueue(1))
    child = os.fork()
    if not child:
        asyncio.set_event_loop(None)
        asyncio.run(note.aenqueue(2))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    loop.run_until_complete(note.aenqueue(3))
    loop.close()

    assert (status, stored()) == (0, [1, 2, 3])


def test_a_connection_that_the_server_has_closed_is_not_lent_again(
    stored: Stored, session: Session
) -> None:
    end = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'jobsd client' AND datname = current_database()"
    )

    async def run() -> None:
        await note.aenqueue(1)
        session.connection.execute(end)
        await note.aenqueue(2)

    asyncio.run(run())

    assert stored() == [1, 2]


def test_a_quiet_connection_is_checked_first(target: Target, stored: Stored) -> None:
    client.configure(client=Client(target, quiet_s=0))

    async def run() -> None:
        await note.aenqueue(1)
        await note.aenqueue(2)

    asyncio.run(run())

    assert stored() == [1, 2]


def test_an_enqueue_that_waits_too_long_is_cancelled_and_known(
    target: Target, session: Session, stored: Stored
) -> None:
    quick = Target(target.url, target.schema, deadline_s=0.5)
    client.configure(client=Client(quick))

    with session.connection.transaction():
        session.connection.execute("LOCK jobsd.jobs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(EnqueueError) as caught:
            asyncio.run(note.aenqueue(1))

    assert (caught.value.known, stored()) == (True, [])


def test_a_server_that_cannot_be_reached_is_one_typed_error() -> None:
    nowhere = conninfo.make_conninfo(host="127.0.0.1", port=1, dbname="x")
    client.configure(client=Client(Target(nowhere)))

    with pytest.raises(DatabaseUnreachableError, match="can't reach the database"):
        asyncio.run(note.aenqueue(1))


@pytest.fixture
def not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobsd.enqueueing.blocking._warned", False)


@pytest.mark.usefixtures("not_warned")
def test_a_loop_that_is_blocked_is_warned_of_once(stored: Stored) -> None:
    async def run() -> int:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            note.enqueue(1)
            enqueue_many([note.with_args(2)])
        return len([each for each in caught if "await job.aenqueue" in str(each.message)])

    note.enqueue(0)

    assert asyncio.run(run()) == 1
    assert stored() == [0, 1, 2]


@pytest.mark.usefixtures("not_warned")
def test_the_warning_names_the_line_that_enqueues() -> None:
    async def run() -> str:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            note.enqueue(1)
        return caught[0].filename

    assert asyncio.run(run()) == __file__


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_an_asynchronous_session_enqueues_after_its_commit(
    driver: str, target: Target, stored: Stored
) -> None:
    url, arguments = address(driver, target.url)

    async def run() -> list[Any]:
        engine = create_async_engine(url, connect_args=arguments, poolclass=NullPool)
        async with AsyncSession(engine) as session:
            first = await note.using(after_commit=session).aenqueue(1)
            await note.using(after_commit=session).aenqueue(2)
            before = (first.state, first.id, stored())
            await session.commit()
            await note.using(after_commit=session).aenqueue(3)
            await session.rollback()
            async with session.begin():
                await note.using(after_commit=session).aenqueue(4)
        await engine.dispose()
        return [before, first.state]

    assert asyncio.run(run()) == [("pending", None, []), "ready"]
    assert stored() == [1, 2, 4]


def test_an_after_commit_that_can_not_be_awaited_is_refused_in_words() -> None:
    with pytest.raises(Error, match="aenqueue takes an AsyncSession"):
        asyncio.run(note.using(after_commit=object()).aenqueue(1))
