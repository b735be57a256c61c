"""A program that does not say where its jobs go: it joins what runs, and starts nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project
from jobsd.configuration.target import embedded_server
from kept import kept_folder
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

PROGRAM = """
import logging, sys
import jobsd

@jobsd.job(name="hello")
def hello(value): ...

def enqueue():
    try:
        print(hello.enqueue(1).state)
    except jobsd.ConfigurationError as error:
        print(type(error).__name__, error)

"""
NAMED = ("QUEUE_DATABASE_URL", "DATABASE_URL", "database.url", "jobsd.configure(url)")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user may enter, whoever that is."""
    made = kept_folder("jobsd-program-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    """A project without any database of its own."""
    environ = {"JOBSD_EMBEDDED_DIR": str(folder / "postgres")}
    made = Project(folder, "", **environ)
    made.write("config/queue.yml", "{}\n")
    yield made
    embedded_server(folder, environ).stop()


def _run(project: Project, program: str, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in project.environ.items() if name != "JOBSD_HOME"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + program],
        cwd=project.root,
        env={**own, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@pytest.mark.failure(
    "a web application has no DATABASE_URL, and no server of the project runs",
    "its enqueue is refused with what to set; no server is made or started",
)
@pytest.mark.parametrize(
    "environ",
    [{}, {"JOBSD_ENV": "production"}, {"JOBSD_EMBEDDED": "1"}, {"INVOCATION_ID": "1"}],
    ids=["development", "production", "allowed", "below systemd"],
)
def test_a_program_makes_no_server(project: Project, environ: dict[str, str]) -> None:
    reported = _run(project, "enqueue()", **environ).stdout

    assert [name for name in NAMED if name not in reported] == []
    assert not (project.root / "postgres").exists()
    assert not (project.root / "storage").exists()


def test_a_program_starts_no_server_that_a_command_has_made_and_stopped(
    project: Project,
) -> None:
    project.run("db", "url")
    project.run("db", "stop")

    reported = _run(project, "enqueue()").stdout

    assert "a program starts none" in reported
    assert not embedded_server(project.root, project.environ).running()


@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_program_joins_the_server_of_a_tree_and_reports_it_once(
    project: Project, environment: str
) -> None:
    with project.start(JOBSD_ENV=environment, JOBSD_EMBEDDED="1") as tree:
        tree.wait_event("supervisor.ready")
        done = _run(
            project, "enqueue(); enqueue(); jobsd.queues.size('default')", JOBSD_ENV=environment
        )
        url = project.run("db", "url").stdout.strip()
        with psycopg.connect(url) as connection:
            stored = connection.execute("SELECT count(*) FROM jobsd.jobs").fetchone()
        tree.terminate()

    joined = f"no database is configured: jobs go to the embedded server of {project.root}\n"
    assert (done.stdout, stored) == ("ready\nready\n", (2,))
    assert done.stderr == joined


def test_a_program_that_was_refused_joins_once_the_tree_runs(project: Project) -> None:
    later = """
import time
enqueue()
sys.stdin.readline()
enqueue()
"""
    own = {name: value for name, value in project.environ.items() if name != "JOBSD_HOME"}
    with subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM + later],
        cwd=project.root,
        env=own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        first = program.stdout.readline()
        with project.start() as tree:
            tree.wait_event("supervisor.ready")
            reported, _ = program.communicate("\n", timeout=30)
            tree.terminate()

    assert "ConfigurationError" in first
    assert reported.splitlines()[-1] == "ready"


def test_a_job_of_the_tree_goes_where_its_tree_has_its_jobs(project: Project) -> None:
    project.write("config/queue.yml", "import: [its_jobs]\n")
    project.write(
        "its_jobs.py",
        "import jobsd\n"
        "@jobsd.job(name='second')\ndef second(): print('second ran')\n"
        "@jobsd.job(name='first')\ndef first(): second.enqueue()\n",
    )
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        assert project.run("enqueue", "first").returncode == 0
        wait_until(lambda: "second ran" in tree.reported(), 20, tree.reported)
        tree.terminate()


def test_with_a_connection_no_url_is_needed(project: Project, empty_database: str) -> None:
    project.write("config/queue.yml", "database: {schema: other}\n")
    project.run("db", "migrate", "--database-url", empty_database)
    program = f"""
import psycopg
with psycopg.connect({empty_database!r}) as connection:
    print(hello.using(connection=connection).enqueue(1).state)
    drafts = [hello.with_args(n) for n in range(3)]
    print(len(jobsd.enqueue_many(drafts, connection=connection)))
enqueue()
"""
    printed = _run(project, program, DATABASE_URL="mysql://elsewhere/").stdout.splitlines()

    with psycopg.connect(empty_database) as connection:
        stored = connection.execute("SELECT count(*) FROM other.jobs").fetchone()
    assert (printed[:2], printed[2][:18], stored) == (
        ["ready", "3"],
        "ConfigurationError",
        (4,),
    )
    assert not (project.root / "postgres").exists()


@pytest.mark.failure(
    "no database is configured, and no embedded one was made",
    "a command that only reads or changes is refused with 78, `status` with 3, `health` and"
    " `heartbeat verify` with 1: an empty database would answer wrongly",
)
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("status", 3),
        ("health", 1),
        ("heartbeat verify", 1),
        ("list", 78),
        ("show 1", 78),
        ("retry --all", 78),
        ("recurring list", 78),
        ("doctor", 78),
        ("web", 78),
        ("db status", 78),
        ("db migrate --dry-run", 78),
    ],
)
def test_most_commands_make_no_database(arguments: str, status: int, tmp_path: Path) -> None:
    project = Project(tmp_path, "", JOBSD_EMBEDDED_DIR=str(tmp_path / "postgres"))
    project.write("config/queue.yml", "{}\n")

    done = project.run(*arguments.split())

    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert "no database is configured, and none was made here" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


@pytest.mark.parametrize(
    "arguments", ["start", "db migrate", "db url", "db psql", "enqueue x", "bench", "console"]
)
def test_in_production_no_command_makes_a_database(arguments: str, tmp_path: Path) -> None:
    project = Project(tmp_path, "", JOBSD_EMBEDDED_DIR=str(tmp_path / "postgres"))
    project.write("config/queue.yml", "import: [its_jobs]\n")
    project.write("its_jobs.py", "import jobsd\n@jobsd.job(name='x')\ndef x(): pass\n")

    done = project.run(*arguments.split(), JOBSD_ENV="production")

    assert done.returncode == 78, done.stderr
    assert "none was made here" in done.stderr
    assert "JOBSD_EMBEDDED=1" in done.stderr
    assert not (tmp_path / "postgres").exists()


def test_a_command_uses_the_server_of_a_tree_without_files(folder: Path) -> None:
    environ = {"JOBSD_EMBEDDED_DIR": str(folder / "postgres")}
    outside = Project(folder, "", **environ)
    del outside.environ["JOBSD_HOME"]
    with contextlib.ExitStack() as stack:
        stack.callback(embedded_server(folder, environ).stop)
        assert outside.run("db", "migrate").returncode == 0

        done = outside.run("ps", "--json")

    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert [path.name for path in folder.iterdir()] == ["postgres"]


def test_few_commands_make_a_server() -> None:
    commands = Path(__file__).parents[2] / "daemon/commands"
    sources = {path.stem: path.read_text(encoding="utf-8") for path in commands.glob("*.py")}

    make = {name: source.count("project.makes = True") for name, source in sources.items()}

    # Of `db` migrate, url and psql; `enqueue` and `perform`.
    expected = {"bench": 1, "console": 1, "db": 3, "enqueue": 2}
    assert {name: count for name, count in make.items() if count} == expected
