"""Enqueue, perform, list, show, clear-finished."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


def _fail_one(session: Session, job_id: int) -> None:
    error = json.dumps({"type": "ValueError", "message": "told to fail", "stack": "File …"})
    session.connection.execute(
        "DELETE FROM jobsd.ready_executions WHERE job_id = %s", (job_id,)
    )
    session.connection.execute(
        "INSERT INTO jobsd.failed_executions (job_id, error) VALUES (%s, %s)", (job_id, error)
    )
    session.connection.execute(
        "INSERT INTO jobsd.attempts (job_id, attempt, process, ended_at, error)"
        " VALUES (%s, 1, 'worker-1', now(), %s)",
        (job_id, error),
    )
    session.connection.execute("UPDATE jobsd.jobs SET attempts = 1 WHERE id = %s", (job_id,))


def test_enqueue_prints_the_id_of_a_job_with_its_own_options(
    run: Commands, session: Session
) -> None:
    done = run("enqueue", "shop_jobs.welcome", '{"user_id": 42}')

    assert (done.returncode, done.stderr) == (0, "")
    row = session.connection.execute(
        "SELECT id, queue_name, priority, max_attempts, arguments FROM jobsd.jobs"
    ).fetchone()
    assert row == (int(done.stdout), "mail", 0, 3, {"user_id": 42})


def test_enqueue_takes_other_options(run: Commands, session: Session) -> None:
    job = run.json(
        "enqueue",
        "shop_jobs.welcome",
        "[42]",
        "--queue",
        "slow",
        "--priority",
        "-5",
        "--in",
        "1h",
    )

    row = session.connection.execute(
        "SELECT queue_name, priority, arguments FROM jobsd.jobs WHERE id = %s", (job["id"],)
    ).fetchone()
    assert job["state"] == "scheduled"
    assert row == ("slow", -5, [42])


@pytest.mark.parametrize("time", ["2100-01-01T12:00", "2100-01-01T13:00+01:00"])
def test_a_time_without_a_zone_is_in_that_of_the_configuration(
    run: Commands, time: str
) -> None:
    run.project.write("config/queue.yml", "import: [shop_jobs]\ntime_zone: Etc/UTC\n")
    job = run.json("enqueue", "DailyCleanupJob", "--at", time)

    shown = run.json("show", str(job["id"]))
    assert shown["scheduled_at"] == "2100-01-01T12:00:00+00:00"


@pytest.mark.parametrize(
    "arguments",
    [
        ["{"],
        ["42"],
        ['["too", "many"]'],
        ['{"$decimal": "x"}'],
        ["[1]", "--priority", "99999999999"],
        ["[1]", "--queue", "a,b"],
        ["[1]", "--in", "1h", "--at", "2100-01-01"],
        ["[1]", "--at", "noon"],
    ],
)
def test_enqueue_refuses_what_it_can_not_mean(
    run: Commands, session: Session, arguments: list[str]
) -> None:
    done = run("enqueue", "shop_jobs.welcome", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert session.connection.execute("SELECT FROM jobsd.jobs").fetchone() is None


def test_what_a_module_prints_is_no_data(run: Commands) -> None:
    run.project.write(
        "shop_jobs.py", "from jobsd import job\nprint('hello')\n@job\ndef a(): ...\n"
    )

    done = run("enqueue", "shop_jobs.a")

    assert (done.stdout.strip().isdecimal(), done.stderr) == (True, "hello\n")


def test_enqueue_of_an_unknown_job_names_the_nearest(run: Commands) -> None:
    done = run("enqueue", "DailyCleanJob")

    assert (done.returncode, done.stdout) == (5, "")
    assert "did you mean 'DailyCleanupJob'?" in done.stderr


def test_enqueue_with_a_module_that_is_broken_ends_with_78(run: Commands) -> None:
    run.project.write("shop_jobs.py", "import nowhere\n")

    done = run("enqueue", "DailyCleanupJob")

    assert (done.returncode, done.stdout) == (78, "")
    assert "shop_jobs" in done.stderr


def test_perform_runs_a_job_here_with_its_output_and_its_log(run: Commands) -> None:
    done = run("perform", "shop_jobs.welcome", "[42]")

    assert (done.returncode, done.stdout) == (0, "welcome 42\n")
    assert "greeted" in done.stderr


def test_perform_needs_no_database_unless_the_job_does(run: Commands) -> None:
    nowhere = "postgresql://me@127.0.0.1:1/db"

    assert run("perform", "DailyCleanupJob", DATABASE_URL=nowhere).returncode == 0
    assert run("perform", "HeartbeatJob", DATABASE_URL=nowhere).returncode == 1


def test_perform_of_the_heartbeat_writes_its_row_and_its_line(run: Commands) -> None:
    done = run("perform", "HeartbeatJob")

    assert done.returncode == 0, done.stderr
    assert "[HEARTBEAT]" in done.stderr
    assert len(run.rows("heartbeat", "recent")) == 1


@pytest.mark.parametrize(
    ("name", "told"), [("fail", "error: ValueError: told to fail"), ("leave", "SystemExit: 3")]
)
def test_perform_ends_with_1_when_the_job_raises(run: Commands, name: str, told: str) -> None:
    done = run("perform", f"shop_jobs.{name}")

    assert done.returncode == 1
    assert told in done.stderr
    assert f"in {name}\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in run("perform", f"shop_jobs.{name}", "--debug").stderr


def test_list_shows_the_newest_first(run: Commands) -> None:
    ids = [run("enqueue", "shop_jobs.welcome", f"[{n}]").stdout.strip() for n in (1, 2)]

    rows = run.rows("list")
    assert [row[0] for row in rows] == ids[::-1]
    assert rows[0][1:5] == ["shop_jobs.welcome", "mail", "ready", "0"]
    assert rows[0][6] == "[2]"


def test_list_filters(run: Commands, session: Session) -> None:
    welcome = run.json("enqueue", "shop_jobs.welcome", "[1]")["id"]
    cleanup = run.json("enqueue", "DailyCleanupJob")["id"]
    later = run.json("enqueue", "DailyCleanupJob", "--in", "1h")["id"]
    failed = run.json("enqueue", "shop_jobs.fail")["id"]
    _fail_one(session, failed)
    session.connection.execute(
        "UPDATE jobsd.jobs SET created_at = now() - interval '2 hours' WHERE id = %s",
        (welcome,),
    )

    def ids(*filters: str) -> list[int]:
        return [job["id"] for job in run.json("list", *filters)]

    assert ids("--queue", "mail") == [welcome]
    assert ids("--class", "DailyCleanupJob") == [later, cleanup]
    assert ids("--state", "failed") == [failed]
    assert ids("--state", "scheduled") == [later]
    assert ids("--state", "ready") == [cleanup, welcome]
    assert ids("--state", "ready", "--limit", "1") == [cleanup]
    assert ids("--state", "claimed") == ids("--state", "finished") == []
    assert ids("--since", "1h") == [failed, later, cleanup]
    assert [job["state"] for job in run.json("list")] == [
        "failed",
        "scheduled",
        "ready",
        "ready",
    ]


def test_a_filtered_argument_is_never_shown(run: Commands) -> None:
    run.project.write(
        "config/queue.yml", "import: [shop_jobs]\njobs: {filter_arguments: [user_id]}\n"
    )
    job = run.json("enqueue", "shop_jobs.welcome", '{"user_id": 4711, "polite": false}')

    shown = {"user_id": "[FILTERED]", "polite": False}
    assert run.json("show", str(job["id"]))["arguments"] == shown
    assert run.json("list")[0]["arguments"] == shown


def test_show_tells_what_went_wrong(run: Commands, session: Session) -> None:
    job_id = run.json("enqueue", "shop_jobs.fail")["id"]
    _fail_one(session, job_id)

    shown = run.json("show", str(job_id))
    assert list(shown) == [
        "id",
        "class_name",
        "queue_name",
        "priority",
        "state",
        "arguments",
        "attempts",
        "created_at",
        "scheduled_at",
        "started_at",
        "finished_at",
        "errors",
        "why",
    ]
    assert (shown["state"], shown["attempts"], shown["why"]) == ("failed", 1, [])
    assert [(e["attempt"], e["type"], e["message"]) for e in shown["errors"]] == [
        (1, "ValueError", "told to fail")
    ]
    assert datetime.fromisoformat(shown["created_at"]).tzinfo is not None
    rows = run.rows("show", str(job_id))
    assert ["state", "failed"] in rows
    assert rows[-1] == ["error", "attempt 1: ValueError: told to fail\\nFile …"]


def test_show_of_no_job_ends_with_5(run: Commands) -> None:
    done = run("show", "4711")

    assert (done.returncode, done.stdout) == (5, "")


@pytest.mark.behaviour(87)
def test_clear_finished_removes_what_is_older(run: Commands, session: Session) -> None:
    for age in ("2 hours", "2 days"):
        job_id = run.json("enqueue", "DailyCleanupJob")["id"]
        session.connection.execute(
            "UPDATE jobsd.jobs SET outcome = 'finished', created_at = now() - %s::interval,"
            " finished_at = now() - %s::interval WHERE id = %s",
            (age, age, job_id),
        )
    session.connection.execute("DELETE FROM jobsd.ready_executions")

    assert run("clear-finished").stdout == "1\n"
    assert run("clear-finished", "--class", "other", "--older-than", "1h").stdout == "0\n"
    assert run.json("clear-finished", "--older-than", "1h", "--batch", "1") == {"cleared": 1}


def test_clear_finished_follows_the_configuration(run: Commands, session: Session) -> None:
    run.project.write("config/queue.yml", "jobs: {clear_finished_jobs_after: 0}\n")
    session.connection.execute(
        "INSERT INTO jobsd.jobs (queue_name, class_name, outcome, finished_at)"
        " VALUES ('a', 'b', 'finished', now())"
    )

    assert run("clear-finished").stdout == "1\n"
