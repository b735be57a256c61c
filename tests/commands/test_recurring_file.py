"""Recurring tasks that stand in their file only: whoever asks for one is told why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.project import Project
    from system.commands import Commands


def test_a_task_that_only_its_file_has_is_shown_with_the_reason(
    daily: Commands, project: Project
) -> None:
    task = "{schedule: every hour, class: DailyCleanupJob}"
    project.write(
        "config/recurring.yml", f"default: {{a: {task}}}\nproduction: {{b: {task}}}\n"
    )
    loaded = (
        "config/recurring.yml has it, but a daemon loads the file only at its start and on HUP"
    )
    other = "has it in its section production, and the environment (JOBSD_ENV) is development"

    for verb in ("show", "next", "run", "history", "remove", "disable"):
        early, elsewhere = daily("recurring", verb, "a"), daily("recurring", verb, "b")
        assert (early.returncode, loaded in early.stderr) == (5, True)
        assert (elsewhere.returncode, other in elsewhere.stderr) == (5, True)
    assert "did you mean" not in daily("recurring", "show", "class").stderr


def test_explain_of_a_task_key_points_to_recurring_show(
    run: Commands, project: Project
) -> None:
    task = "{schedule: every hour, class: DailyCleanupJob}"
    project.write("config/recurring.yml", f"beat: {task}\n")

    done = run("recurring", "explain", "beat")

    assert done.returncode == 1
    assert "this is the key of a task; use `bin/jobs recurring show beat`" in done.stderr
