"""Everything is paused on all hosts, by a command or before a tree begins, and resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands

EACH_SECOND = "tick: {class: HeartbeatJob, schedule: every second}\n"


def _heartbeats(session: Session) -> int:
    ((count,),) = session.connection.execute(
        "SELECT count(*) FROM jobsd.heartbeat_logs"
    ).fetchall()
    return int(count)


def _states(run: Commands) -> set[str]:
    return {row["state"] for row in run.json("list", "--class", "shop_jobs.welcome")}


@pytest.mark.system
def test_no_tree_begins_anything_until_everything_is_resumed(
    run: Commands, session: Session
) -> None:
    run.project.write("config/recurring.yml", EACH_SECOND)
    with run.project.start() as one, run.project.start() as other:
        for tree in (one, other):
            tree.wait_event("supervisor.ready")
        wait_until(lambda: _heartbeats(session))

        facts = run.json("queues", "pause", "--all", "--reason", "the database moves")
        run("enqueue", "shop_jobs.welcome", "[1]")
        run("enqueue", "shop_jobs.welcome", "[2]", "--in", "1s")
        before, began = _heartbeats(session), monotonic()
        wait_until(lambda: monotonic() - began > 4)

        assert facts["paused"] is True
        # A run may have been on its way when everything was paused.
        assert _heartbeats(session) <= before + 1
        assert _states(run) == {"ready", "scheduled"}
        assert run("queues", "resume", "--all").returncode == 0
        wait_until(lambda: _states(run) == {"finished"})
        wait_until(lambda: _heartbeats(session) > before + 1)


@pytest.mark.system
def test_a_tree_that_starts_paused_runs_nothing_and_a_restart_keeps_a_resume(
    run: Commands,
) -> None:
    job_id = run("enqueue", "shop_jobs.welcome", "[1]").stdout.strip()
    with run.project.start("--paused") as tree:
        tree.wait_event("supervisor.ready")
        why = run.json("show", job_id)["why"]
        assert [each["reason"] for each in why] == ["everything_paused"]
        assert _states(run) == {"ready"}
        assert run.json("status")["health"][0]["name"] == "everything_paused"
        assert run("queues", "resume", "--all").returncode == 0
        wait_until(lambda: _states(run) == {"finished"})

        assert run("restart").returncode == 0

        run("enqueue", "shop_jobs.welcome", "[2]")
        wait_until(lambda: _states(run) == {"finished"})


@pytest.mark.system
def test_without_a_database_a_tree_that_is_to_start_paused_is_not_started(
    run: Commands,
) -> None:
    done = run.project.run(
        "start", "--paused", DATABASE_URL="postgresql://127.0.0.1:1/x?connect_timeout=2"
    )

    assert done.returncode == 4
    assert "nothing was started: everything could not be paused" in done.stderr
    assert "process.started" not in done.stdout


def test_both_acts_are_reported_and_written_down(run: Commands) -> None:
    texts = [
        run("queues", *words).stderr.strip()
        for words in (
            ("pause", "--all"),
            ("pause", "--all", "--reason", "why"),
            ("resume", "--all", "--catch-up"),
        )
    ]

    assert texts == [
        "everything is paused",
        "everything was paused already",
        "everything is resumed",
    ]
    assert run("queues", "resume", "--all").returncode == 5
    acts = run.json("audit")
    assert [(each["act"], each["target"]) for each in acts] == [
        ("resume", "everything"),
        ("pause", "everything"),
        ("pause", "everything"),
    ]


@pytest.mark.parametrize(
    "words",
    [("pause",), ("resume",), ("pause", "mail", "--all"), ("resume", "mail", "--catch-up")],
    ids=" ".join,
)
def test_a_command_names_a_queue_or_all(run: Commands, words: tuple[str, ...]) -> None:
    done = run("queues", *words)

    assert done.returncode == 2
    assert "--all" in done.stderr
    assert run.json("audit") == []


def test_a_start_with_reload_is_never_paused(run: Commands) -> None:
    done = run("start", "--reload", "--paused")

    assert done.returncode == 2
    assert "--paused can't be combined with --reload" in done.stderr
