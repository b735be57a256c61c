"""A worker leaves what it can't run to those who can: in the lane of its class."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.acts import queues
from jobsd.database.connection import Session
from jobsd.enqueueing import client
from jobsd.jobs import registry
from jobsd.jobs.draft import Draft
from jobsd.jobs.policy import Policy
from jobsd.jobs.registry import Definition
from jobsd.processes import registry as processes
from jobsd.states import parked, ready
from jobsd.states.parked import lane_of
from waiting import wait_until

from .bodies import note, noted
from .elsewhere import GONE, enqueue, park, survey, where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target

    from .conftest import Count, MakeWorker
    from .elsewhere import Knower


@pytest.fixture
def _learned() -> Iterator[None]:
    """Let this process know the class as well, as after an import, for one test."""
    _learn()
    yield
    registry._definitions.pop(GONE, None)


def _perform(value: object = None) -> None:
    noted.append(value)


def _learn() -> None:
    registry.register(Definition(GONE, _perform, "default", 0, Policy(), "x"))


@pytest.mark.failure(
    "A worker of an older deploy claims a job whose class only a newer one knows.",
    "The job is parked untouched: no attempt, its place kept, for the worker that knows it.",
)
def test_a_job_that_another_worker_knows_waits_untouched_in_its_lane(
    make_worker: MakeWorker, knower: Knower, session: Session, count: Count
) -> None:
    knower(GONE)
    driven = make_worker()
    waiting = enqueue(priority=3)
    note.enqueue("after")

    driven.until(lambda: noted and count("parked_executions"))
    driven.until(driven.at_rest)

    assert where(session, waiting) == (GONE, 3, waiting, 0)
    assert count("attempts") == count("claims") == count("failed_executions") == 0


@pytest.mark.usefixtures("_learned")
def test_parked_jobs_are_claimed_in_their_order_and_in_turn_with_the_others(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    for priority in (9, 0, 5, 7, 2, 4, 6, 8, 1, 3):
        park(session, enqueue(GONE, f"[{priority}]", priority=priority))
    note.using(priority=9).enqueue("common")
    driven = make_worker(threads=1, prefetch=1)

    driven.until(lambda: len(noted) == 11)

    assert [each for each in noted if each != "common"] == [*range(10)]
    assert noted.index("common") < 6
    driven.until(lambda: not count("parked_executions") and not count("claims"))


@pytest.mark.usefixtures("_learned")
@pytest.mark.parametrize("patterns", [("b", "a"), ("b*", "a*")])
def test_of_a_list_of_queues_parked_jobs_of_the_first_come_first(
    make_worker: MakeWorker, session: Session, patterns: tuple[str, ...]
) -> None:
    for queue in ("a", "b", "c"):
        park(session, enqueue(GONE, f'["{queue}"]', queue, int(queue == "b")))
    driven = make_worker(threads=1, queues=patterns)

    driven.until(lambda: len(noted) == 2)
    driven.until(driven.at_rest)

    assert noted == ["b", "a"]


@pytest.mark.usefixtures("_learned")
def test_a_parked_job_of_a_paused_queue_waits_until_it_is_resumed(
    make_worker: MakeWorker, session: Session
) -> None:
    park(session, enqueue(GONE, '["parked"]'))
    queues.pause("default", session=session)
    driven = make_worker()
    note.using(queue="other").enqueue("common")
    driven.until(lambda: noted)
    assert noted == ["common"]
    driven.worker.claiming.known_classes.survey_at = float("inf")

    queues.resume("default", session=session)
    driven.until(lambda: len(noted) == 2, within_s=10)

    assert noted == ["common", "parked"]


@pytest.mark.usefixtures("_learned")
def test_a_worker_that_has_emptied_a_lane_rests(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    park(session, enqueue(GONE, '["parked"]'))
    driven = make_worker()

    driven.until(lambda: noted and not count("claims"))
    driven.worker.claiming.known_classes.survey_at = float("inf")

    driven.until(lambda: driven.asked_rest_s > 0, within_s=2)


@pytest.fixture
def _no_claim_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobsd.worker.claiming.selector.HORIZON_S", 60)


@pytest.mark.usefixtures("_no_claim_is_slow")
@pytest.mark.parametrize("pattern", ["*", "default"])
def test_a_worker_leaves_jobs_of_a_class_known_to_another_living_worker(
    make_worker: MakeWorker, knower: Knower, session: Session, count: Count, pattern: str
) -> None:
    """In one transaction, and so with one notification: the worker claims for it once."""
    other = knower(GONE)
    driven = make_worker(queues=(pattern,), unknown_class_after_s=3600)
    cursor = driven.worker.claiming.cursor
    enqueue()
    driven.until(lambda: count("parked_executions") == 1)
    driven.until(lambda: driven.at_rest() and cursor.is_at_head)

    both = "SELECT jobsd.enqueue(%s), jobsd.enqueue(%s, '[\"ours\"]', queue => 'default')"
    with psycopg.connect(session.target.url) as connection:
        connection.execute(both, [GONE, note.definition.name])
    driven.until(lambda: noted == ["ours"] and driven.at_rest())
    assert count("parked_executions") == count("ready_executions") == 1

    processes.deregister(session, other)
    survey(driven)
    driven.until(lambda: count("parked_executions") == 2)
    driven.until(lambda: driven.at_rest() and cursor.is_at_head)
    enqueue()
    driven.until(lambda: count("parked_executions") == 3, within_s=10)


def test_a_worker_that_learns_a_class_claims_its_parked_jobs(
    make_worker: MakeWorker, knower: Knower, count: Count
) -> None:
    knower(GONE)
    driven = make_worker()
    enqueue(GONE, '["parked"]')
    driven.until(lambda: count("parked_executions"))

    try:
        _learn()
        survey(driven)
        driven.until(lambda: noted == ["parked"])
    finally:
        registry._definitions.pop(GONE)

    assert count("worker_classes WHERE lanes @> ARRAY['elsewhere.job']") == 2
    driven.until(lambda: count("jobs WHERE outcome = 'finished' AND attempts = 1"))


@pytest.mark.usefixtures("_learned")
def test_an_idle_worker_that_knows_a_class_takes_a_job_of_it_that_is_parked(
    make_worker: MakeWorker, session: Session
) -> None:
    driven = make_worker()
    driven.until(
        lambda: (
            driven.worker.claiming.idle.stands
            and driven.worker.claiming.known_classes.survey_at
        )
    )
    waiting = Draft(GONE, "default", 0, '["parked"]')
    pick = {
        "after_priorities": "{-1}",
        "after_positions": "{0}",
        "below_priorities": "{1}",
        "below_positions": "{0}",
    }
    facts = {**pick, "limit": 10, "known": ["another.class"]}

    with session.connection.transaction():
        client.enqueue(waiting, connection=session.connection)
        session.fetch(ready.SET_ASIDE[ready.CLAIM_ANY.name], facts)
    driven.until(lambda: noted == ["parked"])


def test_a_parked_job_sends_a_notification_though_no_worker_is_idle(
    make_worker: MakeWorker, knower: Knower, target: Target, count: Count
) -> None:
    knower(GONE)
    awake = make_worker(target=replace(target, wakeups="off"))
    with contextlib.closing(Session(target, "listener", listen=True)) as listener:
        assert listener.connection
        enqueue()
        awake.until(lambda: count("parked_executions"))

        assert count("sleepers") == 0
        wait_until(lambda: listener.notifications() == [f"lane default\n{GONE}"])


def test_a_class_name_as_long_as_it_may_be_has_a_lane(
    make_worker: MakeWorker, knower: Knower, session: Session, count: Count
) -> None:
    name = "\N{GRINNING FACE}" * 1000
    knower(name)
    driven = make_worker()
    waiting = enqueue(name, queue="q" * 255)

    driven.until(lambda: count("parked_executions"))

    assert where(session, waiting)[0] == lane_of(name)


def test_what_did_not_come_along_and_is_not_known_is_parked(
    make_worker: MakeWorker, knower: Knower, count: Count
) -> None:
    knower(GONE)
    large = '["' + "x" * 900_000 + '"]'
    for _ in range(6):
        enqueue(GONE, large)
    driven = make_worker(prefetch=500)

    driven.until(lambda: count("parked_executions") == 6)
    driven.until(driven.at_rest)

    assert count("jobs WHERE attempts = 0") == 6


def test_when_the_database_goes_away_before_it_has_judged_the_jobs_go_back(
    make_worker: MakeWorker, knower: Knower, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    knower(GONE)
    driven = make_worker()
    enqueue()

    def cut_off(*_: object) -> None:
        raise psycopg.OperationalError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(parked, "note", cut_off)
        with pytest.raises(psycopg.OperationalError):
            driven.until(lambda: False)
    driven.worker.disconnect()
    driven.worker.connect()

    driven.until(lambda: count("parked_executions") and not count("claims"))
