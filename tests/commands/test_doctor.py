"""Doctor: one line for each thing, and what it warns of."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from database.pgbouncer import pgbouncer
from enqueueing.placed import fail
from jobsd.acts import queues
from jobsd.daemon.cli import doctor
from jobsd.database.connection import Session, Target
from jobsd.database.migrate import migrate
from jobsd.database.steps import latest_version, newest_supported
from jobsd.processes import registry
from system.rows import beat, register

if TYPE_CHECKING:
    from system.commands import Commands


def test_doctor_has_a_line_for_each_thing(run: Commands, session: Session) -> None:
    for kind in ("supervisor", "scheduler", "worker"):
        register(session, kind)
    beat(session, "1 minute")
    run.project.write(
        "config/recurring.yml",
        "beat: {class: HeartbeatJob, schedule: every day}\n"
        "clear: {command: jobsd.clear_finished_in_batches(), schedule: every day}\n",
    )

    rows = run.rows("doctor")

    assert [(row[0], row[1]) for row in rows] == [
        ("OK", "configuration"),
        ("OK", "database"),
        ("OK", "version"),
        ("OK", "clock"),
        ("OK", "connections"),
        ("OK", "settings"),
        ("OK", "wake-ups"),
        ("OK", "schema"),
        ("OK", "processes"),
        ("OK", "queues"),
        ("OK", "pauses"),
        ("OK", "classes"),
        ("OK", "failures"),
        ("OK", "history"),
        ("OK", "recurring"),
        ("OK", "heartbeat"),
        ("OK", "health"),
    ]
    assert {finding["level"] for finding in run.json("doctor")} == {"OK"}


def test_doctor_finds_nothing_in_order_only_because_nothing_runs(
    run: Commands, session: Session
) -> None:
    run("recurring", "add", "daily", "--class", "HeartbeatJob", "--schedule", "every day")
    register(session, "dispatcher")

    said = {row[1]: (row[0], row[2]) for row in run.rows("doctor")}

    assert said["processes"] == ("WARN", "no supervisor runs on this database")
    assert said["queues"] == ("WARN", "no worker is running; no job waits for one yet")
    assert said["recurring"] == ("WARN", "no scheduler is running, so 1 task will be late")


def test_doctor_names_hosts_with_programs_of_another_version(
    run: Commands, session: Session
) -> None:
    register(session, "supervisor", tables=latest_version())
    assert run.rows("doctor")[8][:2] == ["OK", "processes"]

    before = {"tables": latest_version() - 1}
    registry.register(
        session, kind="supervisor", name="another", supervisor_id=0, metadata=before
    )
    level, name, message = run.rows("doctor")[8]

    assert (level, name) == ("WARN", "processes")
    assert message.startswith("trees run different versions")
    assert f": {latest_version() - 1}; " in message


def test_doctor_names_trees_with_different_settings(run: Commands, session: Session) -> None:
    alike = {"heartbeat_interval": 60, "process_alive_threshold": 300, "hang_timeout": 200}
    register(session, "supervisor", **alike)
    registry.register(session, kind="supervisor", name="alike", supervisor_id=0, metadata=alike)
    assert run.rows("doctor")[8][:2] == ["OK", "processes"]

    short = {"heartbeat_interval": 2, "process_alive_threshold": 5, "hang_timeout": 4}
    registry.register(session, kind="supervisor", name="short", supervisor_id=0, metadata=short)
    level, name, message = run.rows("doctor")[8]

    assert (level, name) == ("WARN", "processes")
    assert message.startswith("trees have different supervisor settings, so the longest")
    assert "process_alive_threshold" in message


@pytest.mark.failure(
    "Behind a pooler a default of the role stays in force for our statements: an isolation"
    " level, or `jit = on` where the pooler parts what is sent together.",
    "`doctor` fails, and names the setting and the statement that changes it",
)
def test_doctor_fails_where_a_setting_stays_in_force_behind_a_pooler(target: Target) -> None:
    with (
        pgbouncer(target.url) as url,
        contextlib.closing(Session(Target(url), "doctor")) as session,
    ):
        assert doctor.settings(session).level == "OK"

        session.reconnect().carried = b"SET default_transaction_isolation = serializable"
        found = doctor.settings(session)

        role = session.connection.info.user

    assert (found.level, found.subject) == ("FAIL", "settings")
    assert found.message == "; ".join(
        f'{name} is {wrong!r} for each statement: `ALTER ROLE "{role}" SET {name} = {right!r}`'
        for name, wrong, right in [
            ("jit", "on", "off"),
            ("default_transaction_isolation", "serializable", "read committed"),
        ]
    )


def test_doctor_warns_of_odd_settings_and_processes(run: Commands, session: Session) -> None:
    run.project.write(
        "config/queue.yml",
        "database: {wakeups: 'off'}\n"
        "supervisor: {heartbeat_interval: 1, process_alive_threshold: 3}\n",
    )
    for kind in ("supervisor", "dispatcher", "scheduler"):
        register(session, kind)
    beat(session, "1 hour")
    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at"
        " = now() - CASE kind WHEN 'scheduler' THEN interval '-1 h' ELSE interval '4 s' END"
    )

    odd = {row[1]: row[2] for row in run.rows("doctor") if row[0] == "WARN"}

    names = {
        "configuration",
        "wake-ups",
        "processes",
        "queues",
        "history",
        "heartbeat",
        "health",
    }
    assert set(odd) == names
    stale, _, listed = odd["processes"].partition(": ")
    assert stale == "2 of 3 write no heartbeats"
    assert sorted(listed.split(", ")) == ["dispatcher-1", "supervisor-1"]


def test_doctor_warns_of_queues_that_no_live_worker_takes_from(
    run: Commands, session: Session
) -> None:
    register(session, "worker", queues="m*,slow", threads=3)
    run.json("enqueue", "shop_jobs.welcome", "[1]")
    run.json("enqueue", "DailyCleanupJob")
    for key, queue in (("beat", "beats"), ("slowly", "slow")):
        daily = ("--class", "DailyCleanupJob", "--schedule", "every day", "--queue", queue)
        run("recurring", "add", key, *daily)

    [reported] = [row for row in run.rows("doctor") if row[1] == "queues"]

    assert reported == [
        "WARN",
        "queues",
        "no running worker takes jobs from beats, default: their jobs will wait",
    ]


def test_doctor_sees_the_queues_of_jobs_that_no_worker_knew(
    run: Commands, session: Session
) -> None:
    run.json("enqueue", "DailyCleanupJob", "--queue", "odd")
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.ready_executions RETURNING *)"
        " INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)"
        " SELECT job_id + n, position + n, priority, queue_name, 'Job' || n"
        " FROM gone, generate_series(1, 5) AS n"
    )
    session.connection.execute(
        "INSERT INTO jobsd.lanes (queue_name, lane, unknown_since)"
        " SELECT 'odd', 'Job' || n, now() - interval '1 h' FROM generate_series(1, 5) AS n"
    )

    found = {row[1]: row[2] for row in run.rows("doctor") if row[0] == "WARN"}

    assert found["queues"] == "no running worker takes jobs from odd: their jobs will wait"
    assert found["classes"].count("1 ready job of 'Job") == 3
    assert found["classes"].endswith("; and 2 more classes")


def test_tables_that_are_too_new_are_refused_by_each_program(
    run: Commands, empty_database: str
) -> None:
    migrate(Target(empty_database))
    with psycopg.connect(empty_database) as connection:
        connection.execute("INSERT INTO jobsd.schema_migrations VALUES (9999, 'of_later')")
    there = ("--database-url", empty_database)

    refused = [run(*words, *there) for words in (["queues"], ["db", "migrate"], ["start"])]

    assert {done.returncode for done in refused} == {78}
    assert all("at version 9999" in done.stderr for done in refused[:2])
    status = run.json("db", "status", *there, status=1)
    assert (status["current"], status["newest_supported"]) == (False, newest_supported())
    assert _finding(run.rows("doctor", *there, status=1), "schema")[0] == "FAIL"


def _finding(rows: list[list[str]], name: str) -> list[str]:
    (found,) = (row for row in rows if row[1] == name)
    return found


def test_doctor_fails_without_tables(run: Commands, empty_database: str) -> None:
    rows = run.rows("doctor", "--database-url", empty_database, status=1)

    assert rows[-1][:2] == ["FAIL", "schema"]
    assert "bin/jobs db migrate" in rows[-1][2]


def test_doctor_fails_with_a_faulty_file(run: Commands) -> None:
    run.project.write("config/recurring.yml", "beat: {class: HeartbeatJob, schedule: soon}\n")

    failed = [row[1] for row in run.rows("doctor", status=1) if row[0] == "FAIL"]

    assert failed == ["configuration"]


def test_doctor_warns_of_several_hosts_of_which_one_may_be_a_standby(
    run: Commands, target: Target
) -> None:
    host = conninfo_to_dict(target.url)["host"]
    url = make_conninfo(target.url, host=f"{host},{host}")

    for ending, level in (("", "WARN"), (" target_session_attrs=read-write", "OK")):
        row = _finding(run.rows("doctor", "--database-url", url + ending), "database")

        assert (row[0], "names several hosts" in row[2]) == (level, level == "WARN")


def test_doctor_without_a_database_ends_with_4(run: Commands) -> None:
    nowhere = "postgresql://me@127.0.0.1:1/db"
    rows = run.rows("doctor", "--database-url", nowhere, status=4)

    assert [row[:2] for row in rows[1:]] == [["FAIL", "database"]]


def _found(run: Commands, subject: str) -> tuple[str, str]:
    [reported] = [row for row in run.rows("doctor") if row[1] == subject]
    return reported[0], reported[2]


def test_doctor_warns_of_a_paused_queue_in_which_jobs_wait(
    run: Commands, session: Session
) -> None:
    queues.pause("mail", "moving", by="me@here", session=session)
    queues.pause("empty", session=session)
    session.connection.execute("UPDATE jobsd.pauses SET created_at = now() - interval '1 day'")
    for n in (1, 2):
        run.json("enqueue", "shop_jobs.welcome", f"[{n}]")

    level, reported = _found(run, "pauses")

    assert level == "WARN"
    assert re.fullmatch(
        r"2 ready jobs in queue 'mail', paused 1d\d*s? ago by me@here: moving;"
        r" `bin/jobs queues resume mail`",
        reported,
    )


def test_doctor_names_three_of_many_paused_queues(run: Commands, session: Session) -> None:
    for name in ("a b", *"cdef"):
        queues.pause(name, session=session)
        run.json("enqueue", "DailyCleanupJob", "--queue", name)

    _, reported = _found(run, "pauses")

    assert reported.count("1 ready job in queue") == 3
    assert "`bin/jobs queues resume 'a b'`" in reported
    assert reported.endswith("; and 2 more queues; `bin/jobs queues`")


def test_doctor_reports_how_many_jobs_have_failed(run: Commands, session: Session) -> None:
    fail(session, *(run.json("enqueue", "shop_jobs.fail")["id"] for _ in range(2)))

    assert _found(run, "failures") == (
        "WARN",
        "2 failed jobs; `bin/jobs failures` groups them",
    )


def test_of_very_many_failed_jobs_not_all_are_counted(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "COUNTED_MAX", 2)
    session.connection.execute(
        "INSERT INTO jobsd.failed_executions (job_id, error)"
        " SELECT n, '{}' FROM generate_series(1, 3) AS n"
    )

    assert doctor.failed_jobs(session).message.startswith("2 or more failed jobs")


_CLEARS = (
    "clear: {command: 'SolidQueue::Job.clear_finished_in_batches(sleep_between_batches: 0.3)',"
    " schedule: every hour%s}\n"
)


@pytest.mark.parametrize(
    ("queue_file", "recurring", "level"),
    [
        ("{}", "{}", "WARN"),
        ("{}", _CLEARS % "", "OK"),
        ("{}", _CLEARS % ", enabled: false", "WARN"),
        ("jobs: {preserve_finished_jobs: false}", "{}", "OK"),
    ],
    ids=["no task", "a task", "one that is off", "nothing is kept"],
)
def test_doctor_and_check_warn_where_history_is_never_cleared(
    run: Commands, queue_file: str, recurring: str, level: str
) -> None:
    run.project.write("config/queue.yml", queue_file)
    run.project.write("config/recurring.yml", recurring)

    odd = [
        reported
        for reported in run.json("check")["warnings"]
        if "finished jobs are never deleted" in reported
    ]

    assert (_found(run, "history")[0], len(odd)) == (level, int(level == "WARN"))


@pytest.mark.parametrize(
    ("dispatchers", "warned"),
    [
        ("[{concurrency_maintenance: false}]", True),
        ("[{concurrency_maintenance: false}, {polling_interval: 2}]", False),
    ],
    ids=["off everywhere", "on in one"],
)
def test_check_warns_when_no_dispatcher_deletes_old_rows(
    run: Commands, dispatchers: str, *, warned: bool
) -> None:
    run.project.write("config/queue.yml", f"dispatchers: {dispatchers}\n")

    odd = [
        reported
        for reported in run.json("check")["warnings"]
        if "no dispatcher has concurrency_maintenance" in reported
    ]

    assert len(odd) == int(warned)


def test_a_task_of_the_table_clears_history_too(run: Commands, session: Session) -> None:
    run("recurring", "add", "tidy", "--class", "DailyCleanupJob", "--schedule", "every day")
    session.connection.execute(
        "UPDATE jobsd.recurring_tasks SET class_name = NULL,"
        " command = 'jobsd.clear_finished_in_batches(batch_size=100)'"
    )

    assert _found(run, "history") == ("OK", "finished jobs are cleared by tidy")


def test_check_does_not_ask_a_host_without_tasks_to_clear_history(run: Commands) -> None:
    done = run("check", JOBSD_SKIP_RECURRING="1")

    assert (done.returncode, done.stderr) == (0, "")
