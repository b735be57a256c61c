"""Who may ask a supervisor, and what it costs when many do."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import TYPE_CHECKING

import pytest

from jobsd.supervisor import requests
from jobsd.supervisor.requests import OPEN_MAX, PeerCredentials, Requests, listen, running
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Requests]:
    """The requests to a supervisor of the test's own folder."""
    with contextlib.closing(listen(tmp_path)) as asked:
        yield asked


def _connect(folder: Path) -> socket.socket:
    (connection,) = running(folder)
    connection.settimeout(5)
    return connection


def _words(asked: Requests) -> list[str]:
    return [word for word, _ in asked.take()]


@pytest.mark.parametrize(("uid", "words"), [(os.geteuid(), ["reload"]), (54_321, [])])
def test_only_its_own_user_and_root_may_ask(
    asked: Requests,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uid: int,
    words: list[str],
) -> None:

    def peer(_: object) -> PeerCredentials:
        return PeerCredentials(1, uid, uid)

    monkeypatch.setattr(requests, "peer", peer)
    with _connect(tmp_path) as command:
        command.sendall(b"reload\n")

        assert _words(asked) == words


def test_silent_connections_are_bounded_and_do_not_disturb(
    asked: Requests, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        silent: list[socket.socket] = []
        for _ in range(OPEN_MAX + 3):
            silent.append(stack.enter_context(_connect(tmp_path)))
            assert _words(asked) == []

        assert [each.recv(1) for each in silent[:3]] == [b""] * 3, "the oldest are closed"
        waited_for = asked.readable()
        assert len(waited_for) == 1 + OPEN_MAX
        assert min(waited_for) >= 0, "it waits for none that it has closed"
        silent[-1].sendall(b"reload\n")
        wait_until(lambda: bool(select.select(waited_for, [], [], 0)[0]))
        assert _words(asked) == ["reload"]
