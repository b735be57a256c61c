"""Who waits for a job never gets the end of another job that has its id by now."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobsd.errors import JobDiscardedError, JobNotFoundError
from jobsd.jobs.definition import job
from jobsd.jobs.draft import EnqueuedJob
from jobsd.jobs.policy import Discard
from jobsd.states import results

from .bodies import gate, noted

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import MakeWorker


@job(result_ttl="1h")
def balance(name: str) -> str:
    return f"balance of {name}"


@job(result_ttl="1h")
def drops(name: str) -> str:
    raise Discard(name)


@job(result_ttl="1h")
def waits(name: str) -> str:
    noted.append(name)
    assert gate.wait(60)
    return name


def _go_back_in_time(rows: Rows) -> None:
    """Lose all jobs, and give their ids again, as a standby that was behind does."""
    rows("TRUNCATE jobsd.jobs, jobsd.ready_executions, jobsd.results")
    rows("SELECT setval('jobsd.jobs_id_seq', 1, false)")


def _same_id(first: EnqueuedJob, second: EnqueuedJob) -> None:
    assert first.id == second.id
    assert first.created_at != second.created_at


@pytest.mark.failure(
    "A database goes back in time, and gives the id of a lost job to another one.",
    "Who waits for the lost job gets JobNotFoundError, and never the result of the other one.",
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_handle_never_gets_the_result_of_a_later_job_with_its_id(
    make_worker: MakeWorker, rows: Rows, *, keep: bool
) -> None:
    rows("SELECT setval('jobsd.jobs_id_seq', 1, false)")
    ann = balance.enqueue("ann")
    _go_back_in_time(rows)
    bob = balance.enqueue("bob")
    _same_id(ann, bob)
    worker = make_worker(keep=keep)
    worker.until(lambda: rows("SELECT 1 FROM jobsd.results"))

    asks: list[Callable[[], object]] = [
        ann.result,
        ann.wait,
        lambda: asyncio.run(ann.aresult()),
    ]
    for ask in asks:
        with pytest.raises(JobNotFoundError, match="back in time") as caught:
            ask()
        assert caught.value.id == ann.id
    assert bob.result(30) == "balance of bob"
    assert asyncio.run(bob.aresult(30)) == "balance of bob"


def test_a_handle_with_only_an_id_gets_the_job_that_has_it_now(
    make_worker: MakeWorker, rows: Rows
) -> None:
    bob = balance.enqueue("bob")
    worker = make_worker()
    worker.until(lambda: rows("SELECT 1 FROM jobsd.results"))

    assert EnqueuedJob(bob.id, "ready").result(30) == "balance of bob"


def test_a_wait_ends_as_soon_as_another_job_has_the_id(
    make_worker: MakeWorker, rows: Rows
) -> None:
    bob = waits.enqueue("bob")
    assert bob.created_at is not None
    ann = replace(bob, created_at=bob.created_at.replace(year=2020))
    worker = make_worker()
    worker.until(lambda: noted)

    with pytest.raises(JobNotFoundError):
        ann.wait(30)

    gate.set()
    worker.until(lambda: rows("SELECT 1 FROM jobsd.results"))
    assert bob.result(30) == "bob"


def test_a_job_does_not_inherit_a_result_that_was_kept_under_its_id(
    make_worker: MakeWorker, rows: Rows
) -> None:
    rows("SELECT setval('jobsd.jobs_id_seq', 1, false)")
    rows(
        "INSERT INTO jobsd.results (job_id, state, result, expires_at, created_at)"
        " VALUES (1, 'finished', '[\"ann\"]', now() + interval '1h', now() - interval '1d')"
    )
    handle = keeps_nothing.enqueue()
    assert handle.id == 1
    worker = make_worker()
    worker.until(lambda: rows("SELECT 1 FROM jobsd.jobs WHERE outcome = 'finished'"))

    assert handle.wait(30) == "finished"
    (end,) = results.ends(worker.worker.session, [1])
    assert not end.unread
    assert not results.values(worker.worker.session, [1], 1000)[1]["kept"]


@job
def keeps_nothing() -> None: ...


@pytest.mark.parametrize("how", ["performed", "by hand", "with its class"])
def test_a_discard_of_an_erased_job_is_known_by_its_moment(
    how: str, make_worker: MakeWorker, rows: Rows, session: Session
) -> None:
    handle = drops.enqueue("ann")
    worker = make_worker(keep=False)
    if how == "performed":
        worker.until(lambda: rows("SELECT 1 FROM jobsd.results"))
    else:
        worker.worker.claiming.known_classes.publish(worker.worker.process_id)
        function = {
            "by hand": "jobsd.discard(%s, false)",
            "with its class": "jobsd.cancel_jobs(ARRAY[%s::bigint], false, false)",
        }[how]
        session.connection.execute(f"SELECT {function}".encode(), (handle.id,))

    with pytest.raises(JobDiscardedError):
        handle.result(30)
    assert rows("SELECT created_at FROM jobsd.results") == [handle.created_at]
    assert handle.created_at is not None
    other = replace(handle, created_at=handle.created_at.replace(year=2020))
    with pytest.raises(JobNotFoundError):
        other.result(30)


def test_the_event_of_a_success_has_the_creation_time_of_the_job(
    make_worker: MakeWorker, recorder: EventRecorder
) -> None:
    found = recorder.facts("job.finished")
    worker = make_worker()
    handles = [balance.enqueue("ann"), keeps_nothing.enqueue()]

    worker.until(lambda: len(found) == 2)

    created = {each["job_id"]: each["created_at"] for each in found}
    assert created == {
        each.id: each.created_at.isoformat() for each in handles if each.created_at is not None
    }
    assert len(created) == 2
