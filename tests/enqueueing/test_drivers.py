"""Jobs within the caller's transaction, over every driver: what is stored is the same."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row

from enqueueing.given import AWAITING, WAITING, async_given, given, psycopg2
from enqueueing.ways import within
from jobsd import Limit, Unique, aenqueue_many, around_enqueue, constant, enqueue_many, job
from jobsd.errors import EnqueueError, Error
from jobsd.jobs import middleware

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from enqueueing.ways import Stored
    from jobsd import CurrentJob, FunctionJob
    from jobsd.database.connection import Session, Target
    from jobsd.jobs.enqueueable import Using

pytestmark = pytest.mark.usefixtures("default_client")

ODD = 'é "quoted" \\ %s %% :x $1 ?\t\n{}'
SOON = datetime.now(UTC) + timedelta(days=1)


@job(name="drivers.plain", queue="mail", priority=-3, max_attempts=4, backoff=constant(1))
def plain(value: object) -> None: ...


@job(
    name="drivers.limited",
    limits_concurrency=Limit(to=2, key=lambda value: str(value)[:3], duration="3m"),
)
def limited(value: object) -> None: ...


@job(name="drivers.dropped", limits_concurrency=Limit(key="x", on_conflict="discard"))
def dropped(value: object) -> None: ...


@job(name="drivers.hourly", unique=Unique(until=None, within="1h"))
def hourly(value: object) -> None: ...


DRAFTS: list[tuple[FunctionJob[[object], None], dict[str, Any]]] = [
    (plain, {}),
    (plain, {"wait": 60.5}),
    (plain, {"wait_until": SOON, "queue": ODD.split("\t", maxsplit=1)[0]}),
    (limited, {}),
    (limited, {"wait": "5m", "priority": 7}),
    (dropped, {}),
    (hourly, {}),
    (hourly, {}),
]
"""A job of each statement that an enqueue may be."""

LACKS = r"jobs.* does not exist; the tables are missing, or another build's: run `db migrate`"

ROWS = """
SELECT
    queue_name, class_name, arguments, priority, max_attempts, retries_crash,
    scheduled_at IS NOT NULL, scheduled_at > now() + interval '50 s', concurrency_key,
    concurrency_limit, concurrency_duration, on_conflict, unique_key, unique_until
