"""Jobs are claimed, run, and recorded, each once, whatever they do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.enqueueing.client import enqueue, enqueue_many
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.draft import Draft
from jobsd.jobs.policy import Retry, Snooze

from .bodies import note, noted

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import Count, MakeWorker


@job
def fail(message: str) -> None:
    raise ValueError(message)


@job(max_attempts=3, backoff=lambda _attempt: 0)
def fail_twice() -> None:
    noted.append(current_job().attempt)
    if current_job().attempt < 3:
        raise OSError("not yet")


@job
def leave() -> None:
    sys.exit(3)


class _Odd(BaseException):
    pass


@job
def raise_odd() -> None:
    raise _Odd


@job
def recurse() -> None:
    recurse()


class _Mute(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no words")


@job
def raise_mute() -> None:
    raise _Mute


@job
def raise_nul() -> None:
    raise ValueError("a\0b\ud800" + "x" * 20_000)


class _Unspeakable(Exception):  # noqa: N818
    __module__ = "a\0b"

    def __str__(self) -> str:
        raise SystemExit(3)


@job
def raise_unspeakable() -> None:
    raise _Unspeakable


@job
def snooze() -> None:
    raise Snooze("1h")


@job(max_attempts=2)
def retry_later() -> None:
    raise Retry(after="1h")


def _row(session: Session, query: str) -> tuple[Any, ...]:
    row = session.connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


@pytest.mark.behaviour(56)
def test_a_job_runs_and_is_recorded_once(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    note.enqueue("a")
    driven = make_worker()

    driven.until(lambda: count("jobs WHERE outcome = 'finished'"))

    assert noted == ["a"]
    assert _row(
        session,
        "SELECT attempts, started_at BETWEEN created_at - interval '1 ms' AND finished_at,"
        " finished_at <= now() FROM jobsd.jobs",
    ) == (1, True, True)
    assert (count("claims"), count("ready_executions")) == (0, 0)


def test_each_job_of_a_turn_is_recorded_with_its_own_times(
    make_worker: MakeWorker, rows: Rows, count: Count
) -> None:
    for priority in (2, 0, 1):
        note.using(priority=priority).enqueue(priority)
    driven = make_worker(threads=1)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 3)

    assert noted == [0, 1, 2]
    assert rows("SELECT priority FROM jobsd.jobs ORDER BY started_at") == [0, 1, 2]
    assert rows("SELECT priority FROM jobsd.jobs ORDER BY finished_at") == [0, 1, 2]


def test_many_jobs_run_each_once(make_worker: MakeWorker, count: Count) -> None:
    enqueue_many(note.with_args(i) for i in range(5000))
    driven = make_worker()

    driven.until(lambda: len(noted) == 5000, within_s=60)
    driven.drain()

    assert sorted(noted) == list(range(5000))  # type: ignore[type-var]
    assert (count("jobs WHERE outcome = 'finished' AND attempts = 1"), count("claims")) == (
        5000,
        0,
    )


@pytest.mark.behaviour(56)
def test_what_succeeded_is_erased_when_finished_jobs_are_not_kept(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(note.with_args(i) for i in range(10))
    driven = make_worker(keep=False)

    driven.until(lambda: not count("jobs"))

    assert count("claims") == 0


@pytest.mark.behaviour(57)
def test_a_failure_keeps_type_message_and_stack(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    fail.enqueue("it broke")
    driven = make_worker()

    driven.until(lambda: count("failed_executions"))

    error, attempt, process = _row(
        session,
        "SELECT f.error, a.attempt, a.process FROM jobsd.failed_executions f"
        " JOIN jobsd.attempts a USING (job_id, error)",
    )
    assert (error["type"], error["message"]) == ("ValueError", "it broke")
    # Its first frame is that of the function: those of jobsd say nothing to its author.
    assert "test_worker.py" in error["stack"].splitlines()[1]
    assert (attempt, process) == (1, "worker-test")
    assert count("jobs WHERE finished_at IS NULL AND attempts = 1") == 1


@pytest.mark.behaviour(58)
def test_a_job_is_attempted_up_to_its_max_attempts(
    make_worker: MakeWorker, count: Count
) -> None:
    fail_twice.enqueue()
    driven = make_worker()

    driven.until(lambda: count("jobs WHERE outcome = 'finished'"))

    assert noted == [1, 2, 3]
    assert (count("attempts"), count("jobs WHERE attempts = 3")) == (2, 1)


@pytest.mark.failure(
    "a job raises SystemExit or an exception that can't be printed, or recurses without end",
    "that job has failed; its thread and its worker continue",
)
@pytest.mark.behaviour(23, 59)
@pytest.mark.parametrize(
    ("culprit", "kind"),
    [
        (leave, "SystemExit"),
        (raise_odd, f"{__name__}._Odd"),
        (recurse, "RecursionError"),
        (raise_mute, f"{__name__}._Mute"),
        (raise_nul, "ValueError"),
        (raise_unspeakable, "a\\0b._Unspeakable"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_whatever_a_job_raises_only_it_fails(
    culprit: Any, kind: str, make_worker: MakeWorker, session: Session, count: Count
) -> None:
    culprit.enqueue()
    note.enqueue("after")
    driven = make_worker(threads=1)

    driven.until(lambda: count("failed_executions") and noted)

    assert _row(session, "SELECT error ->> 'type' FROM jobsd.failed_executions") == (kind,)
    driven.until(lambda: count("jobs WHERE outcome = 'finished'"))


@pytest.mark.behaviour(60)
def test_an_unknown_job_fails_and_the_worker_lives(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue(Draft(f"{note.definition.name[:-1]}te", "default", 0, "[]"))
    driven = make_worker()

    driven.until(lambda: count("failed_executions"))

    kind, message = _row(
        session,
        "SELECT error ->> 'type', error ->> 'message' FROM jobsd.failed_executions",
    )
    assert kind == "UnknownJobError"
    assert f"did you mean {note.definition.name!r}" in message
    assert "check that `import:` in queue.yml has the module that defines it" in message
    assert message.endswith("a running daemon loads modules only at start and on HUP")


def test_a_snoozed_job_waits_and_has_made_no_attempt(
    make_worker: MakeWorker, count: Count
) -> None:
    snooze.enqueue()
    driven = make_worker()

    driven.until(lambda: count("scheduled_executions WHERE scheduled_at > now()"))

    assert count("jobs WHERE attempts = 0 AND finished_at IS NULL") == 1


def test_a_retried_job_waits_for_its_own_time(make_worker: MakeWorker, count: Count) -> None:
    retry_later.enqueue()
    driven = make_worker()

    driven.until(
        lambda: count("scheduled_executions WHERE scheduled_at > now() + interval '59 min'")
    )

    assert (count("jobs WHERE attempts = 1"), count("attempts")) == (1, 1)


def test_counters_count_the_outcomes_of_jobs(make_worker: MakeWorker, count: Count) -> None:
    note.enqueue(1)
    fail.enqueue("x")
    driven = make_worker()

    driven.until(lambda: not count("claims") and not count("ready_executions"))

    (queue,) = driven.context.entry.queues()
    assert (queue.name, queue.outcome("finished"), queue.outcome("failed")) == ("default", 1, 1)
    assert sum(queue.durations()[0]) == 2
    entry = driven.context.entry
    classes = {each.name.rpartition(".")[2]: each.outcome("failed") for each in entry.classes()}
    assert classes == {"note": 0, "fail": 1}
    assert dict(entry.failures()) == {"ValueError": {"failed": 1, "retried": 0}}


@pytest.mark.behaviour(88)
def test_a_failure_is_an_event_with_its_facts(
    make_worker: MakeWorker, count: Count, recorder: EventRecorder
) -> None:
    failures = recorder.facts("job.failed")
    stored = fail.enqueue("x")

    make_worker().until(lambda: count("failed_executions"))

    (facts,) = failures
    assert (facts["job_id"], facts["attempt"], facts["error"]["message"]) == (stored.id, 1, "x")
