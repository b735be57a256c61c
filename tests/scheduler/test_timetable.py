"""Runs are due in their order, once, and missed runs become what the task says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobsd.recurring.tasks import RecurringTask
from jobsd.scheduler import timetable as planned
from jobsd.scheduler.timetable import (
    CATCH_UP_MAX,
    RECORDED_MAX,
    DueRun,
    Timetable,
    busiest_last,
)
from jobsd.schedules import ScheduleError

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW = RecurringTask(
    key="tick",
    phrase="* * * * * *",
    class_name="Any",
    static=True,
    planned_from=START,
    created_at=START,
    updated_at=START,
)
EVERY_SECOND, EVERY_MINUTE, HOURLY, DAILY = (
    "* * * * * *",
    "* * * * *",
    "0 * * * *",
    "0 3 * * *",
)


def _timetable(*tasks: RecurringTask) -> Timetable:
    timetable = Timetable()
    for task in tasks:
        timetable.plan(task, START)
    return timetable


def _after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _due(timetable: Timetable, now: datetime, limit: int = 10_000) -> tuple[list[float], ...]:
    """Return the seconds of the runs that are due, and of those that are missed."""
    due = timetable.due(now, limit)
    return _seconds(due, missed=False), _seconds(due, missed=True)


def _seconds(due: list[DueRun], *, missed: bool) -> list[float]:
    return [(t.run_at - START).total_seconds() for t in due if t.missed is missed]


def test_a_run_is_due_at_its_instant_and_once() -> None:
    timetable = _timetable(ROW)

    assert _due(timetable, _after(0.9)) == ([], [])
    assert _due(timetable, _after(1)) == ([1], [])
    assert _due(timetable, _after(1.9)) == ([], [])


def test_the_next_run_is_known() -> None:
    timetable = _timetable(replace(ROW, key="slow", phrase=EVERY_MINUTE), ROW)

    assert timetable.next_run == (_after(1), "tick")


def test_runs_of_several_tasks_come_in_the_order_of_their_instants() -> None:
    timetable = _timetable(
        replace(ROW, key="b", phrase="30 * * * * *"), replace(ROW, key="a", phrase=EVERY_MINUTE)
    )

    due = timetable.due(_after(60), 10)

    assert [(run.task.key, run.run_at) for run in due] == [
        ("b", _after(30)),
        ("a", _after(60)),
    ]


def test_no_more_than_the_limit_is_taken_at_once() -> None:
    timetable = _timetable(*(replace(ROW, key=f"task-{n}") for n in range(5)))

    taken = [len(timetable.due(_after(1), 2)) for _ in range(4)]

    assert taken == [2, 2, 1, 0]


def test_planning_goes_on_from_the_last_run() -> None:
    timetable = Timetable()

    timetable.plan(replace(ROW, phrase=HOURLY, last_run_at=_after(7200)), _after(4 * 3600))

    assert timetable.next_run == (_after(3 * 3600), "tick")


def test_a_schedule_edited_by_hand_counts_from_now_on() -> None:
    timetable = _timetable(replace(ROW, phrase=DAILY))

    timetable.plan(replace(ROW, phrase=EVERY_MINUTE), _after(3600))

    assert timetable.next_run == (_after(3660), "tick")


def test_a_disabled_task_has_no_runs() -> None:
    timetable = _timetable(replace(ROW, enabled=False))

    assert (len(timetable), timetable.next_run) == (0, None)


def test_a_forgotten_task_has_no_runs() -> None:
    timetable = _timetable(ROW)

    timetable.keep(set())

    assert timetable.due(_after(10), 10) == []


def test_a_change_beside_the_schedule_keeps_the_next_run() -> None:
    timetable = _timetable(ROW)
    _due(timetable, _after(1))

    timetable.plan(replace(ROW, description="new", updated_at=_after(1.5)), START)

    (run,) = timetable.due(_after(2), 10)
    assert (run.run_at, run.task.description) == (_after(2), "new")


def test_an_edited_schedule_counts_from_the_edit_on() -> None:
    timetable = _timetable(ROW)

    timetable.plan(replace(ROW, phrase=EVERY_MINUTE, planned_from=_after(90)), _after(90))

    assert timetable.next_run == (_after(120), "tick")


def test_a_schedule_that_was_edited_by_hand_counts_from_now_on() -> None:
    timetable = _timetable(replace(ROW, phrase=HOURLY))

    timetable.plan(replace(ROW, phrase=EVERY_MINUTE), _after(90))

    assert timetable.next_run == (_after(120), "tick")


def test_the_busiest_are_planned_first() -> None:
    busy = replace(ROW, key="busy", phrase=HOURLY, runs_count=9)
    alone = replace(ROW, key="alone", phrase=DAILY)
    shared = [replace(ROW, key=f"shared {n}") for n in range(2)]

    ordered = busiest_last([alone, shared[0], busy, shared[1]])

    assert [task.key for task in reversed(ordered)][::3] == ["busy", "alone"]


def test_a_schedule_that_means_nothing_is_not_planned() -> None:
    timetable = _timetable(ROW)

    with pytest.raises(ScheduleError):
        timetable.plan(replace(ROW, phrase="every now and then", updated_at=_after(1)), START)

    assert timetable.next_run is None


def test_a_schedule_that_has_ended_has_no_runs() -> None:
    late = datetime(9999, 12, 31, 23, 59, 58, tzinfo=UTC)
    timetable = Timetable()

    timetable.plan(replace(ROW, planned_from=late), late)

    assert timetable.next_run is None


def test_a_refused_run_comes_again_once_its_task_has_changed() -> None:
    timetable = _timetable(ROW)
    (run,) = timetable.due(_after(1), 10)
    timetable.plan(replace(ROW, queue_name="other", updated_at=_after(0.5)), START)

    timetable.put_back(run.task, run.run_at)

    assert _due(timetable, _after(1)) == ([1], [])


def test_a_run_that_was_refused_for_good_does_not_come_again() -> None:
    timetable = _timetable(ROW)
    (run,) = timetable.due(_after(1), 10)

    timetable.put_back(run.task, run.run_at)

    assert _due(timetable, _after(1)) == ([], [])


# Missed runs.


def test_a_scheduler_that_was_away_for_two_seconds_misses_nothing() -> None:
    assert _due(_timetable(ROW), _after(3)) == ([1, 2, 3], [])


def test_skip_records_missed_instants_and_runs_timely_ones() -> None:
    assert _due(_timetable(ROW), _after(10)) == ([8, 9, 10], [1, 2, 3, 4, 5, 6, 7])


def test_of_a_long_row_of_missed_runs_the_first_are_recorded() -> None:
    runs, missed = _due(_timetable(ROW), _after(100_000))

    assert (runs, missed) == ([99_998, 99_999, 100_000], list(range(1, RECORDED_MAX + 1)))


def test_once_runs_the_last_missed_run_for_all() -> None:
    task = replace(ROW, phrase=DAILY, on_missed="once")

    runs, missed = _due(_timetable(task), _after(3 * 86400))

    day = 86400
    assert runs == [15 * 3600 + 2 * day]
    assert missed == [15 * 3600, 15 * 3600 + day]


def test_all_runs_every_missed_run() -> None:
    task = replace(ROW, on_missed="all")

    assert _due(_timetable(task), _after(100)) == (list(range(1, 101)), [])


def test_all_has_a_bound_and_records_what_lies_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may take longer for them than one call may.
    monkeypatch.setattr(planned, "DUE_MAX_S", 60.0)
    task = replace(ROW, on_missed="all")

    runs, missed = _due(_timetable(task), _after(100_000))

    assert (len(runs), missed) == (CATCH_UP_MAX + 3, list(range(1, RECORDED_MAX + 1)))
    assert runs == list(range(100_000 - CATCH_UP_MAX - 2, 100_001))


@pytest.mark.parametrize(
    ("schedule", "late_s", "missed"),
    [
        (EVERY_SECOND, 2, False),
        (EVERY_SECOND, 2.1, True),
        (EVERY_MINUTE, 6, False),
        (EVERY_MINUTE, 6.1, True),
        (DAILY, 60, False),
        (DAILY, 60.1, True),
    ],
)
def test_a_run_is_missed_after_a_tenth_of_its_period_within_bounds(
    schedule: str, late_s: float, *, missed: bool
) -> None:
    timetable = _timetable(replace(ROW, phrase=schedule))
    upcoming = timetable.next_run
    assert upcoming is not None

    due = timetable.due(upcoming[0] + timedelta(seconds=late_s), 1)

    assert due[0].missed is missed


@pytest.mark.parametrize("on_missed", ["skip", "once", "all"])
def test_after_missed_runs_the_schedule_goes_on(on_missed: str) -> None:
    timetable = _timetable(replace(ROW, on_missed=on_missed))
    timetable.due(_after(60), 10_000)

    assert _due(timetable, _after(61)) == ([61], [])


def test_catching_up_keeps_to_the_limit() -> None:
    timetable = _timetable(replace(ROW, on_missed="all"))

    first, second = timetable.due(_after(50), 30), timetable.due(_after(50), 30)

    assert (_seconds(first, missed=False), _seconds(second, missed=False)) == (
        list(range(1, 31)),
        list(range(31, 51)),
    )


def test_finding_missed_runs_takes_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobsd.scheduler.timetable.DUE_MAX_S", -1.0)
    timetable = _timetable(*(replace(ROW, key=f"task-{n}") for n in range(3)))

    numbers = [len(timetable.due(_after(1), 10)) for _ in range(4)]

    assert numbers == [1, 1, 1, 0]


def test_of_a_task_that_may_not_overlap_one_run_is_due_at_a_time() -> None:
    timetable = _timetable(replace(ROW, overlap="skip"))

    taken = [_due(timetable, _after(3))[0] for _ in range(4)]

    assert taken == [[1], [2], [3], []]
