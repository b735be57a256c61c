"""A due run becomes one job, as its task says, and a fault of one task harms no other."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.event_recorder import Emitted, names
from jobsd.database import portions
from jobsd.database.connection import Session
from jobsd.errors import UnknownJobError
from waiting import Stopwatch, Took

from .conftest import RUNS, task

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import MakeScheduler


def _failed(emitted: Emitted) -> set[str]:
    return {facts["task"] for name, facts in emitted if name == "recurring.failed"}


def test_a_due_run_becomes_a_ready_job(make_scheduler: MakeScheduler, rows: Rows) -> None:
    make_scheduler(task()).hurry()

    (row,) = rows(
        "SELECT class_name, job.queue_name, job.priority, max_attempts, retries_crash,"
        " position = job.id, job.scheduled_at FROM jobsd.jobs AS job"
        " JOIN jobsd.ready_executions ON job_id = id ORDER BY id LIMIT 1"
    )
    assert row == ("SchedulerTestJob", "ticks", 7, 3, True, True, None)


@pytest.mark.behaviour(80)
def test_the_instant_stored_is_the_planned_one(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    driven = make_scheduler(task())
    driven.hurry()
    driven.until(lambda: rows(RUNS)[0] >= 2)

    instants = rows("SELECT run_at FROM jobsd.recurring_executions ORDER BY run_at LIMIT 2")
    assert [instant.microsecond for instant in instants] == [0, 0]
    assert instants[1] - instants[0] == timedelta(seconds=1)


def test_a_run_is_never_early_and_hardly_late(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    driven = make_scheduler(task())
    watch = Stopwatch()

    driven.until(lambda: rows(RUNS) != [0])

    took = watch.took()
    (late_s,) = rows(
        "SELECT extract(epoch FROM created_at - run_at)::float8"
        " FROM jobsd.recurring_executions ORDER BY run_at DESC LIMIT 1"
    )
    assert late_s >= 0
    assert Took(late_s, took - took.least) < 1


@pytest.mark.behaviour(82)
def test_queue_priority_tags_and_arguments_of_the_task_win(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    settings: dict[str, Any] = {
        "queue_name": "urgent",
        "priority": -1,
        "tags": ("billing", "eu"),
        "args": (1, "two", {"three": 3}),
    }

    make_scheduler(task(**settings)).hurry()

    (row,) = rows(
        "SELECT queue_name, priority, tags, arguments FROM jobsd.jobs ORDER BY id LIMIT 1"
    )
    assert row == ("urgent", -1, ["billing", "eu"], [1, "two", {"$keywords": {"three": 3}}])


def test_runs_with_large_arguments_are_stored_by_several_statements(
    make_scheduler: MakeScheduler, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "BYTES_MAX", 5000)
    made = [task(f"task-{number}", args=("x" * 3000,)) for number in range(4)]

    make_scheduler(*made).hurry()

    # What one statement stores has one time.
    (times,) = rows("SELECT count(DISTINCT created_at) FROM jobsd.recurring_executions")
    assert times >= 4
    assert rows("SELECT DISTINCT length(arguments #>> '{0}') FROM jobsd.jobs") == [3000]


@pytest.mark.behaviour(82)
def test_named_arguments_may_stand_alone(make_scheduler: MakeScheduler, rows: Rows) -> None:
    make_scheduler(task(args={"user_id": 42})).hurry()

    assert rows("SELECT arguments FROM jobsd.jobs LIMIT 1") == [{"user_id": 42}]


def test_the_task_keeps_its_last_run_and_their_number(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    make_scheduler(task(on_missed="all")).hurry()

    (row,) = rows(
        "SELECT runs_count = (SELECT count(*) FROM jobsd.recurring_executions),"
        " last_run_at = (SELECT max(run_at) FROM jobsd.recurring_executions)"
        " FROM jobsd.recurring_tasks"
    )
    assert row == (True, True)


@pytest.mark.behaviour(82)
def test_a_command_becomes_a_job_that_carries_its_key_alone(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    make_scheduler(task("clean", class_name=None, command="app.tasks.clean(days=3)")).hurry()

    (row,) = rows(
        "SELECT class_name, queue_name, arguments FROM jobsd.jobs ORDER BY id LIMIT 1"
    )
    assert row == ("RecurringCommandJob", "recurring", ["clean"])


def test_all_due_runs_are_stored_in_one_statement(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    driven = make_scheduler(*(task(f"tick-{n}") for n in range(50)))
    driven.set_back()

    # One poll: before a second one the next second may have begun.
    driven.poll()

    (row,) = rows(
        "SELECT count(DISTINCT task_key), count(DISTINCT created_at)"
        " FROM jobsd.recurring_executions"
    )
    assert row == (50, 1)


def test_sleeping_workers_are_woken(
    make_scheduler: MakeScheduler, rows: Rows, target: Target
) -> None:
    rows("INSERT INTO jobsd.sleepers (process_id, kind) VALUES (1, 'worker')")
    driven = make_scheduler(task())
    with contextlib.closing(Session(target, "test", listen=True)) as listener:
        _ = listener.connection

        driven.hurry()

        driven.until(lambda: "ready ticks" in listener.notifications())


@pytest.mark.behaviour(88)
def test_an_enqueued_run_is_reported(
    make_scheduler: MakeScheduler, emitted: Emitted, rows: Rows
) -> None:
    make_scheduler(task()).hurry()

    facts: dict[str, Any] = dict(emitted)["recurring.enqueued"]
    ids = rows("SELECT job_id FROM jobsd.recurring_executions")
    assert (facts["task"], facts["job_id"] in ids) == ("tick", True)


# Faults of one task.


@pytest.mark.behaviour(85)
def test_an_unknown_job_is_reported_and_the_others_go_on(
    make_scheduler: MakeScheduler, emitted: Emitted, rows: Rows
) -> None:
    driven = make_scheduler(task("broken", class_name="NoSuchJob"), task())

    driven.hurry()
    driven.until(lambda: rows(RUNS)[0] >= 2)

    assert _failed(emitted) == {"broken"}
    assert isinstance(dict(emitted)["recurring.failed"]["error"], UnknownJobError)


@pytest.mark.behaviour(85)
def test_a_run_that_the_database_refuses_is_reported_and_the_others_go_on(
    make_scheduler: MakeScheduler, emitted: Emitted, rows: Rows
) -> None:
    rows(
        "ALTER TABLE jobsd.recurring_executions ADD CONSTRAINT test_refuses"
        " CHECK (task_key <> 'broken')"
    )
    try:
        driven = make_scheduler(task("broken"), task())
        driven.hurry()
        driven.until(lambda: rows(RUNS)[0] >= 2)
    finally:
        rows("ALTER TABLE jobsd.recurring_executions DROP CONSTRAINT test_refuses")

    assert _failed(emitted) == {"broken"}


def test_a_bad_schedule_in_the_table_is_reported_once(
    make_scheduler: MakeScheduler, emitted: Emitted, rows: Rows
) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name)"
        " VALUES ('odd', 'every now and then', 'SchedulerTestJob')"
    )
    driven = make_scheduler(task())

    for _ in range(3):
        driven.check()

    assert names(emitted).count("recurring.failed") == 1


# Overlap.


def test_a_run_is_left_out_while_the_previous_one_has_not_ended(
    make_scheduler: MakeScheduler, emitted: Emitted, rows: Rows
) -> None:
    driven = make_scheduler(task(overlap="skip", on_missed="all"))

    driven.hurry()
    driven.until(lambda: "recurring.skipped" in names(emitted))

    outcomes = rows("SELECT outcome FROM jobsd.recurring_executions ORDER BY run_at LIMIT 2")
    assert (rows("SELECT count(*) FROM jobsd.jobs"), outcomes) == ([1], [None, "skipped"])


def test_a_run_follows_once_the_previous_one_has_ended(
    make_scheduler: MakeScheduler, emitted: Emitted, rows: Rows
) -> None:
    driven = make_scheduler(task(overlap="skip"))
    driven.hurry()
    driven.until(lambda: "recurring.skipped" in names(emitted))

    rows("UPDATE jobsd.jobs SET finished_at = now(), outcome = 'finished'")

    driven.until(lambda: rows(RUNS) == [2])


def test_a_previous_run_that_has_failed_is_over(
    make_scheduler: MakeScheduler, emitted: Emitted, rows: Rows
) -> None:
    driven = make_scheduler(task(overlap="skip"))
    driven.hurry()
    driven.until(lambda: "recurring.skipped" in names(emitted))

    rows("INSERT INTO jobsd.failed_executions SELECT id, now(), '{}' FROM jobsd.jobs")

    driven.until(lambda: rows(RUNS) == [2])