FROM jobsd.jobs
ORDER BY id
"""


def _using(
    drafted: tuple[FunctionJob[[object], None], dict[str, Any]], **how: Any
) -> Using[[object], None]:
    defined, options = drafted
    return defined.using(**options, **how)


def _rows(session: Session) -> list[tuple[Any, ...]]:
    return session.connection.execute(ROWS).fetchall()


@pytest.fixture
def as_ours(session: Session) -> list[tuple[Any, ...]]:
    """The rows that `DRAFTS` have over connections of ours."""
    for made in DRAFTS:
        _using(made).enqueue([ODD])
    rows = _rows(session)
    with session.connection.transaction():
        places = ("ready_executions", "scheduled_executions", "blocked_executions")
        for name in ("jobs", "unique_jobs", *places):
            session.connection.execute(f"DELETE FROM jobsd.{name}".encode())
    return rows


@pytest.mark.parametrize("library", WAITING)
def test_a_job_is_stored_with_all_options_of_its_definition(
    library: str, target: Target, session: Session, as_ours: list[Any]
) -> None:
    with given(library, target.url) as mine:
        states = [
            _using(made, connection=mine.connection).enqueue([ODD]).state for made in DRAFTS
        ]
        before = _rows(session)
        mine.commit()

    assert (before, _rows(session)) == ([], as_ours)
    assert states == [
        *("ready", "scheduled", "scheduled", "ready", "scheduled", "ready"),
        *("ready", "duplicate"),
    ]


@pytest.mark.parametrize("library", AWAITING)
def test_an_asynchronous_connection_stores_the_same(
    library: str, target: Target, session: Session, as_ours: list[Any]
) -> None:
    async def run() -> list[Any]:
        async with async_given(library, target.url) as mine:
            for made in DRAFTS:
                await _using(made, connection=mine.connection).aenqueue([ODD])
            before = _rows(session)
            await mine.commit()
            return before

    assert asyncio.run(run()) == []
    assert _rows(session) == as_ours


def _many() -> list[Any]:
    return [_using(made).with_args([ODD]) for made in DRAFTS]


@pytest.mark.parametrize("library", WAITING)
def test_many_jobs_are_stored_with_all_options_of_their_definitions(
    library: str, target: Target, session: Session, as_ours: list[Any]
) -> None:
    with given(library, target.url) as mine:
        enqueue_many(_many(), connection=mine.connection)
        mine.rollback()
        rolled_back = _rows(session)
        if library == "pg8000.native":
            mine.connection.run("START TRANSACTION")
        enqueue_many(iter(_many()), connection=mine.connection)
        mine.commit()

    assert (rolled_back, _rows(session)) == ([], as_ours)


@pytest.mark.parametrize("library", AWAITING)
def test_an_asynchronous_connection_stores_many(
    library: str, target: Target, session: Session, as_ours: list[Any]
) -> None:
    async def run() -> None:
        async with async_given(library, target.url) as mine:
            await aenqueue_many(_many(), connection=mine.connection)
            await mine.commit()

    asyncio.run(run())

    assert _rows(session) == as_ours


@pytest.mark.parametrize("library", AWAITING)
def test_an_asynchronous_rollback_leaves_nothing(
    library: str, target: Target, stored: Stored
) -> None:
    async def run() -> None:
        async with async_given(library, target.url) as mine:
            await plain.using(connection=mine.connection).aenqueue(1)
            await aenqueue_many([plain.with_args(2)], connection=mine.connection)
            await mine.rollback()

    asyncio.run(run())

    assert stored() == []


@pytest.mark.parametrize("library", WAITING)
def test_a_bulk_that_is_refused_leaves_the_transaction_of_use(
    library: str, target: Target, stored: Stored
) -> None:
    with given(library, target.url) as mine:
        plain.using(connection=mine.connection).enqueue(1)
        with pytest.raises(EnqueueError, match="not a job with arguments: write job"):
            enqueue_many([plain.with_args(2), plain], connection=mine.connection)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        plain.using(connection=mine.connection).enqueue(3)
        mine.commit()

    assert stored() == [1, 3]


@pytest.mark.parametrize("library", AWAITING)
def test_an_asynchronous_bulk_that_is_refused_leaves_the_transaction_of_use(
    library: str, target: Target, stored: Stored
) -> None:
    async def run() -> None:
        async with async_given(library, target.url) as mine:
            await plain.using(connection=mine.connection).aenqueue(1)
            with pytest.raises(EnqueueError, match="not a job with arguments"):
                await aenqueue_many([plain.with_args(2), plain], connection=mine.connection)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
            await plain.using(connection=mine.connection).aenqueue(3)
            await mine.commit()

    asyncio.run(run())

    assert stored() == [1, 3]


@pytest.mark.parametrize("library", ["psycopg2", "pg8000"])
def test_in_autocommit_mode_many_are_stored_at_once(
    library: str, target: Target, stored: Stored
) -> None:
    with given(library, target.url) as mine:
        mine.connection.autocommit = True
        enqueue_many([plain.with_args(1), plain.with_args(2)], connection=mine.connection)
        with contextlib.suppress(EnqueueError):
            enqueue_many([plain.with_args(3), plain], connection=mine.connection)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]

    assert stored() == [1, 2]


@pytest.mark.parametrize("library", WAITING)
def test_missing_tables_are_reported_in_one_line(library: str, empty_database: str) -> None:
    with (
        given(library, empty_database) as mine,
        pytest.raises(
            EnqueueError, match=r"jobs.* does not exist; the tables are .*db migrate"
        ) as caught,
    ):
        plain.using(connection=mine.connection).enqueue(1)

    assert (caught.value.known, "\n" in str(caught.value)) == (True, False)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("library", AWAITING)
def test_missing_tables_are_reported_in_one_line_by_an_async_connection(
    library: str, empty_database: str
) -> None:
    async def run() -> None:
        async with async_given(library, empty_database) as mine:
            with pytest.raises(EnqueueError, match="does not exist; the tables are missing"):
                await plain.using(connection=mine.connection).aenqueue(1)

    asyncio.run(run())


def test_a_cursor_of_the_callers_kind_is_not_used(target: Target, stored: Stored) -> None:
    connection = psycopg2.connect(target.url, cursor_factory=psycopg2.extras.RealDictCursor)
    with contextlib.closing(connection):
        plain.using(connection=connection).enqueue(1)
        enqueue_many([plain.with_args(2)], connection=connection)
        connection.commit()

    assert stored() == [1, 2]


@pytest.mark.parametrize("style", ["qmark", "numeric", "named", "format", "pyformat"])
def test_the_style_of_pg8000_is_the_callers(
    style: str, target: Target, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pg8000.dbapi.paramstyle", style)
    with given("pg8000", target.url) as mine:
        limited.using(wait=60, connection=mine.connection).enqueue([ODD])
        mine.commit()

    assert _rows(session)[0][2] == [[ODD]]


def test_asyncpg_may_have_been_taught_json(target: Target, stored: Stored) -> None:
    async def run() -> None:
        async with async_given("asyncpg", target.url) as mine:
            for kind in ("json", "jsonb"):
                await mine.connection.set_type_codec(
                    kind, encoder=repr, decoder=repr, schema="pg_catalog"
                )
            await plain.using(connection=mine.connection).aenqueue(1)
            await aenqueue_many([plain.with_args(2)], connection=mine.connection)
            await mine.commit()

    asyncio.run(run())

    assert stored() == [1, 2]


@pytest.mark.parametrize("library", AWAITING)
def test_an_asynchronous_connection_is_refused_by_enqueue(library: str, target: Target) -> None:
    async def run() -> None:
        async with async_given(library, target.url) as mine:
            with pytest.raises(Error, match=r"is asynchronous: await .*\.aenqueue"):
                plain.using(connection=mine.connection).enqueue(1)

    asyncio.run(run())


@pytest.mark.parametrize("library", ["psycopg", "psycopg2", "sqlalchemy session psycopg"])
def test_a_synchronous_connection_is_refused_by_aenqueue(library: str, target: Target) -> None:
    with given(library, target.url) as mine, pytest.raises(Error, match="or call enqueue"):
        asyncio.run(plain.using(connection=mine.connection).aenqueue(1))


def test_a_session_below_an_asynchronous_one_will_do(target: Target, stored: Stored) -> None:
    async def run() -> None:
        async with async_given("sqlalchemy session asyncpg", target.url) as mine:
            await mine.connection.run_sync(within, 1)
            await mine.commit()

    asyncio.run(run())

    assert stored() == [1]


def test_other_databases_are_refused_in_words() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(Error, match="leads to no connection"):
        plain.using(connection=connection).enqueue(1)
    engine.dispose()


def test_a_peculiar_asynchronous_connection_keeps_its_ways(
    target: Target, stored: Stored
) -> None:
    async def run() -> None:
        async with async_given("psycopg", target.url) as mine:
            mine.connection.row_factory = dict_row
            await mine.connection.set_autocommit(True)
            await plain.using(connection=mine.connection).aenqueue(1)
            await aenqueue_many([plain.with_args(2)], connection=mine.connection)

    asyncio.run(run())

    assert stored() == [1, 2]


@pytest.fixture
def tenant() -> Iterator[None]:
    async def soon(job: CurrentJob) -> AsyncGenerator[None]:
        job.context["soon"] = True
        yield

    def now(job: CurrentJob) -> Generator[None]:
        job.context["tenant"] = 'a "b"\\'
        yield

    around_enqueue(soon)
    around_enqueue(now)
    yield
    middleware.ENQUEUES.forget()


@pytest.mark.usefixtures("tenant")
@pytest.mark.parametrize("library", ["asyncpg", "psycopg", "sqlalchemy session asyncpg"])
def test_asynchronous_enqueues_are_surrounded_too(
    library: str, target: Target, session: Session
) -> None:
    async def run() -> None:
        await plain.aenqueue(0)
        async with async_given(library, target.url) as mine:
            await plain.using(connection=mine.connection).aenqueue(1)
            await aenqueue_many([plain.with_args(2)], connection=mine.connection)
            await mine.commit()

    asyncio.run(run())

    rows = session.connection.execute("SELECT context FROM jobsd.jobs ORDER BY id")
    kept = {"tenant": 'a "b"\\'}
    assert [row[0] for row in rows] == [kept | {"soon": True}, kept | {"soon": True}, kept]
