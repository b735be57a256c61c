"""The pool on the caller's side: threads, forks, lost servers."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from database.firewall import firewall
from database.pgbouncer import pgbouncer
from enqueueing.ways import EITHER_WAY_WITHIN, note
from jobsd.database.connection import Target
from jobsd.enqueueing import client, submission
from jobsd.enqueueing.client import Client, enqueue_many
from jobsd.errors import DatabaseUnreachableError, EnqueueError, Error
from jobsd.jobs import default_database
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from enqueueing.ways import Put, Stored
    from jobsd.database.connection import Session
    from jobsd.jobs.draft import Draft


def _terminate(session: Session) -> None:
    """End the pool's connections, as a restart of the server does."""
    session.connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'jobsd client' AND datname = current_database()"
    )


def _backends(session: Session) -> set[int]:
    """Return the process ids of the server behind the pools of this and earlier tests."""
    rows = session.connection.execute(
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name = 'jobsd client' AND datname = current_database()"
    )
    return {int(pid) for (pid,) in rows}


def test_many_threads_share_few_connections(
    pool: Client, session: Session, stored: Stored
) -> None:
    before = _backends(session)
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(note.enqueue, range(200)))

    assert (len(stored()), len(pool.idle) <= 3) == (200, True)
    lent = {each.connection.info.backend_pid for each in pool.idle}
    # A backend goes a moment after its client.
    wait_until(lambda: _backends(session) - before <= lent, 60)


@pytest.mark.failure(
    "Ten threads call `enqueue_many`, and what each draws its jobs from enqueues by itself",
    "All are stored: the inner enqueue has a second connection, and waits for no other thread",
)
def test_iterables_of_bulks_may_enqueue_in_all_threads_at_once(
    pool: Client, stored: Stored
) -> None:
    at_once = threading.Barrier(pool.size_max, timeout=30)

    def draw(number: int) -> Iterator[Draft]:
        yield note.with_args(number)
        at_once.wait()
        note.enqueue(100 + number)
        yield note.with_args(number)

    with ThreadPoolExecutor(pool.size_max) as threads:
        numbers = range(pool.size_max)
        # Before, each waited for a connection for half a minute, and then failed.
        list(threads.map(enqueue_many, map(draw, numbers), timeout=20))

    expected = [*numbers, *numbers, *(100 + each for each in numbers)]
    assert sorted(map(str, stored())) == sorted(map(str, expected))

    def lend(_number: int) -> None:
        with pool.session():
            at_once.wait()

    # All connections have come back: as many other threads have one at the same time.
    with ThreadPoolExecutor(pool.size_max) as threads:
        list(threads.map(lend, numbers, timeout=20))


def test_connections_ended_by_the_server_are_replaced_for_all_threads(
    pool: Client, session: Session, stored: Stored
) -> None:
    with ThreadPoolExecutor(3) as threads:
        for _ in range(3):
            list(threads.map(note.enqueue, range(10)))
            _terminate(session)
        enqueue_many(note.with_args(n) for n in range(10))

    assert len(stored()) == 40
    assert len(pool.idle) <= 3


def test_a_connection_that_is_ended_while_it_is_asked_is_one_typed_error(
    pool: Client, session: Session, stored: Stored
) -> None:
    blocker = psycopg.connect(pool.target.url)
    blocker.execute("LOCK TABLE jobsd.jobs IN EXCLUSIVE MODE")
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(note.enqueue, 1)
        _until_one_waits(session)
        _terminate(session)
        error = asked.exception(10)
    blocker.close()

    assert isinstance(error, EnqueueError)
    assert isinstance(error.__cause__, psycopg.Error)
    assert note.enqueue(2).state == "ready"
    assert len(stored()) == 1


def _until_one_waits(session: Session) -> None:
    waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'jobsd.jobs'::regclass"
    wait_until(lambda: session.connection.execute(waits).fetchall(), what="a waiting lock")


@pytest.mark.failure(
    "The answer to an enqueue gets lost on its way.",
    "There is one error within ten seconds: it is not known whether the job was enqueued",
)
def test_an_answer_that_is_lost_is_reported_as_not_known(target: Target) -> None:
    with firewall(target.url) as wall:
        lost = Client(Target(wall.url, deadline_s=2))
        client.configure(client=lost)
        with contextlib.closing(lost):
            note.enqueue(1)
            wall.forget()

            with pytest.raises(EnqueueError, match="it is not known whether the job was"):
                note.enqueue(2)
    client.configure()


@pytest.mark.failure(
    "A table is locked for as long as an enqueue may take: directly, or behind a pooler.",
    "There is one error within ten seconds: the job was not enqueued, and will not be later",
)
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("how", ["alone", "later", "many"])
def test_an_enqueue_that_has_waited_too_long_is_known_not_to_be_stored(
    target: Target, stored: Stored, how: str, *, pooled: bool
) -> None:
    way = pgbouncer(target.url) if pooled else contextlib.nullcontext(target.url)
    with way as url, contextlib.closing(Client(Target(url, deadline_s=2))) as mine:
        client.configure(client=mine)
        with psycopg.connect(target.url) as blocker:
            blocker.execute("LOCK TABLE jobsd.jobs IN EXCLUSIVE MODE")

            with pytest.raises(EnqueueError, match="the job was not enqueued"):
                _put(how)
    client.configure()

    assert stored() == []


def _put(how: str) -> None:
    if how == "many":
        enqueue_many([note.with_args(n) for n in range(3)])
    elif how == "later":
        note.using(wait=60).enqueue(1)
    else:
        note.enqueue(1)


