"""A password on the command line is told to nobody: not by an error, nor by a title."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo

from harness.project import Project
from harness.tree import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

URL = "postgresql://me:it'sSESAME@127.0.0.1:1/x"
CONNINFO = r"host=127.0.0.1 port=1 password='it\'s SESAME'"


@pytest.mark.parametrize("url", [URL, CONNINFO, "postgresql://me:a SESAME@127.0.0.1:1/x"])
@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--debug",
        "status",
        "db migrate",
        "retry",
        "show",
        "list --since",
        "list --state",
        "start --log-level",
        "start --metrics-bind",
        "start --import",
        "recurring explain",
        "enqueue",
        "perform --debug",
    ],
)
def test_an_error_repeats_no_url_that_was_given_in_the_wrong_place(
    tmp_path: Path, arguments: str, url: str
) -> None:
    done = Project(tmp_path, URL).run(*arguments.split(), url)

    assert done.returncode not in {0, 70}
    assert "SESAME" not in done.stdout + done.stderr


@pytest.mark.parametrize("variable", ["JOBSD_METRICS_BIND", "JOBSD_LOG_LEVEL", "JOBSD_CONFIG"])
@pytest.mark.parametrize("arguments", ["check", "check --json", "status"])
def test_an_error_repeats_no_url_of_the_wrong_variable(
    tmp_path: Path, arguments: str, variable: str
) -> None:
    project = Project(tmp_path, "host=127.0.0.1 port=1")

    done = project.run(*arguments.split(), **{variable: URL})

    assert done.returncode in {0, 4, 78}
    assert "SESAME" not in done.stdout + done.stderr


def test_the_error_of_a_broken_module_is_reported_without_its_password(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path, "host=127.0.0.1 port=1")
    project.write("config/queue.yml", "import: [broken]")
    project.write("broken.py", f"raise RuntimeError({URL!r})")

    reported = [project.run("check", *json).stdout for json in ([], ["--json"])]
    reported += [project.run("check").stderr]

    assert "RuntimeError" in reported[1] + reported[2]
    assert "SESAME" not in "".join(reported)


def test_a_command_with_a_url_is_not_titled_with_it(tmp_path: Path) -> None:
    project = Project(tmp_path, "")
    project.write("config/queue.yml", "import: [titled]")
    project.write(
        "titled.py",
        "from jobsd import job\n@job\ndef report():\n"
        "    print(open('/proc/self/cmdline').read().rstrip('\\0'))\n",
    )

    done = project.run("perform", "titled.report", "--database-url", URL)

    assert done.stdout == "jobsd perform\n", done.stderr


def test_a_command_that_goes_on_is_not_titled_with_its_url(
    tmp_path: Path, empty_database: str
) -> None:
    url = conninfo.make_conninfo(empty_database, password="SESAME")
    Project(tmp_path, url).run("db", "migrate")
    command = [*COMMAND, "status", "--watch", "60s", f"--database-url={url}"]

    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as watch:
        try:
            assert watch.stdout
            first = watch.stdout.readline()
            with open(f"/proc/{watch.pid}/cmdline", encoding="utf-8") as title:  # noqa: PTH123
                shown = title.read().rstrip("\0")
        finally:
            watch.kill()

    assert (first, shown) == ("jobsd is not running\n", "jobsd status")


def test_psql_is_given_no_password_as_an_argument(tmp_path: Path, empty_database: str) -> None:
    url = conninfo.make_conninfo(empty_database, password="SESAME-1", sslpassword="SESAME 2")
    shown = r"\! cat /proc/$PPID/cmdline; echo; cat $PGSERVICEFILE; echo $PGPASSWORD"

    done = Project(tmp_path, url).run("db", "psql", "-X", "-c", shown)

    title, *given = done.stdout.splitlines()
    assert "service=jobsd" in title, done.stderr
    assert "SESAME" not in title
    assert given == ["[jobsd]", "sslpassword=SESAME 2", "SESAME-1"]


def test_psql_keeps_the_service_of_the_url(tmp_path: Path, empty_database: str) -> None:
    services = tmp_path / "services"
    services.write_text("[mine]\napplication_name=mine\n")
    url = conninfo.make_conninfo(empty_database, service="mine", sslpassword="SESAME")
    project = Project(tmp_path, url, PGSERVICEFILE=str(services))

    done = project.run("db", "psql", "-X", "-A", "-t", "-c", "SHOW application_name")

    assert done.stdout == "mine\n", done.stderr
