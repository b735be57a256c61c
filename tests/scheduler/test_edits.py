"""An edit of a task notifies the schedulers: they do not wait for their next check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .conftest import MakeScheduler

HOURLY = "every hour at minute 12"


def _found() -> RecurringTask:
    found = RecurringTask.find_by(key="edited")
    assert found is not None
    return found


def _schedule(schedule: str = HOURLY) -> None:
    RecurringTask.schedule("edited", schedule=schedule, class_name="SchedulerTestJob")


def _schedule_anew() -> None:
    RecurringTask.unschedule("edited")
    _schedule("every hour at minute 13")


@pytest.mark.behaviour(84)
@pytest.mark.parametrize(
    ("prepare", "edit", "planned"),
    [
        ([], _schedule, [12]),
        ([_schedule], lambda: RecurringTask.unschedule("edited"), []),
        ([_schedule], _schedule_anew, [13]),
        ([_schedule], lambda: _found().disable(), []),
        ([_schedule, lambda: _found().disable()], lambda: _found().enable(), [12]),
    ],
    ids=["schedule", "unschedule", "schedule anew", "disable", "enable"],
)
def test_an_edit_is_seen_at_once(
    make_scheduler: MakeScheduler,
    prepare: list[Callable[[], None]],
    edit: Callable[[], None],
    planned: list[int],
) -> None:
    driven = make_scheduler()
    for each in prepare:
        each()
    driven.check()
    timetable = driven.scheduler.tasks.timetable
    before = _planned(timetable.next_run)

    edit()

    # Without a notification the next check comes after 5 s.
    driven.until(lambda: _planned(timetable.next_run) == planned, within_s=4.0)
    assert before != planned


def _planned(run: tuple[datetime, str] | None) -> list[int]:
    """Return the minute of the next instant, if there is one."""
    return [] if run is None else [run[0].minute]
