"""What people see on terminals of 60, 80 and 120 columns and 24 lines."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import termios
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import fail
from harness.tree import COMMAND
from jobsd.daemon.cli.status_screen import QUEUE_COLUMNS, QUEUED_MAX
from jobsd.operations.overview import Totals, overview, totals
from system.rows import register
from system.terminal import on_a_terminal

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands

WIDTHS = (60, 80, 120)
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x9b\x7f\u202e"


@pytest.fixture
def busy(run: Commands, session: Session) -> Session:
    """Three hundred queues with a job each, a long one, failures, a tree."""
    session.connection.execute(
        "WITH job AS (INSERT INTO jobsd.jobs (queue_name, class_name, arguments)"
        " SELECT 'queue-' || n, 'app.services.billing.jobs.invoice_reminder_email', '[1]'"
        " FROM generate_series(1, 300) AS n RETURNING id, queue_name)"
        " INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
        " SELECT id, id, 0, queue_name FROM job"
    )
    for _ in range(2):
        fail(session, int(run.json("enqueue", "shop_jobs.fail", "--queue", "critical")["id"]))
    supervisor = register(session, "supervisor")
    worker = register(session, "worker", queues="critical,queue-*", threads=3)
    session.connection.execute(
        "UPDATE jobsd.processes SET supervisor_id = %s WHERE id = %s", (supervisor, worker)
    )
    return session


@pytest.mark.parametrize("width", WIDTHS)
def test_status_is_one_screen_with_300_queues(run: Commands, busy: Session, width: int) -> None:
    assert busy
    lines = on_a_terminal(run, "status", width=width)

    assert len(lines) <= 23
    assert max(map(len, lines)) <= width
    text = " ".join("\n".join(lines).split())
    assert lines[0] == "jobsd is running: a supervisor with 1 process"
    assert "jobs: scheduled 0, ready 300, blocked 0, claimed 0, failed 2" in text
    assert "0 of 3 threads busy; load " in text
    assert re.search(r"and 29\d more: `bin/jobs queues`", text)
    assert re.search(r"shop_jobs.fail ValueError 2", text)
    assert "critical, queue-*" in text or width == 60


@pytest.mark.parametrize("width", [40, *WIDTHS])
def test_each_section_of_status_keeps_two_lines_however_long_names_are(
    run: Commands, busy: Session, width: int
) -> None:
    busy.connection.execute(
        "UPDATE jobsd.ready_executions SET queue_name = rpad(queue_name, 255, 'q')"
    )
    busy.connection.execute(
        "UPDATE jobsd.failed_executions SET error = error || %s::jsonb",
        (json.dumps({"type": "m" * 75}),),
    )
    for n in range(4):
        key = f"task-{n}{'k' * 200}"
        run("recurring", "add", key, "--class", "HeartbeatJob", "--schedule", "every day")
        supervisor = register(busy, "supervisor")
        busy.connection.execute(
            "UPDATE jobsd.processes SET supervisor_id = id, hostname = repeat('h', 250)"
            " WHERE id = %s",
            (supervisor,),
        )
    register(busy, "scheduler")

    lines = on_a_terminal(run, "status", width=width)

    assert len(lines) <= 23
    assert max(map(len, lines)) <= width
    starts = [at for at, line in enumerate(lines) if not line]
    assert len(starts) == 4
    lengths = [end - start for start, end in pairwise([*starts, len(lines)])]
    assert all(length >= least for length, least in zip(lengths, [4, 3, 4, 4], strict=True))


@pytest.mark.parametrize("width", WIDTHS)
def test_status_names_the_class_of_a_failure_however_long_its_error_is(
    run: Commands, session: Session, width: int
) -> None:
    failed = int(run.json("enqueue", "shop_jobs.fail")["id"])
    fail(session, failed)
    session.connection.execute(
        "UPDATE jobsd.failed_executions SET error = error || %s::jsonb",
        (json.dumps({"type": "m" * 75}),),
    )

    text = "\n".join(on_a_terminal(run, "status", width=width, status=3))

    assert "shop_jobs.fail" in text
    assert re.search(r"m{19}…?m{19}", text)


HEADS = {"status": "jobsd is running", "ps": "ID", "list": "ID", "queues": "QUEUE"}


@pytest.mark.parametrize("command", HEADS)
def test_a_watched_screen_keeps_its_head(run: Commands, busy: Session, command: str) -> None:
    assert busy
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    watching = subprocess.Popen(
        [*COMMAND, command, "--watch", "100ms"],
        cwd=run.project.root,
        env={**run.project.environ, "TERM": "xterm"},
        stdout=theirs,
    )
    os.close(theirs)
    shown = ""
    while shown.count("\x1b[J") < 3:
        shown += os.read(ours, 65536).decode()
    watching.send_signal(signal.SIGINT)

    assert watching.wait(10) == 130
    os.close(ours)
    for frame in shown.split("\x1b[J")[:3]:
        start, *rest = re.sub(r"\x1b\[\d+m", "", frame).split("\x1b[H")[1].splitlines()
        assert start.strip().startswith(HEADS[command])
        assert len(rest) < 23


@pytest.mark.parametrize("width", WIDTHS)
def test_ps_shows_workers_with_their_queues(run: Commands, busy: Session, width: int) -> None:
    assert busy
    text = "\n".join(on_a_terminal(run, "ps", width=width))

    assert "critical,queue-*" in text
    assert "worker-1" in text


@pytest.mark.parametrize("width", [60, 80])
def test_doctor_breaks_no_path_of_a_socket(run: Commands, width: int) -> None:
    folder = "/nowhere/in/the/folder/of/sockets/here"
    command = ("doctor", "--database-url", f"postgresql:///jobs?host={folder}")

    lines = on_a_terminal(run, *command, width=width, status=4)

    assert any(f"{folder}/.s.PGSQL.5432" in line for line in lines)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_list_cuts_nothing_that_identifies(run: Commands, busy: Session, width: int) -> None:
    failed = run.json("list", "--state", "failed")[0]["id"]
    busy.connection.execute(
        "UPDATE jobsd.jobs SET queue_name = 'critical-notifications' WHERE id = %s", (failed,)
    )

    head, first, *_ = on_a_terminal(run, "list", "--state", "failed", width=width)

    assert len(first) <= width
    assert head.split()[:4] == ["ID", "CLASS", "QUEUE", "STATE"]
    assert {str(failed), "critical-notifications", "failed"} <= set(first.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_name_of_255_bytes_is_cut_in_its_middle_on_a_screen(
    run: Commands, width: int
) -> None:
    name = f"first{'q' * 246}last"
    job_id = run.json("enqueue", "shop_jobs.welcome", "[1]", "--queue", name)["id"]

    for command in ("list", "queues"):
        lines = on_a_terminal(run, command, width=width)
        assert max(map(len, lines)) <= width
        assert any(re.search(r"\bfirstq+…q+last\b", line) for line in lines)
    assert str(job_id) in "\n".join(on_a_terminal(run, "list", width=width))
    assert name in run("queues").stdout


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", ["doctor", "status"])
def test_a_word_that_is_wider_than_the_screen_is_cut_in_its_middle(
    run: Commands, session: Session, command: str, width: int
) -> None:
    name = f"first{'q' * 246}last"
    run.json("enqueue", "shop_jobs.welcome", "[1]", "--queue", name)
    register(session, "supervisor")

    lines = on_a_terminal(run, command, width=width)

    assert max(map(len, lines)) <= width
    assert [line for line in lines if re.search(r"\bfirstq+…q+last\b", line)]
    assert not [line for line in lines if re.search(r"q…$", line)]
    assert name in run(command).stdout


def test_nothing_of_a_job_commands_the_terminal(run: Commands, session: Session) -> None:
    job_id = run.json("enqueue", "shop_jobs.fail")["id"]
    fail(session, job_id)
    session.connection.execute(
        "UPDATE jobsd.jobs SET arguments = jsonb_build_array(%s::text),"
        " class_name = class_name || %s",
        (HOSTILE, HOSTILE),
    )
    for table in ("attempts", "failed_executions"):
        session.connection.execute(
            f"UPDATE jobsd.{table} SET error = error ||"
            " jsonb_build_object('message', %s::text, 'stack', %s::text)",
            (HOSTILE, f"File x\n{HOSTILE}"),
        )
    commands = (["list"], ["show", str(job_id)], ["status"], ["failures"])

    shown = [
        on_a_terminal(run, *each, width=200, status=3 if each == ["status"] else 0)
        for each in commands
    ]
    piped = [run(*each).stdout + run(*each, "--json").stdout for each in commands]

    for text in (*map("".join, shown), *(each.replace("\n", "") for each in piped)):
        assert [c for c in text.replace("\t", "") if not c.isprintable()] == []
    assert run.json("show", str(job_id))["arguments"] == [HOSTILE]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_stdout_can_not_write_is_escaped(run: Commands, encoding: str) -> None:
    run.json("enqueue", "shop_jobs.welcome", "[1]", "--queue", "почта")

    listed = run("list", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    as_json = run("list", "--json", PYTHONIOENCODING=encoding, PYTHONUTF8="0")

    assert (listed.returncode, as_json.returncode) == (0, 0)
    assert "\\u043f" in listed.stdout
    assert '"queue_name": "\\u043f\\u043e' in as_json.stdout


def test_arguments_read_like_a_call(run: Commands) -> None:
    job_id = run.json("enqueue", "shop_jobs.welcome", '{"user_id": 5, "polite": true}')["id"]

    shown = on_a_terminal(run, "show", str(job_id))

    assert [line.split(maxsplit=1) for line in shown][:3] == [
        ["job", str(job_id)],
        ["state", "ready"],
        ["call", "welcome(polite=True, user_id=5)"],
    ]
    times = [line for line in shown if line.startswith("enqueued at")]
    assert re.fullmatch(r"enqueued at +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \(.* ago\)", times[0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list"], "there are no jobs yet"),
        (["list", "--queue", "mail"], "no job passes these filters"),
        (["ps"], "nothing runs"),
        (["recurring"], "config/recurring.yml"),
        (["heartbeat", "recent"], "no heartbeat"),
    ],
    ids=["list", "list --queue", "ps", "recurring", "heartbeat recent"],
)
def test_an_empty_answer_advises_the_next_step(
    run: Commands, arguments: list[str], sentence: str
) -> None:
    done = run(*arguments)

    assert done.stdout == ""
    assert sentence in done.stderr


def test_with_here_the_daemon_of_another_container_does_not_count(
    run: Commands, session: Session
) -> None:
    row = register(session, "supervisor")
    assert run("status", "--here").stdout.startswith("jobsd is running")

    session.connection.execute(
        'UPDATE jobsd.processes SET metadata = metadata || \'{"namespace": "pid:[1]"}\''
        " WHERE id = %s",
        (row,),
    )

    assert run("status").stdout.startswith("jobsd is running")
    elsewhere = run("status", "--here")
    assert elsewhere.stdout.startswith("jobsd is not running")
    assert elsewhere.returncode == 3


def test_a_queue_is_counted_up_to_a_bound_shown_with_a_plus(session: Session) -> None:
    session.connection.execute(
        "WITH job AS (INSERT INTO jobsd.jobs (queue_name, class_name)"
        " SELECT 'a', 'b' FROM generate_series(1, 3) RETURNING id)"
        " INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
        " SELECT id, id, 0, 'a' FROM job"
    )
    (ready,) = (column for column in QUEUE_COLUMNS if column.name == "ready")

    assert overview(session, 60.0, 2).queues[0]["ready"] == 2
    assert ready.show(QUEUED_MAX) == "10,000+"
    assert ready.show(QUEUED_MAX - 1) == "9,999"


def test_a_total_is_a_number_or_a_lower_bound() -> None:
    none = Totals(0, 0, 0, 0, 0, 0, 0, 0, all_seen=True)
    many = Totals(10_001, 0, 0, 0, 0, 0, 10_001, 0, all_seen=False)

    assert [none.shown(state) for state in ("ready", "finished")] == ["0", "0"]
    assert [many.shown(state) for state in ("scheduled", "ready", "finished", "discarded")] == [
        "at least 10,000",
        "0",
        "at least 10,000",
        "at least 0",
    ]


def test_each_limited_job_is_counted_in_its_state_alone(session: Session) -> None:
    session.connection.execute(
        "WITH job AS (INSERT INTO jobsd.jobs (queue_name, class_name)"
        " SELECT 'a', 'b' FROM generate_series(1, 3) RETURNING id)"
        " INSERT INTO jobsd.blocked_executions"
        " (job_id, position, priority, queue_name, concurrency_key)"
        " SELECT id, CASE WHEN row_number() OVER () = 1 THEN id END, 0, 'a', 'k' FROM job"
    )

    found = totals(session)

    assert (found.ready, found.blocked) == (1, 2)


def test_old_ended_jobs_are_counted_while_the_newest_jobs_wait(
    session: Session,
) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.jobs (queue_name, class_name, outcome, finished_at)"
        " SELECT 'a', 'b', CASE WHEN n <= 3 THEN 'finished' END,"
        " CASE WHEN n <= 3 THEN now() END"
        " FROM generate_series(1, 9) AS n"
    )

    found = totals(session, newest=4)

    assert (found.finished, found.discarded, found.all_seen) == (3, 0, False)
    assert (found.shown("finished"), found.shown("discarded")) == ("at least 3", "at least 0")
    assert totals(session).finished == 3
