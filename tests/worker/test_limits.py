"""Jobs that hold a limit give their slots back once, and the next ones run."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobs.placed import in_claims
from jobsd.clock import monotonic
from jobsd.database.statements import channel, quote_identifier
from jobsd.jobs.definition import job
from jobsd.jobs.owed import WAIT_MAX_S, WAIT_MIN_S
from jobsd.jobs.policy import Discard, Retry, Snooze
from jobsd.supervisor.recovery.claims import DeadProcess, recover

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from jobsd.jobs.enqueueable import FunctionJob

    from .conftest import Count, MakeWorker

_CHANNEL = quote_identifier(channel("jobsd"))


@job(max_attempts=2)
def end_as(how: str) -> None:
    """End the first attempt as its argument says."""
    noted.append(f"{how} {len(noted)}")
    if len(noted) > 1:
        return
    if how == "raised":
        raise ValueError(how)
    if how == "discarded":
        raise Discard(how)
    if how.startswith("retried"):
        raise Retry(after="0" if how == "retried at once" else "1h")
    if how.startswith("snoozed"):
        raise Snooze("0" if how == "snoozed at once" else "1h")


class Store:
    """Enqueues limited jobs as SQL does."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(
        self,
        what: FunctionJob[..., None],
        value: object,
        *,
        priority: int = 0,
        attempts: int = 1,
        key: str = "k",
    ) -> int:
        row = self._session.connection.execute(
            "SELECT jobsd.enqueue(%s, jsonb_build_array(%s::text), priority => %s,"
            " max_attempts => %s, retries_crash => false, concurrency_key => %s)",
            (what.definition.name, value, priority, attempts, key),
        ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def store(session: Session) -> Store:
    return Store(session)


def dead_process(session: Session, **facts: object) -> DeadProcess:
    row = session.connection.execute("SELECT id FROM jobsd.processes").fetchone()
    assert row is not None
    error = {"type": "ProcessExitError", "message": "gone", "stack": ""}
    return DeadProcess(row[0], "worker-test", error, **facts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.behaviour(67)
@pytest.mark.parametrize(
    ("how", "place"),
    [
        ("finished", "jobs WHERE outcome = 'finished' AND attempts = 1 AND id = {}"),
        ("raised", "failed_executions WHERE job_id = {}"),
        ("discarded", "jobs WHERE outcome = 'discarded' AND attempts = 1 AND id = {}"),
        (
            "retried",
            "scheduled_executions WHERE concurrency_key = 'k' AND job_id = {}",
        ),
        (
            "snoozed",
            "scheduled_executions WHERE concurrency_key = 'k' AND job_id = {}",
        ),
    ],
)
def test_what_ends_gives_its_slot_to_the_next(
    how: str, place: str, make_worker: MakeWorker, store: Store, count: Count
) -> None:
    first = store(end_as, how, attempts=2 if how == "retried" else 1)
    store(note, "next")
    waiting = count("blocked_executions")

    make_worker().until(lambda: noted == [f"{how} 0", "next"] and not count("claims"))

    assert (waiting, count("blocked_executions"), count("concurrency_slots")) == (1, 0, 0)
    assert count(place.format(first)) == 1


@pytest.mark.behaviour(76)
@pytest.mark.parametrize("how", ["retried at once", "snoozed at once"])
def test_what_is_run_again_at_once_keeps_its_slot(
    how: str, make_worker: MakeWorker, store: Store, count: Count
) -> None:
    store(end_as, how, attempts=2)
    store(note, "next")

    make_worker().until(lambda: "next" in noted and not count("claims"))

    assert noted == [f"{how} 0", f"{how} 1", "next"]
    assert count("concurrency_slots") == 0


def test_the_blocked_run_by_priority_then_in_the_order_in_which_they_came(
    make_worker: MakeWorker, store: Store
) -> None:
    for value, priority in (("a", 0), ("d", 5), ("b", 1), ("c", 1), ("e", 5)):
        store(note, value, priority=priority)

    make_worker().until(lambda: len(noted) == 5)

    assert noted == ["a", "b", "c", "d", "e"]


def test_a_limited_success_is_erased_when_finished_jobs_are_not_kept(
    make_worker: MakeWorker, store: Store, count: Count
) -> None:
    for value in range(3):
        store(note, value)

    make_worker(keep=False).until(lambda: not count("jobs"))

    assert (count("concurrency_slots"), count("claims")) == (0, 0)


@pytest.mark.behaviour(71)
def test_a_released_job_keeps_its_slot(
    make_worker: MakeWorker, store: Store, count: Count
) -> None:
    store(wait_for_gate, "runs", key="other")
    released = store(note, "waits")
    store(note, "next")
    driven = make_worker(threads=1, prefetch=2)
    driven.until(lambda: len(noted) == 1 and count("claimed_executions") == 2)

    driven.worker.stop()
    driven.until(lambda: count("ready_executions"))

    assert count(f"concurrency_slots WHERE job_id = {released} AND key = 'k'") == 1
    assert count("blocked_executions") == 1


@pytest.mark.behaviour(22, 28)
def test_a_crash_frees_the_slots_of_what_ran_and_keeps_those_of_what_did_not(
    make_worker: MakeWorker, session: Session, store: Store, count: Count
) -> None:
    ran = store(wait_for_gate, 1, key="ran")
    claimed = store(wait_for_gate, 2, key="claimed")
    following = store(note, 3, key="ran")
    store(note, 4, key="claimed")
    driven = make_worker(threads=1, prefetch=2)
    driven.until(lambda: len(noted) == 1 and count("claimed_executions") == 2)

    recovered = recover(session, dead_process(session, running=in_claims(session, ran)))

    slots = session.connection.execute(
        "SELECT job_id, key FROM jobsd.concurrency_slots ORDER BY 1"
    )
    assert slots.fetchall() == [(claimed, "claimed"), (following, "ran")]
    assert (recovered.freed, count("ready_executions"), count("blocked_executions")) == (
        ["ran"],
        2,
        1,
    )


@pytest.mark.parametrize("outcome", ["succeeded", "retried"])
def test_a_recovery_frees_what_had_succeeded_and_what_is_tried_later(
    outcome: str, make_worker: MakeWorker, session: Session, store: Store, count: Count
) -> None:
    ran = store(wait_for_gate, 1, attempts=2)
    store(note, 2)
    session.connection.execute("UPDATE jobsd.jobs SET retries_crash = true")
    make_worker().until(lambda: noted)

    known = in_claims(session, ran)
    recover(
        session, dead_process(session, running=known, succeeded=known[: outcome == "succeeded"])
    )

    assert (count("ready_executions"), count("blocked_executions")) == (1, 0)
    assert count("scheduled_executions WHERE concurrency_key = 'k'") == (outcome == "retried")


@pytest.mark.behaviour(30)
def test_a_recovered_worker_that_finishes_frees_nothing_and_promotes_nobody_twice(
    make_worker: MakeWorker, session: Session, store: Store, count: Count
) -> None:
    held = store(wait_for_gate, 1)
    store(note, 2)
    store(note, 3)
    driven = make_worker()
    driven.until(lambda: noted)
    session.connection.execute("INSERT INTO jobsd.pauses (queue_name) VALUES ('default')")

    # Given back, so that it holds its slot on, for whoever runs it next.
    recover(session, dead_process(session, release=True))
    gate.set()
    driven.until(driven.at_rest)

    assert count(f"concurrency_slots WHERE job_id = {held}") == 1
    assert (count("concurrency_slots"), count("blocked_executions")) == (1, 2)


@pytest.mark.failure(
    "A transaction holds the lock of a limit and thinks, while a slot is given back.",
    "No worker waits for it: it asks again until the next job is promoted.",
)
@pytest.mark.behaviour(70)
def test_a_key_whose_lock_is_held_is_asked_for_again_while_the_worker_is_idle(
    make_worker: MakeWorker, target: Target, store: Store, count: Count
) -> None:
    store(note, 1)
    store(note, 2)
    driven = make_worker()
    with psycopg.connect(target.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock('k'))")
        driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)
        tried_until = monotonic() + 3 * WAIT_MIN_S
        driven.until(lambda: monotonic() > tried_until)
        blocked = count("blocked_executions")
    driven.until(lambda: len(noted) == 2 and not count("claims"), within_s=WAIT_MAX_S + 2)

    assert (blocked, noted, count("concurrency_slots")) == (1, ["1", "2"], 0)


def test_a_worker_that_leaves_with_keys_not_got_asks_for_maintenance(
    make_worker: MakeWorker, target: Target, store: Store, count: Count
) -> None:
    store(note, 1)
    driven = make_worker()
    with (
        psycopg.connect(target.url, autocommit=True) as ear,
        psycopg.connect(target.url) as other,
    ):
        ear.execute(f"LISTEN {_CHANNEL}".encode())
        other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock('k'))")
        driven.until(lambda: count("jobs WHERE outcome = 'finished'"))

        driven.drain()

        assert any(heard.payload == "limits" for heard in ear.notifies(timeout=30))


