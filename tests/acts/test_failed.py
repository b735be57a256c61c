"""Failed jobs that are retried by hand: one, some, or all that are meant."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing.placed import claim, enqueue, fail
from harness.job_rows import assert_only_job_is, places
from jobsd.acts import retries
from jobsd.acts.discards import discard
from jobsd.acts.retries import retry, retry_all
from jobsd.errors import Error, NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target

pytestmark = pytest.mark.usefixtures("default_client")


def _row(session: Session, job_id: int) -> tuple[object, ...]:
    row = session.connection.execute(
        "SELECT attempts, finished_at, outcome, (SELECT count(*) FROM jobsd.attempts"
        " WHERE job_id = id) FROM jobsd.jobs WHERE id = %s",
        (job_id,),
    ).fetchone()
    assert row is not None
    return tuple(row)


def _ready(session: Session) -> list[int]:
    rows = session.connection.execute(
        "SELECT job_id FROM jobsd.ready_executions ORDER BY position"
    ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.behaviour(61)
def test_a_retried_job_has_all_its_attempts_again_and_keeps_what_went_wrong(
    session: Session,
) -> None:
    job_id = enqueue()
    fail(session, job_id)

    assert retry(job_id) == "ready"
    assert_only_job_is(session, job_id, "ready")
    assert _row(session, job_id) == (0, None, None, 1)


def test_a_retried_job_comes_behind_ready_jobs(session: Session) -> None:
    job_id, waiting = enqueue(), enqueue()
    fail(session, job_id)

    retry(job_id, session=session)

    assert _ready(session) == [waiting, job_id]


def test_the_latency_of_a_retried_job_starts_at_its_retry(
    session: Session,
) -> None:
    from jobsd.acts import queues

    job_id = enqueue()
    fail(session, job_id)
    session.connection.execute("UPDATE jobsd.jobs SET created_at = now() - interval '9 days'")

    retry(job_id)

    assert queues.latency("mail") < 60


def test_a_sleeping_worker_is_woken_by_a_retry(session: Session, target: Target) -> None:
    from jobsd.database.connection import Session as Connection

    job_id = enqueue()
    fail(session, job_id)
    with contextlib.closing(Connection(target, "listener", listen=True)) as listener:
        _ = listener.connection
        session.connection.execute("INSERT INTO jobsd.sleepers VALUES (1, 'worker')")

        retry(job_id)

        listener.connection.execute("SELECT 1")
        assert listener.notifications() == ["ready mail"]


def test_a_worker_that_falls_asleep_before_the_retry_commits_is_woken(
    session: Session, target: Target
) -> None:
    from jobsd.database.connection import Session as Connection

    job_id = enqueue()
    fail(session, job_id)
    with contextlib.closing(Connection(target, "listener", listen=True)) as listener:
        _ = listener.connection
        with session.connection.transaction():
            session.connection.execute("SELECT jobsd.retry(%s)", (job_id,))
            listener.connection.execute("INSERT INTO jobsd.sleepers VALUES (1, 'worker')")

        listener.connection.execute("SELECT 1")
        assert listener.notifications() == ["ready mail"]


def test_a_limited_job_waits_for_a_slot_like_any_other(session: Session) -> None:
    job_id = enqueue(key="a")
    fail(session, job_id)
    other = enqueue(key="a")

    assert retry(job_id) == "ready"
    assert places(session) == {job_id: "ready", other: "ready"}
    rows = session.connection.execute(
        "SELECT job_id, concurrency_key, concurrency_limit, yields"
        " FROM jobsd.blocked_executions ORDER BY priority, job_id LIMIT 1"
    )
    assert rows.fetchall() == [(job_id, "k/a", 1, False)]


def test_only_failed_jobs_can_be_retried(session: Session) -> None:
    ready, claimed = enqueue(), enqueue()
    claim(session, 1, claimed)

    with pytest.raises(RefusedError, match=f"job {ready} has not failed: it is ready"):
        retry(ready)
    with pytest.raises(RefusedError, match="it is claimed"):
        retry(claimed)
    with pytest.raises(NotFoundError, match="no job 4711"):
        retry(4711)
    assert places(session) == {ready: "ready", claimed: "claimed"}


@pytest.mark.parametrize("job_id", [0, -1, 2**63, -(2**80)])
def test_a_number_that_is_no_id_is_not_found(job_id: int) -> None:
    with pytest.raises(NotFoundError):
        retry(job_id)


@pytest.mark.parametrize(
    "given", [True, False, None, "1", 1.0, float("nan"), [1], b"1"], ids=repr
)
@pytest.mark.parametrize("change", [retry, discard])
def test_an_object_that_is_no_number_is_no_id(
    change: Callable[[Any], str], given: object
) -> None:
    with pytest.raises(
        Error, match=r"is not the id of a job: a whole number, like `job\.enqueue"
    ):
        change(given)


@pytest.mark.parametrize("change", [retry, discard])
def test_a_whole_number_of_another_library_is_an_id(
    change: Callable[[Any], str], session: Session
) -> None:
    class Whole:
        def __init__(self, number: int) -> None:
            self._number = number

        def __index__(self) -> int:
            return self._number

    job_id = enqueue()
    fail(session, job_id)

    assert change(Whole(job_id)) in {"ready", "failed"}


def test_a_job_locked_by_another_session_is_not_awaited(
    session: Session, target: Target
) -> None:
    job_id = enqueue()
    fail(session, job_id)
    with psycopg.connect(target.url) as other:
        other.execute("SELECT FROM jobsd.failed_executions FOR UPDATE")

        with pytest.raises(RefusedError, match="another session"):
            retry(job_id)


@pytest.mark.behaviour(61)
def test_only_selected_jobs_are_retried(session: Session) -> None:
    old, mail, mail2, other, named = (
        enqueue(),
        enqueue(),
        enqueue(),
        enqueue("other"),
        enqueue(name="x"),
    )
    fail(session, old, mail, mail2, other, named)
    session.connection.execute(
        "UPDATE jobsd.jobs SET created_at = now() - interval '2 hours' WHERE id = %s", (old,)
    )

    assert retry_all(queue="mail", class_name="nothing", since="1h", limit=1) == 1
    assert _ready(session) == [mail2]
    assert retry_all(queue="mail", class_name="nothing", since="1h") == 1
    assert _ready(session) == [mail2, mail]
    assert retry_all() == 3
    assert _ready(session) == [mail2, mail, old, other, named]


def test_many_are_retried_in_transactions_of_a_bounded_size(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "BATCH", 2)
    jobs = [enqueue() for _ in range(5)]
    fail(session, *jobs)

    sizes = [len(done) for done in retries.batches(session, jobs)]

    assert sizes == [2, 2, 1]
    assert _ready(session) == jobs


@pytest.mark.parametrize(
    "filters",
    [
        {"queue": "q" * 300},
        {"queue": "a\0b"},
        {"queue": ""},
        {"class_name": "\0"},
        {"class_name": "\udcff"},
        {"since": "yesterday"},
        {"since": -1},
        {"limit": 0},
        {"limit": -1},
        {"limit": 1.5},
    ],
    ids=repr,
)
def test_an_impossible_filter_is_one_clear_error(filters: dict[str, Any]) -> None:
    with pytest.raises(Error) as reported:
        retry_all(**filters)

    assert type(reported.value) is Error
