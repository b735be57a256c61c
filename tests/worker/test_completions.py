"""A job that records its own end in the transaction of its effects: both, or neither."""

# pyright: reportPrivateUsage=false, reportUnusedImport=false

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session as OrmSession

from conftest import drop_database, make_database
from enqueueing.conftest import _django  # noqa: F401 - a fixture, for Django's settings
from enqueueing.drivers import address
from jobsd.acts.cancels import cancel
from jobsd.enqueueing import completion
from jobsd.errors import CompletionError, RefusedError, TimeLimitExceeded
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import constant

from .bodies import gate, noted
from .effects import NOTE, URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.event_recorder import EventRecorder
    from rows import Rows

    from .conftest import Driven, MakeWorker

OUTCOMES = "SELECT outcome, attempts FROM jobsd.jobs ORDER BY id"


pytestmark = pytest.mark.usefixtures("_django", "effects")


def by_psycopg(before: Callable[[], None]) -> None:
    with psycopg.connect(URL[0]) as connection:
        connection.execute(NOTE.encode())
        current_job().complete(connection=connection, result=7)
        before()


def by_sqlalchemy(before: Callable[[], None]) -> None:
    url, arguments = address("psycopg2", URL[0])
    engine = sa.create_engine(url, connect_args=arguments)
    with OrmSession(engine) as session, session.begin():
        session.execute(sa.text(NOTE))
        current_job().complete(connection=session, result=7)
        before()
    engine.dispose()


def by_django(before: Callable[[], None]) -> None:
    db: Any = importlib.import_module("django.db")
    transaction: Any = importlib.import_module("django.db.transaction")
    try:
        with transaction.atomic():
            db.connection.cursor().execute(NOTE)
            current_job().complete(connection=db.connection, result=7)
            before()
    finally:
        db.connections.close_all()


WAYS = {"psycopg": by_psycopg, "sqlalchemy": by_sqlalchemy, "django": by_django}


def roll_back() -> None:
    raise LookupError("rolled back")


@job(result_ttl="1h")
def done(way: str) -> None:
    WAYS[way](lambda: None)


@job(max_attempts=2, backoff=constant(3600))
def undone(way: str, *, swallows: bool) -> None:
    try:
        WAYS[way](roll_back)
    except LookupError:
        if not swallows:
            raise


@job
def raises_afterwards() -> None:
    by_psycopg(lambda: None)
    raise LookupError("after the commit")


@job
def goes_on() -> None:
    by_psycopg(lambda: None)
    noted.append("completed")
    while not gate.wait(0.01):
        pass
    noted.append("went on")


@job
def open_for_long() -> None:
    def wait() -> None:
        noted.append("open")
        assert gate.wait(60)

    by_psycopg(wait)


@job
def cancelled_while_open(*, commits: bool) -> None:
    def wait() -> None:
        noted.append("open")
        assert gate.wait(60)
        if not commits:
            roll_back()

    by_psycopg(wait)


@job
def cancelled_before() -> None:
    noted.append("begun")
    assert gate.wait(60)
    by_psycopg(lambda: None)


@job
def beside() -> None:
    noted.append("beside")


@job
def elsewhere(url: str) -> None:
    with psycopg.connect(url) as connection:
        current_job().complete(connection=connection)


@job(limits_concurrency=Limit(to=1, key="all"))
def limited(n: int) -> None:
    noted.append(n)
    by_psycopg(lambda: None)


@job
async def coroutine() -> None:
    by_psycopg(lambda: None)


@job
def twice() -> None:
    with psycopg.connect(URL[0]) as connection:
        current_job().complete(connection=connection)
        with pytest.raises(CompletionError, match="was already called"):
            current_job().complete(connection=connection)


