"""A task can be run beside its schedule, and its history says what became of each run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.clock import utc_now
from jobsd.errors import Error, RefusedError, UnknownJobError
from jobsd.recurring import occurrences
from jobsd.recurring.tasks import RecurringTask
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Ask

pytestmark = pytest.mark.usefixtures("default_client")

CLASS = "RecurringTestJob"
NIGHTLY: dict[str, Any] = {"schedule": "at 3am every day", "class_name": CLASS}


def _found(key: str) -> RecurringTask:
    task = RecurringTask.find_by(key=key)
    assert task is not None
    return task


def test_a_task_can_be_run_now(ask: Ask) -> None:
    job = RecurringTask.schedule("nightly", **NIGHTLY).run_now()

    (row,) = ask("SELECT id, class_name, queue_name, priority FROM jobsd.jobs")
    assert (job.state, row) == ("ready", (job.id, "RecurringTestJob", "mail", 3))


def test_a_run_now_is_in_the_history() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    job = task.run_now()

    (occurrence,) = task.history()

    assert (occurrence.job_id, occurrence.outcome) == (job.id, "ready")
    assert 0 <= occurrence.late_s < 30


def test_a_task_that_is_turned_off_can_be_run_now() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY, enabled=False)

    assert task.run_now().state == "ready"


def test_a_run_of_a_task_that_somebody_has_turned_off_by_hand_is_not_stored(
    session: Session, ask: Ask
) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    ask("UPDATE jobsd.recurring_tasks SET enabled = false RETURNING 1")

    run = occurrences.Run(task, utc_now(), occurrences.draft_of(task))
    (fate,) = occurrences.store(session, [run])

    assert (fate.what, ask("SELECT id FROM jobsd.jobs")) == ("changed", [])


def test_running_now_does_not_overlap_where_it_may_not() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY, overlap="skip")
    task.run_now()

    with pytest.raises(RefusedError, match="has not ended"):
        _found("nightly").run_now()


def test_a_run_that_is_not_committed_yet_is_not_overlapped_either(session: Session) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY, overlap="skip")
    (planned,) = task.next_runs(1)
    with ThreadPoolExecutor() as pool:
        with session.connection.transaction():
            run = occurrences.Run(task, planned, occurrences.draft_of(task))
            assert [fate.what for fate in occurrences.store(session, [run])] == ["enqueued"]
            beside = pool.submit(task.run_now)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            with psycopg.connect(session.target.url, autocommit=True) as looker:
                wait_until(lambda: looker.execute(waiting).fetchone() != (0,))

        with pytest.raises(RefusedError, match="has not ended"):
            beside.result()


def test_running_a_job_that_is_not_known_here_says_so() -> None:
    task = RecurringTask.schedule("odd", schedule="@daily", class_name="NoSuchJob")

    with pytest.raises(UnknownJobError):
        task.run_now()


@pytest.mark.parametrize(
    ("happens", "outcome"),
    [
        ("UPDATE jobsd.jobs SET finished_at = now(), outcome = 'finished'", "finished"),
        ("UPDATE jobsd.jobs SET finished_at = now(), outcome = 'discarded'", "discarded"),
        (
            "INSERT INTO jobsd.failed_executions SELECT id, now(), '{}' FROM jobsd.jobs",
            "failed",
        ),
        ("DELETE FROM jobsd.ready_executions", "claimed"),
        ("DELETE FROM jobsd.jobs", "cleared"),
    ],
)
def test_the_history_says_what_became_of_the_job(ask: Ask, happens: str, outcome: str) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    task.run_now()
    if outcome == "cleared":
        ask("DELETE FROM jobsd.ready_executions")

    ask(happens)

    assert [occurrence.outcome for occurrence in task.history()] == [outcome]


def test_the_latest_of_the_history_comes_first() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    ids = [_found("nightly").run_now().id for _ in range(3)]

    assert [occurrence.job_id for occurrence in task.history(2)] == ids[:0:-1]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "x", 2**80])
def test_a_limit_of_the_history_that_can_not_be_meant_is_refused(limit: Any) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)

    with pytest.raises(Error, match="limit: "):
        task.history(limit)


def test_the_history_of_the_last_day_is_never_cleared(session: Session) -> None:
    RecurringTask.schedule("nightly", **NIGHTLY).run_now()

    assert occurrences.clear(session, 0.0, 10) == 0


# After the server's clock was ahead.


def _store_next(session: Session, key: str) -> str:
    """Store the next run of a task, as if its instant had come; return what became of it."""
    task = _found(key)
    (run_at,) = task.next_runs(1)
    run = occurrences.Run(task, run_at, occurrences.draft_of(task))
    return occurrences.store(session, [run])[0].what


@pytest.mark.parametrize(
    ("comes_in", "told_at", "what"),
    [
        (timedelta(seconds=1), "now() + interval '30 days'", "enqueued"),
        (timedelta(hours=1), "now()", "enqueued"),
        (timedelta(seconds=-30), "run_at + interval '3 s'", "taken"),
    ],
    ids=["told when the clock was ahead", "told before its instant", "told rightly"],
)
def test_what_was_told_too_early_as_missed_runs_when_its_instant_comes(
    session: Session, ask: Ask, comes_in: timedelta, told_at: str, what: str
) -> None:
    task = RecurringTask.schedule("often", schedule="* * * * * *", class_name=CLASS)
    run_at = utc_now() + comes_in
    ask(
        "INSERT INTO jobsd.recurring_executions (task_key, run_at, outcome, created_at)"
        f" SELECT 'often', run_at, 'missed', {told_at} FROM (SELECT %s::timestamptz AS run_at)"
        " AS run",
        run_at,
    )

    run = occurrences.Run(task, run_at, occurrences.draft_of(task))
    fates = occurrences.store(session, [run])

    assert [fate.what for fate in fates] == [what]


def test_an_instant_that_has_run_ahead_of_time_does_not_run_again(
    session: Session, ask: Ask
) -> None:
    RecurringTask.schedule("nightly", **NIGHTLY)
    _store_next(session, "nightly")
    ask("UPDATE jobsd.recurring_executions SET created_at = now() + interval '30 days'")

    assert _store_next(session, "nightly") == "taken"


@pytest.mark.parametrize("alive", ["ahead", "now", None])
def test_a_run_overlaps_neither_the_last_one_nor_one_that_lies_ahead(
    session: Session, ask: Ask, alive: str | None
) -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY, overlap="skip")
    ids = {"now": task.run_now().id}
    ask("UPDATE jobsd.jobs SET finished_at = now(), outcome = 'finished'")
    ahead = occurrences.Run(task, utc_now() + timedelta(days=30), occurrences.draft_of(task))
    ids["ahead"] = occurrences.store(session, [ahead])[0].job_id
    ask(
        "UPDATE jobsd.jobs SET finished_at = CASE WHEN id IS DISTINCT FROM %s THEN now() END",
        ids.get(alive or ""),
    )

    what = _store_next(session, "nightly")

    assert what == ("skipped" if alive else "enqueued")
