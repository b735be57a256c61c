"""Whether a tree is alive, ready, healthy."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.monitor_options import beating, make_options, with_dispatcher
from harness.monitor_pages import facts
from harness.played_tree import PlayedTree, tree_on
from jobsd.clock import monotonic_ns
from jobsd.scoreboard.entry import UP
from waiting import wait_until

if TYPE_CHECKING:
    import socket

    from jobsd.database.connection import Session, Target
    from jobsd.processes.context import Context


def _beat(session: Session, age: str = "0", task: str | None = "heartbeat") -> None:
    session.connection.execute(
        "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname, task_key)"
        " VALUES (now() - %s::interval, 'test', 'here', %s)",
        (age, task),
    )


def _tick_for_ever(context: Context) -> int:
    while True:
        context.entry.tick()
        context.nap.take(0.02)
        if context.stopping:
            return signal.SIGTERM


def test_a_tree_is_alive_while_its_supervisor_comes_round(
    monitored: PlayedTree, listener: socket.socket
) -> None:
    assert facts(listener, "/livez")[0] == 200

    monitored.scoreboard.ticked_ns = monotonic_ns() - 60 * 10**9

    status, said = facts(listener, "/livez")
    assert (status, said["alive"]) == (503, False)
    assert said["supervisor_loop_age"] >= 60


def test_a_tree_is_ready_once_all_configured_processes_are_up(
    target: Target, listener: socket.socket
) -> None:
    with tree_on(target, with_dispatcher(make_options(target))) as tree:
        tree.scoreboard.ready = 1
        tree.start_monitor(listener)
        tree.start_worker()
        status, said = facts(listener, "/readyz")
        assert (status, said["missing"]) == (503, {"dispatcher": 1})

        entry = tree.fork("dispatcher", _tick_for_ever)
        wait_until(lambda: entry.state == UP)

        assert facts(listener, "/readyz")[0] == 200


def test_an_outage_that_anybody_has_met_ends_the_readiness(
    monitored: PlayedTree, listener: socket.socket
) -> None:
    monitored.scoreboard.ready = 1
    worker = monitored.start_worker()
    assert facts(listener, "/readyz")[0] == 200

    # Else the monitor, which has a database, would end the outage with its next look.
    worker.database_down = 1
    monitored.scoreboard.outage_since_ns = monotonic_ns()

    status, said = facts(listener, "/readyz")
    assert (status, said["database"]) == (503, False)


def test_a_tree_that_waits_for_its_tables_is_not_ready(
    monitored: PlayedTree, listener: socket.socket
) -> None:
    monitored.scoreboard.ready = 1
    worker = monitored.start_worker()
    status, said = facts(listener, "/readyz")
    assert (status, said["tables"]) == (200, True)

    worker.tables_awaited = 1

    status, said = facts(listener, "/readyz")
    assert (status, said["tables"], said["database"]) == (503, False, True)


def test_a_tree_that_stops_is_not_ready(monitored: PlayedTree, listener: socket.socket) -> None:
    monitored.scoreboard.ready = 1
    monitored.start_worker()
    assert facts(listener, "/readyz")[0] == 200

    monitored.scoreboard.stopping = 1

    assert facts(listener, "/readyz")[0] == 503


def test_without_a_heartbeat_task_database_and_processes_are_the_judges(
    monitored: PlayedTree, listener: socket.socket
) -> None:
    status, said = facts(listener, "/healthz")
    assert (status, said["healthy"], said["last_heartbeat"]) == (503, False, None)

    monitored.start_worker()

    status, said = facts(listener, "/healthz")
    assert (status, said["healthy"]) == (200, True)


@pytest.mark.parametrize(
    ("schedule", "minutes", "status"),
    [
        ("every 5 minutes", 9, 200),
        ("every 5 minutes", 11, 503),
        ("every hour", 110, 200),
        ("every hour", 130, 503),
    ],
)
def test_a_heartbeat_may_be_two_periods_old(
    request: pytest.FixtureRequest, target: Target, schedule: str, minutes: int, status: int
) -> None:
    listener = request.getfixturevalue("listener")
    _beat(request.getfixturevalue("session"), f"{minutes} minutes")
    with tree_on(target, beating(target, schedule)) as tree:
        tree.scoreboard.started_ns -= 86400 * 10**9
        tree.start_monitor(listener)

        answer, said = facts(listener, "/healthz")

    assert (answer, said["healthy"]) == (status, status == 200)
    assert said["last_heartbeat"].endswith("Z")


def test_where_a_task_beats_no_other_heartbeat_counts(
    target: Target, listener: socket.socket, session: Session
) -> None:
    with tree_on(target, beating(target)) as tree:
        tree.scoreboard.started_ns -= 86400 * 10**9
        tree.start_monitor(listener)

        _beat(session, task=None)
        status, said = facts(listener, "/healthz")
        assert (status, said["last_heartbeat"]) == (503, None)

        _beat(session)
        # What it has asked a moment ago is not asked again.
        wait_until(lambda: facts(listener, "/healthz")[0] == 200)


def test_a_tree_that_has_just_begun_is_given_time_for_its_first_heartbeat(
    target: Target, listener: socket.socket
) -> None:
    with tree_on(target, beating(target)) as tree:
        tree.start_monitor(listener)
        assert facts(listener, "/healthz")[0] == 200

        tree.scoreboard.started_ns -= 601 * 10**9

        assert facts(listener, "/healthz")[0] == 503


@pytest.mark.parametrize("beaten", [False, True], ids=["before the first", "after one"])
def test_no_heartbeat_makes_a_tree_healthy_while_the_database_is_away(
    target: Target, listener: socket.socket, session: Session, *, beaten: bool
) -> None:
    if beaten:
        _beat(session)
    with tree_on(target, beating(target)) as tree:
        tree.start_monitor(listener)
        wait_until(lambda: facts(listener, "/healthz")[0] == 200)
        worker = tree.start_worker()

        # Set by the second failed attempt of any process, until its next success.
        worker.database_down = 1
        tree.scoreboard.outage_since_ns = monotonic_ns()
        status, said = facts(listener, "/healthz")

        assert (status, said["judged_by"]) == (503, "database")
        assert facts(listener, "/livez")[0] == 200
        worker.database_down = 0
        wait_until(lambda: facts(listener, "/healthz")[0] == 200)


def test_a_new_heartbeat_is_seen_at_once(
    target: Target, listener: socket.socket, session: Session
) -> None:
    options = replace(
        beating(target),
        supervisor=replace(make_options(target).supervisor, heartbeat_interval_s=60),
    )
    with tree_on(target, options) as tree:
        tree.start_monitor(listener)

        _beat(session)

        assert facts(listener, "/healthz")[1]["last_heartbeat"] is not None
