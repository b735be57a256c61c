"""What `generate` writes for platforms and for cron, judged by what reads it there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from docs.pages import blocks, guide

if TYPE_CHECKING:
    from system.commands import Commands

SCHEMA = Path(__file__).with_name("app_json.schema.json")
RECURRING = """
greet: {class: shop_jobs.welcome, args: [5, '50% "off"'], schedule: every 10 minutes,
        description: "in\\ntwo lines"}
sweep: {command: 'jobsd.clear_finished_in_batches()', schedule: at 5am every day Europe/Madrid}
weekly: {class: DailyCleanupJob, schedule: every monday and friday at 9:30}
quick: {class: DailyCleanupJob, schedule: every 10 seconds}
off: {class: DailyCleanupJob, schedule: '@daily', enabled: false}
"""
DEPLOY = """
service: shop
image: shop/shop
builder: {arch: amd64}
registry: {username: shop, password: [PASSWORD]}
"""


def _judged(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


def _of_python(program: str) -> Path:
    return Path(sys.executable).with_name(program)


def test_a_procfile_is_valid_for_what_starts_procfiles(run: Commands) -> None:
    root = run.project.write("Procfile", run("generate", "procfile").stdout).parent

    done = _judged(_of_python("honcho"), "check", cwd=root)

    assert done.returncode == 0
    assert "(jobs, release)" in done.stderr or "(release, jobs)" in done.stderr


def test_a_procfile_starts_the_daemon(run: Commands) -> None:
    run.project.write("Procfile", run("generate", "procfile").stdout)

    command = "$(sed -n 's/^jobs: //p' Procfile) --help"
    done = _judged(_of_python("honcho"), "run", "sh", "-c", command, cwd=run.project.root)

    assert (done.returncode, "Usage:" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("written", ["generated", "page"])
def test_an_app_json_has_only_what_dokku_reads(run: Commands, written: str) -> None:
    page = blocks(guide("dokku"), "json")[0]
    text = page if written == "page" else run("generate", "dokku").stdout
    file = run.project.write("app.json", text)

    done = _judged(
        _of_python("check-jsonschema"), "--schemafile", SCHEMA, file, cwd=file.parent
    )

    assert done.returncode == 0, done.stdout


def test_a_misspelt_key_of_an_app_json_would_be_found(run: Commands) -> None:
    app = json.loads(run("generate", "dokku").stdout)
    app["healthchecks"]["jobs"][0]["initial_delay"] = 5
    file = run.project.write("app.json", json.dumps(app))

    done = _judged(
        _of_python("check-jsonschema"), "--schemafile", SCHEMA, file, cwd=file.parent
    )

    assert done.returncode == 1
    assert "initial_delay" in done.stdout


def test_a_drain_that_is_longer_than_kamals_own_has_its_time(run: Commands) -> None:
    run.project.write("config/queue.yml", "supervisor: {shutdown_timeout: 89.5s}\n")

    role = yaml.safe_load(run("generate", "kamal").stdout)

    assert role["drain_timeout"] == role["servers"]["job"]["options"]["stop-timeout"] == 95


@pytest.mark.skipif(
    shutil.which("kamal") is None, reason="kamal (gem install kamal) is missing"
)
@pytest.mark.parametrize(
    ("change", "status"), [(("", ""), 0), (("    cmd:", "    command:"), 1)]
)
def test_kamal_reads_the_role(run: Commands, change: tuple[str, str], status: int) -> None:
    web = "servers:\n  web: [192.168.0.1]\n"
    role = run("generate", "kamal").stdout.replace("servers:\n", web).replace(*change)
    run.project.write(".kamal/secrets", "PASSWORD=x\nDATABASE_URL=postgresql://x\n")
    root = run.project.write("config/deploy.yml", DEPLOY + role).parents[1]

    done = _judged("kamal", "config", "--version", "1", cwd=root)

    assert done.returncode == status, done.stdout + done.stderr
    assert ("- job" in done.stdout) is (status == 0)


def _checks_crontabs() -> bool:
    """Say whether there is a crontab that can check one, and may here."""
    if shutil.which("crontab") is None:
        return False
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("* * * * * true\n")
        file.flush()
        return _judged("crontab", "-T", file.name, cwd=Path("/")).returncode == 0


@pytest.mark.skipif(not _checks_crontabs(), reason="no crontab that knows -T (cronie) is here")
@pytest.mark.parametrize("written", ["generated", "page"])
def test_cron_takes_the_crontab(run: Commands, written: str) -> None:
    run.project.write("config/recurring.yml", RECURRING)
    page: str = re.findall("^(MAILTO=.*?)^```", guide("cron"), re.MULTILINE | re.DOTALL)[0]
    text = page if written == "page" else run("generate", "crontab").stdout
    file = run.project.write("crontab", text)

    done = _judged("crontab", "-T", file, cwd=file.parent)

    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text("99 * * * * true\n" + file.read_text())
    assert _judged("crontab", "-T", file, cwd=file.parent).returncode == 1
