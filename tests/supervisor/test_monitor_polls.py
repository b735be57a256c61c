"""What one poll of the monitor does after its first effect, without a database."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from harness.monitor_options import make_options
from jobsd.clock import monotonic
from jobsd.database.connection import Target
from jobsd.processes.context import Context
from jobsd.supervisor.monitor import database_thread, http, monitor
from jobsd.supervisor.monitor.database_thread import SECOND_SURVEY_S, DatabaseThread
from jobsd.supervisor.monitor.heartbeats import LastHeartbeats, Survey
from jobsd.supervisor.monitor.monitor import Monitor
from jobsd.supervisor.recovery.peers import PeerProcess
from waiting import wait_until

if TYPE_CHECKING:
    from email.message import Message

NOWHERE = Target("postgresql://nowhere")
PEER = PeerProcess(7, "worker", "w", 1, "here", 0.0, "", "", "", 12)


def _nothing(*_: object, **__: object) -> None:
    pass


def _done(*_: object) -> bool:
    return True


class Polled:
    """A database thread whose statements all succeed, and what it did with its peers."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journals, self.forced_s = 0, float("inf")
        self.notified, self.forced = list[str](), list[bool]()
        self.everything_paused = False
        self.vanished: list[PeerProcess] = []
        self.still: list[tuple[PeerProcess, float]] = []
        self.forgotten: list[PeerProcess] = []
        self.thread = thread = DatabaseThread(context, NOWHERE, make_options(NOWHERE), {})
        thread.survey_at = monotonic() + 60

        def due_in_s(_: float) -> float:
            return 60.0

        def written(*_: object) -> Survey:
            paused = self.everything_paused
            return Survey(frozenset(), [], [], LastHeartbeats(), everything_paused=paused)

        peers = SimpleNamespace(
            near=False,
            vanished=lambda: self.vanished,
            standing_still=self._standing_still,
            forget=self.forgotten.append,
            see=_nothing,
            due_in_s=due_in_s,
        )
        for name, stand_in in (
            ("_is_registered", lambda: True),
            ("_peers", peers),
            ("_forced", SimpleNamespace(poll=self._poll_forced)),
            ("_session", SimpleNamespace(notifications=lambda: self.notified)),
        ):
            monkeypatch.setattr(thread, name, stand_in)
        for name in ("recover", "recover_vanished", "prune"):
            monkeypatch.setattr(thread.recovery, name, _done)
        monkeypatch.setattr(thread.recovery, "report_committed", _nothing)
        monkeypatch.setattr(thread.recovery, "recover_journals", self._recover_journals)
        monkeypatch.setattr(thread.membership, "check", _nothing)
        monkeypatch.setattr(database_thread, "write_heartbeats", written)

    def _poll_forced(self, *, notified: bool) -> float:
        self.forced.append(notified)
        return self.forced_s

    def _standing_still(self, _: float) -> list[tuple[PeerProcess, float]]:
        return self.still

    def _recover_journals(self, _: object) -> bool:
        self.journals += 1
        return True


@pytest.fixture
def polled(context: Context, monkeypatch: pytest.MonkeyPatch) -> Polled:
    return Polled(context, monkeypatch)


def test_unread_journals_are_read_once(polled: Polled, context: Context) -> None:
    context.scoreboard.journals_unread = 1

    for _ in range(3):
        polled.thread.poll()

    assert polled.journals == 1


def test_a_poll_is_followed_in_time_for_the_cancels_by_force(polled: Polled) -> None:
    polled.forced_s = 0.25

    assert polled.thread.poll() == 0.25


def test_a_notified_pause_of_everything_is_read_at_once(
    polled: Polled, context: Context
) -> None:
    polled.everything_paused = True
    polled.thread.poll()
    before = context.scoreboard.everything_paused

    polled.notified = ["everything"]
    polled.thread.poll()

    assert (before, context.scoreboard.everything_paused) == (0, 1)
    polled.everything_paused = False
    polled.thread.poll()
    assert context.scoreboard.everything_paused == 0
    assert polled.forced == [False] * 3


def test_a_pause_of_everything_is_no_cancel_by_force(polled: Polled) -> None:
    for polled.notified in (["everything"], ["everything", "17"], ["17"], []):
        polled.thread.poll()

    assert polled.forced == [False, True, True, False]


