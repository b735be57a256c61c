"""A job fails for its class only where nobody has known that for long enough."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing import client
from jobsd.jobs.definition import job
from jobsd.jobs.draft import Draft
from jobsd.jobs.limits import Limit
from jobsd.processes import registry as processes
from jobsd.states import parked

from .bodies import noted
from .elsewhere import GONE, enqueue, survey, where

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker
    from .elsewhere import Knower

LONG_S = 3600.0


def test_a_job_of_an_unknown_class_fails_at_once_in_development_and_test(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue()
    driven = make_worker()

    driven.until(lambda: count("failed_executions"))
    driven.until(driven.at_rest)

    assert count("attempts WHERE error ->> 'type' = 'UnknownJobError'") == 1
    assert count("ready_executions") == count("parked_executions") == 0


@pytest.mark.parametrize("state", ["scheduled", "failed"])
def test_an_unknown_job_is_tried_again_as_after_a_crash(
    make_worker: MakeWorker, count: Count, state: str
) -> None:
    again = state == "scheduled"
    client.enqueue(Draft(GONE, "default", 0, "[]", max_attempts=3, retries_crash=again))
    driven = make_worker()

    driven.until(lambda: count(f"{state}_executions"))

    assert count("jobs WHERE attempts = 1") == count("attempts") == 1


@pytest.mark.failure(
    "No worker knows the class of a job: it was renamed, or its deploy has not come yet.",
    "It waits for `unknown_class_after`, counted in the database, and only then fails.",
)
def test_a_job_of_an_unknown_class_fails_only_when_that_was_so_for_long_enough(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    waiting = enqueue()
    driven = make_worker(unknown_class_after_s=LONG_S)
    driven.until(lambda: count("lanes WHERE unknown_since IS NOT NULL"))
    driven.until(lambda: where(session, waiting) == (GONE, 0, waiting, 0))

    _age(session, LONG_S - 60)
    survey(driven)
    driven.until(lambda: count("lanes WHERE checked_at > now() - interval '10 s'"))
    assert count("parked_executions") == 1
    _age(session, 61)
    survey(driven)
    driven.until(lambda: count("failed_executions"))

    assert count("attempts WHERE error ->> 'type' = 'UnknownJobError'") == 1


def _age(session: Session, by_s: float) -> None:
    """Let time have passed in which somebody looked all the while."""
    session.connection.execute(
        "UPDATE jobsd.lanes SET unknown_since = unknown_since - make_interval(secs => %s),"
        " checked_at = checked_at - interval '11 s'",
        (by_s,),
    )


def test_time_without_workers_does_not_count_as_unknown(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue()
    driven = make_worker(unknown_class_after_s=LONG_S)
    driven.until(lambda: count("parked_executions"))
    session.connection.execute(
        "UPDATE jobsd.lanes SET unknown_since = now() - interval '1 day',"
        " checked_at = now() - interval '2 min'"
    )

    survey(driven)
    driven.until(lambda: count("lanes WHERE unknown_since > now() - interval '1 min'"))
    driven.until(driven.at_rest)

    assert count("parked_executions") == 1


def test_a_registering_worker_ends_the_unknown_time_of_its_classes_and_queues(
    session: Session, knower: Knower
) -> None:
    pairs = [("a", GONE), ("b", GONE), ("a", "other")]
    parked.note(session, [], pairs)

    knower(GONE, queues=("a",))
    parked.note(session, [], pairs)
    rows = session.connection.execute(
        "SELECT queue_name, lane FROM jobsd.lanes WHERE unknown_since IS NOT NULL ORDER BY 1, 2"
    ).fetchall()

    assert rows == [("a", "other"), ("b", GONE)]


@pytest.mark.parametrize(
    ("patterns", "age_s"),
    [(("*",), None), (("mail",), None), (("ma*",), None), (("mai",), 0.0), (("x*",), 0.0)],
)
def test_only_workers_that_take_from_the_queue_count_as_knowing(
    session: Session, knower: Knower, patterns: tuple[str, ...], age_s: float | None
) -> None:
    knower(GONE, queues=patterns)

    assert parked.note(session, [], [("mail", GONE)]) == {("mail", GONE): age_s}


def test_the_known_classes_of_a_worker_go_with_its_row(
    session: Session, knower: Knower
) -> None:
    row = knower(GONE)
    before = parked.note(session, [], [("mail", GONE)])

    processes.deregister(session, row)

    after = parked.note(session, [], [("mail", GONE)])
    assert (before["mail", GONE], after["mail", GONE]) == (None, 0.0)


def test_a_worker_that_learns_a_class_saves_jobs_about_to_fail(
    make_worker: MakeWorker, session: Session, knower: Knower, count: Count
) -> None:
    driven = make_worker(unknown_class_after_s=LONG_S)
    enqueue()
    driven.until(lambda: count("parked_executions"))
    _age(session, 2 * LONG_S)
    survey(driven)
    driven.worker.claiming.known_classes.survey()
    assert driven.worker.claiming.known_classes.open

    knower(GONE)
    driven.worker.claiming.polling.poll_now()
    driven.worker.claiming.cursor.request_sweep()
    driven.until(lambda: count("lanes WHERE unknown_since IS NULL"))
    driven.until(lambda: driven.at_rest() and count("parked_executions"))

    assert count("attempts") == 0


@job(limits_concurrency=Limit(key="one"))
def limited() -> None:
    noted.append("other")


@pytest.mark.failure(
    "A limited job has failed since no worker knew its class, and a worker starts that does.",
    "The other workers leave the next jobs of the class to it.",
)
def test_the_next_limited_job_is_left_to_a_worker_that_has_come_to_know_the_class(
    make_worker: MakeWorker, session: Session, knower: Knower, count: Count
) -> None:
    enqueue = "SELECT jobsd.enqueue('nowhere', concurrency_key => 'x')"
    session.connection.execute(enqueue)
    driven = make_worker(unknown_class_after_s=0)
    driven.until(lambda: count("failed_executions") == 1 and not count("claims"))

    knower("nowhere")
    survey(driven)
    driven.until(lambda: count("lanes WHERE unknown_since IS NULL"))
    session.connection.execute(enqueue)
    limited.enqueue()
    driven.until(lambda: noted == ["other"] and not count("claims"))

    assert (count("failed_executions"), count("blocked_executions")) == (1, 1)


def test_a_job_set_aside_in_a_queue_of_others_is_not_taken_though_its_class_is_known(
    make_worker: MakeWorker,
) -> None:
    known = make_worker(queues=("mail",)).worker.claiming.known_classes
    lane = parked.lane_of("tests.worker.bodies.note")

    heard = [known.hear(queue, lane) for queue in ("other", "mail")]

    assert heard == [False, True]
    assert [*known.open] == [("mail", lane)]
