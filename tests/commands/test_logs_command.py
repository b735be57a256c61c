"""`logs`: which lines of the log it prints, and how."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.tree import COMMAND
from jobsd.daemon.cli.log_reader import Line, parse

if TYPE_CHECKING:
    from pathlib import Path

    from harness.project import Project
    from system.commands import Commands

HOSTILE = "\x9b2J\u202e"


def _line(event: str, level: str = "info", age_s: float = 0, **facts: Any) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=age_s)
    head = {"timestamp": moment.isoformat(), "level": level, "event": event, "pid": 1}
    return json.dumps({**head, **facts}, ensure_ascii=False)


@pytest.fixture
def log(project: Project) -> Path:
    project.write("config/queue.yml", "logs: {file: log/test.log}\n")
    lines = (
        _line("process.started", "debug", age_s=7200),
        _line("job.failed", "error", job_id=7, class_name="app.billing.charge"),
        _line("jobs.claimed", job_ids=[7, 8]),
        _line(f"hello {HOSTILE}", job_id=9, class_name="app.mail.welcome"),
        "no line of ours",
    )
    return project.write("log/test.log", "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("options", "events"),
    [
        ((), ["process.started", "job.failed", "jobs.claimed", "hello", None]),
        (("--level", "warning"), ["job.failed"]),
        (("--job", "7"), ["job.failed", "jobs.claimed"]),
        (("--class", "app.mail.*"), ["hello"]),
        (("--grep", "claimed|ours"), ["jobs.claimed", None]),
        (("--since", "1h"), ["job.failed", "jobs.claimed", "hello"]),
        (("-n", "1"), [None]),
    ],
)
@pytest.mark.usefixtures("log")
def test_logs_prints_the_selected_lines(
    run: Commands, options: tuple[str, ...], events: list[str | None]
) -> None:
    found = run.json("logs", *options)

    words = [each["event"].split()[0] if "event" in each else None for each in found]
    assert words == events


@pytest.mark.usefixtures("log")
def test_a_pipe_gets_lines_unchanged_but_for_control_characters(
    run: Commands,
) -> None:
    printed = run("logs").stdout

    assert printed.isprintable() is False  # it has ends of lines
    assert printed.replace("\n", "").isprintable()
    assert json.loads(printed.splitlines()[3])["event"] == f"hello {HOSTILE}"


def test_text_for_people_is_read_with_its_stack() -> None:
    text = (
        "2026-11-27 13:00:00 error   job.failed job_id=7 class_name=app.charge by=worker[1]",
        "    Traceback",
        "2026-11-27 13:00:01 info    hello",
    )

    first, second = parse(text)

    assert first is not None
    assert (first.rest, first.facts["job_id"]) == (("    Traceback",), 7)
    assert (first.facts["level"], first.facts["class_name"]) == ("error", "app.charge")
    assert isinstance(second, Line)


def test_following_goes_on_in_the_new_file(project: Project, log: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "logs", "--follow", "--grep", "first|second"],
        cwd=project.root,
        env=project.environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        try:
            with log.open("a", encoding="utf-8") as file:
                file.write(_line("first") + "\n")
            assert json.loads(follower.stdout.readline())["event"] == "first"
            log.rename(log.with_suffix(".1"))
            log.write_text(_line("second") + "\n", encoding="utf-8")
            assert json.loads(follower.stdout.readline())["event"] == "second"
        finally:
            follower.kill()


def test_logs_without_a_file_names_the_setting_of_the_log(run: Commands) -> None:
    done = run("logs")

    assert (done.returncode, done.stdout) == (5, "")
    assert "logs.file" in done.stderr


def test_a_faulty_expression_is_wrong_usage(run: Commands) -> None:
    assert run("logs", "--grep", "(").returncode == 2


def test_the_console_knows_jobs_heartbeats_and_queues(project: Project) -> None:
    program = (
        "welcome.enqueue(1)\n"
        "print(queues.size('mail'), HeartbeatLog.recent(), RecurringTask.all())\n"
    )

    done = subprocess.run(
        [*COMMAND, "console"],
        cwd=project.root,
        env=project.environ,
        input=program,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, "1 [] []\n"), done.stderr


def test_a_file_that_was_named_must_exist(run: Commands) -> None:
    for command in ("check", "start", "status"):
        done = run(command, "-c", "nosuch.yml")
        assert done.returncode == 78
        assert "nosuch.yml does not exist, but --config names it" in done.stderr


def test_a_flag_that_is_empty_or_can_not_be_read_is_wrong_usage(run: Commands) -> None:
    empty, loud = run("start", "--queues", ""), run("start", "--log-level", "loud")

    assert (empty.returncode, loud.returncode) == (2, 2)
    assert "--queues is empty" in empty.stderr


def test_psql_at_a_server_that_is_away_ends_with_4(project: Project) -> None:
    done = project.run("db", "psql", "--database-url", "postgresql://127.0.0.1:1/x")

    assert done.returncode == 4
