"""The crontab that `generate` writes runs the tasks; cron mails only failures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from croniter import croniter

from jobsd.daemon.generate.new_project import write_project

if TYPE_CHECKING:
    from pathlib import Path

    from system.commands import Commands

RECURRING = """
greet: {class: shop_jobs.welcome, args: [5, {polite: false}], schedule: every 10 minutes,
        description: 'greets 100% of them'}
sweep: {command: 'jobsd.clear_finished_in_batches()', schedule: at 5am every day Europe/Madrid}
quick: {class: DailyCleanupJob, schedule: every 10 seconds}
off: {class: DailyCleanupJob, schedule: '@daily', enabled: false}
percent: {class: shop_jobs.welcome, args: ['50%'], schedule: '@hourly'}
"""


def test_a_crontab_runs_the_tasks(run: Commands) -> None:
    run.project.write("config/recurring.yml", RECURRING)

    text = run("generate", "crontab").stdout

    entries = [line for line in text.splitlines() if line and line[0] in "*0123456789"]
    assert [" ".join(line.split()[:5]) for line in entries] == [
        "*/10 * * * *",
        "0 5 * * *",
        "0 * * * *",
    ]
    assert all(croniter.is_valid(" ".join(line.split()[:5])) for line in entries)
    assert "CRON_TZ=Europe/Madrid" in text
    assert "# quick: a crontab cannot express 'every 10 seconds'" in text
    assert "# off is disabled" in text
    assert "50\\%" in entries[2]
    greeted = run.shell(entries[0].split(maxsplit=5)[5].replace(">/dev/null", ""))
    assert (greeted.returncode, greeted.stdout) == (0, "welcome 5\n")


def test_a_crontab_runs_a_command_without_a_daemon(run: Commands) -> None:
    task = "greet: {command: shop_jobs.welcome(7), schedule: every hour}\n"
    run.project.write("config/recurring.yml", task)
    line = run("generate", "crontab").stdout.splitlines()[-1]

    greeted = run.shell(line.split(maxsplit=5)[5].replace(">/dev/null", ""))

    assert (greeted.returncode, greeted.stdout) == (0, "welcome 7\n")
    assert run.rows("list") == []


@pytest.mark.parametrize(("task", "mailed"), [("heartbeat", False), ("broken", True)])
def test_cron_has_output_to_mail_of_failed_runs_only(
    run: Commands, task: str, *, mailed: bool
) -> None:
    tasks = {
        "heartbeat": "{class: HeartbeatJob, schedule: every minute}",
        "broken": "{command: shop_jobs.fail(), schedule: every minute}",
    }
    run.project.write("config/recurring.yml", f"{task}: {tasks[task]}\n")
    line = run("generate", "crontab").stdout.splitlines()[-1]

    done = run.shell(line.split(maxsplit=5)[5])

    assert (done.returncode != 0, bool(done.stdout + done.stderr)) == (mailed, mailed), done


def test_a_crontab_names_the_environment_that_the_script_would_not_find(run: Commands) -> None:
    write_project(run.project.root)
    script = str(run.project.root / "bin/jobs")

    text = run("generate", "crontab").stdout

    assert f"VIRTUAL_ENV={sys.prefix}\n" in text
    entries = [line for line in text.splitlines() if line and line[0] in "*0123456789"]
    assert [line for line in entries if script not in line] == []


@pytest.mark.parametrize("kind", ["procfile", "crontab"])
def test_a_generated_file_names_the_script_that_was_called(
    run: Commands, tmp_path: Path, kind: str
) -> None:
    called = tmp_path / "other/bin/jobs"
    called.parent.mkdir(parents=True)
    called.touch()
    task = "beat: {class: HeartbeatJob, schedule: every minute}\n"
    run.project.write("config/recurring.yml", task)

    text = run("generate", kind, JOBSD_HOME=str(tmp_path / "other")).stdout

    assert f" {called} " in text.splitlines()[-1]