def test_a_recovery_asks_for_maintenance_when_a_lock_is_held(
    make_worker: MakeWorker, session: Session, target: Target, store: Store
) -> None:
    ran = store(wait_for_gate, 1)
    store(note, 2)
    make_worker().until(lambda: noted)
    with (
        psycopg.connect(target.url, autocommit=True) as ear,
        psycopg.connect(target.url) as other,
    ):
        ear.execute(f"LISTEN {_CHANNEL}".encode())
        other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock('k'))")

        recover(session, dead_process(session, running=in_claims(session, ran)))

        assert any(heard.payload == "limits" for heard in ear.notifies(timeout=30))


def test_a_recovery_asks_for_the_keys_that_the_dead_one_had_still_to_promote(
    make_worker: MakeWorker, session: Session, target: Target, store: Store, count: Count
) -> None:
    store(note, 1)
    driven = make_worker()
    with psycopg.connect(target.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock('k'))")
        driven.until(lambda: count("jobs WHERE outcome = 'finished'"))
        assert driven.worker._owed.next_at is not None
    with psycopg.connect(target.url, autocommit=True) as ear:
        ear.execute(f"LISTEN {_CHANNEL}".encode())

        recover(session, dead_process(session))

        assert any(heard.payload == "limits" for heard in ear.notifies(timeout=30))