@job
def left_open() -> None:
    connection = psycopg.connect(URL[0])
    current_job().complete(connection=connection)
    noted.append(connection)


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("force", [True, False])
def test_a_cancel_of_a_completing_job_changes_nothing_once_it_is_committed(
    make_worker: MakeWorker, rows: Rows, *, commits: bool, force: bool
) -> None:
    worker = make_worker()
    enqueued = cancelled_while_open.enqueue(commits=commits)
    worker.until(lambda: "open" in noted)

    # It holds the row of its claim, so the cancel has to be noted when that is free.
    worker.until(lambda: rows("SELECT job_ids FROM jobsd.claims"))
    with pytest.raises(RefusedError, match="being claimed, or changed"):
        cancel(enqueued.id or 0, force)
    gate.set()
    ended = "jobs WHERE outcome = 'finished'" if commits else "failed_executions"
    worker.until(lambda: rows(f"SELECT 1 FROM jobsd.{ended}"))
    worker.until(lambda: not rows("SELECT 1 FROM jobsd.claims"))

    assert rows("SELECT n FROM public.effects") == ([1] if commits else [])


def test_a_cancel_before_it_completes_strikes_it_unless_it_has_committed(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker()
    enqueued = cancelled_before.enqueue()
    worker.until(lambda: "begun" in noted)
    cancel(enqueued.id or 0)
    gate.set()
    worker.until(_ended(worker, rows))

    # Struck before it completed: discarded, and no effect; else finished, with it.
    (outcome,) = rows("SELECT outcome FROM jobsd.jobs")
    effects = rows("SELECT n FROM public.effects")
    assert (outcome, effects) in [("discarded", []), ("finished", [1])]


def _ended(worker: Driven, rows: Rows) -> Callable[[], bool]:
    return lambda: (
        not (
            rows("SELECT 1 FROM jobsd.jobs WHERE outcome IS NULL")
            or worker.worker.ledger.claims
        )
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keep", [True, False])
def test_a_committed_job_has_finished(
    way: str, make_worker: MakeWorker, rows: Rows, *, keep: bool
) -> None:
    worker = make_worker(keep=keep)
    handles = [done.enqueue(way) for _ in range(3)]

    worker.until(_ended(worker, rows))

    assert rows(OUTCOMES) == ([("finished", 1)] * 3 if keep else [])
    assert rows("SELECT n FROM public.effects") == [1, 1, 1]
    assert rows("SELECT result -> 0 FROM jobsd.results") == [7] * 3
    assert worker.context.entry.queue("default").outcome("finished") == 3
    if keep:
        assert (
            rows(
                "SELECT finished_at >= started_at AND started_at >= created_at FROM jobsd.jobs"
            )
            == [True] * 3
        )
    assert [handle.wait(60) for handle in handles] == ["finished"] * 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("swallows", [True, False])
def test_a_rolled_back_job_has_failed(
    way: str, make_worker: MakeWorker, rows: Rows, *, swallows: bool
) -> None:
    worker = make_worker()
    undone.enqueue(way, swallows=swallows)

    worker.until(lambda: rows("SELECT attempts FROM jobsd.jobs") == [1])

    (error,) = rows("SELECT error ->> 'type' FROM jobsd.attempts")
    assert error.endswith("CompletionError" if swallows else "LookupError")
    assert rows("SELECT count(*) FROM public.effects") == [0]
    assert rows("SELECT count(*) FROM jobsd.scheduled_executions") == [1]


def test_an_error_raised_after_the_commit_is_reported(
    make_worker: MakeWorker, rows: Rows, recorder: EventRecorder
) -> None:
    found = recorder.facts("job.raised")
    worker = make_worker()
    raises_afterwards.enqueue()

    worker.until(lambda: found)

    assert found[0]["error"]["message"] == "after the commit"
    assert rows(OUTCOMES) == [("finished", 1)]
    assert rows("SELECT count(*) FROM jobsd.attempts") == [0]


def test_nothing_strikes_after_it(make_worker: MakeWorker, rows: Rows) -> None:
    worker = make_worker()
    job_id = goes_on.enqueue().id or 0
    worker.until(lambda: noted)
    threads = worker.worker.pool.seats()

    assert worker.worker.pool.interrupt(job_id, TimeLimitExceeded)
    worker.until(lambda: any(each.interrupt for each in threads))
    gate.set()

    worker.until(_ended(worker, rows))
    assert noted == ["completed", "went on"]
    assert rows(OUTCOMES) == [("finished", 1)]
    assert {each.shields for each in threads} == {0}


def test_no_turn_waits_for_the_transaction(make_worker: MakeWorker, rows: Rows) -> None:
    worker = make_worker(threads=2)
    open_for_long.enqueue()
    for _ in range(20):
        beside.enqueue()

    worker.until(lambda: noted.count("beside") == 20 and "open" in noted)
    worker.until(lambda: rows("SELECT count(*) FROM jobsd.jobs WHERE outcome IS NULL") == [1])
    worker.worker.reconcile_at = 0.0
    worker.worker.poll()
    gate.set()

    worker.until(lambda: rows("SELECT count(*) FROM jobsd.jobs WHERE outcome IS NULL") == [0])
    worker.until(lambda: worker.worker.ledger.claims == {})
    assert not worker.worker.ledger.locked


def test_the_row_of_its_thread_names_its_new_claim(make_worker: MakeWorker, rows: Rows) -> None:
    worker = make_worker(threads=1)
    handle = open_for_long.enqueue()
    beside.enqueue()
    worker.until(lambda: "open" in noted)

    (running,) = worker.context.entry.running()

    (claim,) = rows("SELECT id FROM jobsd.claims WHERE job_ids = ARRAY[%s::bigint]", handle.id)
    assert running == (handle.id, claim)
    gate.set()


def test_another_database_is_an_error(
    make_worker: MakeWorker, rows: Rows, server_url: str
) -> None:
    url, name = make_database(server_url)
    worker = make_worker()
    elsewhere.enqueue(url)

    worker.until(lambda: rows("SELECT count(*) FROM jobsd.failed_executions") == [1])

    drop_database(server_url, name)
    assert (
        "check that it is the queue's database"
        in rows("SELECT error ->> 'message' FROM jobsd.attempts")[0]
    )


def test_a_slot_goes_on_behind_the_commit(make_worker: MakeWorker, rows: Rows) -> None:
    worker = make_worker(threads=1)
    for n in range(6):
        limited.enqueue(n)

    worker.until(lambda: rows("SELECT count(*) FROM jobsd.jobs WHERE outcome IS NULL") == [0])

    assert noted == list(range(6))
    assert rows("SELECT n FROM public.effects") == [1] * 6


@pytest.mark.parametrize("made", [coroutine, twice])
def test_a_coroutine_and_a_repeated_complete_finish_the_job(
    made: Any, make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker(coroutines=2)
    made.enqueue()

    worker.until(lambda: rows(OUTCOMES) == [("finished", 1)])


def test_a_transaction_left_open_is_known_at_its_end(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker()
    left_open.enqueue()
    worker.until(lambda: noted and worker.at_rest() and worker.worker._completions._ended)
    assert rows("SELECT count(*) FROM jobsd.claims") == [1]
    connection: Any = noted[0]

    connection.commit()

    connection.close()
    worker.until(
        lambda: rows(OUTCOMES) == [("finished", 1)] and not worker.worker.ledger.claims
    )


def test_a_job_recovered_in_the_meantime_does_not_complete(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker(threads=1)

    def isolate(job_id: int, claim_id: int) -> completion.Isolated:
        answer = whole(job_id, claim_id)
        rows("DELETE FROM jobsd.claims")
        return answer

    whole = completion.isolate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "isolate", isolate)
        done.enqueue("psycopg")
        worker.until(lambda: worker.worker.ledger.completing)
        worker.until(lambda: not worker.worker.ledger.claims)

    assert rows("SELECT count(*) FROM public.effects") == [0]
