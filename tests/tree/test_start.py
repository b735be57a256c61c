"""What `start` refuses and tells before anything runs, and what then runs."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import socket
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
from psycopg import conninfo

from harness.project import Project
from jobsd.database.steps import migrations
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from system.commands import Commands

pytestmark = pytest.mark.system


def _refused(run: Commands, *arguments: str, status: int = 78) -> str:
    """Start, and return what is told by a start that ends at once."""
    done = run("start", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert "supervisor.started" not in done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def test_all_faults_of_both_files_are_reported(run: Commands) -> None:
    run.project.write("config/queue.yml", "workers:\n  - threads: 0\n    qeues: a\n")
    run.project.write("config/recurring.yml", "beat:\n  class: HeartbeatJob\n")

    reported = _refused(run)

    assert reported.count("error: ") == 3
    assert "at config/queue.yml:2:14" in reported
    assert "at config/recurring.yml:1:1" in reported
    assert "hint: " in reported


@pytest.mark.behaviour(1)
@pytest.mark.failure(
    "a container starts in production without its configuration (a mount is missing)",
    "the start is refused with 78 and says what to do; no job is touched, nothing is made",
)
def test_in_production_nothing_starts_without_a_configuration(run: Commands) -> None:
    (run.project.root / "config/queue.yml").unlink()
    before = sorted(run.project.root.rglob("*"))

    done = run("start", JOBSD_ENV="production")

    assert (done.returncode, done.stdout) == (78, "")
    error, at, hint = done.stderr.splitlines()
    assert at == "  at config/queue.yml"
    assert error.startswith("error: config/queue.yml does not exist, and the environment")
    assert hint.startswith("hint: create it (`init` writes one), or name yours")
    assert sorted(run.project.root.rglob("*")) == before
    assert run("check", JOBSD_ENV="production").returncode == 78


@pytest.mark.failure(
    "a module with jobs is faulty",
    "exit status 78; the line is named",
)
def test_a_module_that_can_not_be_imported_is_reported_with_its_place(run: Commands) -> None:
    run.project.write("shop_jobs.py", "import json\n\nprice = 1 / 0\n")

    reported = _refused(run)

    assert "error: can't import 'shop_jobs': ZeroDivisionError: division by zero" in reported
    assert 'shop_jobs.py", line 3, in <module>' in reported
    assert "registry.py" not in reported
    assert "importlib" not in reported


@pytest.mark.failure(
    "A module of the author's ends the process when it is imported.",
    "The start is refused with 78 and names the module.",
)
def test_a_module_that_ends_the_process_is_reported(run: Commands) -> None:
    run.project.write("shop_jobs.py", "import os\nos._exit(9)\n")

    assert "importing shop_jobs ended the process with status 9" in _refused(run)


def test_a_syntax_error_is_shown(run: Commands) -> None:
    run.project.write("shop_jobs.py", "def job(:\n")

    reported = _refused(run)

    assert "SyntaxError" in reported
    assert 'shop_jobs.py", line 1' in reported


@pytest.mark.behaviour(4)
def test_an_unknown_recurring_class_is_reported_with_its_line(run: Commands) -> None:
    run.project.write(
        "config/recurring.yml",
        "daily:\n  schedule: every day\n  class: DailyCleanJob\n"
        "beat:\n  schedule: every day\n  class: HeartbeatJob\n",
    )

    assert _refused(run).splitlines() == [
        "error: daily.class: no job is registered as 'DailyCleanJob'",
        "  at config/recurring.yml:3:10",
        "     3 |   class: DailyCleanJob",
        "       |          ^^^^^^^^^^^^^",
        "hint: did you mean DailyCleanupJob?",
    ]


def test_a_recurring_command_that_is_not_there_is_reported_with_its_place(
    run: Commands,
) -> None:
    run.project.write(
        "config/recurring.yml",
        'sweep:\n  command: "shop_jobs.sweep(1)"\n  schedule: every day\n',
    )

    reported = _refused(run)

    assert reported.startswith("error: sweep.command: 'shop_jobs.sweep' can't be called")
    assert "at config/recurring.yml:2:13" in reported


def test_a_port_that_is_taken_and_was_asked_for_is_refused(run: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        reported = _refused(run, "--metrics-bind", bind)

    assert reported.splitlines() == [
        f"error: can't listen on {bind}: Address already in use",
        "  at flag --metrics-bind",
        "hint: choose another port, or `off` for a tree without HTTP",
    ]


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["--pidfile", "config"], "flag --pidfile"),
        ([], "supervisor.pidfile in config/queue.yml"),
    ],
    ids=["flag", "file"],
)
def test_a_fault_that_a_start_finds_names_where_the_value_is_set(
    run: Commands, arguments: list[str], place: str
) -> None:
    run.project.write("config/queue.yml", "supervisor: {pidfile: config}\n")

    assert f"\n  at {place}\n" in _refused(run, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--horizon", "5m"], ["--worker-group", "9"], ["--worker-group", "x"]],
    ids=" ".join,
)
def test_a_flag_that_does_not_fit_ends_with_2(run: Commands, arguments: list[str]) -> None:
    done = run("start", *arguments)

    assert done.returncode == 2
    assert f"\n  at {arguments[0]}\n" in f"{done.stderr}\n"


@pytest.mark.failure(
    "a second start",
    "exit status 75, and the process id that holds the pidfile",
)
@pytest.mark.behaviour(10)
def test_a_second_start_with_the_same_pidfile_ends_with_75(run: Commands) -> None:
    with run.project.start("--pidfile", "run/jobsd.pid") as tree:
        tree.wait_event("supervisor.ready")

        reported = _refused(run, "--pidfile", "run/jobsd.pid", status=75)

        assert f"another supervisor (pid {tree.process.pid}) holds " in reported
        tree.terminate()
    assert not (run.project.root / "run/jobsd.pid").exists()


def test_a_pidfile_that_can_not_be_made_is_reported(run: Commands) -> None:
    reported = _refused(run, "--pidfile", "shop_jobs.py/pid")

    assert reported.startswith("error: the pidfile ")


def test_a_folder_elsewhere_is_not_made_for_a_pidfile(run: Commands) -> None:
    folder = run.project.root.with_name("mistyped")

    reported = _refused(run, "--pidfile", str(folder / "jobsd.pid"))

    assert f"can't be used: there is no folder {folder}" in reported
    assert not folder.exists()


def test_a_role_that_may_not_migrate_is_shown_db_migrate(
    run: Commands, empty_database: str
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS jobsd_test_guest")
        owner.execute("CREATE ROLE jobsd_test_guest LOGIN")
        try:
            guest = conninfo.make_conninfo(empty_database, user="jobsd_test_guest")
            reported = _refused(run, "--database-url", guest)
        finally:
            owner.execute("DROP ROLE jobsd_test_guest")

    assert "hint: bin/jobs db migrate" in reported


@pytest.mark.parametrize("variable", ["NOTIFY_SOCKET", "JOBSD_EMBEDDED"])
def test_a_service_starts_no_database_of_its_own_accord(
    run: Commands, variable: str, tmp_path: Path
) -> None:
    value = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "JOBSD_EMBEDDED": "0"}[variable]
    run.project.environ.update({"DATABASE_URL": "", variable: value})

    reported = _refused(run)

    assert "no database is configured" in reported
    assert "DATABASE_URL" in reported


@pytest.mark.behaviour(1)
def test_an_empty_database_is_migrated(tmp_path: Path, empty_database: str) -> None:
    project = Project(tmp_path, empty_database)
    with project.start() as tree:
        migrated = tree.wait_event("database.migrated")
        tree.wait_event("supervisor.ready")

        assert migrated["steps"] == [f"{m.version:04}_{m.name}" for m in migrations()]
        assert [child.name() for child in tree.children("scheduler")] == []
        assert len(tree.children()) == 3


def test_a_tree_starts_without_its_database_and_migrates_it_later(
    tmp_path: Path, server_url: str
) -> None:
    name = f"jobsd_test_{secrets.token_hex(6)}"
    project = Project(tmp_path, conninfo.make_conninfo(server_url, dbname=name))
    with project.start() as tree, psycopg.connect(server_url, autocommit=True) as server:
        tree.wait_event("supervisor.ready")
        waiting = tree.wait_event("database.awaited")
        assert "does not exist" in str(waiting["error"])
        try:
            server.execute(f"CREATE DATABASE {name}".encode())
            tree.wait_event("database.migrated")
            wait_until(lambda: project.run("status").returncode == 0, 20, tree.reported)
            tree.terminate()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_flags_choose_the_processes_that_run(run: Commands) -> None:
    run.project.write("config/queue.yml", "dispatchers: [{}]\nworkers: [{processes: 2}]\n")
    with run.project.start("--only", "worker", "--queues", "mail,urgent_*") as tree:
        tree.wait_event("supervisor.ready")
        workers = [row for row in _processes(run, 4) if row["kind"] == "worker"]

        assert [row["metadata"]["queues"] for row in workers] == ["mail,urgent_*"] * 2


def test_a_default_port_that_is_taken_is_only_a_warning(run: Commands) -> None:
    with _taken(9394), run.project.start(JOBSD_METRICS_BIND="") as tree:
        reported = tree.wait_event("http.unavailable")
        tree.wait_event("supervisor.ready")

        assert (reported["level"], reported["bind"]) == ("warning", "127.0.0.1:9394")
        assert (
            "another jobsd runs here (`bin/jobs ps` lists them)" in reported["error"]["message"]
        )


def test_a_job_can_enqueue_others(run: Commands) -> None:
    run.project.write(
        "shop_jobs.py",
        "from jobsd import job\n@job\ndef outer(): inner.enqueue()\n@job\ndef inner(): ...\n",
    )
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        run.json("enqueue", "shop_jobs.outer")

        wait_until(lambda: len(run.json("list", "--state", "finished")) == 2, 10, tree.reported)


def test_a_term_during_the_start_leaves_no_process_behind(run: Commands) -> None:
    run.project.write("shop_jobs.py", "import time\ntime.sleep(60)\n")
    with run.project.start() as tree:
        wait_until(lambda: len(psutil.Process(tree.process.pid).children()) == 1)
        tree.terminate()

        wait_until(lambda: tree.alive() == [], 2)
        assert tree.process.returncode == -signal.SIGTERM


@contextlib.contextmanager
def _taken(port: int) -> Generator[None]:
    """Take a port, unless somebody has it already."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def _processes(run: Commands, count: int) -> list[dict[str, Any]]:
    def rows() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(run("ps", "--json").stdout)
        return found if len(found) >= count else []

    found: list[dict[str, Any]] = wait_until(rows, 10)
    return found
