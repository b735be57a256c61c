"""Jobs that wait and get another queue or priority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import refused
from enqueueing.placed import block, claim, enqueue, fail
from jobsd.acts import inspect, moves
from jobsd.errors import Error

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")


def _move(session: Session, *ids: int, **to: Any) -> list[int]:
    to = {"queue": None, "priority": None, **to}
    return [each for done in moves.batches(session, ids, **to) for each in done]


def _where(session: Session, job_id: int) -> tuple[str, int, str]:
    job = inspect.find(session, job_id).job
    return job.queue_name, job.priority, job.state


def test_waiting_jobs_of_each_state_are_moved(session: Session, rows: Rows) -> None:
    ready, later, limited = enqueue(), enqueue(wait=60), enqueue(key="a")
    blocked, parked = enqueue(key="a"), enqueue()
    block(session, blocked)
    rows(
        "WITH gone AS (DELETE FROM jobsd.ready_executions WHERE job_id = %s RETURNING *)"
        " INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)"
        " SELECT job_id, position, priority, queue_name, 'lane' FROM gone",
        parked,
    )
    ids = [ready, later, limited, blocked, parked]
    last = max(rows("SELECT position FROM jobsd.all_ready_executions"))

    moved = _move(session, *ids, queue="slow", priority=-3)

    assert sorted(moved) == sorted(ids)
    assert [_where(session, each) for each in ids] == [
        ("slow", -3, state) for state in ("ready", "scheduled", "ready", "blocked", "ready")
    ]
    places = rows("SELECT queue_name, priority FROM jobsd.all_ready_executions")
    assert {tuple(place) for place in places} == {("slow", -3)}
    # Workers have passed where they were, perhaps.
    assert min(rows("SELECT position FROM jobsd.all_ready_executions")) > last
    assert rows("SELECT job_id FROM jobsd.parked_executions") == []
    assert rows("SELECT priority FROM jobsd.scheduled_executions") == [-3]


def test_a_move_changes_only_the_given_options(session: Session) -> None:
    job_id = enqueue("mail", priority=7)

    _move(session, job_id, priority=1)
    first = _where(session, job_id)
    _move(session, job_id, queue="other")

    assert first == ("mail", 1, "ready")
    assert _where(session, job_id) == ("other", 1, "ready")


def test_what_does_not_wait_is_left_alone(session: Session) -> None:
    running, failed, waiting = enqueue(), enqueue(), enqueue()
    claim(session, 5, running)
    fail(session, failed)

    assert _move(session, running, failed, waiting, 4_711, queue="x") == [waiting]
    assert _where(session, running)[0] == "mail"


@pytest.mark.parametrize(
    ("to", "fault"),
    [
        ({}, "nothing to change"),
        *(({"queue": name}, "is not a queue name") for name in refused.QUEUES),
        ({"priority": 2**40}, "priority"),
    ],
)
def test_there_must_be_somewhere_to_move_them(
    session: Session, to: dict[str, Any], fault: str
) -> None:
    with pytest.raises(Error, match=fault):
        _move(session, 1, **to)


def test_moving_the_first_job_of_a_key_lets_the_next_be_met(
    session: Session, rows: Rows
) -> None:
    """Else what is urgent is met only where the one that was moved is."""
    first, *behind = (enqueue(key="a") for _ in range(3))
    for each in behind:
        block(session, each)

    _move(session, first, priority=50)

    met = rows("SELECT job_id FROM jobsd.blocked_executions WHERE position > 0 ORDER BY 1")
    assert met == [first, behind[0]]
