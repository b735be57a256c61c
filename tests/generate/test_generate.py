"""What `generate` writes does what it is for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from jobsd.configuration.options import Options
from jobsd.configuration.variables import variables
from jobsd.daemon.cli import completion
from jobsd.daemon.generate import manual, orchestration, service_unit
from jobsd.errors import ConfigurationError
from waiting import wait_until

if TYPE_CHECKING:
    from harness.project import Project
    from system.commands import Commands

SOURCE = Path(__file__).parents[2]


def test_a_procfile_starts_the_daemon_and_migrates(run: Commands) -> None:
    lines = dict(
        line.split(": ", 1) for line in run("generate", "procfile").stdout.splitlines()
    )

    assert list(lines) == ["release", "jobs"]
    migrated = run.shell(lines["release"])
    assert migrated.returncode == 0, migrated.stderr
    assert lines["jobs"].endswith(" start")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_the_alerts_and_the_configuration_in_their_head(
    run: Commands, tmp_path: Path
) -> None:
    text = run("generate", "prometheus", JOBSD_METRICS_BIND="127.0.0.1:9555").stdout
    (tmp_path / "jobsd.rules.yml").write_text(text)
    _, *head = [line[2:] for line in text.splitlines()[:5]]
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text("\n".join(head))

    checked = subprocess.run(
        ["promtool", "check", "config", str(configuration)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
    assert "rules found" in checked.stdout
    (scraped,) = yaml.safe_load(configuration.read_text())["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": ["127.0.0.1:9555"]}]


def test_the_dashboard_for_grafana_is_the_shipped_one(run: Commands) -> None:
    shipped = SOURCE / "packaging/grafana/jobsd.json"

    assert json.loads(run("generate", "grafana").stdout) == json.loads(shipped.read_text())


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_accepts_the_unit_of_a_project(run: Commands) -> None:
    folder = run.project.root / "config"
    text = run("generate", "systemd").stdout
    unit = folder / "jobsd-shop.service"
    unit.write_text(text)

    verified = _analyze("verify", str(unit))
    exposed = _analyze("security", "--offline=true", "--threshold=25", str(unit))

    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    assert exposed.returncode == 0, exposed.stdout


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_of_a_unit_starts_this_project_with_this_python(run: Commands) -> None:
    lines = run("generate", "systemd").stdout.splitlines()

    command = _value(lines, "ExecStart").removesuffix(" start")
    assert shlex.split(command)[0] == sys.executable
    assert run.shell(f"{command} check").returncode == 0
    assert _value(lines, "WorkingDirectory") == str(run.project.root)
    assert f"Environment=JOBSD_CONFIG={run.project.root}/config/queue.yml" in lines
    assert "Environment=JOBSD_ENV=production" in lines


def _value(lines: list[str], name: str) -> str:
    (found,) = (line for line in lines if line.startswith(f"{name}="))
    return found.removeprefix(f"{name}=")


def _unit(root: Path, **environ: str) -> list[str]:
    (root / "config").mkdir(parents=True, exist_ok=True)
    return service_unit.unit(Options(root=root), environ).splitlines()


def test_a_unit_has_all_lines_of_the_shipped_one_but_its_paths(tmp_path: Path) -> None:
    shipped = (SOURCE / "systemd/jobsd.service").read_text().splitlines()

    lines = _unit(tmp_path)

    gone = {line.split("=")[0] for line in shipped if line not in lines}
    assert gone <= {
        *("Description", "Documentation", "Environment", "ExecStart", "ExecReload", "User"),
        *("Group", "WorkingDirectory", "StateDirectory", "StateDirectoryMode"),
        *("ProtectHome", "PrivateTmp"),
    }
    assert f"ReadWritePaths=-{tmp_path}/storage" in lines
    # For the journals: `storage` can't be made there.
    assert _value(lines, "StateDirectory") == f"jobsd-{tmp_path.name}"
    assert _value(lines, "StateDirectoryMode") == "0750"


def test_a_unit_runs_as_the_owner_of_the_project(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        assert _value(_unit(tmp_path), "User") == "jobsd"
        os.chown(tmp_path, 65534, -1)

    lines = _unit(tmp_path)

    assert _value(lines, "User") == tmp_path.owner()
    assert not any("useradd" in line for line in lines)


def test_a_unit_names_odd_paths_so_that_systemd_reads_them(tmp_path: Path) -> None:
    lines = _unit(
        tmp_path / 'my 100% "app"',
        PYTHONPATH="lib",
        JOBSD_CONFIG="q.yml",
        DJANGO_SETTINGS_MODULE="shop.settings",
    )

    assert _value(lines, "WorkingDirectory") == f'{tmp_path}/my 100%% "app"'
    quoted = f'{tmp_path}/my 100%% \\"app\\"'
    assert f'Environment="JOBSD_CONFIG={quoted}/q.yml"' in lines
    assert f'Environment="PYTHONPATH={quoted}/lib"' in lines
    assert "Environment=DJANGO_SETTINGS_MODULE=shop.settings" in lines


def test_a_path_that_no_unit_can_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a systemd unit can't contain the path"):
        _unit(tmp_path / "two\nlines")


@pytest.mark.parametrize(
    ("name", "installs"),
    [
        ("", "--find-links wheels 'jobsd[binary]=="),
        (
            "requirements.txt",
            "/opt/build -r /opt/build/requirements.txt 'jobsd[binary]'",
        ),
        ("pyproject.toml", "--find-links wheels /app 'jobsd[binary]'"),
    ],
)
def test_a_dockerfile_installs_the_requirements_of_the_project(
    tmp_path: Path, name: str, installs: str
) -> None:
    if name:
        (tmp_path / name).touch()

    text = orchestration.dockerfile(Options(root=tmp_path))

    assert installs in text
    assert text.index("pip install") < text.index("USER 10001:10001")
    assert "@" not in text


def test_a_dockerfile_keeps_the_rules_of_our_own_image(run: Commands) -> None:
    ours = (SOURCE / "packaging/Dockerfile").read_text()

    text = run("generate", "dockerfile").stdout

    lines = text.splitlines()
    for begin in ("USER", "EXPOSE", "STOPSIGNAL", "ENV"):
        assert [line for line in lines if line.startswith(f"{begin} ")] == [
            line for line in ours.splitlines() if line.startswith(f"{begin} ")
        ]
    assert _health(text) == _health(ours)
    assert re.findall("^(?:ARG|FROM) .*", text, re.MULTILINE) == [
        f"ARG BASE=python:{sys.version_info.major}.{sys.version_info.minor}-slim",
        "FROM ${BASE}",
    ]


def _health(recipe: str) -> str:
    return recipe[recipe.index("HEALTHCHECK --") : recipe.index("# Any command")]


def test_an_app_json_for_dokku_migrates_and_asks_whether_jobs_run(run: Commands) -> None:
    app = json.loads(run("generate", "dokku").stdout)

    assert run.shell(app["scripts"]["dokku"]["predeploy"]).returncode == 0
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
    assert role["drain_timeout"] == 30
    assert run.shell(job["options"]["health-cmd"]).returncode == 3
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
    wait_until(lambda: _completed(project, "jobs list --queue m") == ["mail"], 60)
    wait_until(lambda: _completed(project, "jobs list --class s") == ["shop_jobs.welcome"], 60)
    wait_until(lambda: job_id in _completed(project, "jobs show "), 60)


_DEAF = """
import time
from jobsd.daemon.cli import completion

