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
from zoneinfo import ZoneInfo

import pytest
import yaml
from croniter import croniter

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
KAMAL = Path(__file__).with_name("kamal.schema.json")
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


def _checks_crontabs() -> bool:
    """Say whether there is a crontab that can check one, and may here."""
    if shutil.which("crontab") is None:
        return False
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("* * * * * true\n")
        file.flush()
        return _judged("crontab", "-T", file.name, cwd=Path("/")).returncode == 0


# The programs themselves judge where they are; what they read is known everywhere.
KAMALS = ["schema", *(["kamal"] if shutil.which("kamal") else [])]
CRONS = ["crontab(5)", *(["cronie"] if _checks_crontabs() else [])]


def _refused(text: str) -> list[str]:
    """Return the lines that cron would refuse by crontab(5), or take otherwise than meant.

    A percent sign that is not escaped ends a command, and begins what it reads.
    """
    lines = [line.strip() for line in text.splitlines()]
    wrong = [line for line in lines if line and line[0] != "#" and not _is_right(line)]
    # Cron leaves out a last line that does not end.
    return wrong if text.endswith("\n") else [*wrong, lines[-1]]


def _is_right(line: str) -> bool:
    if setting := re.fullmatch(r"(\w+)\s*=\s*(.*)", line):
        return setting[1] != "CRON_TZ" or bool(ZoneInfo(setting[2]).key)
    *times, command = [*line.split(None, 5), ""][:6]
    is_entry = len(times) == 5 and bool(command)
    is_text = not re.search(r"(?<!\\)%", command)
    return is_entry and is_text and croniter.is_valid(" ".join(times))


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


@pytest.mark.parametrize("judge", KAMALS)
@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("", ""), 0),
        (("    cmd:", "    command:"), 1),
        (("    hosts:", "    host:"), 1),
        (("drain_timeout: ", "drain_timeouts: "), 1),
        (("  secret:", "  secrets:"), 1),
    ],
)
def test_kamal_reads_the_role(
    run: Commands, judge: str, change: tuple[str, str], status: int
) -> None:
    web = "servers:\n  web: [192.168.0.1]\n"
    role = run("generate", "kamal").stdout.replace("servers:\n", web).replace(*change)
    run.project.write(".kamal/secrets", "PASSWORD=x\nDATABASE_URL=postgresql://x\n")
    file = run.project.write("config/deploy.yml", DEPLOY + role)

    if judge == "kamal":
        done = _judged("kamal", "config", "--version", "1", cwd=file.parents[1])
    else:
        words = ("--schemafile", KAMAL, file)
        done = _judged(_of_python("check-jsonschema"), *words, cwd=file.parent)

    assert done.returncode == status, done.stdout + done.stderr


@pytest.mark.parametrize("judge", CRONS)
@pytest.mark.parametrize("written", ["generated", "page"])
def test_cron_takes_the_crontab(run: Commands, judge: str, written: str) -> None:
    run.project.write("config/recurring.yml", RECURRING)
    page: str = re.findall("^(MAILTO=.*?)^```", guide("cron"), re.MULTILINE | re.DOTALL)[0]
    text = page if written == "page" else run("generate", "crontab").stdout
    ill = "99 * * * * true\n" + text

    if judge == "cronie":
        file = run.project.write("crontab", text)
        done = _judged("crontab", "-T", file, cwd=file.parent)
        assert done.returncode == 0, done.stdout + done.stderr
        file.write_text(ill)
        assert _judged("crontab", "-T", file, cwd=file.parent).returncode == 1
    else:
        assert _refused(text) == []
        assert _refused(ill) == ["99 * * * * true"]
