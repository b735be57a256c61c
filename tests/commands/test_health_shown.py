"""`status`, `doctor` and the API report one judgement; it changes no answer of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import MADE, Browser, made
from system.rows import beat, register
from system.terminal import on_a_terminal

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from rows import Rows
    from system.commands import Commands

OVERDUE = "No dispatcher runs, and scheduled jobs are overdue: the first has been due for 4m"


@pytest.fixture
def faulty(run: Commands, session: Session, rows: Rows) -> Commands:
    """A supervisor and a worker, a job that is overdue, and a queue that is paused."""
    run.project.write(
        "config/recurring.yml", "heartbeat: {class: HeartbeatJob, schedule: every 5 minutes}\n"
    )
    register(session, "supervisor")
    register(session, "worker", queues="*")
    beat(session, "1 minute")
    run.json("enqueue", "shop_jobs.welcome", "[1]", "--in", "1h")
    run("queues", "pause", "mail")
    rows("UPDATE jobsd.scheduled_executions SET scheduled_at = now() - interval '4 minutes'")
    return run


def _named(found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(each["name"], each["severity"], each["page"]) for each in found]


NAMED = [("no_dispatcher", "bad", "processes"), ("paused", "warning", "queues")]


def test_status_has_the_findings_and_keeps_its_exit_status(faulty: Commands) -> None:
    done = faulty("status")

    printed = done.stdout.splitlines()
    assert done.returncode == 0
    assert printed[0].startswith("jobsd is running")
    assert printed[1].startswith(f"bad: {OVERDUE}")
    assert printed[2] == "warning: Paused: mail."
    found = faulty.json("status")["health"]
    assert _named(found) == NAMED
    assert found[0]["sentence"].startswith(OVERDUE)


def test_status_of_one_host_has_the_health_of_all(faulty: Commands, session: Session) -> None:
    session.connection.execute(
        'UPDATE jobsd.processes SET metadata = metadata || \'{"boot": "elsewhere"}\''
    )

    found = faulty.json("status", "--here", status=3)

    assert found["processes"] == []
    assert _named(found["health"]) == NAMED


def test_a_long_finding_leaves_the_screen_its_sections(
    faulty: Commands, session: Session
) -> None:
    session.connection.execute("UPDATE jobsd.pauses SET queue_name = repeat('q', 255)")

    lines = on_a_terminal(faulty, "status", width=60)

    assert lines[1].startswith("bad: No dispatcher runs")
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 60


@pytest.mark.usefixtures("faulty")
def test_the_api_has_the_findings_that_status_has(target: Target) -> None:
    answer = Browser(made(target)).get("/api/v1/")
    MADE.pop().close()

    assert answer.status == 200
    assert _named(answer.json()["health"]) == NAMED


def test_status_doctor_and_the_api_judge_by_the_targets_of_queues(
    faulty: Commands, rows: Rows, target: Target
) -> None:
    faulty("queues", "resume", "mail")
    faulty.json("enqueue", "shop_jobs.welcome", "[1]", "--queue", "mail")
    rows("UPDATE jobsd.jobs SET created_at = now() - interval '30 seconds'")
    before = faulty.json("status")["health"]
    faulty.project.write("config/queue.yml", "monitor: {latency_target: {mail: 10s}}\n")

    seen = faulty.json("status")["health"]
    said = " ".join(row[2] for row in faulty.rows("doctor") if row[1] == "health")
    answer = Browser(made(target, latency_targets_s={"mail": 10.0})).get("/api/v1/")
    MADE.pop().close()

    assert [each["name"] for each in before] == ["no_dispatcher"]
    assert [each["name"] for each in seen] == ["no_dispatcher", "late"]
    assert [each["name"] for each in answer.json()["health"]] == ["no_dispatcher", "late"]
    assert "(target 10s)" in said


def test_doctor_warns_of_each_finding_and_does_not_fail(faulty: Commands) -> None:
    said = [row for row in faulty.rows("doctor") if row[1] == "health"]

    assert [row[0] for row in said] == ["WARN", "WARN"]
    assert said[0][2].startswith(OVERDUE)


def test_health_is_judged_by_heartbeats_alone(faulty: Commands) -> None:
    assert faulty.json("health")["healthy"]
