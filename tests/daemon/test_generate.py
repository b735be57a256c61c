"""What `generate` writes does what it is for."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from croniter import croniter

from jobsd.daemon import completion
from system.tree import wait_for

if TYPE_CHECKING:
    from system.commands import Commands
    from system.tree import Project

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


CONTAINED = """
supervisor: {shutdown_timeout: 90s}
workers: [{threads: 3}]
"""


def test_compose_migrates_first_and_gives_a_drain_its_time(run: Commands) -> None:
    run.project.write("config/queue.yml", CONTAINED)

    services = yaml.safe_load(run("generate", "compose").stdout)["services"]

    assert services["migrate"]["command"] == ["db", "migrate"]
    daemon = services["jobs"]
    assert daemon["command"] == ["start"]
    assert daemon["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert daemon["stop_grace_period"] == "95s"
    assert daemon["environment"]["JOBSD_ENV"] == "production"


def test_kubernetes_gets_a_migration_and_a_daemon_that_is_asked_and_drained(
    run: Commands,
) -> None:
    run.project.write("config/queue.yml", CONTAINED)

    text = run("generate", "kubernetes").stdout
    job, deployment = yaml.safe_load_all(text)

    assert "&id" not in text, "not every reader knows aliases"
    assert [job["kind"], deployment["kind"]] == ["Job", "Deployment"]
    (migration,) = job["spec"]["template"]["spec"]["containers"]
    assert migration["args"] == ["db", "migrate"]
    pod = deployment["spec"]["template"]["spec"]
    (daemon,) = pod["containers"]
    assert daemon["args"] == ["start"]
    assert pod["terminationGracePeriodSeconds"] == 95
    assert pod["securityContext"]["runAsUser"] == 10001
    paths = {
        each: daemon[f"{each}Probe"]["httpGet"]["path"] for each in ("liveness", "readiness")
    }
    assert paths == {"liveness": "/livez", "readiness": "/readyz"}
    assert "0.0.0.0:9394" in {each.get("value") for each in daemon["env"]}
    assert (
        deployment["spec"]["selector"]["matchLabels"]
        == (deployment["spec"]["template"]["metadata"]["labels"])
    )


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


def test_an_app_json_for_dokku_migrates_and_asks_whether_jobs_run(run: Commands) -> None:
    app = json.loads(run("generate", "dokku").stdout)

    assert _shell(run, app["scripts"]["dokku"]["predeploy"]).returncode == 0
    assert app["formation"] == {"jobs": {"quantity": 1}}
    (check,) = app["healthchecks"]["jobs"]
    asked = subprocess.run(
        check["command"], cwd=run.project.root, env=run.project.environ, check=False
    )
    assert asked.returncode == 3


def test_the_role_for_kamal_starts_the_daemon_and_waits_for_its_drain(run: Commands) -> None:
    run.project.write("config/queue.yml", "supervisor: {shutdown_timeout: 25}\n")

    role = yaml.safe_load(run("generate", "kamal").stdout)

    job = role["servers"]["job"]
    assert job["cmd"].endswith(" start")
    assert job["options"]["stop-timeout"] == 30
    assert _shell(run, job["options"]["health-cmd"]).returncode == 3
    assert role["env"]["clear"] == {"JOBSD_ENV": "production"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_takes_its_completions(run: Commands, shell: str) -> None:
    text = run("generate", "completions", shell).stdout

    assert text.count("_JOBSD_COMPLETE") >= len(completion.PROGRAMS)
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=text, text=True, check=False).returncode == 0


def _completed(project: Project, words: str, **environ: str) -> list[str]:
    given = words.split(" ")
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(given) - 1)}
    done = project.run(**asked, _JOBSD_COMPLETE="bash_complete", **environ)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.split()]


def test_commands_options_and_names_are_completed(project: Project, run: Commands) -> None:
    job_id = run("enqueue", "shop_jobs.welcome", "[1]").stdout.strip()

    assert _completed(project, "jobs que") == ["queues"]
    assert "--queue" in _completed(project, "jobs list --q")
    # A busy machine takes longer than the names may.
    wait_for(lambda: _completed(project, "jobs list --queue m") == ["mail"], 60)
    wait_for(lambda: _completed(project, "jobs list --class s") == ["shop_jobs.welcome"], 60)
    wait_for(lambda: job_id in _completed(project, "jobs show "), 60)


def test_without_a_database_no_name_is_offered_and_nothing_is_said(project: Project) -> None:
    away = "postgresql://127.0.0.1:1/x"

    assert _completed(project, "jobs list --queue m", DATABASE_URL=away) == []
    assert not (project.root / "storage").exists()


def test_the_manual_page_names_every_command(run: Commands) -> None:
    page = run("generate", "man").stdout

    lines = page.splitlines()
    assert lines[0].startswith(".TH JOBSD 1")
    assert {".SS logs", ".SS db migrate", ".SS clear\\-finished"} <= set(lines)
    if man := shutil.which("groff"):
        checked = subprocess.run(
            [man, "-man", "-Tutf8", "-ww", "-z"],
            input=page,
            text=True,
            capture_output=True,
            check=False,
        )
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2030-07-01 03:00 Europe/Paris", "2030-07-01T01:00:00+00:00"),
        ("2030-07-01 03:00", "2030-07-01T03:00:00+00:00"),
        ("2030-07-01T03:00+02:00", "2030-07-01T01:00:00+00:00"),
    ],
)
def test_a_time_may_name_its_zone(run: Commands, given: str, stored: str) -> None:
    job_id = run("enqueue", "shop_jobs.welcome", "[1]", "--at", given).stdout.strip()

    assert run.json("show", job_id)["scheduled_at"] == stored


@pytest.mark.parametrize(
    "given", ["2030-07-01 03:00 Mars/Base", "2030-07-01T03:00Z UTC", "soon"]
)
def test_a_time_of_no_zone_or_of_two_is_wrong_usage(run: Commands, given: str) -> None:
    assert run("enqueue", "shop_jobs.welcome", "[1]", "--at", given).returncode == 2
