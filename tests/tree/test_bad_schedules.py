"""A schedule that can't be is refused by `check`, where it stands, and by the API alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.recurring.tasks import RecurringTask
from jobsd.schedules import ScheduleError

if TYPE_CHECKING:
    from system.commands import Commands

LONG = "every day at noon " + "and 5pm " * 1250

BAD = {
    "an impossible date": ("0 0 30 2 *", "no day 30 in February"),
    "an impossible date in words": ("every 30th of february", "no day 30 in February"),
    "an unknown zone": ("every day at 9am Europe/Pari", 'no time zone "Europe/Pari"'),
    "a year": ("0 0 1 1 * 2099", "names a year"),
    "a year in words": ("every january 1st 2099", "no time of day 2099:00"),
    "a negative step": ("*/-5 * * * *", '"*/-5" is not a valid minute'),
    "a negative count": ("every -5 minutes", "has a negative count"),
    "a long phrase": (LONG, "at most 1024 characters"),
    "a long cron": ("1," * 5000 + "1 * * * *", "at most 1024 characters"),
}


def _refused_by_the_api(schedule: str, **settings: str) -> ScheduleError:
    with pytest.raises(ScheduleError) as refused:
        RecurringTask.schedule("bad", schedule=schedule, class_name="HeartbeatJob", **settings)
    return refused.value


def test_all_are_refused_with_line_column_and_the_words_of_the_api(run: Commands) -> None:
    entries = [
        f'task-{n}:\n  class: HeartbeatJob\n  schedule: "{schedule}"\n'
        for n, (schedule, _) in enumerate(BAD.values())
    ]
    run.project.write("config/recurring.yml", "".join(entries))

    done = run("check")

    assert done.returncode == 78
    faults = [
        reported
        for reported in done.stderr.split("\n\n")
        if "config/recurring.yml:" in reported
    ]
    for n, ((schedule, said), fault) in enumerate(zip(BAD.values(), faults, strict=True)):
        error = _refused_by_the_api(schedule)
        assert said in error.message
        lines = fault.splitlines()
        assert lines[0] == f"error: task-{n}.schedule is not a schedule: {error.message}"
        assert lines[1] == f"  at config/recurring.yml:{3 * n + 3}:13"
        assert lines[-1] == f"hint: {error.hint}"


def test_a_zone_is_refused_with_the_same_words(run: Commands) -> None:
    run.project.write(
        "config/recurring.yml",
        "daily:\n  class: HeartbeatJob\n  schedule: every day\n  time_zone: Europe/Pari\n",
    )

    reported = run("check").stderr

    error = _refused_by_the_api("every day", time_zone="Europe/Pari")
    assert f"error: daily.time_zone can't be used: {error.message}" in reported
    assert "  at config/recurring.yml:4:14" in reported
    assert f"hint: {error.hint}" in reported


def test_explain_and_add_refuse_with_the_same_words(run: Commands) -> None:
    for schedule in ("0 0 30 2 *", "every day at 9am Europe/Pari", "every -5 minutes"):
        error = _refused_by_the_api(schedule)

        explained = run("recurring", "explain", schedule).stderr.splitlines()
        added = run(
            "recurring", "add", "bad", "--class", "HeartbeatJob", "--schedule", schedule
        ).stderr.splitlines()

        assert explained == [f"error: {error.message}", f"hint: {error.hint}"]
        assert added[0] == f"error: {error.message}"
        assert f"hint: {error.hint}" in added
