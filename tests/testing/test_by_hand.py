"""What programs do to jobs and queues by hand, without a database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobsd import (
    NotFoundError,
    RefusedError,
    Unique,
    acancel,
    afind,
    cancel,
    cancel_all,
    current_job,
    discard,
    discard_all,
    find,
    job,
    queues,
    retry,
    retry_all,
)
from jobsd.testing import perform_enqueued

from .shop import alone, call, coroutine, flaky, inside, once, ran, urgent, welcome

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.testing import MemoryQueue, VirtualClock


def test_a_job_is_found_as_in_the_tables(jobs: MemoryQueue) -> None:
    del jobs
    done, bad = urgent.enqueue(), flaky.enqueue("value", "key")
    perform_enqueued(raises=False)
    later = welcome.using(wait="5m").enqueue(42)

    assert done.id
    assert bad.id
    assert later.id
    seen = find(done.id)
    assert seen is not None
    assert (seen.state, seen.attempts, seen.result, seen.error) == ("finished", 1, "done", None)
    assert seen.started_at is not None
    assert seen.finished_at is not None
    seen = find(bad.id)
    assert seen is not None
    assert (seen.state, seen.reason) == ("discarded", "KeyError: 'no key'")
    assert [each["attempt"] for each in seen.errors] == [1, 2]
    assert "no value" in seen.errors[0]["stack"]
    seen = asyncio.run(afind(later.id))
    assert seen is not None
    assert (seen.state, seen.reason, seen.arguments) == ("scheduled", "scheduled", [42])
    assert find(99) is None


def test_a_job_that_waits_is_cancelled(jobs: MemoryQueue) -> None:
    first, second = welcome.enqueue(1), once.using(wait="1h").enqueue(1)
    assert first.id
    assert second.id

    assert (cancel(first.id), asyncio.run(acancel(second.id))) == ("ready", "scheduled")
    perform_enqueued()

    assert ran == []
    assert [(job.state, job.reason) for job in jobs] == [("discarded", "cancelled")] * 2
    assert once.enqueue(1).state == "ready", "its key is free again"
    with pytest.raises(RefusedError, match="is discarded already"):
        cancel(first.id)
    with pytest.raises(NotFoundError):
        cancel(99)


def test_a_job_that_cancels_itself_goes_no_further(jobs: MemoryQueue) -> None:
    def stop() -> None:
        with current_job().shield():
            assert cancel(current_job().id) == "claimed"
            assert current_job().cancelled
            ran.append("in the shield")
        ran.append("behind it")

    inside.append(stop)
    call.enqueue()

    perform_enqueued()

    (job,) = jobs
    assert ran == ["call", "in the shield"]
    assert (job.state, job.reason, job.attempts) == ("discarded", "cancelled", 1)


def test_a_job_that_succeeds_all_the_same_has_finished(jobs: MemoryQueue) -> None:
    def stop() -> None:
        current_job().shield().__enter__()
        cancel(current_job().id)

    inside.append(stop)
    call.enqueue()

    perform_enqueued()

    assert [job.state for job in jobs] == ["finished"]


def test_jobs_are_discarded_and_retried(jobs: MemoryQueue) -> None:
    bad, waiting = flaky.enqueue("value", "value", "value"), welcome.enqueue(1)
    assert bad.id
    assert waiting.id
    discard(waiting.id)
    perform_enqueued(raises=False)
    with pytest.raises(RefusedError, match="has not failed"):
        retry(waiting.id)

    assert retry(bad.id) == "ready"
    perform_enqueued(raises=False)

    assert [(job.state, job.attempts, len(job.errors)) for job in jobs] == [
        ("failed", 3, 6),
        ("discarded", 0, 0),
    ]


@job(name="kit.sole", unique=Unique(key="key"))
def sole(key: int, *, fails: bool) -> None:
    if fails:
        raise ValueError(key)


def test_a_job_that_is_not_retried_takes_no_key_from_another(jobs: MemoryQueue) -> None:
    del jobs
    failed = sole.enqueue(1, fails=True)
    perform_enqueued(raises=False)
    second = sole.enqueue(1, fails=False)

    with pytest.raises(RefusedError):
        retry(failed.id or 0)

    third = sole.enqueue(1, fails=False)
    assert (second.state, third.id, third.state) == ("ready", second.id, "duplicate")


def test_many_jobs_are_selected_by_filters(jobs: MemoryQueue) -> None:
    for each in ("value", "key"):
        flaky.enqueue(*[each] * 3)
    perform_enqueued(raises=False)
    welcome.enqueue(1)
    welcome.using(wait="1h").enqueue(2)
    urgent.enqueue()

    assert retry_all(class_name="kit.f*") == 1
    assert cancel_all(queue="mail") == {3: "ready", 4: "scheduled"}
    assert discard_all(class_name="kit.urgen?", since="1m", limit=5) == 1
    assert [job.state for job in jobs] == ["ready", *["discarded"] * 4]


def test_nothing_is_performed_from_a_queue_that_is_paused(jobs: MemoryQueue) -> None:
    assert queues.pause("mail", "no server")
    job = welcome.enqueue(1)
    urgent.enqueue()

    perform_enqueued()

    seen = find(job.id or 0)
    assert ran == ["urgent"]
    assert seen is not None
    assert [(each["reason"], each["because"]) for each in seen.why] == [("paused", "no server")]
    assert [each.reason for each in queues.paused()] == ["no server"]
    assert (queues.size("mail"), queues.latency("mail") >= 0) == (1, True)
    assert queues.resume("mail")
    perform_enqueued()
    assert [job.state for job in jobs] == ["finished", "finished"]
    assert not queues.resume("mail")


def test_inline_a_resumed_queue_performs_waiting_jobs(jobs_inline: MemoryQueue) -> None:
    queues.pause("mail")
    welcome.enqueue(1)
    assert (ran, len(jobs_inline)) == ([], 1)

    queues.resume("mail")

    assert ran == [(1, "en")]


def test_a_clear_discards_only_ready_jobs_of_the_queue(jobs: MemoryQueue) -> None:
    welcome.enqueue(1)
    welcome.using(wait="1h").enqueue(2)
    alone.enqueue(1)

    assert queues.clear("mail") == 1
    assert [job.state for job in jobs] == ["discarded", "scheduled", "ready"]


def test_a_paused_queue_keeps_its_jobs_while_the_clock_turns(jobs_clock: VirtualClock) -> None:
    jobs_clock.tasks.use()
    queues.pause("mail")
    welcome.using(wait="5m").enqueue(1)

    jobs_clock.advance("1h")
    assert [job.state for job in jobs_clock.jobs] == ["ready"]
    assert queues.latency("mail") == 55 * 60
    queues.resume("mail")
    jobs_clock.advance(0)

    assert ran == [(1, "en")]


def test_a_coroutine_can_be_cancelled_from_outside(jobs: MemoryQueue) -> None:
    handle = coroutine.enqueue(1)
    assert handle.id

    assert asyncio.run(acancel(handle.id)) == "ready"
    assert perform_enqueued() == []
    assert [job.state for job in jobs] == ["discarded"]


def test_a_function_that_is_given_a_session_asks_its_database(
    jobs: MemoryQueue, session: Session
) -> None:
    welcome.enqueue(1)

    assert (queues.is_known("mail"), queues.is_known("mail", session=session)) == (True, False)
    assert queues.pause("mail", session=session)
    assert (jobs.pauses, [each.queue_name for each in queues.paused(session=session)]) == (
        {},
        ["mail"],
    )
