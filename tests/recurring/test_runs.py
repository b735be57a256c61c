"""A task can be run beside its schedule, and its history has the outcome of each run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.clock import utc_now
from jobsd.errors import Error, RefusedError, UnknownJobError
from jobsd.jobs.definition import Job
from jobsd.recurring import runs
from jobsd.recurring.runs import PlannedRun
from jobsd.recurring.tasks import RecurringTask
from recurring.stored import task_of
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")


class ExpiringTestJob(Job):
    """A job that is worth nothing a minute later."""

    expires_in = 60

    def perform(self) -> None:
        """Do nothing."""


CLASS = "RecurringTestJob"
NIGHTLY: dict[str, Any] = {"schedule": "at 3am every day", "class_name": CLASS}


def test_a_task_can_be_run_now(rows: Rows) -> None:
    job = RecurringTask.schedule("nightly", **NIGHTLY).run_now()

    (row,) = rows("SELECT id, class_name, queue_name, priority FROM jobsd.jobs")
    assert (job.state, row) == ("ready", (job.id, "RecurringTestJob", "mail", 3))


class TaggedTestJob(Job):
    """A job with a tag of its own."""

    tags = ("own",)

    def perform(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("given", "stored"),
    [({}, ["own"]), ({"tags": ("billing", "eu")}, ["billing", "eu"]), ({"tags": ()}, None)],
)
def test_the_tags_of_a_task_replace_those_of_its_job(
    rows: Rows, given: dict[str, Any], stored: list[str] | None
) -> None:
    settings = {**NIGHTLY, "class_name": "TaggedTestJob", **given}

    RecurringTask.schedule("nightly", **settings).run_now()

    assert rows("SELECT tags FROM jobsd.jobs") == [stored]


def test_a_run_now_is_in_the_history() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    job = task.run_now()

    (run,) = task.history()

    assert (run.job_id, run.outcome) == (job.id, "ready")
    assert 0 <= run.late_s < 30


def test_a_run_expires_after_the_time_of_its_class(rows: Rows) -> None:
    job = RecurringTask.schedule(
        "nightly", **{**NIGHTLY, "class_name": "ExpiringTestJob"}
    ).run_now()

    assert rows(
        "SELECT job_id, expires_at - now() BETWEEN interval '1 s' AND interval '60 s'"
        " FROM jobsd.expirations"
    ) == [(job.id, True)]


def test_a_disabled_task_can_be_run_now() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY, enabled=False)

    assert task.run_now().state == "ready"


def test_a_run_of_a_task_that_was_disabled_by_hand_is_not_stored(
    session: Session, rows: Rows
) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    rows("UPDATE jobsd.recurring_tasks SET enabled = false RETURNING 1")

    run = PlannedRun(task, utc_now(), runs.draft_of(task))
    (stored,) = runs.store(session, [run])

    assert (stored.outcome, rows("SELECT id FROM jobsd.jobs")) == ("changed", [])


def test_running_now_does_not_overlap_with_the_previous_run() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY, overlap="skip")
    task.run_now()

    with pytest.raises(RefusedError, match="has not ended"):
        task_of("nightly").run_now()


def test_running_now_does_not_overlap_with_an_uncommitted_run(session: Session) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY, overlap="skip")
    (planned,) = task.next_runs(1)
    with ThreadPoolExecutor() as pool:
        with session.connection.transaction():
            run = PlannedRun(task, planned, runs.draft_of(task))
            assert [each.outcome for each in runs.store(session, [run])] == ["enqueued"]
            beside = pool.submit(task.run_now)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            with psycopg.connect(session.target.url, autocommit=True) as observer:
                wait_until(lambda: observer.execute(waiting).fetchone() != (0,))

        with pytest.raises(RefusedError, match="has not ended"):
            beside.result()


def test_running_an_unknown_job_is_refused() -> None:
    task = RecurringTask.schedule("odd", schedule="@daily", class_name="NoSuchJob")

    with pytest.raises(UnknownJobError):
        task.run_now()


@pytest.mark.parametrize(
    ("happens", "outcome"),
    [
        ("UPDATE jobsd.jobs SET finished_at = now(), outcome = 'finished'", "finished"),
        ("UPDATE jobsd.jobs SET finished_at = now(), outcome = 'discarded'", "discarded"),
        (
            (
                "WITH job AS (DELETE FROM jobsd.ready_executions RETURNING job_id)"
                " INSERT INTO jobsd.failed_executions SELECT job_id, now(), '{}' FROM job"
            ),
            "failed",
        ),
        ("DELETE FROM jobsd.ready_executions", "claimed"),
        ("DELETE FROM jobsd.jobs", "cleared"),
    ],
)
def test_the_history_has_the_outcome_of_the_job(rows: Rows, happens: str, outcome: str) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    task.run_now()
    if outcome == "cleared":
        rows("DELETE FROM jobsd.ready_executions")

    rows(happens)

    assert [run.outcome for run in task.history()] == [outcome]


def test_the_latest_run_comes_first_in_the_history() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    ids = [task_of("nightly").run_now().id for _ in range(3)]

    assert [run.job_id for run in task.history(2)] == ids[:0:-1]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "x", 2**80])
def test_a_limit_of_the_history_that_is_no_count_is_refused(limit: Any) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)

    with pytest.raises(Error, match="limit: "):
        task.history(limit)


def test_the_history_of_the_last_day_is_never_cleared(session: Session) -> None:
    RecurringTask.schedule("nightly", **NIGHTLY).run_now()

    assert runs.clear(session, 0.0, 10) == 0


# After the server's clock was ahead.


def _store_next(session: Session, key: str) -> str:
    """Store the next run of a task, as if its instant had come; return its outcome."""
    task = task_of(key)
    (run_at,) = task.next_runs(1)
    run = PlannedRun(task, run_at, runs.draft_of(task))
    return runs.store(session, [run])[0].outcome


@pytest.mark.parametrize(
    ("comes_in", "recorded_at", "outcome"),
    [
        (timedelta(seconds=1), "now() + interval '30 days'", "enqueued"),
        (timedelta(hours=1), "now()", "enqueued"),
        (timedelta(seconds=-30), "run_at + interval '3 s'", "taken"),
    ],
    ids=["while the clock was ahead", "before its instant", "rightly"],
)
def test_a_run_that_was_recorded_too_early_as_missed_runs_at_its_instant(
    session: Session, rows: Rows, comes_in: timedelta, recorded_at: str, outcome: str
) -> None:
    task = RecurringTask.schedule("often", schedule="* * * * * *", class_name=CLASS)
    run_at = utc_now() + comes_in
    rows(
        "INSERT INTO jobsd.recurring_executions (task_key, run_at, outcome, created_at)"
        f" SELECT 'often', run_at, 'missed', {recorded_at}"
        " FROM (SELECT %s::timestamptz AS run_at) AS run",
        run_at,
    )

    (stored,) = runs.store(session, [PlannedRun(task, run_at, runs.draft_of(task))])

    assert stored.outcome == outcome


def test_an_instant_that_has_run_ahead_of_time_does_not_run_again(
    session: Session, rows: Rows
) -> None:
    RecurringTask.schedule("nightly", **NIGHTLY)
    _store_next(session, "nightly")
    rows("UPDATE jobsd.recurring_executions SET created_at = now() + interval '30 days'")

    assert _store_next(session, "nightly") == "taken"


@pytest.mark.parametrize("alive", ["ahead", "now", None])
def test_a_run_overlaps_neither_the_last_one_nor_a_later_one(
    session: Session, rows: Rows, alive: str | None
) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY, overlap="skip")
    ids = {"now": task.run_now().id}
    rows("UPDATE jobsd.jobs SET finished_at = now(), outcome = 'finished'")
    ahead = PlannedRun(task, utc_now() + timedelta(days=30), runs.draft_of(task))
    ids["ahead"] = runs.store(session, [ahead])[0].job_id
    rows(
        "UPDATE jobsd.jobs SET finished_at = CASE WHEN id IS DISTINCT FROM %s THEN now() END",
        ids.get(alive or ""),
    )

    outcome = _store_next(session, "nightly")

    assert outcome == ("skipped" if alive else "enqueued")
