"""Every reason that keeps a job from running, one by one and together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.daemon.why import why
from jobsd.jobs import client, inspect, queues
from jobsd.jobs.draft import Options, draft
from jobsd.jobs.policy import Policy
from jobsd.jobs.registry import Definition
from jobsd.processes import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target


@pytest.fixture(autouse=True)
def _client(target: Target) -> Iterator[None]:
    client.configure(client=client.Client(target))
    yield
    client.configure()


def _enqueue(**options: Any) -> int:
    nothing = Definition("nothing", lambda: None, "mail", 0, Policy(), "test")
    return client.enqueue(Options(**options).apply(draft(nothing, [], {}))).id


def _process(session: Session, kind: str, **metadata: object) -> int:
    return registry.register(
        session, kind=kind, name=registry.new_name(kind), supervisor_id=0, metadata=metadata
    )


def _claim(session: Session, process_id: int, *job_ids: int) -> None:
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.ready_executions WHERE job_id = ANY (%(ids)s))"
        " INSERT INTO jobsd.claims (process_id, job_ids) VALUES (%(process)s, %(ids)s)",
        {"ids": list(job_ids), "process": process_id},
    )


def _why(session: Session, job_id: int) -> dict[str, dict[str, Any]]:
    reasons = why(session, inspect.find(session, job_id), 60.0)
    return {reason.reason: reason.details for reason in reasons}


def test_nothing_keeps_a_job_that_a_worker_will_take(session: Session) -> None:
    _process(session, "worker", queues="ma*,other", threads=1)

    assert _why(session, _enqueue()) == {}


def test_no_worker_listens(session: Session) -> None:
    _process(session, "worker", queues="other", threads=1)

    assert _why(session, _enqueue()) == {"no_worker": {"queue_name": "mail"}}


def test_a_worker_that_has_ended_does_not_count(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=1)
    session.connection.execute(
        'UPDATE jobsd.processes SET metadata = metadata || \'{"started": "1"}\' WHERE id = %s',
        (worker,),
    )

    assert "no_worker" in _why(session, _enqueue())


def test_a_worker_that_is_silent_does_not_count(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=1)
    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '61 s' WHERE id = %s",
        (worker,),
    )

    assert "no_worker" in _why(session, _enqueue())


def test_its_queue_is_paused(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    queues.pause("mail", "moving", by="me@here", session=session)

    reasons = _why(session, _enqueue())

    assert list(reasons) == ["paused"]
    assert (reasons["paused"]["by"], reasons["paused"]["because"]) == ("me@here", "moving")


def test_others_come_before_it(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    _enqueue()
    _enqueue(priority=-1)
    _enqueue(queue="other")
    job_id = _enqueue()
    _enqueue()
    _enqueue(priority=1)

    assert _why(session, job_id) == {"behind": {"queue_name": "mail", "jobs": 2}}


def test_all_threads_have_jobs(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=2)
    _claim(session, worker, _enqueue(), _enqueue())

    assert _why(session, _enqueue()) == {"busy": {"workers": 1, "threads": 2, "claimed": 2}}


def test_a_scheduled_job_waits_for_its_time(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    _process(session, "dispatcher")

    reasons = _why(session, _enqueue(wait="1h"))

    assert list(reasons) == ["scheduled"]


def test_all_reasons_that_hold_are_told(session: Session) -> None:
    queues.pause("mail", session=session)

    assert list(_why(session, _enqueue(wait="1h"))) == [
        "scheduled",
        "no_dispatcher",
        "paused",
        "no_worker",
    ]


def test_a_blocked_job_names_who_holds_its_key(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    holder, job_id = _enqueue(), _enqueue()
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.ready_executions WHERE job_id = %(id)s),"
        " keyed AS (UPDATE jobsd.jobs SET concurrency_key = 'k' WHERE id = %(id)s),"
        " slot AS (INSERT INTO jobsd.concurrency_slots VALUES (%(holder)s, 'k', now()))"
        " INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name, concurrency_key)"
        " VALUES (%(id)s, 0, 'mail', 'k')",
        {"id": job_id, "holder": holder},
    )

    assert _why(session, job_id) == {"blocked": {"key": "k", "held_by": [holder]}}


def test_a_claimed_job_runs_as_long_as_its_process_lives(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=1)
    job_id = _enqueue()
    _claim(session, worker, job_id)

    assert _why(session, job_id) == {}

    session.connection.execute("DELETE FROM jobsd.processes")
    assert list(_why(session, job_id)) == ["process_lost"]


def test_a_job_that_no_table_has_is_told_so(session: Session) -> None:
    job_id = _enqueue()
    session.connection.execute("DELETE FROM jobsd.ready_executions")

    assert list(_why(session, job_id)) == ["lost"]
    assert inspect.listed(session, inspect.Filter())[0].state == "lost"


@pytest.mark.parametrize("outcome", ["finished", "discarded"])
def test_a_job_that_has_ended_has_no_reason(session: Session, outcome: str) -> None:
    job_id = _enqueue()
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute(
        "UPDATE jobsd.jobs SET outcome = %s, finished_at = now()", (outcome,)
    )

    assert _why(session, job_id) == {}
