"""Jobs that hold a limit give their slots back once, and the next ones run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import claim, enqueue, in_claims
from jobsd.acts import inspect
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Discard, Retry, Snooze
from jobsd.supervisor.recovery.claims import DeadProcess, recover
from jobsd.worker.claiming import limited

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.jobs.enqueueable import FunctionJob

    from .conftest import Count, MakeWorker


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


@job(limits_concurrency=Limit(key="key"))
def of_key(key: int) -> None:
    noted.append(key)


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

    make_worker().until(lambda: noted == [f"{how} 0", "next"] and not count("claims"))

    assert count("blocked_executions") == 0
    assert count(place.format(first)) == 1


@pytest.mark.behaviour(76)
@pytest.mark.parametrize("how", ["retried at once", "snoozed at once"])
def test_a_job_retried_at_once_comes_first_of_its_key(
    how: str, make_worker: MakeWorker, store: Store, count: Count
) -> None:
    store(end_as, how, attempts=2)
    store(note, "next")

    make_worker().until(lambda: "next" in noted and not count("claims"))

    assert noted == [f"{how} 0", f"{how} 1", "next"]


@pytest.mark.behaviour(54)
def test_a_key_runs_by_priority_then_in_the_order_in_which_its_jobs_came(
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

    assert (count("claims"), count("blocked_executions")) == (0, 0)


@pytest.mark.behaviour(54)
def test_a_slot_is_a_claim_and_waiting_jobs_are_blocked_once_a_worker_has_met_them(
    make_worker: MakeWorker, session: Session, store: Store, count: Count
) -> None:
    running, waiting = store(wait_for_gate, 1), store(note, "next")
    assert inspect.find(session, waiting).job.state == "ready"

    driven = make_worker()
    driven.until(lambda: noted and count("places WHERE state = 'blocked'"))

    slots = session.connection.execute(
        "SELECT concurrency_key, slot, job_ids FROM jobsd.claims"
    )
    assert slots.fetchall() == [("k", 1, [running])]
    assert inspect.find(session, waiting).job.state == "blocked"


@pytest.mark.behaviour(71)
def test_a_released_job_keeps_its_place_as_the_first_of_its_key(
    make_worker: MakeWorker, session: Session, store: Store, count: Count
) -> None:
    store(wait_for_gate, "runs", key="other")
    released = store(note, "waits")
    store(note, "next")
    driven = make_worker(threads=1, prefetch=2)
    driven.until(lambda: len(noted) == 1 and count("claims WHERE concurrency_key = 'k'"))

    driven.worker.stop()
    driven.until(lambda: not count("claims WHERE concurrency_key = 'k'"))

    first = session.connection.execute(
        "SELECT job_id, position FROM jobsd.blocked_executions"
        " WHERE concurrency_key = 'k' ORDER BY priority, job_id LIMIT 1"
    )
    assert first.fetchall() == [(released, released)]


@pytest.mark.behaviour(22, 28)
def test_a_crash_ends_what_ran_and_frees_the_slots_of_all(
    make_worker: MakeWorker, session: Session, store: Store, count: Count
) -> None:
    ran = store(wait_for_gate, 1, key="ran")
    claimed = store(wait_for_gate, 2, key="claimed")
    following = store(note, 3, key="ran")
    store(note, 4, key="claimed")
    driven = make_worker(threads=1, prefetch=2)
    driven.until(lambda: len(noted) == 1 and count("claimed_executions") >= 2)

    recover(session, dead_process(session, running=in_claims(session, ran)))

    assert count("claims") == 0
    assert count(f"failed_executions WHERE job_id = {ran}") == 1
    assert count(f"all_ready_executions WHERE job_id IN ({claimed}, {following})") == 2


@pytest.mark.parametrize("outcome", ["succeeded", "retried"])
def test_a_recovery_hands_over_slots_of_succeeded_and_retried_jobs(
    outcome: str, make_worker: MakeWorker, session: Session, store: Store, count: Count
) -> None:
    ran = store(wait_for_gate, 1, attempts=2)
    store(note, 2)
    session.connection.execute("UPDATE jobsd.jobs SET retries_crash = true")
    make_worker().until(lambda: noted and count("places WHERE state = 'blocked'"))

    known = in_claims(session, ran)
    recover(
        session, dead_process(session, running=known, succeeded=known[: outcome == "succeeded"])
    )

    assert (count("all_ready_executions"), count("places WHERE state = 'blocked'")) == (1, 0)
    assert count("scheduled_executions WHERE concurrency_key = 'k'") == (outcome == "retried")


def test_of_a_host_that_is_lost_only_the_first_job_of_a_slot_counts_as_running(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    make_worker()
    jobs = [enqueue(key="k") for _ in range(3)]
    ((process,),) = session.connection.execute("SELECT id FROM jobsd.processes").fetchall()
    claim(session, process, *jobs)

    recover(session, dead_process(session, threads=3))

    assert count(f"failed_executions WHERE job_id = {jobs[0]}") == 1
    assert count(f"all_ready_executions WHERE job_id IN ({jobs[1]}, {jobs[2]})") == 2


@pytest.mark.behaviour(30)
def test_a_recovered_worker_records_nothing_and_frees_no_slot_of_others(
    make_worker: MakeWorker, session: Session, store: Store, count: Count
) -> None:
    held = store(wait_for_gate, 1)
    store(note, 2)
    driven = make_worker()
    driven.until(lambda: noted)
    session.connection.execute("INSERT INTO jobsd.pauses (queue_name) VALUES ('default')")

    recover(session, dead_process(session, release=True))
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, concurrency_key, slot, job_ids)"
        " VALUES (-1, 'k', 1, ARRAY[-1])"
    )
    gate.set()
    driven.until(driven.at_rest)

    assert count(f"jobs WHERE id = {held} AND outcome IS NULL") == 1
    assert count("claims WHERE process_id = -1") == 1


def test_where_many_keys_have_few_jobs_each_a_claim_takes_jobs_of_many(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    claim = limited.Limited.claim

    def note(self: limited.Limited, *args: Any, **kwargs: Any) -> int:
        sizes.append(claim(self, *args, **kwargs))
        return sizes[-1]

    monkeypatch.setattr(limited.Limited, "claim", note)
    enqueue_many(of_key.with_args(n % 200) for n in range(1000))

    make_worker(prefetch=100).until(lambda: len(noted) == 1000)

    assert max(sizes) >= 80
