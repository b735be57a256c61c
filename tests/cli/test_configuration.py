"""Check, init and the commands of the database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.tree import COMMAND
from jobsd.configuration.options import MonitorOptions, Options
from jobsd.daemon.generate.new_project import write_project
from jobsd.daemon.tree.listener import listen
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.database.steps import latest_version, migrations

if TYPE_CHECKING:
    from pathlib import Path

    from system.commands import Commands

NOWHERE = "postgresql://me@127.0.0.1:1/db"


@pytest.mark.behaviour(8)
def test_a_valid_configuration_is_reported_as_valid(run: Commands) -> None:
    done = run("check", DATABASE_URL=NOWHERE)

    assert (done.returncode, done.stdout) == (0, "configuration is valid\n")
    checked = run.json("check")
    assert (checked["valid"], checked["faults"]) == (True, [])
    assert checked["warnings"][0] == (
        "config/recurring.yml does not exist: recurring tasks come from the code alone"
    )


@pytest.mark.behaviour(8)
def test_check_reports_all_faults_with_their_places(run: Commands) -> None:
    run.project.write("config/queue.yml", "workers:\n  - threads: 0\n    qeues: a\n")

    done = run("check")

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.count("error: ") == 2
    assert "  at config/queue.yml:2:14\n     2 |   - threads: 0\n" in done.stderr
    assert "hint: did you mean" in done.stderr
    faults = run.json("check", status=78)["faults"]
    assert [fault["source"] for fault in faults] == [
        "config/queue.yml:2:14",
        "config/queue.yml:3:5",
    ]


def test_check_imports_the_modules_and_finds_the_classes(run: Commands) -> None:
    run.project.write("config/recurring.yml", "a: {class: Nope, schedule: every day}\n")
    [fault] = run.json("check", status=78)["faults"]
    assert fault["source"] == "config/recurring.yml:1:12"

    run.project.write("shop_jobs.py", "1 / 0\n")
    [fault] = run.json("check", status=78)["faults"]
    assert "ZeroDivisionError" in fault["message"]


def test_check_reports_jobs_that_do_not_fit_beside_all_other_faults(run: Commands) -> None:
    run.project.write("config/queue.yml", "import: [shop_jobs]\nworkers: [{threads: x}]\n")
    run.project.write(
        "config/recurring.yml",
        "a: {class: Nope, schedule: every day}\n"
        "b: {command: jobsd.clear_finished_in_batches(nope=1), schedule: every day}\n"
        "c: {class: shop_jobs.fail, schedule: never}\n",
    )

    faults = run.json("check", status=78)["faults"]

    assert [fault["source"] for fault in faults] == [
        "config/queue.yml:2:21",
        "config/recurring.yml:3:38",
        "config/recurring.yml:1:12",
        "config/recurring.yml:2:14",
    ]


def test_check_does_not_miss_jobs_of_modules_that_it_could_not_read(run: Commands) -> None:
    run.project.write("config/queue.yml", "import: [shop_jobs, '1']\n")
    run.project.write(
        "config/recurring.yml", "a: {class: shop_jobs.fail, schedule: every day}\n"
    )

    [fault] = run.json("check", status=78)["faults"]

    assert fault["source"].startswith("config/queue.yml")


def test_check_takes_other_files(run: Commands) -> None:
    run.project.write("other.yml", "workers: 3\n")

    assert run("check", "-c", "other.yml").returncode == 78
    assert run("check", JOBSD_CONFIG="other.yml").returncode == 78
    assert run("check", "--import", "nowhere").returncode == 78


def test_the_project_is_the_folder_above_bin_unless_this_one_has_a_configuration(
    run: Commands, tmp_path: Path
) -> None:
    run.project.write("config/queue.yml", "workers: 3\n")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "config").mkdir(parents=True)

    def check() -> int:
        return subprocess.run(
            [*COMMAND, "check"],
            cwd=elsewhere,
            env=run.project.environ,
            capture_output=True,
            check=False,
        ).returncode

    assert check() == 78
    (elsewhere / "config/recurring.yml").write_text("{}", encoding="utf-8")
    assert check() == 0


def test_db_migrate_applies_the_missing_steps(run: Commands, empty_database: str) -> None:
    there = ("--database-url", empty_database)

    assert run("status", *there).returncode == 78
    assert run("db", "status", *there).returncode == 1
    steps = [f"{step.version:04d}_{step.name}" for step in migrations()]
    assert run("db", "migrate", *there).stdout.splitlines() == steps
    again = run("db", "migrate", *there)
    assert (again.returncode, again.stdout) == (0, "")
    assert run.json("db", "migrate", *there) == {"version": latest_version(), "applied": []}
    status = run.json("db", "status", *there)
    assert (status["version"], status["current"]) == (latest_version(), True)


def test_a_dry_run_of_db_migrate_names_the_steps_and_makes_none(
    run: Commands, empty_database: str
) -> None:
    there = ("--database-url", empty_database)

    dry = run.json("db", "migrate", "--dry-run", *there)

    assert dry["missing"] == ["0050_tables"]
    assert run.json("db", "status", *there, status=1)["version"] == 0
    run("db", "migrate", *there)
    assert run.json("db", "migrate", "--dry-run", *there)["missing"] == []


def test_a_command_without_tables_names_db_migrate(run: Commands, empty_database: str) -> None:
    done = run("enqueue", "DailyCleanupJob", "--database-url", empty_database)

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines()[-1] == "hint: bin/jobs db migrate"


def test_db_sql_makes_the_same_tables(run: Commands, empty_database: str) -> None:
    run.project.write("config/queue.yml", "database: {schema: other}\n")
    ddl = run("db", "sql", DATABASE_URL=NOWHERE).stdout
    assert run.json("db", "sql") == {"sql": ddl.removesuffix("\n")}

    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(ddl.encode())

    assert migrate(Target(empty_database, "other")) == []


def test_db_url_prints_what_others_use(run: Commands) -> None:
    url = "postgresql://me:secret@host:1/db"

    assert run("db", "url", QUEUE_DATABASE_URL=url).stdout == f"{url}\n"
    assert run("db", "url", "--database-url", NOWHERE, QUEUE_DATABASE_URL=url).stdout == (
        f"{NOWHERE}\n"
    )


def test_db_status_hides_the_password(run: Commands) -> None:
    reported = run("db", "status", DATABASE_URL="postgresql://me:secret@127.0.0.1:1/db")

    assert (reported.returncode, "secret" in reported.stderr + reported.stdout) == (4, False)


def test_db_psql_becomes_psql_without_the_password_among_its_arguments(
    run: Commands, tmp_path: Path
) -> None:
    fake = tmp_path / "psql"
    fake.write_text('#!/bin/sh\necho "$0 $*" "$PGPASSWORD"\n', encoding="utf-8")
    fake.chmod(0o755)
    script = (
        "import sys, os, jobsd.daemon.cli.psql as p\n"
        f"p._find = lambda project: {str(fake)!r}\n"
        "p._reach = lambda project: False\n"
        "from jobsd.daemon.cli.cli import run\n"
        "sys.exit(run(['db', 'psql', '-c', 'SELECT 1', '--csv']))\n"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=run.project.root,
        env={**run.project.environ, "DATABASE_URL": "postgresql://me:secret@host:1/db"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split(" ", 1)[1] == (
        "user=me dbname=db host=host port=1 -c SELECT 1 --csv secret\n"
    )


def test_init_makes_a_project_that_is_valid(tmp_path: Path, run: Commands) -> None:
    folder = tmp_path / "shop"

    done = run("init", str(folder))

    assert done.stdout.splitlines() == [
        "made\tbin/jobs",
        "made\tconfig/queue.yml",
        "made\tconfig/recurring.yml",
        "made\tsample_jobs.py",
    ]
    assert done.stderr.splitlines() == [
        f"next: cd {folder}",
        "      bin/jobs check",
        "      bin/jobs",
        """      bin/jobs enqueue sample_jobs.welcome '["world"]'""",
    ]
    checked = subprocess.run(
        [str(folder / "bin/jobs"), "check"],
        cwd="/",
        env={"PATH": os.environ["PATH"], "VIRTUAL_ENV": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, "configuration is valid\n")


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/queue.yml").write_text("# mine\n", encoding="utf-8")
    (tmp_path / "sample_jobs.py").symlink_to("nowhere")

    written = write_project(tmp_path)

    assert [name for name, what in written.items() if what == "kept"] == [
        "config/queue.yml",
        "sample_jobs.py",
    ]
    assert (tmp_path / "config/queue.yml").read_text(encoding="utf-8") == "# mine\n"
    assert set(write_project(tmp_path).values()) == {"kept"}


@pytest.mark.parametrize("place", ["project", "active"])
def test_the_script_of_a_project_finds_its_own_python_first(tmp_path: Path, place: str) -> None:
    write_project(tmp_path)
    environment = tmp_path / (".venv" if place == "project" else "active")
    (environment / "bin").mkdir(parents=True)
    for name in ("python", "jobsd"):
        program = environment / "bin" / name
        program.write_text(f'#!/bin/sh\necho {place} "$@" "$JOBSD_HOME"\n', encoding="utf-8")
        program.chmod(0o755)

    done = subprocess.run(
        [str(tmp_path / "bin/jobs"), "status"],
        env={"PATH": os.environ["PATH"], "VIRTUAL_ENV": str(tmp_path / "active")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"{place} -P -m jobsd.daemon status {tmp_path}\n"


@pytest.mark.parametrize("place", ["python3", "jobsd", "old python3", "none"])
def test_the_script_of_a_project_searches_path_last(tmp_path: Path, place: str) -> None:
    write_project(tmp_path)
    found = tmp_path / "found"
    found.mkdir()
    for name in ("sh", "env", "readlink"):
        (found / name).symlink_to(shutil.which(name) or name)
    knows = 0 if place == "python3" else 1
    programs = {
        "python3": f'#!/bin/sh\n[ "$2" = -c ] && exit {knows}\necho python3 "$@"\n',
        "jobsd": '#!/bin/sh\necho jobsd "$@"\n',
    }
    if place == "none":
        programs.clear()
    for name, text in programs.items():
        (found / name).write_text(text, encoding="utf-8")
        (found / name).chmod(0o755)

    done = subprocess.run(
        [str(tmp_path / "bin/jobs"), "status"],
        env={"PATH": str(found)},
        capture_output=True,
        text=True,
        check=False,
    )

    expected = {"none": (78, ""), "python3": (0, "python3 -P -m jobsd.daemon status\n")}
    assert (done.returncode, done.stdout) == expected.get(place, (0, "jobsd status\n"))
    assert ("no Python here has jobsd" in done.stderr) == (place == "none")


def test_no_file_of_init_names_a_path_of_this_machine(tmp_path: Path) -> None:
    written = write_project(tmp_path / "shop")

    texts = [(tmp_path / "shop" / name).read_text(encoding="utf-8") for name in written]
    assert [text for text in texts if sys.prefix in text or str(tmp_path) in text] == []


def test_init_reports_the_made_files_as_json(tmp_path: Path, run: Commands) -> None:
    done = run("init", str(tmp_path / "shop"), "--json")

    assert set(json.loads(done.stdout).values()) == {"made"}


@pytest.mark.parametrize(
    ("bind", "host"),
    [("127.0.0.1:0", "127.0.0.1"), ("localhost:0", None), (":0", None), ("[::1]:0", "::1")],
)
def test_metrics_are_bound_to_the_given_address(
    bind: str, host: str | None, tmp_path: Path
) -> None:
    listener = listen(_bound_to(bind, tmp_path))

    assert listener is not None
    with listener:
        assert host in {None, listener.getsockname()[0]}


def test_nothing_is_bound_without_http(tmp_path: Path) -> None:
    assert listen(_bound_to(None, tmp_path)) is None


def _bound_to(bind: str | None, root: Path) -> Options:
    return Options(root=root, monitor=MonitorOptions(bind, bind_is_default=False))