def test_a_server_that_does_not_answer_is_given_up_within_four_seconds(pool: Client) -> None:
    del pool
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client.configure(f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/nothing")
        watch = Stopwatch()

        with pytest.raises(DatabaseUnreachableError) as caught:
            note.enqueue(1)

        assert watch.took() < 4
        assert isinstance(caught.value.__cause__, psycopg.OperationalError)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@127.0.0.1:1/nothing",
        "host=nowhere.invalid dbname=x",
    ],
)
def test_whatever_is_wrong_with_the_way_there_is_one_typed_error(
    url: str, pool: Client
) -> None:
    del pool
    client.configure(url)

    for put in (lambda: note.enqueue(1), lambda: enqueue_many([note.with_args(1)])):
        with pytest.raises(DatabaseUnreachableError) as caught:
            put()
        assert isinstance(caught.value.__cause__, psycopg.Error)


@pytest.mark.usefixtures("pool")
def test_a_connection_that_prepared_for_other_tables_is_replaced(
    session: Session, stored: Stored
) -> None:
    note.enqueue(1)
    _retype(session, "integer")
    try:
        with pytest.raises(EnqueueError, match="must not change result type"):
            note.enqueue(2)
        note.enqueue(3)
    finally:
        _retype(session, "bigint")

    assert stored() == [1, 3]


def _retype(session: Session, kind: str) -> None:
    """Change the type of the column that an enqueue returns; views upon it are made anew."""
    execute = session.connection.execute
    views = execute(
        "SELECT viewname, definition FROM pg_views"
        " WHERE schemaname = 'jobsd' AND definition ~ '(ready_executions|places)\\M'"
        " ORDER BY format('jobsd.%I', viewname)::regclass::oid"
    ).fetchall()
    # Later ones are made upon earlier ones.
    for name, _ in reversed(views):
        execute(f"DROP VIEW jobsd.{name}".encode())
    execute(f"ALTER TABLE jobsd.ready_executions ALTER job_id TYPE {kind}".encode())
    for name, definition in views:
        execute(f"CREATE VIEW jobsd.{name} AS {definition}".encode())


def _gets_worse() -> Iterator[Draft]:
    values: list[Any] = [1, object()]
    return (note.with_args(value) for value in values)


def _breaks_off() -> Iterator[Draft]:
    yield note.with_args(1)
    raise KeyError


@pytest.mark.failure(
    "The argument of `enqueue_many` can't be enqueued, or raises while it is iterated",
    "No job of it is stored, and there is one error; the process can enqueue again.",
)
@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    "spoilt",
    [
        lambda: ["nonsense"],
        lambda: [note.with_args(1), "nonsense"],
        _gets_worse,
        _breaks_off,
    ],
    ids=["nonsense", "job and nonsense", "bad argument", "broken off"],
)
def test_a_bulk_that_has_failed_spoils_nothing_that_is_enqueued_after_it(
    spoilt: Callable[[], Any], stored: Stored
) -> None:
    note.enqueue(1)
    with pytest.raises((Error, KeyError)):
        enqueue_many(spoilt())

    note.enqueue(2)

    assert stored() == [1, 2]


def test_on_a_connection_on_which_all_was_deallocated_statements_are_prepared_again(
    pool: Client, stored: Stored
) -> None:
    later = note.using(wait=3600)
    later.enqueue(1)
    with pool.session() as lent:
        lent.connection.pgconn.exec_(b"DEALLOCATE ALL")

    later.enqueue(2)

    assert stored() == [1, 2]


def test_an_exhausted_pool_raises_its_size(
    pool: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_WAIT_S", 0.05)
    all_lent = threading.Barrier(4, timeout=30)
    refused = threading.Barrier(4, timeout=30)

    def hold() -> None:
        with pool.session():
            all_lent.wait()
            refused.wait()

    with ThreadPoolExecutor(3) as threads:
        holding = [threads.submit(hold) for _ in range(3)]
        all_lent.wait()
        with pytest.raises(DatabaseUnreachableError, match="all 3 connections"):
            note.enqueue(1)
        refused.wait()
        for each in holding:
            each.result()


def test_a_connection_that_comes_back_to_a_pool_that_was_replaced_is_closed(
    pool: Client, target: Target
) -> None:
    with pool.session() as lent:
        raw = lent.connection
        client.configure(client=Client(target))

    assert (raw.closed, pool.idle) == (True, [])


def test_rights_known_of_one_database_are_asked_for_again_in_the_next(
    pool: Client, target: Target
) -> None:
    submission.know(pool.target.schema)

    client.configure(client=Client(target))

    assert not submission.is_known(pool.target.schema)


def test_a_missing_database_setting_is_one_typed_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(default_database, "find_target", None)
    monkeypatch.setattr(
        default_database, "chosen", None
    )  # by a command that a test has run here
    client.configure()

    with pytest.raises(Error, match="no database is configured"):
        note.enqueue(1)


@EITHER_WAY_WITHIN
def test_a_callers_transaction_that_has_failed_is_one_typed_error(
    put: Put, pool: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(pool.target.url) as connection:
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT 1 / 0")

        with pytest.raises(EnqueueError) as caught:
            put(connection, 1)

    assert isinstance(caught.value.__cause__, psycopg.errors.InFailedSqlTransaction)
    # psycopg warns of what it can't roll back, where it does not stumble over it.
    assert caplog.records == []
