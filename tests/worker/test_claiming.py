"""What a worker claims, in which order, and what it gives back."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from jobsd.database.connection import Session as Listening
from jobsd.enqueueing.client import enqueue_many

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

    from .conftest import Count, MakeWorker


@pytest.mark.behaviour(36)
def test_a_worker_never_claims_more_than_its_idle_threads_while_jobs_are_long(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(10))
    driven = make_worker()

    driven.until(lambda: len(noted) == 3)

    assert (count("claimed_executions"), count("ready_executions")) == (3, 7)


@pytest.mark.behaviour(36)
def test_jobs_that_wait_behind_long_ones_are_given_back(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(note.with_args(i) for i in range(300))
    enqueue_many(wait_for_gate.with_args("long") for _ in range(3))
    enqueue_many(note.with_args(i) for i in range(300, 400))
    driven = make_worker()

    driven.until(lambda: noted.count("long") == 3 and count("ready_executions") == 100)

    driven.until(lambda: count("claimed_executions") == 3)


def test_one_slow_job_delays_no_other_while_a_thread_is_free(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(note.with_args(i) for i in range(300))
    wait_for_gate.enqueue("slow")
    enqueue_many(note.with_args(i) for i in range(300, 600))
    driven = make_worker(threads=2)

    driven.until(lambda: len(noted) == 601)

    driven.until(lambda: count("claimed_executions") == 1)


def test_an_urgent_job_starts_before_prefetched_ones(make_worker: MakeWorker) -> None:
    wait_for_gate.enqueue("first")
    enqueue_many(note.with_args(i) for i in range(20))
    driven = make_worker(threads=1, prefetch=100)
    driven.until(lambda: driven.worker.pool.waiting == 20)

    note.using(priority=-1).enqueue("urgent")
    driven.until(lambda: driven.worker.pool.waiting == 21)
    gate.set()
    driven.until(lambda: len(noted) == 22)

    assert noted == ["first", "urgent", *range(20)]


def test_a_job_of_the_first_queue_starts_before_those_of_the_second_that_wait_in_hand(
    make_worker: MakeWorker,
) -> None:
    wait_for_gate.using(queue="first").enqueue("gate")
    enqueue_many(note.using(queue="second").with_args(i) for i in range(20))
    driven = make_worker(threads=1, prefetch=100, queues=("first", "second"))
    driven.until(lambda: driven.worker.pool.waiting == 20)

    note.using(queue="first", priority=9).enqueue("urgent")
    driven.until(lambda: driven.worker.pool.waiting == 21)
    gate.set()
    driven.until(lambda: len(noted) == 22)

    assert noted == ["gate", "urgent", *range(20)]


def test_a_worker_that_has_enough_in_hand_rests_though_more_jobs_are_ready(
    make_worker: MakeWorker,
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(20))
    driven = make_worker(threads=1, prefetch=6)
    driven.until(lambda: noted and driven.worker.pool.waiting > 3)

    assert driven.worker.poll() > 0


def test_stopping_releases_jobs_that_were_not_started(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(10))
    driven = make_worker(prefetch=5)
    driven.until(lambda: len(noted) == 3 and count("claimed_executions") > 3)

    driven.worker.stop()
    driven.until(lambda: count("ready_executions") == 7)
    gate.set()
    driven.until(lambda: driven.worker.stopped)

    assert (count("jobs WHERE outcome = 'finished'"), count("claims")) == (3, 0)


def test_a_released_job_keeps_its_place(make_worker: MakeWorker, count: Count) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(6))
    driven = make_worker(threads=1, prefetch=3)
    driven.until(lambda: len(noted) == 1 and count("claimed_executions") > 1)

    driven.worker.stop()
    driven.until(lambda: count("ready_executions") == 5)

    assert count("ready_executions WHERE position = job_id") == 5
    assert count("jobs WHERE attempts > 0") == 0


def test_a_sleeping_worker_is_woken_by_released_jobs(
    make_worker: MakeWorker, session: Session, target: Target, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(4))
    driven = make_worker(threads=1, prefetch=3)
    driven.until(lambda: len(noted) == 1 and count("claimed_executions") > 1)
    with contextlib.closing(Listening(target, "listener", listen=True)) as listener:
        _ = listener.connection
        session.connection.execute("INSERT INTO jobsd.sleepers VALUES (1, 'worker')")

        driven.worker.stop()
        driven.until(lambda: count("ready_executions") == 3)

        listener.connection.execute("SELECT 1")
        assert listener.notifications() == ["ready default"]


def test_a_worker_sleeps_in_the_table_when_nothing_is_ready(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()

    driven.until(lambda: count("sleepers WHERE kind = 'worker'"))
    driven.drain()

    assert (count("sleepers"), count("processes")) == (0, 0)


def test_a_worker_with_work_for_a_while_withdraws_its_idle_registration(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.worker.claiming.polling.AWAKE_S", 0.0)
    driven = make_worker()
    driven.until(lambda: count("sleepers") == 1)

    enqueue_many(note.with_args(i) for i in range(4000))

    driven.until(lambda: count("sleepers") == 0)


@pytest.mark.behaviour(44, 45)
def test_a_paused_queue_is_left_alone_and_changes_nothing_for_others(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    session.connection.execute("INSERT INTO jobsd.pauses (queue_name) VALUES ('off')")
    note.using(queue="off", priority=-5).enqueue("off")
    for name, priority in (("zzz", 0), ("aaa", 9)):
        note.using(queue=name, priority=priority).enqueue(name)
    driven = make_worker(threads=1)

    driven.until(lambda: len(noted) == 2)

    assert (noted, count("ready_executions")) == (["zzz", "aaa"], 1)


@pytest.mark.behaviour(38, 39, 40)
@pytest.mark.parametrize(
    ("queues", "order"),
    [
        (("*",), ["c1", "a2", "b1", "c2", "b2", "a1"]),
        (("a2", "c1", "b*", "c2", "a*"), ["a2", "c1", "b1", "b2", "c2", "a1"]),
        (("c1", "a1"), ["c1", "a1"]),
        (("b*",), ["b1", "b2"]),
        (("a_", "nothing"), []),
    ],
    ids=str,
)
def test_queues_come_in_the_order_of_the_list_and_jobs_by_priority(
    queues: tuple[str, ...], order: list[str], make_worker: MakeWorker, count: Count
) -> None:
    for priority, name in enumerate(["c1", "a2", "b1", "c2", "b2", "a1"]):
        note.using(queue=name, priority=priority).enqueue(name)
    driven = make_worker(threads=1, queues=queues)

    # It has looked for more in vain, and not only when it takes nothing at all.
    driven.until(
        lambda: (
            driven.worker.claiming.idle.stands
            and count("ready_executions") == 6 - len(order)
            and len(noted) == len(order)
        )
    )
    driven.drain()

    assert noted == order


def test_a_claim_lists_its_jobs_in_the_order_in_which_they_start(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    drafts = [wait_for_gate.using(priority=n % 3).with_args(n) for n in range(6)]
    ids = [one.id for one in enqueue_many(drafts)]
    driven = make_worker(threads=1, prefetch=6)

    driven.until(lambda: count("claims") == 2)

    rows = session.connection.execute("SELECT job_ids FROM jobsd.claims").fetchall()
    # The first claim is for a few jobs.
    assert sorted(rows) == sorted([([ids[n] for n in (0, 3, 1, 4)],), ([ids[2], ids[5]],)])
