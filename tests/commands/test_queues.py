"""Queues by commands: listed, paused, resumed, cleared; and the self-test, on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import refused
from jobsd.acts import queues
from jobsd.daemon.cli import cli
from system.rows import register

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


def test_a_pause_is_reported_with_its_author_and_reason(
    run: Commands, session: Session
) -> None:
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
    assert run.json("queues", "pause", "mail") == {
        "queue_name": "mail",
        "paused": True,
        "already_paused": False,
        "reason": None,
    }
    assert run.json("queues", "resume", "mail") == {"queue_name": "mail", "paused": False}


def test_a_pause_of_an_unknown_queue_is_stored_with_a_note(run: Commands) -> None:
    run.project.write(
        "config/queue.yml", "import: [shop_jobs]\nworkers: [{queues: [a_*, b]}]\n"
    )
    run.json("enqueue", "shop_jobs.welcome", "[1]", "--in", "1h")

    noted = {
        name: "Check the spelling" in run("queues", "pause", name).stderr
        for name in ("mial", "mail", "a_1", "b", "default")
    }

    assert noted == dict.fromkeys(noted, False) | {"mial": True}


def test_a_second_pause_reports_the_change_of_its_reason(run: Commands) -> None:
    said = {
        reason: run("queues", "pause", "default", *reason).stderr.strip()
        for reason in ((), ("--reason", "first"), ("--reason", "second"))
    }
    nothing = run("queues", "pause", "default", "--reason", "second").stderr.strip()
    facts = run.json("queues", "pause", "default", "--reason", "third")

    assert list(said.values()) == [
        "queue 'default' is paused",
        "queue 'default' was paused already; its reason is now 'first'",
        "queue 'default' was paused already; its reason is now 'second', no longer 'first'",
    ]
    assert nothing == "queue 'default' was paused already: nothing was changed"
    assert (facts["already_paused"], facts["reason"]) == (True, "third")


def test_clearing_a_queue_needs_consent(run: Commands) -> None:
    run.json("enqueue", "shop_jobs.welcome", "[1]")

    refused = run("queues", "clear", "mail")
    assert (refused.returncode, refused.stdout) == (6, "")
    assert (
        refused.stderr
        == "error: refusing to discard 1 ready job of queue 'mail' without --yes\n"
    )
    assert run.json("queues", "clear", "mail", "--yes") == {
        "queue_name": "mail",
        "discarded": 1,
    }
    assert [job["state"] for job in run.json("list")] == ["discarded"]


def test_clearing_a_queue_without_jobs_needs_no_consent(run: Commands) -> None:
    cleared = run("queues", "clear", "default")

    assert (cleared.returncode, cleared.stdout, cleared.stderr) == (0, "0\n", "")


@pytest.mark.parametrize("consent", [(), ("--yes",)], ids=["", "yes"])
def test_clearing_an_unknown_queue_prints_a_note(
    run: Commands, consent: tuple[str, ...]
) -> None:
    cleared = run("queues", "clear", "nosuch", *consent)

    assert (cleared.returncode, cleared.stdout) == (0, "0\n")
    assert cleared.stderr.startswith(
        "note: no worker or task names the queue 'nosuch', and no recent job"
    )


def test_queues_without_ready_jobs_are_listed_too(run: Commands, session: Session) -> None:
    later = run.json("enqueue", "shop_jobs.welcome", "[1]", "--in", "1h", "--queue", "later")
    failed = run.json("enqueue", "shop_jobs.welcome", "[1]", "--queue", "failed")
    blocked = run.json("enqueue", "shop_jobs.welcome", "[1]", "--queue", "blocked")
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute(
        "INSERT INTO jobsd.failed_executions (job_id, error) VALUES (%s, '{}')",
        (failed["id"],),
    )
    session.connection.execute(
        "INSERT INTO jobsd.blocked_executions"
        " (job_id, position, priority, queue_name, concurrency_key)"
        " VALUES (%s, NULL, 0, 'blocked', 'k')",
        (blocked["id"],),
    )

    assert later["state"] == "scheduled"
    assert [(each["name"], each["ready"], each["jobs"]) for each in run.json("queues")] == [
        ("blocked", 0, {"blocked": 1}),
        ("failed", 0, {"failed": 1}),
        ("later", 0, {"scheduled": 1}),
    ]


def test_idle_queues_are_listed_with_0(run: Commands, session: Session) -> None:
    run.json("enqueue", "shop_jobs.welcome", "[1]", "--queue", "done")
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    register(session, "worker", queues="mail,slow*")
    add = ("recurring", "add", "task", "--class", "HeartbeatJob", "--schedule", "every day")
    run(*add, "--queue", "beats")

    listed = run.json("queues")

    assert [(each["name"], each["ready"], each["jobs"]) for each in listed] == [
        ("beats", 0, {}),
        ("done", 0, {}),
        ("mail", 0, {}),
    ]
    assert [each["name"] for each in run.json("status", status=3)["queues"]] == [
        "beats",
        "done",
        "mail",
    ]


@pytest.mark.parametrize("reason", ["two\nlines", "a\tb", "\x1b[31m"], ids=repr)
def test_a_reason_is_a_line_of_text(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.run(["queues", "pause", "mail", "--reason", reason])

    reported = capsys.readouterr()
    assert (status, reported.out) == (2, "")
    assert "is not one line of printable text" in reported.err


@pytest.mark.parametrize("verb", ["pause", "resume", "clear"])
@pytest.mark.parametrize("name", refused.QUEUES, ids=ascii)
def test_a_name_that_is_none_ends_with_2(
    verb: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.run(["queues", verb, name])

    reported = capsys.readouterr()
    assert (status, reported.out) == (2, "")
    assert "is not a queue name" in reported.err