class Deaf:
    def __del__(self):
        time.sleep(60)  # what interrupts this is dropped

try:
    with completion._patience():
        Deaf()
        time.sleep(60)
except completion._TookTooLongError:
    print("over")
"""


def test_the_time_limit_of_completion_holds_when_python_drops_its_exception() -> None:
    asked = [sys.executable, "-c", _DEAF]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)

    assert (done.stdout, done.stderr) == ("over\n", "")


def test_completion_without_a_database_offers_no_names_and_prints_nothing(
    project: Project,
) -> None:
    away = "postgresql://127.0.0.1:1/x"

    assert _completed(project, "jobs list --queue m", DATABASE_URL=away) == []
    assert not (project.root / "storage").exists()


def test_the_manual_page_names_every_command(run: Commands) -> None:
    page = run("generate", "man").stdout

    lines = page.splitlines()
    assert lines[0].startswith(".TH JOBSD 1")
    assert {".SS logs", ".SS db migrate", ".SS clear\\-finished"} <= set(lines)
    titles = [line.removeprefix(".SH ") for line in lines if line.startswith(".SH ")]
    assert titles == [
        *("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS"),
        *("ENVIRONMENT", "FILES", "EXAMPLES"),
    ]
    assert {f".B {name}" for name, _ in variables()} <= set(lines)
    if mandoc := shutil.which("mandoc"):
        linted = subprocess.run(
            [mandoc, "-T", "lint"], input=page, text=True, capture_output=True, check=False
        )
        assert (linted.returncode, linted.stdout) == (0, "")
    if man := shutil.which("groff"):
        checked = subprocess.run(
            [man, "-man", "-Tutf8", "-ww", "-z"],
            input=page,
            text=True,
            capture_output=True,
            check=False,
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_the_date_of_a_reproducible_manual_page_is_that_of_its_source() -> None:
    assert '"2001-09-09"' in manual.page({"SOURCE_DATE_EPOCH": "1000000000"}).splitlines()[0]
    assert manual.page({}).startswith('.TH JOBSD 1 "20')


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


def test_a_time_that_clocks_skip_is_refused_and_the_first_of_two_is_taken(
    run: Commands,
) -> None:
    welcome = ("enqueue", "shop_jobs.welcome", "[1]", "--at")

    skipped = run(*welcome, "2030-03-31 02:30 Europe/Paris")
    twice = run.json(*welcome, "2030-10-27 02:30 Europe/Paris")

    assert skipped.returncode == 2
    assert "there is no 02:30 on 2030-03-31 in Europe/Paris" in skipped.stderr
    assert run.json("show", str(twice["id"]))["scheduled_at"] == "2030-10-27T00:30:00+00:00"
