"""The keeper of a tree inside a web server: what it does at a word, and at its host's end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, cast

import pytest

from jobsd import clock
from jobsd.daemon.web_companion import in_web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobsd.daemon.web_companion.siblings import Siblings

STOPS_WITHIN_S = 12


class _Played:
    """The siblings of a keeper, which note what they are told."""

    stop_max_s = float(STOPS_WITHIN_S)

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start_tree(self) -> None:
        self.calls.append("start")

    def reload(self) -> None:
        self.calls.append("reload")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.calls.append(f"stop by {number.name}")


class _Kept:
    """A keeper of a process, and the processes of a web server that speak to it."""

    def __init__(self, root: Path, *, locked: bool) -> None:
        self.root, self.siblings = root, _Played()
        self._ends, self._connections = contextlib.ExitStack(), contextlib.ExitStack()
        self.host = subprocess.Popen(["sleep", "600"])
        self._name = str(root / "keeper")
        listener = self._ends.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(self._name)
        listener.listen()
        listener.settimeout(0)
        lock, self._other = (os.open(root, os.O_RDONLY | os.O_DIRECTORY) for _ in range(2))
        self._ends.callback(os.close, lock)
        self._ends.callback(os.close, self._other)
        self.keeper = in_web.Keeper(self.host.pid, listener, lock, root)
        if locked:
            fcntl.flock(self._other, fcntl.LOCK_EX)

    def free_lock(self) -> None:
        """Let the other web server's keeper end."""
        fcntl.flock(self._other, fcntl.LOCK_UN)

    def poll(self) -> list[str]:
        """Return what the siblings are told by one poll."""
        self.siblings.calls.clear()
        self.keeper.poll(cast("Siblings", self.siblings))
        return self.siblings.calls.copy()

    def connect(self) -> socket.socket:
        """Return a connection of the web server to its keeper."""
        connection = self._connections.enter_context(socket.socket(socket.AF_UNIX))
        connection.settimeout(5)
        connection.connect(self._name)
        return connection

    def say(self, word: bytes) -> list[str]:
        """Return what the siblings are told after a word over a connection of its own."""
        with self.connect() as connection:
            connection.sendall(word + b"\n")
            return self.poll()

    def end_host(self) -> None:
        """Let the host die, and nobody reap it before the test is over."""
        self.host.kill()
        os.waitid(os.P_PID, self.host.pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        """End and close everything: the keeper closes what the server has closed."""
        self.host.kill()
        self.host.wait()
        self._connections.close()
        self.poll()
        self._ends.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[_Kept]:
    """A keeper that holds the project's lock, and has started the tree."""
    made = _Kept(tmp_path, locked=False)
    assert made.poll() == ["start"]
    yield made
    made.close()


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[_Kept]:
    """A keeper that waits for the lock, which another web server's keeper holds."""
    made = _Kept(tmp_path, locked=True)
    assert made.poll() == []
    yield made
    made.close()


@pytest.mark.parametrize("word", [b"reload", b"renewed", b"leave"])
def test_a_keeper_that_waits_for_the_lock_reloads_no_tree(waiting: _Kept, word: bytes) -> None:
    (waiting.root / "jobs.py").write_text("changed")

    assert waiting.say(word) == []


def test_a_server_that_loads_an_unchanged_project_again_reloads_nothing(kept: _Kept) -> None:
    assert kept.say(b"renewed") == []


def test_a_change_is_reloaded_once_by_whoever_reports_it_first(kept: _Kept) -> None:
    (kept.root / "jobs.py").write_text("changed")
    assert kept.say(b"reload") == ["reload"]
    assert kept.say(b"renewed") == []

    (kept.root / "jobs.py").write_text("changed again")
    assert kept.say(b"renewed") == ["reload"]
    assert kept.say(b"renewed") == []


def test_a_stop_is_answered_by_the_time_that_it_may_take(kept: _Kept) -> None:
    with kept.connect() as connection:
        connection.sendall(b"stop\n")

        assert kept.poll() == ["stop by SIGTERM"]
        assert connection.recv(32) == b"%d" % STOPS_WITHIN_S


def test_a_connection_that_the_server_has_closed_is_closed(kept: _Kept) -> None:
    before = kept.keeper.descriptors()
    with kept.connect():
        kept.poll()
        assert len(kept.keeper.descriptors()) == len(before) + 1

    kept.poll()

    assert kept.keeper.descriptors() == before


def test_a_keeper_has_no_more_connections_than_its_bound(
    kept: _Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_web, "_CONNECTIONS_MAX", 2)
    before = len(kept.keeper.descriptors())
    for _ in range(4):
        kept.connect()

    kept.poll()

    assert len(kept.keeper.descriptors()) == before + 2


@pytest.mark.parametrize(
    ("left_s", "signals"),
    [(None, "SIGQUIT"), (1, "SIGTERM"), (29, "SIGTERM"), (31, "SIGQUIT")],
)
def test_a_tree_is_drained_only_after_a_recent_notice_of_its_servers_end(
    kept: _Kept, monkeypatch: pytest.MonkeyPatch, left_s: float | None, signals: str
) -> None:
    if left_s is not None:
        kept.say(b"leave")
        now = clock.monotonic() + left_s
        monkeypatch.setattr(clock, "monotonic", lambda: now)
    kept.end_host()

    assert kept.poll() == [f"stop by {signals}"]
    assert kept.poll() == []


def test_no_tree_is_started_for_a_server_that_has_ended(waiting: _Kept) -> None:
    waiting.end_host()
    assert waiting.poll() == ["stop by SIGQUIT"]

    waiting.free_lock()

    assert waiting.poll() == []
