"""Queues by commands: listed, paused, resumed, cleared; and the self-test, on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.jobs import queues

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


def test_a_bench_leaves_nothing_behind(run: Commands, session: Session) -> None:
    result = run.json("bench", "--jobs", "500", "--threads", "2")

    assert (result["jobs"], result["threads"]) == (500, 2)
    assert result["drained_per_s"] > 0
    assert session.connection.execute("SELECT FROM jobsd.jobs").fetchone() is None
    schemas = session.connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'jobsd_bench%'"
    ).fetchall()
    assert schemas == []


def test_a_pause_is_told_by_whom_and_why(run: Commands, session: Session) -> None:
    run.json("enqueue", "shop_jobs.welcome", "[1]")

    assert run("queues", "pause", "mail", "--reason", "the server is down").returncode == 0
    [mail] = run.json("queues")
    assert (mail["name"], mail["ready"], mail["paused"]) == ("mail", 1, True)
    assert mail["reason"] == "the server is down"
    assert mail["paused_by"] == queues.paused(session=session)[0].created_by
    [row] = run.rows("queues")
    assert (row[0], row[1], row[3]) == ("mail", "1", "true")
    assert float(row[2]) > 0
    assert run("queues", "resume", "mail").returncode == 0
    assert run("queues", "resume", "mail").returncode == 5


def test_clearing_a_queue_needs_consent(run: Commands) -> None:
    run.json("enqueue", "shop_jobs.welcome", "[1]")

    refused = run("queues", "clear", "mail")
    assert (refused.returncode, refused.stdout) == (6, "")
    assert refused.stderr == "error: to discard 1 ready jobs of queue 'mail', say --yes\n"
    assert run.json("queues", "clear", "mail", "--yes") == {
        "queue_name": "mail",
        "discarded": 1,
    }
    assert [job["state"] for job in run.json("list")] == ["discarded"]
