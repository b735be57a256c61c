"""Doctor: one line for each thing, and what it warns of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.processes import registry

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


def _process(session: Session, kind: str, **metadata: object) -> int:
    return registry.register(
        session, kind=kind, name=f"{kind}-1", supervisor_id=0, metadata=metadata
    )


def _beat(session: Session, ago: str, hostname: str = "web-1") -> None:
    session.connection.execute(
        "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname)"
        " VALUES (now() - %s::interval, 'test', %s)",
        (ago, hostname),
    )


def test_doctor_has_a_line_for_each_thing(run: Commands, session: Session) -> None:
    _process(session, "supervisor")
    _beat(session, "1 minute")
    run.project.write(
        "config/recurring.yml", "beat: {class: HeartbeatJob, schedule: every day}\n"
    )

    rows = run.rows("doctor")

    assert [(row[0], row[1]) for row in rows] == [
        ("OK", "configuration"),
        ("OK", "database"),
        ("OK", "version"),
        ("OK", "clock"),
        ("OK", "connections"),
        ("OK", "wake-ups"),
        ("OK", "schema"),
        ("OK", "processes"),
        ("OK", "queues"),
        ("OK", "recurring"),
        ("OK", "heartbeat"),
    ]
    assert {finding["level"] for finding in run.json("doctor")} == {"OK"}


def test_doctor_warns_of_what_is_odd(run: Commands, session: Session) -> None:
    run.project.write(
        "config/queue.yml",
        "database: {wakeups: 'off'}\n"
        "supervisor: {heartbeat_interval: 1, process_alive_threshold: 3}\n",
    )
    _process(session, "supervisor")
    _beat(session, "1 hour")
    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '4 s'"
    )

    odd = {row[1]: row[2] for row in run.rows("doctor") if row[0] == "WARN"}

    assert set(odd) == {"configuration", "wake-ups", "processes", "heartbeat"}
    assert "supervisor-1" in odd["processes"]


def test_doctor_warns_of_queues_that_no_live_worker_takes_from(
    run: Commands, session: Session
) -> None:
    _process(session, "worker", queues="m*,slow", threads=3)
    run.json("enqueue", "shop_jobs.welcome", "[1]")
    run.json("enqueue", "DailyCleanupJob")
    for key, queue in (("beat", "beats"), ("slowly", "slow")):
        daily = ("--class", "DailyCleanupJob", "--schedule", "every day", "--queue", queue)
        run("recurring", "add", key, *daily)

    [told] = [row for row in run.rows("doctor") if row[1] == "queues"]

    assert told == [
        "WARN",
        "queues",
        "no live worker takes from beats, default: what is there waits",
    ]


def test_doctor_fails_without_tables(run: Commands, empty_database: str) -> None:
    rows = run.rows("doctor", "--database-url", empty_database, status=1)

    assert rows[-1][:2] == ["FAIL", "schema"]
    assert "bin/jobs db migrate" in rows[-1][2]


def test_doctor_fails_with_a_faulty_file(run: Commands) -> None:
    run.project.write("config/recurring.yml", "beat: {class: HeartbeatJob, schedule: soon}\n")

    failed = [row[1] for row in run.rows("doctor", status=1) if row[0] == "FAIL"]

    assert failed == ["configuration"]


def test_doctor_without_a_database_ends_with_4(run: Commands) -> None:
    nowhere = "postgresql://me@127.0.0.1:1/db"
    rows = run.rows("doctor", "--database-url", nowhere, status=4)

    assert [row[:2] for row in rows[1:]] == [["FAIL", "database"]]
