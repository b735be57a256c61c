"""What `generate` writes does what it is for."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from croniter import croniter

if TYPE_CHECKING:
    from system.commands import Commands

RECURRING = """
greet: {class: shop_jobs.welcome, args: [5, {polite: false}], schedule: every 10 minutes,
        description: 'greets 100% of them'}
sweep: {command: 'jobsd.clear_finished_in_batches()', schedule: at 5am every day Europe/Madrid}
quick: {class: DailyCleanupJob, schedule: every 10 seconds}
off: {class: DailyCleanupJob, schedule: '@daily', enabled: false}
percent: {class: shop_jobs.welcome, args: ['50%'], schedule: '@hourly'}
"""


def test_a_procfile_starts_the_daemon_and_migrates(run: Commands) -> None:
    lines = dict(
        line.split(": ", 1) for line in run("generate", "procfile").stdout.splitlines()
    )

    assert list(lines) == ["release", "jobs"]
    migrated = _shell(run, lines["release"])
    assert migrated.returncode == 0, migrated.stderr
    assert lines["jobs"].endswith(" start")


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
    greeted = _shell(run, entries[0].split(maxsplit=5)[5].replace(">/dev/null", ""))
    assert (greeted.returncode, greeted.stdout) == (0, "welcome 5\n")


def _shell(run: Commands, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=run.project.root,
        env=run.project.environ,
        capture_output=True,
        text=True,
        check=False,
    )