def test_soon_after_a_death_the_database_is_surveyed_again(
    polled: Polled, context: Context
) -> None:
    dead = context.scoreboard.entries[1]
    dead.take("worker", "worker-1")
    dead.record_exit(9, "signal", 0)

    polled.thread.poll()

    assert polled.thread.survey_at <= monotonic() + SECOND_SURVEY_S


@pytest.mark.parametrize("how", ["vanished", "stands still"])
def test_a_peer_is_forgotten_once_it_was_recovered(polled: Polled, how: str) -> None:
    if how == "vanished":
        polled.vanished = [PEER]
    else:
        polled.still, polled.thread.survey_at = [(PEER, 60.0)], 0.0

    polled.thread.poll()

    assert polled.forgotten == [PEER]


class Closing:
    """Stands for a session of which each statement fails."""

    made: list[tuple[Target, float]]
    closed: int

    def __init__(self, target: Target, _name: str, *, deadline_s: float, **_: object) -> None:
        self.made.append((target, deadline_s))
        self.target = target

    def fetch(self, *_: object) -> None:
        raise psycopg.OperationalError("it went away")

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> type[Closing]:
    """The sessions of the monitor's thread and pages."""
    Closing.made, Closing.closed = [], 0
    for module in (database_thread, http):
        monkeypatch.setattr(module, "Session", Closing)
    return Closing


def test_the_thread_has_one_connection_with_a_deadline_below_the_threshold(
    context: Context, sessions: type[Closing]
) -> None:
    target = Target("postgresql://pooler", listen_url="postgresql://direct")
    options = make_options(target)
    short = replace(options.supervisor, process_alive_threshold_s=6.0)

    DatabaseThread(context, target, replace(options, supervisor=short), {})

    assert sessions.made == [(replace(target, listen_url=None), 1.0)]


def test_a_connection_that_broke_is_closed_before_the_next_attempt(
    context: Context, sessions: type[Closing], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, closed = DatabaseThread(context, NOWHERE, make_options(NOWHERE), {}), list[int]()

    def poll() -> float:
        closed.append(sessions.closed)
        if len(closed) == 2:
            thread.finish(tree_ends=False, orphaned=False)
        raise psycopg.OperationalError("it went away")

    monkeypatch.setattr(thread, "poll", poll)
    monkeypatch.setattr(thread.nap, "take", _nothing)
    monkeypatch.setattr(thread, "_sockets", list[int])
    monkeypatch.setattr(thread.membership, "leave_alone", _nothing)
    monkeypatch.setattr(thread.history, "write", _nothing)
    thread.run()

    assert closed == [0, 1]


def test_a_reading_for_a_page_leaves_no_connection(
    context: Context, sessions: type[Closing]
) -> None:
    thread = DatabaseThread(context, NOWHERE, make_options(NOWHERE), {})
    pages = http.Pages(context.scoreboard, NOWHERE, make_options(NOWHERE), thread)

    pages.healthz(cast("Message", {}))

    wait_until(lambda: sessions.closed)


def test_the_last_of_an_orphaned_tree_waits_for_nobody(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, naps = DatabaseThread(context, NOWHERE, make_options(NOWHERE), {}), list[float]()
    monkeypatch.setattr(thread.nap, "take", naps.append)
    monkeypatch.setattr(thread.membership, "leave", _nothing)

    thread.finish(tree_ends=True, orphaned=True)
    thread.run()

    assert naps == []


# The main thread.


def test_an_address_of_version_6_has_brackets(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = SimpleNamespace(getsockname=lambda: ("::1", 9394, 0, 0))
    monkeypatch.setattr(http, "Server", _nothing)

    Monitor(context, NOWHERE, make_options(NOWHERE), cast("socket.socket", listener))

    assert context.metadata["bind"] == "[::1]:9394"


def test_a_foreign_process_with_the_id_of_a_child_outlives_an_orphaned_tree(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DatabaseThread, "run", _nothing)
    monkeypatch.setattr(monitor, "ALONE_AT_MOST_S", 0.0)
    context.lifeline = 0
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as foreign:
        entry = context.scoreboard.entries[1]
        entry.take("worker", "worker-1")
        entry.pid = foreign.pid
        entry.tick()
        orphaned: Any = Monitor(context, NOWHERE, make_options(NOWHERE))

        orphaned.run()

        foreign.communicate()
    assert foreign.returncode == 0
