"""What commands say of schedules in the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from system.commands import Commands

SCHEDULED = """
from jobsd import job

@job(schedule="every day at 3am", schedule_args=[7], schedule_key="nightly")
def sweep(days):
    print(f"swept {days}", flush=True)
"""


@pytest.fixture(autouse=True)
def _scheduled(run: Commands) -> None:
    run.project.write("shop_jobs.py", SCHEDULED)


def test_check_shows_the_tasks_of_the_code(run: Commands) -> None:
    done = run("check")

    assert done.stdout.splitlines() == [
        "configuration is valid",
        "scheduled in code shop_jobs.py:4: nightly, every day at 3am",
    ]
    assert run.json("check")["code_tasks"] == [
        {"key": "nightly", "schedule": "every day at 3am", "source": "code shop_jobs.py:4"}
    ]


def test_check_shows_no_task_that_the_file_defines_or_turns_off(run: Commands) -> None:
    run.project.write("config/recurring.yml", "nightly: {enabled: false}\n")

    assert run("check").stdout.splitlines() == ["configuration is valid"]


def test_a_queue_of_a_code_task_without_a_worker_is_a_warning(run: Commands) -> None:
    run.project.write("config/queue.yml", "import: [shop_jobs]\nworkers: [{queues: mail}]\n")

    assert "no worker here takes jobs from queue 'default', that of nightly" in (
        run("check").stderr
    )


def test_an_entry_that_turns_off_an_unknown_task_is_a_fault(run: Commands) -> None:
    run.project.write("config/recurring.yml", "nigthly: {enabled: false}\n")

    done = run("check")

    assert done.returncode == 78
    assert done.stderr.splitlines()[:2] == [
        "error: nigthly.enabled: no job has a schedule with the key 'nigthly'",
        "  at config/recurring.yml:1:20",
    ]
    assert done.stderr.splitlines()[-1] == "hint: did you mean nightly?"


def test_two_jobs_with_one_key_are_a_fault_at_their_line(run: Commands) -> None:
    run.project.write("shop_jobs.py", f"{SCHEDULED}\n{SCHEDULED.replace('sweep', 'clean')}")

    done = run("check")

    assert done.returncode == 78
    assert "two jobs have the schedule_key 'nightly'" in done.stderr


def test_a_task_of_the_code_runs_here(run: Commands) -> None:
    done = run("recurring", "run", "nightly", "--here")

    assert (done.returncode, done.stdout) == (0, "swept 7\n")


def test_a_crontab_has_the_tasks_of_the_code(run: Commands) -> None:
    text = run("generate", "crontab").stdout

    assert "perform shop_jobs.sweep '[7]'" in text


@pytest.mark.parametrize("entry", ["{enabled: true}", "{enabled: false, queue: mail}"])
def test_an_entry_that_does_more_than_turn_off_needs_its_work(
    run: Commands, entry: str
) -> None:
    run.project.write("config/recurring.yml", f"default:\n  nightly: {entry}\n")

    assert "nightly has neither class nor command" in run("check").stderr
