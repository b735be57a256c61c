"""Why a run was late is named: the scheduler, the queue, or how long it ran."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobsd.recurring import runs
from jobsd.recurring.lateness import late_tasks, lateness, overdue_since
from jobsd.recurring.runs import RecurringRun
from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(seconds=100)
EACH_MINUTE = RecurringTask(
    key="each minute",
    phrase="every minute",
    class_name="RecurringTestJob",
    planned_from=NOON,
    created_at=NOON,
    updated_at=NOON,
)


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOON + timedelta(seconds=seconds)


def _run(
    outcome: str, enqueued: float = 0, began: float | None = None, ended: float | None = None
) -> RecurringRun:
    enqueued_at = NOON + timedelta(seconds=enqueued)
    return RecurringRun(NOON, enqueued_at, 1, outcome, _at(began), _at(ended))


@pytest.mark.parametrize(
    ("run", "cause"),
    [
        (_run("finished", 0.1, 0.2, 30), ""),
        (_run("finished", 8, 9, 30), "scheduler late"),
        (_run("missed", 8), "scheduler late"),
        (_run("finished", 1, 9, 30), "waited in queue"),
        (_run("ready"), "waited in queue"),
        (_run("blocked"), "waited in queue"),
        (_run("claimed", 0, 9), "waited in queue"),
        (_run("finished", 0, 1, 61), "ran long"),
        (_run("failed", 0, 1, 61), "ran long"),
        (_run("claimed", 0, 1), "ran long"),
        (_run("skipped"), "ran long"),
        (_run("cleared", 0.1), ""),
        (_run("cleared", 8), "scheduler late"),
    ],
)
def test_the_part_that_took_too_long_is_the_cause(run: RecurringRun, cause: str) -> None:
    assert lateness(EACH_MINUTE, run, NOW).cause == cause


def test_the_duration_of_each_part_is_known() -> None:
    found = lateness(EACH_MINUTE, _run("finished", 1, 9, 30), NOW)

    assert (found.scheduler_s, found.queue_s, found.run_s) == (1, 8, 21)


def test_a_part_that_has_not_ended_counts_with_its_time_so_far() -> None:
    running = lateness(EACH_MINUTE, _run("claimed", 0, 1), NOW)
    waiting = lateness(EACH_MINUTE, _run("ready", 1), NOW)

    assert (running.run_s, waiting.queue_s) == (99, 99)


# With real tasks.


@pytest.fixture
def task() -> RecurringTask:
    """A task that was made two days ago and runs each hour."""
    return RecurringTask.schedule("hourly", schedule="@hourly", class_name="RecurringTestJob")


def _found(key: str = "hourly") -> RecurringTask:
    found = RecurringTask.find_by(key=key)
    assert found is not None
    return found


@pytest.mark.usefixtures("default_client", "task")
def test_a_task_that_no_scheduler_enqueues_is_overdue(rows: Rows) -> None:
    rows("UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '2 hours'")
    now = datetime.now(UTC)

    since = overdue_since(_found(), None, now)

    assert since is not None
    assert timedelta(seconds=5) <= now - since <= timedelta(hours=1, seconds=30)


@pytest.mark.usefixtures("default_client")
def test_a_new_task_is_not_overdue(task: RecurringTask) -> None:
    assert overdue_since(task, None, datetime.now(UTC)) is None


@pytest.mark.usefixtures("default_client", "task")
def test_a_disabled_task_is_not_late(rows: Rows, session: Session) -> None:
    rows(
        "UPDATE jobsd.recurring_tasks"
        " SET planned_from = now() - interval '2 hours', enabled = false"
    )
    task = _found()

    assert overdue_since(task, None, datetime.now(UTC)) is None
    assert not list(late_tasks([task], runs.latest(session, ["hourly"]), datetime.now(UTC)))


@pytest.mark.usefixtures("default_client")
def test_a_job_that_waits_makes_its_task_late(
    task: RecurringTask, rows: Rows, session: Session
) -> None:
    task.run_now()
    rows(
        "UPDATE jobsd.recurring_executions SET (run_at, created_at)"
        " = (run_at - interval '1 min', created_at - interval '1 min')"
    )

    ((key, cause, late_s),) = late_tasks(
        [_found()], runs.latest(session, ["hourly"]), datetime.now(UTC)
    )

    assert (key, cause) == ("hourly", "waited in queue")
    assert late_s is not None
    assert 60 <= late_s < 90


@pytest.mark.usefixtures("default_client")
def test_a_claimed_job_has_begun_when_it_was_claimed(task: RecurringTask, rows: Rows) -> None:
    job = task.run_now()
    rows("DELETE FROM jobsd.ready_executions")
    rows("INSERT INTO jobsd.claims (process_id, job_ids) VALUES (1, ARRAY[%s::bigint])", job.id)

    (run,) = task.history()

    assert (run.outcome, run.started_at is not None) == ("claimed", True)
    assert lateness(task, run, datetime.now(UTC)).queue_s is not None


@pytest.mark.usefixtures("default_client")
def test_a_missed_run_that_was_recorded_is_not_overdue(task: RecurringTask, rows: Rows) -> None:
    rows("UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '2 hours'")
    now = datetime.now(UTC)
    due = overdue_since(_found(task.key), None, now)
    assert due is not None
    recorded = RecurringRun(due, now, None, "missed", None, None)

    assert overdue_since(_found(task.key), recorded, now) is None
