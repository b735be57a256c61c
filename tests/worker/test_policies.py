"""What jobs say of their failures is done, and kept: one row for a job's whole life."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, ClassVar

import pytest

from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import Job, job
from jobsd.jobs.interrupts import Interruptible
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Discard, Retry, Snooze, constant
from jobsd.performing.perform import MESSAGE_MAX, STACK_MAX, perform, stored_error
from jobsd.scoreboard.scoreboard import Scoreboard

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker

_ran: list[object] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    _ran.clear()


class Careful(Job):
    """What several jobs have in common."""

    queue = "careful"
    priority = -3
    max_attempts = 3
    retry_on = (OSError,)
    discard_on: ClassVar[tuple[type[BaseException], ...]] = (KeyError,)
    backoff = constant(0)


class Fetch(Careful):
    async def perform(self, how: str) -> None:
        await asyncio.sleep(0)
        _ran.append((how, current_job().attempt))
        if how == "discard":
            raise KeyError("gone")
        if how == "fail":
            raise ValueError(how)
        if how == "retry" and current_job().attempt < 3:
            raise ConnectionError(how)


@job
def give_up() -> None:
    raise Discard("nobody wants it")


@job(max_attempts=3)
def in_every_way() -> None:
    current = current_job()
    _ran.append(current.attempt)
    if len(_ran) == 1:
        raise Snooze(0)
    if current.attempt == 1:
        raise Retry(after=0, reason="too early")
    if current.attempt == 2:
        raise Retry(after=0)


def _broken(_attempt: int) -> float:
    raise ZeroDivisionError("no wait")


@job(max_attempts=2, backoff=_broken)
def badly_patient() -> None:
    raise OSError("mine")


@job(timeout="1h", max_attempts=2, backoff=lambda _attempt: float(len(_ran)))
def bounded() -> None:
    _ran.append(None)


def test_each_job_that_is_ended_for_its_time_waits_by_a_draw_of_its_own() -> None:
    entry = Scoreboard().entries[0]
    for number in range(3):
        limit = entry.hard_limit(number)
        # Of one thread none but the last can be ended with its process.
        for of_thread in (1, 2):
            job_id = 10 * number + of_thread
            entry.started(number, job_id, 7)
            bound = ClaimedJob(
                7, job_id, bounded.definition.name, "[]", "q", 0, 2, 0, None, 0, 0
            )
            perform(bound, Interruptible(hard=limit))
        limit.move(1)

    assert [each.wait_s for each in entry.overdue()] == [0, 2, 4]


def test_a_class_has_the_options_of_its_parents() -> None:
    definition = Fetch.definition
    policy = definition.policy

    assert (definition.name, definition.queue, definition.priority) == ("Fetch", "careful", -3)
    assert (policy.max_attempts, policy.retry_on, policy.discard_on, policy.backoff(9)) == (
        3,
        (OSError,),
        (KeyError,),
        0,
    )


@pytest.mark.parametrize(
    ("how", "ends", "attempts"),
    [
        ("retry", "jobs WHERE outcome = 'finished' AND attempts = 3", [1, 2, 3]),
        ("fail", "jobs JOIN jobsd.failed_executions ON job_id = id WHERE attempts = 1", [1]),
        ("discard", "jobs WHERE outcome = 'discarded' AND attempts = 1", [1]),
    ],
)
def test_an_asynchronous_class_is_retried_failed_and_dropped_by_its_policy(
    how: str, ends: str, attempts: list[int], make_worker: MakeWorker, count: Count
) -> None:
    Fetch.enqueue(how)

    make_worker().until(lambda: count(ends))

    assert (_ran, count("jobs")) == ([(how, n) for n in attempts], 1)


def test_the_reason_of_a_discard_is_kept(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    give_up.enqueue()

    make_worker().until(lambda: count("jobs WHERE outcome = 'discarded'"))

    row = session.connection.execute(
        "SELECT attempt, error ->> 'type', error ->> 'message' FROM jobsd.attempts"
    ).fetchone()
    assert row == (1, "Discard", "nobody wants it")
    assert count("failed_executions") == 0


def test_one_row_lives_through_snoozes_and_retries(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    stored = in_every_way.enqueue()

    make_worker().until(lambda: count("jobs WHERE outcome = 'finished'"))

    rows = session.connection.execute(
        "SELECT job_id, attempt, error ->> 'message' FROM jobsd.attempts ORDER BY attempt"
    ).fetchall()
    assert rows == [
        (stored.id, 1, "too early"),
        (stored.id, 2, "the job asked to be retried"),
    ]
    assert (_ran, count("jobs WHERE attempts = 3")) == ([1, 1, 2, 3], 1)


def test_a_broken_backoff_is_reported_with_the_error_and_loses_no_attempt(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    badly_patient.enqueue()

    make_worker().until(lambda: count("scheduled_executions"))

    row = session.connection.execute(
        "SELECT error ->> 'type', error ->> 'stack' FROM jobsd.attempts"
    ).fetchone()
    assert row is not None
    assert row[0] == "OSError"
    assert "Its backoff failed: ZeroDivisionError: no wait" in row[1]


@job(max_attempts=3, backoff=constant(0))
def drop_at_last() -> None:
    if current_job().attempt < 3:
        raise OSError("not yet")
    raise Discard("enough")


@job(max_attempts=2, backoff=constant(0), limits_concurrency=Limit())
def alone_at_last() -> None:
    if current_job().attempt < 2:
        raise OSError("not yet")


def test_where_finished_jobs_are_not_kept_their_attempts_go_with_them(
    make_worker: MakeWorker, count: Count
) -> None:
    in_every_way.enqueue()
    drop_at_last.enqueue()
    alone_at_last.enqueue()

    make_worker(keep=False).until(lambda: not count("jobs"))

    assert count("attempts") == 0


@job(max_attempts=2, retry_on=SystemExit, backoff=constant(0))
def leave() -> None:
    _ran.append(current_job().attempt)
    sys.exit(current_job().attempt == 1)


def test_a_job_that_leaves_by_an_exit_is_retried_by_its_policy(
    make_worker: MakeWorker, count: Count
) -> None:
    leave.enqueue()
    driven = make_worker()

    driven.until(lambda: count("failed_executions"))

    assert _ran == [1, 2]


def test_of_an_error_without_end_the_beginning_and_the_end_are_kept() -> None:
    facts = json.loads(stored_error(ValueError(f"begin{'x' * 10**6}end")))

    assert len(facts["message"]) < 1.1 * MESSAGE_MAX
    assert (facts["message"][:6], facts["message"][-4:]) == ("beginx", "xend")
    assert len(facts["stack"]) < 1.1 * STACK_MAX
