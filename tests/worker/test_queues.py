"""From which queues a worker takes, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.acts import queues
from jobsd.enqueueing.client import enqueue_many

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker


@pytest.mark.behaviour(38)
@pytest.mark.parametrize("patterns", [("*",), ("one",), ("o*",)], ids=str)
def test_smaller_priorities_come_first_and_then_earlier_jobs(
    make_worker: MakeWorker, patterns: tuple[str, ...]
) -> None:
    for value, priority in (("d", 5), ("b", 0), ("e", 5), ("a", -1), ("c", 0)):
        note.using(queue="one", priority=priority).enqueue(value)
    driven = make_worker(threads=1, queues=patterns)

    driven.until(lambda: len(noted) == 5)

    assert noted == ["a", "b", "c", "d", "e"]


@pytest.mark.behaviour(38)
@pytest.mark.parametrize("patterns", [("*",), ("one",), ("o*",)], ids=str)
def test_a_claim_of_many_takes_the_smallest_priorities(
    make_worker: MakeWorker, patterns: tuple[str, ...]
) -> None:
    priorities = list(range(12))
    for priority in reversed(priorities):
        note.using(queue="one", priority=priority).enqueue(priority)
    # So many that one claim takes a part of them, and yet more than a few.
    driven = make_worker(threads=1, queues=patterns, prefetch=6)

    driven.until(lambda: len(noted) == 12)

    assert noted == priorities


@pytest.mark.behaviour(41)
def test_a_star_among_names_means_all_queues_by_priority(make_worker: MakeWorker) -> None:
    for name, priority in (("b", 2), ("a", 1), ("c", 0)):
        note.using(queue=name, priority=priority).enqueue(name)
    driven = make_worker(threads=1, queues=("b", "*", "a"))

    driven.until(lambda: len(noted) == 3)

    assert noted == ["c", "a", "b"]


@pytest.mark.behaviour(43)
def test_no_character_of_a_name_stands_for_others(
    make_worker: MakeWorker, count: Count
) -> None:
    names = ["real_time", "real_time2", "realXtime", "100%", "1000", "100%_sure"]
    for name in names:
        note.using(queue=name).enqueue(name)
    driven = make_worker(threads=1, queues=("real_time*", "100%*"))

    driven.until(lambda: len(noted) == 4)
    driven.drain()

    assert sorted(map(str, noted)) == ["100%", "100%_sure", "real_time", "real_time2"]
    assert count("ready_executions") == 2


@pytest.mark.behaviour(44)
@pytest.mark.parametrize("patterns", [("*",), ("off", "on"), ("o*",)], ids=str)
def test_a_paused_queue_runs_on_once_it_is_resumed(
    make_worker: MakeWorker, count: Count, patterns: tuple[str, ...]
) -> None:
    queues.pause("off")
    note.using(queue="off").enqueue("before")
    # Of two threads, that of the second job may be the first to note.
    driven = make_worker(threads=1, queues=patterns)
    note.using(queue="on").enqueue("other")
    driven.until(lambda: noted == ["other"])
    note.using(queue="off").enqueue("meanwhile")
    note.using(queue="on").enqueue("other")
    driven.until(lambda: noted == ["other"] * 2)
    assert count("ready_executions") == 2

    queues.resume("off")

    driven.until(lambda: noted[2:] == ["before", "meanwhile"])


@pytest.mark.behaviour(46)
def test_two_workers_share_a_queue_and_double_nothing(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(note.with_args(n) for n in range(3000))
    one, other = make_worker("one"), make_worker("other")

    def both() -> bool:
        one.worker.poll()
        return len(noted) == 3000

    other.until(both)
    one.drain()
    other.drain()

    shares = [next(each.context.entry.queues()).outcome("finished") for each in (one, other)]
    assert (sum(shares), min(shares) > 0) == (3000, True)
    assert sorted(noted) == list(range(3000))  # type: ignore[type-var]
    assert count("jobs WHERE attempts = 1 AND outcome = 'finished'") == 3000


@pytest.mark.behaviour(46)
def test_a_worker_does_not_wait_for_rows_that_another_has_locked(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many(note.with_args(n) for n in range(6))
    driven = make_worker()
    with session.connection.transaction():
        session.connection.execute(
            "SELECT FROM jobsd.ready_executions ORDER BY position LIMIT 3 FOR UPDATE"
        )

        driven.until(lambda: len(noted) == 3)

        assert sorted(map(str, noted)) == ["3", "4", "5"]
    driven.until(lambda: len(noted) == 6)
    driven.drain()
    assert count("claims") == 0


@pytest.mark.behaviour(37)
def test_a_full_worker_asks_nothing_until_a_job_ends(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(n) for n in range(3))
    driven = make_worker("worker-full", polling_interval_s=60)
    driven.until(lambda: len(noted) == 3 and not driven.worker.poll() < 1)
    note.enqueue("next")
    asked = (
        "SELECT query_start FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'jobsd worker-full'"
    )
    before = session.connection.execute(asked).fetchall()
    assert len(before) == 1
    for _ in range(20):
        driven.worker.poll()
    assert session.connection.execute(asked).fetchall() == before
    assert count("ready_executions") == 1

    gate.set()

    driven.until(lambda: "next" in noted)
