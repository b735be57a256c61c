"""Many jobs at once: which they are, and whether they were committed."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.enqueueing.bulk import FIRST_PIECE, PIECE, Bulk
from jobsd.enqueueing.client import enqueue_many
from jobsd.enqueueing.drivers import NO_PARAMETERS, PsycopgDriver
from jobsd.enqueueing.steps import take
from jobsd.errors import EnqueueError
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enqueueing.ways import Stored
    from jobsd.database.connection import Session, Target
    from jobsd.database.statements import Statement
    from jobsd.enqueueing.client import Client
    from jobsd.enqueueing.drivers import Parameters, Rows
    from jobsd.jobs.draft import Draft


@job(name="bulk_note")
def note(number: int) -> None: ...


@job(name="bulk_one", limits_concurrency=Limit(key=lambda key: key))
def one(key: str) -> None: ...


@pytest.mark.usefixtures("default_client")
@pytest.mark.parametrize("claimed", [False, True])
def test_jobs_that_others_commit_in_between_stay_theirs(
    target: Target, session: Session, *, claimed: bool
) -> None:
    others: list[int] = []

    def enqueue_beside(connection: psycopg.Connection[Any]) -> Iterator[Draft]:
        yield note.with_args(0)
        # Its id lies between those of the bulk: the last one is given later.
        others.append(note.using(connection=connection).enqueue(-1).id or 0)
        if claimed:
            connection.execute("DELETE FROM jobsd.ready_executions")
        yield note.with_args(1)

    with psycopg.connect(target.url, autocommit=True) as connection:
        stored = enqueue_many(enqueue_beside(connection))

    assert len(stored) == 2
    ids = [one.id or 0 for one in stored]
    assert others[0] not in ids
    ready = session.connection.execute("SELECT job_id FROM jobsd.ready_executions ORDER BY 1")
    assert [row[0] for row in ready] == sorted([*ids, *([] if claimed else others)])


class _Noting(PsycopgDriver):
    """Notes whether the keys of each batch are said to differ."""

    def fetch(self, statement: Statement, parameters: Parameters = NO_PARAMETERS) -> Rows:
        if statement.name == "place":
            noted.append(parameters["keys_differ"])
        return super().fetch(statement, parameters)


noted: list[bool] = []


@pytest.mark.parametrize(
    ("keys", "differ", "met"), [("ab", True, "ab"), ("aba", False, "ab"), ("", True, "")]
)
def test_a_bulk_is_ordered_by_keys_only_where_two_jobs_have_one(
    session: Session, keys: str, met: str, *, differ: bool
) -> None:
    noted.clear()
    # What is for later is not met, and what has no limit has no key.
    drafts = [*(one.with_args(key) for key in keys), note.with_args(1), note.with_args(2)]
    later = replace(one.with_args("a"), wait_s=3600)
    driver = _Noting(session.connection, "jobsd")

    with session.connection.transaction():
        take(Bulk(iter([*drafts, later]), "jobsd", owned=True).steps(), driver)

    assert noted == [differ]
    rows = session.connection.execute(
        "SELECT concurrency_key FROM jobsd.blocked_executions"
        " WHERE position IS NOT NULL ORDER BY job_id"
    )
    assert [row[0] for row in rows] == [f"bulk_one/{key}" for key in met]


@pytest.fixture
def held_copies(session: Session) -> Iterator[None]:
    """The end of each COPY of jobs waits for a lock."""
    session.connection.execute(
        "CREATE FUNCTION jobsd.hold_copy() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$"
    )
    session.connection.execute(
        "CREATE TRIGGER held AFTER INSERT ON jobsd.jobs"
        " FOR EACH STATEMENT EXECUTE FUNCTION jobsd.hold_copy()"
    )
    yield
    session.connection.execute("DROP FUNCTION jobsd.hold_copy CASCADE")


WAITING = b"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.mark.usefixtures("default_client", "held_copies")
def test_jobs_are_drawn_while_the_server_stores_those_before(
    target: Target, session: Session
) -> None:
    with psycopg.connect(target.url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(7)")

        def draw() -> Iterator[Draft]:
            for number in range(3 * PIECE):
                if number == FIRST_PIECE:
                    # Who waited for the server here would wait for ever.
                    wait_until(lambda: other.execute(WAITING).fetchone())
                    other.execute("SELECT pg_advisory_unlock(7)")
                yield note.with_args(number)

        stored = enqueue_many(draw())

    ids = [each.id or 0 for each in stored]
    assert ids == sorted(set(ids))
    rows = session.connection.execute("SELECT arguments #>> '{0}' FROM jobsd.jobs ORDER BY id")
    assert [int(row[0]) for row in rows] == list(range(3 * PIECE))


@pytest.mark.usefixtures("default_client")
@pytest.mark.parametrize("at", [1, FIRST_PIECE, FIRST_PIECE + 1, 3 * PIECE])
def test_a_bulk_with_a_failing_iterable_stores_no_job(session: Session, at: int) -> None:
    def draw() -> Iterator[Draft]:
        for number in range(at):
            yield note.with_args(number)
        raise LookupError

    with pytest.raises(LookupError):
        enqueue_many(draw())

    assert session.connection.execute("SELECT FROM jobsd.jobs").fetchall() == []
    assert len(enqueue_many([note.with_args(1)])) == 1


@pytest.fixture
def refusal(session: Session, refused: int) -> Iterator[None]:
    """The server refuses one job, by its argument."""
    session.connection.execute(
        "ALTER TABLE jobsd.jobs ADD CONSTRAINT wanted"
        f" CHECK (arguments::text <> '[{refused}]')".encode()
    )
    yield
    session.connection.execute("ALTER TABLE jobsd.jobs DROP CONSTRAINT wanted")


@pytest.mark.usefixtures("default_client", "refusal")
@pytest.mark.parametrize("refused", [0, FIRST_PIECE - 1, FIRST_PIECE, 2 * PIECE])
def test_of_jobs_of_which_the_server_refuses_one_none_is_stored(
    session: Session,
) -> None:
    with pytest.raises(EnqueueError, match="wanted"):
        enqueue_many(note.with_args(number) for number in range(2 * PIECE + 1))

    assert session.connection.execute("SELECT FROM jobsd.jobs").fetchall() == []
    assert len(enqueue_many([note.with_args(-1)])) == 1


@pytest.fixture
def held_commit(session: Session) -> Iterator[None]:
    """Commits of jobs wait for a lock that is held."""
    session.connection.execute(
        "CREATE FUNCTION jobsd.hold() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$"
    )
    session.connection.execute(
        "CREATE CONSTRAINT TRIGGER held AFTER INSERT ON jobsd.jobs DEFERRABLE INITIALLY"
        " DEFERRED FOR EACH ROW EXECUTE FUNCTION jobsd.hold()"
    )
    session.connection.execute("SELECT pg_advisory_lock(7)")
    yield
    session.connection.execute("SELECT pg_advisory_unlock_all()")
    session.connection.execute("DROP FUNCTION jobsd.hold CASCADE")


@pytest.mark.usefixtures("held_commit")
def test_a_server_that_is_lost_while_it_commits_leaves_it_open(
    pool: Client, session: Session, stored: Stored
) -> None:
    with pool.session() as lent:
        number = lent.connection.fileno()

    def cut() -> None:
        waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: session.connection.execute(waits).fetchall())
        with socket.socket(fileno=os.dup(number)) as ours:
            ours.shutdown(socket.SHUT_RDWR)

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(cut)
        with pytest.raises(EnqueueError, match="it is not known whether") as caught:
            enqueue_many([note.with_args(1)])
        done.result(60)

    assert not caught.value.known
    session.connection.execute("SELECT pg_advisory_unlock(7)")
    wait_until(lambda: stored() == [1])


@pytest.mark.usefixtures("default_client")
def test_a_server_that_is_lost_before_has_stored_nothing(
    session: Session, stored: Stored
) -> None:
    def lose() -> Iterator[Draft]:
        yield note.with_args(1)
        session.connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'jobsd client' AND datname = current_database()"
        )
        for number in range(1000):
            yield note.with_args(number)

    with pytest.raises(EnqueueError, match="the job was not enqueued") as caught:
        enqueue_many(lose())

    assert caught.value.known
    assert stored() == []


@pytest.mark.parametrize("copies", [True, False])
def test_a_statement_stores_no_more_than_4_mib(session: Session, *, copies: bool) -> None:
    sizes: list[int] = []

    class Noting(PsycopgDriver):
        def copy(self, statement: Statement, pieces: Iterator[str]) -> None:
            sizes.append(0)
            super().copy(statement, map(self._noted, pieces))

        def _noted(self, piece: str) -> str:
            sizes[-1] += len(piece.encode())
            return piece

        def fetch(self, statement: Statement, parameters: Parameters = NO_PARAMETERS) -> Rows:
            if statement.name == "store":
                sizes.append(len(str(parameters["jobs"]).encode()))
            return super().fetch(statement, parameters)

    drafts = [replace(note.with_args(n), arguments=f'["{"é" * 300_000}"]') for n in range(20)]
    bulk = Bulk(iter(drafts), "jobsd", owned=False)
    with session.connection.transaction():
        take(bulk.steps(copies=copies), Noting(session.connection, "jobsd"))

    assert len(sizes) == 4
    assert max(sizes) < 4 * 2**20
    assert bulk.stored.stored == 20


@pytest.mark.usefixtures("default_client")
def test_an_object_that_is_no_job_is_refused_anywhere_in_a_bulk() -> None:
    drafts: Any = [note.with_args(1), 5]

    with pytest.raises(EnqueueError, match="5 is not a job with arguments"):
        enqueue_many(drafts)
