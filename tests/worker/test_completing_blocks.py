"""What a block of `completing` does at its end, and when it refuses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as OrmSession

from enqueueing.drivers import address
from jobsd.acts.cancels import cancel
from jobsd.enqueueing import completion
from jobsd.errors import CompletionError
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.policy import constant

from .bodies import gate, noted
from .effects import NOTE, URL

if TYPE_CHECKING:
    from collections.abc import Generator

    from rows import Rows

    from .conftest import MakeWorker

pytestmark = pytest.mark.usefixtures("effects")

BROKEN = b"SELECT 1 / 0"


@contextlib.contextmanager
def transaction(level: str = "SERIALIZABLE") -> Generator[psycopg.Connection]:
    with psycopg.connect(URL[0]) as connection:
        connection.isolation_level = psycopg.IsolationLevel[level]
        yield connection


def note_error(error: CompletionError) -> None:
    noted.append(str(error).partition(": ")[2])


@job(result_ttl="1h")
def gives_a_result() -> None:
    with transaction() as connection, current_job().completing(connection=connection, result=7):
        connection.execute(NOTE.encode())


@job(result_ttl="1h")
def completes_within() -> None:
    with transaction() as connection, current_job().completing(connection=connection, result=7):
        connection.execute(NOTE.encode())
        current_job().complete(connection=connection, result=8)
        noted.append("completed")


@job(max_attempts=2, backoff=constant(3600))
def raises_within() -> None:
    with transaction() as connection, current_job().completing(connection=connection):
        connection.execute(NOTE.encode())
        raise LookupError("in the block")


@job
def raises_within_and_goes_on() -> None:
    with (
        contextlib.suppress(LookupError),
        transaction() as connection,
        current_job().completing(connection=connection),
    ):
        connection.execute(NOTE.encode())
        raise LookupError("in the block")


@job(max_attempts=2, backoff=constant(3600))
def never_commits() -> None:
    with transaction() as connection:
        with current_job().completing(connection=connection):
            connection.execute(NOTE.encode())
        connection.rollback()


@job
def ends_its_transaction(how: str) -> None:
    with transaction() as connection:
        try:
            with current_job().completing(connection=connection):
                connection.execute(NOTE.encode())
                getattr(connection, how)()
                connection.execute(b"SELECT")
        except CompletionError as error:
            note_error(error)


@job
def opens_late() -> None:
    with transaction() as connection:
        connection.execute(b"SELECT")
        noted.append("begun")
        assert gate.wait(60)
        try:
            with current_job().completing(connection=connection):
                connection.execute(NOTE.encode())
        except CompletionError as error:
            note_error(error)
            raise


@job
def commits_each_statement() -> None:
    with psycopg.connect(URL[0], autocommit=True) as connection:
        try:
            with current_job().completing(connection=connection):
                connection.execute(NOTE.encode())
        except CompletionError as error:
            note_error(error)


@job
def opens_twice() -> None:
    with transaction() as connection, current_job().completing(connection=connection):
        try:
            with current_job().completing(connection=connection):
                raise AssertionError("not reached")
        except CompletionError as error:
            note_error(error)


@job
def repeats_a_block() -> None:
    for turn in range(2):
        with (
            contextlib.suppress(LookupError),
            transaction() as connection,
        ):
            with current_job().completing(connection=connection):
                connection.execute(NOTE.encode())
            if not turn:
                raise LookupError("the commit failed")


@job
def repeats_while_open() -> None:
    with transaction() as first, transaction() as second:
        current_job().complete(connection=first)
        try:
            current_job().complete(connection=second)
        except CompletionError as error:
            note_error(error)


@job
def repeats_when_committed() -> None:
    for _ in range(2):
        with contextlib.suppress(CompletionError), transaction() as connection:
            connection.execute(NOTE.encode())
            current_job().complete(connection=connection)


@job
def swallows_a_refusal() -> None:
    with contextlib.suppress(CompletionError), transaction() as connection:
        with contextlib.suppress(psycopg.Error):
            connection.execute(BROKEN)
        current_job().complete(connection=connection)


@job
async def block_of_a_coroutine() -> None:
    with transaction() as connection, current_job().completing(connection=connection):
        connection.execute(NOTE.encode())


@job
def waits_in_a_block() -> None:
    with transaction() as connection, current_job().completing(connection=connection):
        connection.execute(NOTE.encode())
        noted.append("begun")
        while not gate.wait(0.01):
            pass


@job
def in_a_failed_transaction(library: str) -> None:
    try:
        if library == "psycopg":
            with transaction() as connection:
                with contextlib.suppress(psycopg.Error):
                    connection.execute(BROKEN)
                current_job().complete(connection=connection)
        else:
            _in_a_failed_session()
    except CompletionError as error:
        note_error(error)


def _in_a_failed_session() -> None:
    url, arguments = address("psycopg2", URL[0])
    engine = sa.create_engine(url, connect_args=arguments)
    with OrmSession(engine) as session:
        with contextlib.suppress(SQLAlchemyError):
            session.execute(sa.text(BROKEN.decode()))
            session.flush()
        try:
            current_job().complete(connection=session)
        finally:
            session.rollback()
            engine.dispose()


OUTCOMES = "SELECT outcome, attempts FROM jobsd.jobs ORDER BY id"


def run(made: Any, make_worker: MakeWorker, rows: Rows, *arguments: object) -> None:
    worker = make_worker(coroutines=2)
    made.enqueue(*arguments)
    worker.until(lambda: rows("SELECT attempts FROM jobsd.jobs") == [1])
    worker.until(lambda: not rows("SELECT 1 FROM jobsd.claims"))
    assert not completion.BEGUN
    assert {each.shields for each in worker.worker.pool.seats()} == {0}


@pytest.mark.parametrize("made", [gives_a_result, completes_within])
def test_a_result_is_kept_that_is_given_to_the_block_or_in_it(
    made: Any, make_worker: MakeWorker, rows: Rows
) -> None:
    run(made, make_worker, rows)

    assert rows(OUTCOMES) == [("finished", 1)]
    assert rows("SELECT n FROM public.effects") == [1]
    assert rows("SELECT result -> 0 FROM jobsd.results") == [8 if noted else 7]


def test_a_block_that_raises_records_nothing(make_worker: MakeWorker, rows: Rows) -> None:
    run(raises_within, make_worker, rows)

    assert rows("SELECT error ->> 'type' FROM jobsd.attempts") == ["LookupError"]
    assert rows("SELECT n FROM public.effects") == []


def test_a_job_that_goes_on_behind_a_block_that_raised_ends_as_any_other(
    make_worker: MakeWorker, rows: Rows
) -> None:
    run(raises_within_and_goes_on, make_worker, rows)

    assert rows(OUTCOMES) == [("finished", 1)]
    assert rows("SELECT n FROM public.effects") == []


def test_a_block_with_a_rolled_back_transaction_has_failed(
    make_worker: MakeWorker, rows: Rows
) -> None:
    run(never_commits, make_worker, rows)

    (error,) = rows("SELECT error ->> 'message' FROM jobsd.attempts")
    assert "the transaction of complete() was rolled back" in error
    assert rows("SELECT n FROM public.effects") == []


@pytest.mark.parametrize("how", ["commit", "rollback"])
def test_a_block_completes_in_no_other_transaction_than_its_own(
    how: str, make_worker: MakeWorker, rows: Rows
) -> None:
    run(ends_its_transaction, make_worker, rows, how)

    assert noted == ["the transaction in which completing() was opened has ended"]


def test_a_block_opened_too_late_raises_a_remedy(make_worker: MakeWorker, rows: Rows) -> None:
    worker = make_worker(threads=2)
    opens_late.enqueue()
    late = opens_late.enqueue().id
    worker.until(lambda: len(noted) == 2)
    gate.set()

    worker.until(lambda: rows("SELECT count(*) FROM jobsd.failed_executions") == [2])

    assert any("before its first statement" in str(each) for each in noted)
    assert late


def test_a_connection_that_commits_each_statement_is_refused_before_any(
    make_worker: MakeWorker, rows: Rows
) -> None:
    run(commits_each_statement, make_worker, rows)

    (why,) = noted
    assert "open completing() within a transaction" in str(why)
    assert rows("SELECT n FROM public.effects") == []


def test_a_block_in_a_block_is_refused(make_worker: MakeWorker, rows: Rows) -> None:
    run(opens_twice, make_worker, rows)

    assert noted == ["a block of completing() is open already"]
    assert rows(OUTCOMES) == [("finished", 1)]


def test_a_block_is_repeated_when_its_commit_has_failed(
    make_worker: MakeWorker, rows: Rows
) -> None:
    run(repeats_a_block, make_worker, rows)

    assert rows(OUTCOMES) == [("finished", 1)]
    assert rows("SELECT n FROM public.effects") == [1]


def test_a_second_call_beside_an_open_transaction_is_refused_at_once(
    make_worker: MakeWorker, rows: Rows
) -> None:
    run(repeats_while_open, make_worker, rows)

    assert noted == ["complete() was already called"]
    assert rows(OUTCOMES) == [("finished", 1)]


def test_a_committed_block_is_not_committed_twice(make_worker: MakeWorker, rows: Rows) -> None:
    run(repeats_when_committed, make_worker, rows)

    assert rows("SELECT n FROM public.effects") == [1]


def test_a_job_with_a_refused_call_to_complete_ends_as_any_other(
    make_worker: MakeWorker, rows: Rows
) -> None:
    run(swallows_a_refusal, make_worker, rows)

    assert rows(OUTCOMES) == [("finished", 1)]
    assert rows("SELECT 1 FROM jobsd.attempts") == []


def test_a_coroutine_completes_in_a_block(make_worker: MakeWorker, rows: Rows) -> None:
    run(block_of_a_coroutine, make_worker, rows)

    assert rows(OUTCOMES) == [("finished", 1)]
    assert rows("SELECT n FROM public.effects") == [1]


def test_a_cancel_strikes_in_the_block_and_nothing_is_committed(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker(threads=1)
    handle = waits_in_a_block.enqueue()
    worker.until(lambda: "begun" in noted)

    cancel(handle.id or 0)

    worker.until(lambda: rows("SELECT outcome FROM jobsd.jobs") == ["discarded"])
    assert rows("SELECT n FROM public.effects") == []
    assert not completion.BEGUN


@pytest.mark.parametrize("library", ["psycopg", "sqlalchemy"])
def test_a_failed_transaction_is_an_error_of_completion(
    library: str, make_worker: MakeWorker, rows: Rows
) -> None:
    run(in_a_failed_transaction, make_worker, rows, library)

    (why,) = noted
    assert "transaction" in str(why)
    assert "was not enqueued" not in str(why)
    assert "queue's database" not in str(why)


def test_a_block_outside_of_a_worker_does_nothing() -> None:
    with transaction() as connection:
        opens_twice_here.perform_now(connection)

    assert noted == ["done"]


@job
def opens_twice_here(connection: Any) -> None:
    with current_job().completing(connection=connection):
        noted.append("done")
