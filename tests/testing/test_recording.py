"""Jobs that are recorded without a database, and what can be said of them."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest

from jobsd import (
    Error,
    JobFailedError,
    JobNotFoundError,
    RecurringTask,
    aenqueue_many,
    current_job,
    enqueue_many,
    job,
)
from jobsd.enqueueing import backend
from jobsd.testing import assert_enqueued, perform_enqueued, recorded, refute_enqueued

from .shop import (
    Report,
    alone,
    call,
    coroutine,
    flaky,
    inside,
    latest,
    once,
    ran,
    rare,
    slow,
    urgent,
    welcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.jobs.draft import Draft
    from jobsd.testing import MemoryQueue

LATER = datetime(2100, 1, 1, tzinfo=UTC)


def test_an_enqueue_is_recorded_and_not_performed(jobs: MemoryQueue) -> None:
    handle = welcome.enqueue(42)

    assert (handle.id, handle.state, ran) == (1, "ready", [])
    found = assert_enqueued(welcome, args=[42])
    assert found.arguments == {"user_id": 42, "language": "en"}
    assert list(jobs) == [found]


def test_every_way_to_enqueue_is_recorded(jobs: MemoryQueue) -> None:
    async def enqueue() -> None:
        await welcome.aenqueue(1)
        await aenqueue_many([welcome.with_args(2)])

    asyncio.run(enqueue())
    enqueue_many([welcome.with_args(3), Report.with_args("monday")])
    Report.enqueue("tuesday")
    welcome.using(connection=object()).enqueue(4)
    thread = threading.Thread(target=welcome.enqueue, args=[5])
    thread.start()
    thread.join()

    assert [next(iter(job.arguments.values())) for job in jobs] == [
        *(1, 2, 3, "monday", "tuesday", 4, 5)
    ]


def test_arguments_count_however_they_were_given(jobs: MemoryQueue) -> None:
    del jobs
    welcome.enqueue(user_id=42)

    assert_enqueued(welcome, args=[42])
    assert_enqueued(welcome, kwargs={"user_id": 42, "language": "en"})
    assert_enqueued(welcome, args=[ANY, "en"], queue="mail")
    assert_enqueued("kit.welcome")
    refute_enqueued(welcome, args=[42, "de"])
    refute_enqueued(welcome, queue="default")


def test_a_failed_assertion_lists_the_enqueued_jobs(jobs: MemoryQueue) -> None:
    del jobs
    with pytest.raises(AssertionError) as nothing:
        assert_enqueued(welcome)
    welcome.enqueue(42)

    with pytest.raises(AssertionError) as other:
        assert_enqueued(welcome, args=[43], queue="mail", at="5m")

    assert str(nothing.value) == (
        "no job was enqueued as kit.welcome(…); none was enqueued at all"
    )
    assert str(other.value) == (
        "no job was enqueued as kit.welcome(43) on 'mail', due 5m; enqueued were:"
        "\n  kit.welcome(42) on 'mail', ready"
    )


def test_a_failed_refutation_lists_the_enqueued_jobs(jobs: MemoryQueue) -> None:
    del jobs
    refute_enqueued()
    welcome.enqueue(42)

    with pytest.raises(AssertionError, match=r"any job\(…\) was not to be .*\n.*welcome\(42\)"):
        refute_enqueued()


def test_arguments_that_the_job_does_not_take_prove_nothing(jobs: MemoryQueue) -> None:
    del jobs
    with pytest.raises(TypeError, match="missing"):
        refute_enqueued(welcome, args=[])
    with pytest.raises(Error, match="give the job"):
        refute_enqueued(args=[42])


def test_the_time_at_which_a_job_is_due_counts_to_the_second(jobs: MemoryQueue) -> None:
    del jobs
    welcome.using(wait="5m").enqueue(1)
    welcome.using(wait_until=LATER).enqueue(2)

    assert_enqueued(welcome, args=[1], at=timedelta(minutes=5))
    assert_enqueued(welcome, args=[2], at=LATER)
    refute_enqueued(welcome, args=[1], at="4m")
    refute_enqueued(welcome, args=[2], at=LATER + timedelta(seconds=2))
    with pytest.raises(Error, match="no time zone"):
        refute_enqueued(welcome, at=datetime(2100, 1, 1))  # noqa: DTZ001


def test_enqueued_jobs_are_performed_by_priority(jobs: MemoryQueue) -> None:
    welcome.enqueue(1)
    urgent.enqueue()
    Report.enqueue("monday")

    performed = perform_enqueued()

    assert ran == ["urgent", (1, "en"), "monday"]
    assert {job.state for job in performed} == {"finished"}
    assert [job.result for job in jobs if job.class_name == "kit.urgent"] == ["done"]
    assert perform_enqueued() == []


def test_only_some_may_be_performed(jobs: MemoryQueue) -> None:
    del jobs
    welcome.enqueue(1)
    Report.enqueue("monday")
    welcome.using(queue="slow").enqueue(2)

    perform_enqueued(Report)
    perform_enqueued(queue="slow")

    assert ran == ["monday", (2, "en")]


def test_jobs_for_later_are_left_unless_asked_for(jobs: MemoryQueue) -> None:
    welcome.using(wait_until=LATER).enqueue(1)

    assert perform_enqueued() == []
    perform_enqueued(at=LATER)

    assert ran == [(1, "en")]
    assert [job.state for job in jobs] == ["finished"]


def test_a_job_is_retried_without_waiting(jobs: MemoryQueue) -> None:
    flaky.enqueue("value", "value")

    performed = perform_enqueued()

    (job,) = jobs
    assert (ran, len(performed)) == ([1, 2, 3], 3)
    assert (job.state, job.attempts, len(job.errors)) == ("finished", 3, 2)


def test_what_fails_for_good_is_raised_once_all_have_run(jobs: MemoryQueue) -> None:
    flaky.enqueue("value", "value", "value")
    welcome.enqueue(1)

    with pytest.raises(ValueError, match="no value") as raised:
        perform_enqueued()

    assert ran == [1, (1, "en"), 2, 3]
    assert [job.state for job in jobs] == ["failed", "finished"]
    assert "kit.flaky('value', 'value', 'value')" in raised.value.__notes__[0]
    assert "in attempt 3" in raised.value.__notes__[0]


def test_failures_may_be_seen_instead(jobs: MemoryQueue) -> None:
    flaky.enqueue("value", "value", "value")

    perform_enqueued(raises=False)

    (job,) = jobs
    assert (job.state, str(job.error)) == ("failed", "no value")


def test_discards_and_snoozes_are_no_failures(jobs: MemoryQueue) -> None:
    flaky.enqueue("key")
    flaky.enqueue("discard")
    flaky.enqueue("snooze")

    perform_enqueued()

    assert [(job.state, job.attempts) for job in jobs] == [
        *(("discarded", 1), ("discarded", 1), ("scheduled", 0))
    ]


def test_jobs_that_a_job_enqueues_are_performed_too(jobs: MemoryQueue) -> None:
    del jobs
    inside.append(lambda: welcome.enqueue(1))
    call.enqueue()

    perform_enqueued()

    assert ran == ["call", (1, "en")]


def test_coroutines_are_performed_beside_a_running_loop(jobs: MemoryQueue) -> None:
    del jobs

    async def perform() -> None:
        await coroutine.aenqueue(1)
        perform_enqueued()

    asyncio.run(perform())
    coroutine.enqueue(2)
    perform_enqueued()

    assert ran == [1, 2]


def test_a_coroutine_may_enqueue_beside_a_running_loop(jobs: MemoryQueue) -> None:
    @job(name="kit.passes_on")
    async def passes_on() -> None:
        await coroutine.aenqueue(1)
        coroutine.enqueue(2)

    async def perform() -> None:
        await passes_on.aenqueue()
        perform_enqueued()

    asyncio.run(perform())

    assert ran == [1, 2]
    assert len(jobs) == 3


def test_an_object_that_is_no_job_is_refused(jobs: MemoryQueue) -> None:
    del jobs
    with pytest.raises(Error, match="is no job: give one, or its name"):
        assert_enqueued(object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_time_limit_holds_here_too(jobs: MemoryQueue) -> None:
    slow.enqueue()

    perform_enqueued(raises=False)

    (job,) = jobs
    assert type(job.error).__name__ == "TimeLimitExceeded"


def test_a_job_that_completes_itself_ends_by_its_return(jobs: MemoryQueue) -> None:
    inside.append(lambda: current_job().complete(connection=object()))
    call.enqueue()

    perform_enqueued()

    assert [job.state for job in jobs] == ["finished"]


def test_a_job_that_may_not_wait_is_dropped(jobs: MemoryQueue) -> None:
    first, second, other = alone.enqueue(1), alone.enqueue(1), alone.enqueue(2)

    assert [each.state for each in (first, second, other)] == ["ready", "discarded", "ready"]
    assert second.id is None
    assert len(jobs) == 2


def test_a_unique_job_counts_until_it_is_performed(jobs: MemoryQueue) -> None:
    first, second = once.enqueue(1), once.enqueue(1)
    perform_enqueued()
    third = once.enqueue(1)

    assert (second.state, second.id) == ("duplicate", first.id)
    assert third.state == "ready"
    assert len(jobs) == 2


def test_a_unique_job_may_raise_or_replace(jobs: MemoryQueue) -> None:
    from jobsd import DuplicateError

    rare.enqueue()
    perform_enqueued()
    latest.using(wait="1m").enqueue(1, "old")
    latest.using(wait="10m").enqueue(1, "new")

    with pytest.raises(DuplicateError):
        rare.enqueue()
    found = assert_enqueued(latest, at="5m")
    assert found.arguments["text"] == "new"
    assert len(jobs) == 2


def test_a_bulk_that_fails_leaves_nothing(jobs: MemoryQueue) -> None:
    def drafts() -> Iterator[Draft]:
        yield once.with_args(1)
        raise KeyError(1)

    with pytest.raises(KeyError):
        enqueue_many(drafts())

    assert (len(jobs), perform_enqueued()) == (0, [])
    assert once.enqueue(1).state == "ready"


def test_handles_report_the_outcome_of_a_job(jobs: MemoryQueue) -> None:
    del jobs
    good, bad = urgent.enqueue(), flaky.enqueue("value", "value", "value")
    with pytest.raises(TimeoutError, match="is ready, and nothing performs it"):
        good.wait()

    perform_enqueued(raises=False)

    assert (good.wait(), good.result()) == ("finished", "done")
    assert bad.wait() == "failed"
    with pytest.raises(Error, match="keeps no result"):
        bad.result()
    bad.class_name = None
    with pytest.raises(JobFailedError, match="no value"):
        bad.result()


def test_handles_have_the_moment_of_their_jobs_and_know_them_by_it(jobs: MemoryQueue) -> None:
    one, many = urgent.enqueue(), enqueue_many([urgent.with_args()])
    perform_enqueued()

    assert [one.created_at, many[0].created_at] == [each.enqueued_at for each in jobs]
    assert many[0].wait() == "finished"
    assert one.created_at is not None
    with pytest.raises(JobNotFoundError):
        replace(one, created_at=one.created_at - timedelta(days=1)).wait()


def test_a_feature_missing_in_the_kit_raises(jobs: MemoryQueue) -> None:
    del jobs
    with pytest.raises(Error, match="test kit's queue in memory lacks this"):
        RecurringTask.all()


def test_outside_of_the_kit_nothing_is_changed() -> None:
    with pytest.raises(Error, match="nothing records jobs here"):
        assert_enqueued(welcome)
    with recorded() as outer:
        with recorded() as inner:
            welcome.enqueue(1)
        welcome.enqueue(2)
        assert (len(inner), len(outer)) == (1, 1)
    assert backend.active is None


def test_a_queue_can_be_cleared(jobs: MemoryQueue) -> None:
    once.enqueue(1)
    jobs.clear()

    refute_enqueued()
    assert once.enqueue(1).state == "ready"
