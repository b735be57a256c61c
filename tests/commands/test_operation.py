"""Status, ps, metrics, heartbeat, health: what the operator looks at."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import claim
from harness.tree import COMMAND
from jobsd.machine import hostname
from jobsd.operations.processes import life
from jobsd.processes import registry
from system.rows import beat, register
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


def test_status_ends_with_3_when_nothing_runs(run: Commands) -> None:
    done = run("status")

    assert done.returncode == 3
    assert done.stdout.startswith("jobsd is not running\nlast heartbeat: none\n")
    assert run.json("status", status=3)["running"] is False


def test_status_shows_one_screen(run: Commands, session: Session) -> None:
    register(session, "supervisor")
    register(session, "worker", queues="*", threads=3)
    beat(session, "5 minutes")
    run.json("enqueue", "shop_jobs.welcome", "[1]")
    run("recurring", "add", "daily", "--class", "DailyCleanupJob", "--schedule", "every day")
    session.connection.execute(
        "INSERT INTO jobsd.jobs (id, queue_name, class_name) VALUES (4711, 'a', 'Broken')"
    )
    session.connection.execute(
        "INSERT INTO jobsd.failed_executions (job_id, error)"
        ' VALUES (4711, \'{"type": "ValueError", "message": "no"}\')'
    )

    seen = run.json("status")

    assert set(seen) == {
        "running",
        "processes",
        "queues",
        "recurring",
        "failures",
        "health",
        "last_heartbeat",
    }
    assert seen["running"] is True
    assert [(queue["name"], queue["ready"]) for queue in seen["queues"]] == [
        ("a", 0),
        ("mail", 1),
    ]
    assert [task["key"] for task in seen["recurring"]] == ["daily"]
    assert [(job["id"], job["error"]) for job in seen["failures"]] == [(4711, "ValueError: no")]
    reported = run("status").stdout
    assert reported.startswith("jobsd is running: a supervisor with 1 process\n")


def test_a_supervisor_that_was_killed_does_not_run(run: Commands, session: Session) -> None:
    supervisor = register(session, "supervisor")
    session.connection.execute(
        'UPDATE jobsd.processes SET metadata = metadata || \'{"started": "1"}\' WHERE id = %s',
        (supervisor,),
    )

    seen = run.json("status", status=3)

    assert [process["life"] for process in seen["processes"]] == ["gone"]


def test_a_process_of_another_machine_is_judged_by_its_heartbeat(session: Session) -> None:
    register(session, "supervisor")
    session.connection.execute(
        'UPDATE jobsd.processes SET metadata = metadata || \'{"boot": "x", "started": "1"}\','
        " last_heartbeat_at = now() - interval '30 s'"
    )
    [row] = registry.processes(session)

    assert (life(row, 60.0), life(row, 20.0)) == ("alive", "silent")


def test_status_can_be_watched(run: Commands) -> None:
    watching = subprocess.Popen(
        [*COMMAND, "status", "--watch", "100ms", "--json"],
        cwd=run.project.root,
        env=run.project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    lines = [json.loads(watching.stdout.readline()) for _ in range(3)]
    watching.send_signal(2)
    _, reported = watching.communicate(timeout=10)

    assert [line["running"] for line in lines] == [False] * 3
    assert (watching.returncode, reported.strip()) == (130, "")


def test_ps_lists_the_processes_table(run: Commands, session: Session) -> None:
    worker = register(session, "worker", queues="*", threads=3)

    [row] = run.rows("ps")
    assert row[:3] == [str(worker), "worker", "worker-1"]
    assert row[4] == hostname()
    assert float(row[5]) < 60
    assert json.loads(row[6]) == {"queues": "*", "threads": 3}
    [shown] = run.json("ps")
    assert {"id", "kind", "name", "pid", "hostname", "heartbeat_age", "metadata"} <= set(shown)


def test_metrics_are_an_exposition(run: Commands, session: Session) -> None:
    beat(session, "1 minute")
    run.json("enqueue", "shop_jobs.welcome", "[1]")

    reported = run("metrics").stdout

    assert 'jobsd_queue_jobs{queue="mail",state="ready"} 1.0' in reported
    assert "jobsd_database_up 1.0" in reported
    assert run("metrics", "--openmetrics").stdout.endswith("# EOF\n")
    labels = {"queue": "mail", "state": "ready"}
    assert {"name": "jobsd_queue_jobs", "labels": labels, "value": 1} in run.json("metrics")
    if promtool := shutil.which("promtool"):
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=reported, text=True, check=False
        )
        assert checked.returncode == 0


def test_metrics_report_how_old_the_oldest_claim_of_a_queue_is(
    run: Commands, session: Session
) -> None:
    claim(session, 1, run.json("enqueue", "shop_jobs.welcome", "[1]")["id"])
    claim(session, 2, run.json("enqueue", "shop_jobs.welcome", "[2]")["id"])
    session.connection.execute(
        "UPDATE jobsd.claims SET created_at = now() - interval '1 h' WHERE process_id = 1"
    )

    [age_s] = [
        sample["value"]
        for sample in run.json("metrics")
        if sample["name"] == "jobsd_queue_claim_age_seconds"
    ]

    assert 3600 <= age_s < 3660


def test_heartbeats_are_asked_for(run: Commands, session: Session) -> None:
    for ago, host in (("90 minutes", "web-1"), ("10 minutes", "web-2"), ("5 minutes", "web-1")):
        beat(session, ago, host)

    assert run.json("heartbeat", "latest")["hostname"] == "web-1"
    assert run.rows("heartbeat")[0][1:] == ["test", "web-1"]
    assert len(run.json("heartbeat", "recent")) == 3
    assert len(run.json("heartbeat", "recent", "-n", "1")) == 1
    assert [row[2] for row in run.rows("heartbeat", "recent", "--since", "1h")] == [
        "web-1",
        "web-2",
    ]
    assert [beat["hostname"] for beat in run.json("heartbeat", "by-host", "web-2")] == ["web-2"]


def test_all_heartbeats_since_a_time_are_listed_and_ten_without_one(
    run: Commands, session: Session
) -> None:
    for minutes in range(1, 26):
        beat(session, f"{minutes} minutes")

    counts = [
        len(run.json("heartbeat", *words))
        for words in (
            ["recent"],
            ["recent", "--since", "1h"],
            ["recent", "--since", "1h", "-n", "7"],
            ["by-host", "web-1", "--since", "1h"],
        )
    ]

    assert counts == [10, 25, 7, 25]


def test_heartbeat_latest_ends_with_1_when_there_was_none(run: Commands) -> None:
    done = run("heartbeat", "latest")

    assert (done.returncode, done.stdout) == (1, "")
    assert run.json("heartbeat", "latest", status=1) is None


@pytest.mark.parametrize(("within", "status"), [("10m", 0), ("1m", 1)])
def test_verify_and_health_judge_the_last_heartbeat(
    run: Commands, session: Session, within: str, status: int
) -> None:
    beat(session, "5 minutes")

    assert run("heartbeat", "verify", "--within", within).returncode == status
    health = run("health", "--within", within)
    assert health.returncode == status
    reported = json.loads(health.stdout)
    assert set(reported) == {"healthy", "last_heartbeat"}
    assert reported["healthy"] is (status == 0)


def test_health_goes_by_the_processes_without_a_heartbeat_task(
    run: Commands, session: Session
) -> None:
    assert run.json("health", status=1)["judged_by"] == "processes"

    for kind in ("worker", "dispatcher"):
        registry.register(session, kind=kind, name=kind, supervisor_id=0, metadata={})

    assert run.json("health")["judged_by"] == "processes"


def test_health_gives_the_first_heartbeat_of_a_task_its_time(
    run: Commands, session: Session
) -> None:
    run.project.write(
        "config/recurring.yml", "heartbeat: {class: HeartbeatJob, schedule: every 5 minutes}\n"
    )
    assert run.json("health", status=1)["judged_by"] == "heartbeat"

    registry.register(session, kind="supervisor", name="s", supervisor_id=0, metadata={})
    assert run.json("health")["judged_by"] == "time since the start"

    beat(session, "1 minute", task=None)
    assert run.json("health")["judged_by"] == "time since the start"

    session.connection.execute(
        "UPDATE jobsd.processes SET created_at = now() - interval '11 minutes'"
    )
    registry.register(session, kind="supervisor", name="s2", supervisor_id=0, metadata={})
    # A daemon that has just started does not excuse one that has had its time.
    assert run.json("health", status=1)["judged_by"] == "heartbeat"

    beat(session, "8 minutes")
    assert run.json("health")["judged_by"] == "heartbeat"


def test_gaps_end_with_1_when_there_are_any(run: Commands, session: Session) -> None:
    beat(session, "31 minutes")
    beat(session, "1 minute")

    [gap] = run.json("heartbeat", "gaps", "--every", "5m", "--since", "25m", status=1)
    assert gap["missed"] == 5
    assert run("heartbeat", "gaps", "--every", "30m", "--since", "25m").returncode == 0


def test_a_running_tree_is_seen(run: Commands) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")

        wait_until(lambda: run("status").returncode == 0, 10, tree.reported)
        tree.terminate()
    assert run("status").returncode == 3
