"""Jobs within the transactions of a plain psycopg connection, whatever its ways."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.numeric import Int4Dumper
from psycopg.types.string import StrDumperVarchar, TextLoader

from enqueueing.ways import EITHER_WAY_WITHIN, EVERY_WAY, behind, many_within, note, within
from jobsd.database.connection import Session as Listening
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import EnqueueError, Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enqueueing.ways import Put, Stored
    from jobsd.database.connection import Session, Target

    Connection = psycopg.Connection[Any]

pytestmark = pytest.mark.usefixtures("default_client")


@pytest.fixture
def connection(target: Target) -> Iterator[Connection]:
    with psycopg.connect(target.url) as opened:
        yield opened


@EITHER_WAY_WITHIN
def test_the_first_thing_on_a_connection_is_part_of_its_transaction(
    put: Put, connection: Connection, stored: Stored
) -> None:
    put(connection, 1)
    before = stored()
    connection.rollback()
    put(connection, 2)
    connection.commit()

    assert (before, stored()) == ([], [2])


@EITHER_WAY_WITHIN
def test_a_commit_wakes_workers_that_fell_asleep_since_the_enqueue(
    put: Put, connection: Connection, target: Target
) -> None:
    with contextlib.closing(Listening(target, "listener", listen=True)) as listener:
        _ = listener.connection
        put(connection, 1)
        connection.commit()

        listener.connection.execute("SELECT 1")
        assert listener.notifications() == ["ready default"]


@EITHER_WAY_WITHIN
def test_a_savepoint_takes_its_jobs_with_it(
    put: Put, connection: Connection, stored: Stored
) -> None:
    with connection.transaction():
        put(connection, 1)
        with connection.transaction(force_rollback=True):
            put(connection, 2)
        with connection.transaction():
            put(connection, 3)

    assert stored() == [1, 3]


@EITHER_WAY_WITHIN
def test_in_autocommit_mode_a_job_is_stored_at_once(
    put: Put, connection: Connection, stored: Stored
) -> None:
    connection.autocommit = True

    put(connection, 1)

    assert stored() == [1]


@EITHER_WAY_WITHIN
@pytest.mark.parametrize("level", psycopg.IsolationLevel)
def test_any_isolation_will_do(
    put: Put, level: psycopg.IsolationLevel, connection: Connection, stored: Stored
) -> None:
    connection.isolation_level = level
    with connection.transaction():
        connection.execute("SELECT count(*) FROM jobsd.jobs")
        note.enqueue(1)
        put(connection, 2)

    assert stored() == [1, 2]


class _WithoutZone(TimestamptzLoader):
    def load(self, data: Any) -> datetime:
        return super().load(data).replace(tzinfo=None)


class _Marked(StrDumperVarchar):
    def dump(self, obj: str) -> bytes:
        return b"marked " + obj.encode()


def _peculiar(connection: Connection) -> None:
    connection.row_factory = dict_row
    connection.cursor_factory = psycopg.ClientCursor
    connection.prepare_threshold = 1
    adapters = connection.adapters
    for name in ("int8", "int4", "bool", "float8", "text"):
        adapters.register_loader(name, TextLoader)
    adapters.register_loader("timestamptz", _WithoutZone)
    adapters.register_dumper(str, _Marked)
    adapters.register_dumper(int, Int4Dumper)


@EITHER_WAY_WITHIN
def test_the_ways_of_a_connection_are_not_ours_and_stay_its_own(
    put: Put, connection: Connection, stored: Stored
) -> None:
    _peculiar(connection)
    with connection.transaction():
        put(connection, 1)
        later = note.using(wait=timedelta(hours=1), connection=connection).enqueue(2)
        row = connection.execute("SELECT now() AS a, %s AS b", ("7",)).fetchone()

    assert sorted(map(str, stored())) == ["1", "2"]
    assert (later.state, type(later.id)) == ("scheduled", int)
    assert (row["a"].tzinfo, row["b"]) == (None, "marked 7") if row else pytest.fail("no row")
    assert (connection.row_factory, connection.prepare_threshold) == (dict_row, 1)


def test_moments_are_stored_as_they_are_by_a_peculiar_connection(
    connection: Connection, session: Session
) -> None:
    _peculiar(connection)
    moment = datetime.now(UTC) + timedelta(days=1)
    drafts = [note.using(wait_until=moment).with_args(1)]
    enqueue_many(drafts, connection=connection)
    note.using(wait_until=moment, connection=connection).enqueue(2)
    connection.commit()

    rows = session.connection.execute("SELECT scheduled_at FROM jobsd.scheduled_executions")
    assert rows.fetchall() == [(moment,), (moment,)]


def test_a_pipeline_takes_a_job_and_refuses_many_in_words(
    connection: Connection, stored: Stored
) -> None:
    with connection.pipeline():
        connection.execute("SELECT 1")
        within(connection, 1)
        with pytest.raises(EnqueueError, match="pipeline"):
            many_within(connection, 2)
        within(connection, 3)
    connection.commit()

    assert stored() == [1, 3]


@EITHER_WAY_WITHIN
def test_a_closed_connection_is_one_typed_error(put: Put, connection: Connection) -> None:
    connection.close()

    with pytest.raises(EnqueueError) as caught:
        put(connection, 1)

    assert isinstance(caught.value.__cause__, psycopg.OperationalError)


@EITHER_WAY_WITHIN
def test_a_connection_that_was_lost_is_one_typed_error(
    put: Put, connection: Connection, session: Session
) -> None:
    connection.execute("SELECT 1")
    pid = connection.info.backend_pid
    session.connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    with pytest.raises(EnqueueError) as caught:
        put(connection, 1)

    assert isinstance(caught.value.__cause__, psycopg.OperationalError)


def test_an_asynchronous_connection_can_not_be_waited_for(target: Target) -> None:
    async def refused() -> None:
        async with await psycopg.AsyncConnection.connect(target.url) as given:
            with pytest.raises(Error, match="does not tell how its transaction ends"):
                behind(given, 1)

    asyncio.run(refused())


@EVERY_WAY
def test_a_connection_that_is_none_by_mistake_is_refused(put: Put, stored: Stored) -> None:
    with pytest.raises(Error, match="connection is None: give the connection of your trans"):
        put(None, 1)

    assert stored() == []


def test_an_object_that_is_no_connection_is_refused_in_words(connection: Connection) -> None:
    for given in (object(), 7, "postgresql://", connection.cursor(), psycopg.Connection):
        with pytest.raises(Error, match="leads to no connection to PostgreSQL"):
            within(given, 1)


def test_a_refused_bulk_leaves_the_transaction_of_use(
    connection: Connection, stored: Stored
) -> None:
    within(connection, 1)
    with contextlib.suppress(EnqueueError):
        enqueue_many([note], connection=connection)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    within(connection, 2)
    connection.commit()

    assert stored() == [1, 2]
