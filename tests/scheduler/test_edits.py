"""Whoever edits a task wakes the schedulers: none of them has to look by itself."""

# pyright: reportPrivateUsage=false

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
    driven.look()
    before = _planned(driven.scheduler._timetable.next_tick)
    driven.scheduler._look_at = float("inf")

    edit()

    driven.until(
        lambda: _planned(driven.scheduler._timetable.next_tick) == planned, within_s=4.0
    )
    assert before != planned


def _planned(tick: tuple[datetime, str] | None) -> list[int]:
    """Return the minute of the next instant, if there is one."""
    return [] if tick is None else [tick[0].minute]
