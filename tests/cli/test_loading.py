"""What commands load: none waits for a driver, or for a parser, that it has no use for."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import click
import pytest

from jobsd.daemon.cli import cli
from jobsd.machine import PROGRAM_VERSION
from layout.house import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.project import Project
    from jobsd.database.connection import Session

# Each of them takes as long as all that a command may take, or a good part of it.
DRIVERS = ("psycopg", "asyncio", "structlog", "prometheus_client", "jobsd.worker")
OTHERS = ("yaml", "croniter", "importlib.metadata", "email", "subprocess", "zoneinfo")
# What is needed to report an error, to wrap a line, or for some argument or time zone.
SELDOM = ("traceback", "textwrap", "logging", "zoneinfo", "difflib", "pkgutil", "ctypes")
RECORD = """
import contextlib, io, json, sys
from jobsd.daemon.cli import cli
called = []
for words in json.loads(sys.argv.pop()):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = cli.run(words)
    called.append([words, status, sorted(sys.modules)])
print(json.dumps(called))
"""


def _verbs() -> Iterator[list[str]]:
    context = click.Context(cli.commands)
    for name in cli.commands.list_commands(context):
        yield [name]
        command = cli.commands.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ([name, verb] for verb in command.commands)


def _loaded(
    commands: list[list[str]], unwanted: tuple[str, ...], project: Project
) -> dict[str, list[str]]:
    """Return what each of these commands, one after the other in one process, loads of it."""
    environ = {name: each for name, each in project.environ.items() if "DATABASE" not in name}
    done = subprocess.run(
        [sys.executable, "-P", "-c", RECORD, json.dumps(commands)],
        cwd=project.root,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    before: set[str] = set()
    found: dict[str, list[str]] = {}
    for words, _status, modules in json.loads(done.stdout):
        new = (before ^ set(modules)) & set(unwanted)
        before |= new
        if new:
            found[" ".join(words)] = sorted(new)
    return found


def test_no_help_loads_a_driver_or_a_parser(project: Project) -> None:
    helps = [["-h"], *([*words, "-h"] for words in _verbs())]

    assert _loaded(helps, DRIVERS + OTHERS, project) == {}


def test_no_command_that_needs_no_database_loads_a_driver(project: Project) -> None:
    project.write("config/recurring.yml", "daily: {class: Daily, schedule: at 3am every day}\n")
    commands = [
        "version",
        "generate completions bash",
        "stop",
        "reload",
        "db sql",
        "db grants somebody",
        "config show",
        "logs",
        "recurring explain daily",
        "generate procfile",
        "generate crontab",
        "generate dokku",
        "generate kamal",
        "generate man",
        "init /proc/nowhere",
        "lits",
        "list --state nosuch",
        "start --nosuch",
        "config show -c nosuch.yml",
    ]

    assert _loaded([each.split() for each in commands], DRIVERS, project) == {}


def test_a_configuration_is_read_without_seldom_needed_modules(project: Project) -> None:
    project.write("config/recurring.yml", "daily: {class: Daily, schedule: at 3am every day}\n")
    commands = [["config", "show"], ["check"], ["generate", "procfile"]]

    assert _loaded(commands, SELDOM, project) == {}


def test_a_configuration_is_read_without_what_judges_and_logs_jobs(project: Project) -> None:
    unwanted = ("jobsd.jobs.policy", "jobsd.events.events", "jobsd.logs.logs")

    assert _loaded([["config", "show"], ["generate", "procfile"]], unwanted, project) == {}


def test_croniter_is_loaded_only_where_a_cron_is_stepped(project: Project) -> None:
    project.write("config/recurring.yml", "daily: {class: Daily, schedule: at 3am every day}\n")
    reading = [["config", "show"], ["check"], ["generate", "procfile"]]
    explained = [["recurring", "explain", each] for each in ("every: 5m", "monthly")]

    loaded = _loaded([*reading, *explained], ("croniter",), project)

    assert loaded == {"recurring explain monthly": ["croniter"]}


def test_defining_a_job_loads_nothing_that_is_seldom_needed() -> None:
    code = (
        "import sys; from jobsd import HeartbeatJob, Job, Limit, job, on_start;"
        f" print([each for each in {SELDOM!r} if each in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_the_version_is_known_without_reading_installed_packages(project: Project) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert declared["project"]["version"] == PROGRAM_VERSION
    assert _loaded([["version"]], DRIVERS + OTHERS, project) == {}


def test_defining_a_job_loads_no_driver(project: Project) -> None:
    project.write(
        "late_jobs.py", "from jobsd import Job, Limit, job\n\n@job\ndef late(): ...\n"
    )
    project.write("config/queue.yml", "import: [late_jobs]\n")
    code = (
        "import json, sys; sys.path.insert(0, '.'); import late_jobs;"
        " from jobsd.daemon.tree.import_check import check_imports;"
        f" print(json.dumps([each for each in {DRIVERS!r} if each in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=project.root,
        env=project.environ,
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout) == []
    assert _loaded([["check"]], DRIVERS, project) == {}


def test_a_command_that_imports_the_users_modules_ends_as_python_does(
    project: Project,
) -> None:
    project.write(
        "ending_jobs.py",
        "import atexit, sys\nfrom jobsd import job\n\n"
        "@job\ndef ending(): ...\n\n"
        "atexit.register(print, 'the end', file=sys.stderr)\n",
    )
    project.write("config/queue.yml", "import: [ending_jobs]\n")

    done = project.run("enqueue", "ending_jobs.ending")

    assert (done.returncode, done.stderr) == (0, "the end\n")


def test_an_ended_job_is_shown_without_loading_the_search_for_reasons(
    session: Session, project: Project
) -> None:
    row = session.connection.execute(
        "INSERT INTO jobsd.jobs (queue_name, class_name, outcome, finished_at)"
        " VALUES ('mail', 'welcome', 'finished', now()) RETURNING id"
    ).fetchone()
    assert row is not None
    command = ["show", str(row[0]), "--database-url", project.environ["DATABASE_URL"]]

    assert _loaded([command], ("jobsd.operations.why", "jobsd.acts.queues"), project) == {}


@pytest.mark.parametrize("words", ["list", "show 1", "status", "queues", "ps", "heartbeat"])
def test_a_command_that_asks_the_database_loads_nothing_of_the_tree(
    words: str, project: Project
) -> None:
    # The driver itself loads asyncio.
    enqueues = ("jobsd.enqueueing.client", "jobsd.jobs.definition", "jobsd.enqueueing.enqueue")
    unwanted = (
        "croniter",
        *enqueues,
        *(each for each in DRIVERS if each not in {"psycopg", "asyncio"}),
    )
    command = [*words.split(), "--database-url", project.environ["DATABASE_URL"]]

    assert _loaded([command], unwanted, project) == {}
