"""A job is stored when its transaction is committed, and only then."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from jobsd.enqueueing import client
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import DatabaseUnreachableError, EnqueueError, Error
from jobsd.jobs.definition import Job, job
from rows import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target


@job(queue="mail", priority=3, max_attempts=4)
def welcome(user_id: int, *, kindly: bool = True) -> str:
    return f"welcome {user_id}{'' if kindly else '!'}"


class Tidy(Job):
    queue = "low"

    def perform(self, folder: str) -> str:
        return f"tidied {folder}"


pytestmark = pytest.mark.usefixtures("default_client")


@pytest.mark.behaviour(49)
def test_a_job_is_stored_with_all_that_its_row_holds(session: Session) -> None:
    stored = welcome.enqueue(42, kindly=False)

    assert stored.state == "ready"
    assert fetch(
        session,
        "SELECT id, queue_name, class_name, arguments, priority, max_attempts, retries_crash"
        " FROM jobsd.jobs",
    ) == [
        (
            stored.id,
            "mail",
            f"{__name__}.welcome",
            [42, {"$keywords": {"kindly": False}}],
            3,
            4,
            True,
        )
    ]
    assert fetch(session, "SELECT job_id, position FROM jobsd.ready_executions") == [
        (stored.id, stored.id)
    ]


def test_a_class_is_a_job_of_its_own_name(session: Session) -> None:
    Tidy.enqueue("attic")

    assert fetch(session, "SELECT class_name, queue_name FROM jobsd.jobs") == [("Tidy", "low")]


def test_perform_now_runs_without_the_queue(session: Session) -> None:
    assert (welcome.perform_now(1), welcome(2), Tidy.perform_now("a")) == (
        "welcome 1",
        "welcome 2",
        "tidied a",
    )
    assert fetch(session, "SELECT id FROM jobsd.jobs") == []


@pytest.mark.behaviour(51)
def test_a_wait_lets_a_job_be_scheduled(session: Session) -> None:
    stored = welcome.using(wait=timedelta(minutes=5)).enqueue(1)

    assert stored.state == "scheduled"
    assert fetch(
        session,
        "SELECT s.job_id, s.scheduled_at = j.scheduled_at,"
        " round(extract(epoch FROM s.scheduled_at - j.created_at))"
        " FROM jobsd.scheduled_executions s JOIN jobsd.jobs j ON j.id = s.job_id",
    ) == [(stored.id, True, 300)]


@pytest.mark.behaviour(51)
@pytest.mark.parametrize("past", [timedelta(seconds=-5), timedelta(0), 0])
def test_a_time_that_has_come_makes_a_job_ready(past: timedelta | int) -> None:
    assert welcome.using(wait=past).enqueue(1).state == "ready"


@pytest.mark.behaviour(51)
def test_wait_until_takes_an_aware_moment() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    assert welcome.using(wait_until=tomorrow).enqueue(1).state == "scheduled"


def test_options_of_one_enqueue_beat_those_of_the_job(session: Session) -> None:
    welcome.using(queue="other", priority=-7).enqueue(1)

    assert fetch(session, "SELECT queue_name, priority FROM jobsd.ready_executions") == [
        ("other", -7)
    ]


@pytest.mark.behaviour(50)
def test_a_rolled_back_transaction_leaves_nothing(target: Target, session: Session) -> None:
    with psycopg.Connection[DictRow].connect(target.url, row_factory=dict_row) as connection:
        welcome.using(connection=connection).enqueue(1)
        enqueue_many([welcome.with_args(2)], connection=connection)
        connection.rollback()

    assert fetch(session, "SELECT id FROM jobsd.jobs") == []
    assert fetch(session, "SELECT job_id FROM jobsd.ready_executions") == []


@pytest.mark.behaviour(50)
def test_a_committed_transaction_leaves_the_job(target: Target, session: Session) -> None:
    with psycopg.Connection[DictRow].connect(target.url, row_factory=dict_row) as connection:
        stored = welcome.using(connection=connection).enqueue(1)
        before = fetch(session, "SELECT id FROM jobsd.jobs")
        connection.commit()

    assert (before, fetch(session, "SELECT id FROM jobsd.jobs")) == ([], [(stored.id,)])


@pytest.mark.behaviour(54)
def test_many_jobs_are_stored_together(session: Session) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    jobs = (
        welcome.with_args(i) if i % 3 else welcome.using(wait_until=tomorrow).with_args(i)
        for i in range(5000)
    )

    stored = enqueue_many(jobs)

    states = Counter(one.state for one in stored)
    assert (len(stored), states) == (5000, {"ready": 3333, "scheduled": 1667})
    assert fetch(
        session,
        "SELECT (SELECT count(*) FROM jobsd.jobs),"
        " (SELECT count(*) FROM jobsd.ready_executions),"
        " (SELECT count(*) FROM jobsd.scheduled_executions),"
        " (SELECT array_agg(arguments ORDER BY id) ="
        " (SELECT array_agg(to_jsonb(ARRAY[i]) ORDER BY i) FROM generate_series(0, 4999) i)"
        "  FROM jobsd.jobs)",
    ) == [(5000, 3333, 1667, True)]


def test_many_jobs_are_all_stored_or_none(session: Session) -> None:
    def jobs() -> Iterator[object]:
        yield welcome.with_args(1)
        raise KeyError("the source has failed")

    with pytest.raises(KeyError):
        enqueue_many(jobs())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert fetch(session, "SELECT id FROM jobsd.jobs") == []


def test_no_jobs_are_stored_as_none() -> None:
    assert list(enqueue_many([])) == []


@pytest.mark.behaviour(55)
def test_a_database_without_tables_raises_a_hint_to_migrate(empty_database: str) -> None:
    client.configure(empty_database)

    with pytest.raises(EnqueueError, match="db migrate"):
        welcome.enqueue(1)


@pytest.mark.behaviour(55)
def test_a_database_that_is_away_is_one_typed_error() -> None:
    client.configure("postgresql://nobody:secret@127.0.0.1:1/nothing")

    with pytest.raises(DatabaseUnreachableError) as caught:
        welcome.enqueue(1)

    assert "secret" not in str(caught.value)


def test_a_connection_that_the_server_closed_is_not_lent_again(session: Session) -> None:
    welcome.enqueue(1)
    fetch(
        session,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'jobsd client' AND datname = current_database()",
    )

    assert welcome.enqueue(2).state == "ready"


def test_a_fork_has_connections_of_its_own(session: Session) -> None:
    welcome.enqueue(1)

    child = os.fork()
    if child == 0:
        try:
            welcome.enqueue(2)
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert welcome.enqueue(3).state == "ready"
    assert len(fetch(session, "SELECT id FROM jobsd.jobs")) == 3


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(Error, match="two jobs are named 'Tidy'"):

        @job(name="Tidy")
        def other() -> None: ...


def test_an_asynchronous_job_runs_to_its_end() -> None:
    @job(name="asynchronous")
    async def later(value: int) -> int:
        return value + 1

    performed: object = later.perform_now(1)
    assert (later.definition.perform(1), performed) == (2, 2)


@pytest.mark.parametrize(
    ("define", "said"),
    [
        (lambda: job(name="x1", backoff=5)(lambda: None), r"constant\(5\)"),  # type: ignore[call-overload]
        (lambda: job(name="x2", max_attempts=0)(lambda: None), "max_attempts"),
        (lambda: type("Old", (Job,), {"queue_as": "mail"}), "write `queue"),
        (lambda: type("Bare", (Job,), {}).enqueue(), "has no `perform`"),  # type: ignore[attr-defined]
        (lambda: enqueue_many([welcome]), r"write job\.with_args"),  # type: ignore[list-item]
    ],
    ids=["backoff", "attempts", "queue_as", "no perform", "no arguments"],
)
def test_an_invalid_job_definition_is_refused_in_words(define: Any, said: str) -> None:
    with pytest.raises(Error, match=said):
        define()
