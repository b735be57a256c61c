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
from jobsd.states import parked
from jobsd.states.parked import lane_of
from waiting import wait_until

from .bodies import gate, note, noted, wait_for_gate
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
def test_parked_jobs_are_claimed_in_one_order_with_the_others(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    for turn, priority in enumerate((5, 0, 2)):
        park(session, enqueue(GONE, f'["parked {turn}"]', priority=priority))
        note.using(priority=priority).enqueue(f"common {turn}")
    driven = make_worker(threads=1)

    driven.until(lambda: len(noted) == 6)

    order = [f"{kind} {turn}" for turn in (1, 2, 0) for kind in ("parked", "common")]
    assert noted == order
    driven.until(lambda: not count("parked_executions") and not count("claims"))


@pytest.mark.usefixtures("_learned")
@pytest.mark.parametrize("patterns", [("b", "a"), ("b*", "a*")])
def test_of_a_list_of_queues_all_of_the_first_come_first_parked_ones_too(
    make_worker: MakeWorker, session: Session, patterns: tuple[str, ...]
) -> None:
    for queue in ("a", "b", "c"):
        park(session, enqueue(GONE, f'["parked {queue}"]', queue, 1))
        note.using(queue=queue).enqueue(f"common {queue}")
    driven = make_worker(threads=1, queues=patterns)

    driven.until(lambda: len(noted) == 4)
    driven.until(driven.at_rest)

    assert noted == ["common b", "parked b", "common a", "parked a"]


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

    queues.resume("default", session=session)
    driven.until(lambda: len(noted) == 2)

    assert noted == ["common", "parked"]


def test_a_worker_that_learns_a_class_takes_what_was_parked(
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
            driven.worker._claiming.idle.stands
            and driven.worker._claiming.known_classes._survey_at
        )
    )
    waiting = Draft(GONE, "default", 0, '["parked"]')
    walk = {"priority": 0, "after": 0, "until": 2**63 - 1, "limit": 10, "process_id": 0}

    with session.connection.transaction():
        client.enqueue(waiting, connection=session.connection)
        session.fetch(parked.MOVE["walk_any"], walk)
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
        wait_until(lambda: listener.notifications() == ["lane default"])


@pytest.mark.usefixtures("_learned")
def test_a_parked_job_that_is_given_back_goes_into_its_lane_again(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    driven = make_worker(threads=1, prefetch=5)
    wait_for_gate.enqueue("runs")
    driven.until(lambda: noted)
    given_back = enqueue(GONE)
    park(session, given_back)
    survey(driven)
    driven.until(lambda: count("claims") == 2)

    driven.worker.stop()
    driven.until(lambda: count("parked_executions"))

    assert where(session, given_back) == (GONE, 0, given_back, 0)
    gate.set()


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
        patched.setattr(parked, "unknown_for_s", cut_off)
        with pytest.raises(psycopg.OperationalError):
            driven.until(lambda: False)
    driven.worker.disconnect()
    driven.worker.connect()

    driven.until(lambda: count("parked_executions") and not count("claims"))
