"""A task of a file that is disabled by hand rests, until it is enabled by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.recurring import tasks
from jobsd.recurring.tasks import RecurringTask

from .conftest import RUNS, hourly, task

if TYPE_CHECKING:
    from pathlib import Path

    from harness.event_recorder import Emitted
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import MakeScheduler

DISABLED = "SELECT disabled_by FROM jobsd.recurring_tasks"


def _disable(key: str = "tick") -> None:
    found = RecurringTask.find_by(key=key)
    assert found is not None
    found.disable(by="ann")


def _enable(key: str = "tick") -> None:
    found = RecurringTask.find_by(key=key)
    assert found is not None
    found.enable()


def test_it_does_not_run_until_it_is_enabled(make_scheduler: MakeScheduler, rows: Rows) -> None:
    driven = make_scheduler(task())
    driven.poll()
    _disable()
    driven.check()
    rows("DELETE FROM jobsd.recurring_executions")

    driven.hurry()
    rested = rows(RUNS)
    _enable()
    driven.check()
    driven.hurry()

    assert rested == [0]
    assert rows(RUNS)[0] > 0


@pytest.mark.parametrize("queue_name", [None, "deployed"])
def test_a_deploy_leaves_it_disabled(
    make_scheduler: MakeScheduler, rows: Rows, queue_name: str | None
) -> None:
    before = make_scheduler(task())
    before.poll()
    _disable()
    before.end()

    after = make_scheduler(task(queue_name=queue_name, phrase=hourly()))
    after.poll()

    assert rows(f"{DISABLED} WHERE queue_name IS NOT DISTINCT FROM %s", queue_name) == ["ann"]
    assert after.scheduler.doing().startswith("0 tasks")


def test_the_stop_of_a_task_goes_with_its_key(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    first = make_scheduler(task(phrase=hourly()))
    first.poll()
    _disable()
    first.end()
    second = make_scheduler(task("other", phrase=hourly()))
    second.poll()
    second.end()

    make_scheduler(task(phrase=hourly())).poll()

    assert rows(DISABLED) == [None]


def test_it_catches_up_on_nothing(
    make_scheduler: MakeScheduler, rows: Rows, session: Session
) -> None:
    driven = make_scheduler(task(on_missed="all"))
    driven.poll()
    _disable()
    rows(
        "UPDATE jobsd.recurring_tasks"
        " SET planned_from = now() - interval '1 hour', last_run_at = now() - interval '1 hour'"
    )
    before = rows("SELECT now()")[0]

    _enable()

    assert tasks.get(session, "tick").planned_from >= before


def test_another_file_that_names_it_is_no_conflict(
    make_scheduler: MakeScheduler, emitted: Emitted, tmp_path: Path
) -> None:
    (tmp_path / "a.yml").touch()
    (tmp_path / "b.yml").touch()
    older = make_scheduler(task(source=f"{tmp_path}/a.yml:1"))
    older.poll()
    make_scheduler(task(source=f"{tmp_path}/b.yml:1")).poll()

    _disable()
    older.check()

    assert "recurring.conflict" not in dict(emitted)
