"""What is said of a task that was late, and of one whose schedule can't be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobsd.operations.processes import has_scheduler
from jobsd.operations.tasks import listed, why_late
from jobsd.recurring.runs import RecurringRun
from jobsd.recurring.tasks import RecurringTask
from system.rows import register

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ("missed", "no scheduler ran at its planned time"),
        ("skipped", "the run before it had not ended"),
        ("ready", "enqueued 8.0s after its planned time, then 1m32s in the queue"),
    ],
)
def test_a_sentence_explains_the_delay_of_the_last_run(
    session: Session, outcome: str, sentence: str
) -> None:
    last = RecurringRun(NOON, NOON + timedelta(seconds=8), 1, outcome, None, None)
    task = RecurringTask(
        key="hourly",
        phrase="every hour",
        class_name="RecurringTestJob",
        planned_from=NOON,
        created_at=NOON,
        updated_at=NOON,
    )

    late = why_late(session, task, last, NOON + timedelta(seconds=100), 60.0)

    assert late is not None
    assert late["reported"].startswith(sentence)


def test_a_scheduler_that_is_silent_runs_no_tasks(session: Session, rows: Rows) -> None:
    register(session, "scheduler")
    assert has_scheduler(session, 60.0)

    rows("UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '1 hour' RETURNING 1")

    assert not has_scheduler(session, 60.0)


def test_a_task_with_an_unreadable_schedule_is_listed(session: Session, rows: Rows) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule) VALUES ('new', 'each blue moon'),"
        " ('known', 'every hour') RETURNING 1"
    )

    assert [(row["key"], row["next"] is None) for row in listed(session)] == [
        ("known", False),
        ("new", True),
    ]
