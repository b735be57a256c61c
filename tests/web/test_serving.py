"""The dashboard as a process: slow clients, a tree that has one, and who is let in where."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from dashboard.asking import made
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.daemon.listener import bound, require_web
from jobsd.errors import ConfigurationError
from jobsd.web.serving import Serving
from ports import free_port
from system.tree import Project, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target
    from rows import Rows


def _page(port: int, path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path)
        got = connection.getresponse()
        return got.status, got.read().decode()


def test_a_page_comes_while_a_hundred_clients_are_slow(target: Target) -> None:
    listener = bound("127.0.0.1:0")
    port = listener.getsockname()[1]
    serving = Serving(made(target), listener)
    serving.start()

    with contextlib.ExitStack() as slow:
        for _ in range(100):
            client = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        status, text = _page(port)
    serving.stop()

    assert status == 200
    assert "Overview" in text


@pytest.mark.system
def test_a_tree_serves_it_and_replaces_its_process(
    tmp_path: Path, target: Target, rows: Rows
) -> None:
    port = free_port()
    project = Project(tmp_path, target.url)
    project.write("config/queue.yml", f"workers: [{{}}]\nweb: {{bind: '127.0.0.1:{port}'}}\n")

    def process() -> int:
        found = rows("SELECT pid FROM jobsd.processes WHERE kind = 'web'")
        return int(found[0]) if found else 0

    with project.start():
        first = wait_for(process, 40, "the row of the dashboard's process")
        status, text = _page(port, "/processes")
        os.kill(first, signal.SIGKILL)
        second = wait_for(lambda: process() not in {0, first} and process(), 40)
        again, _ = _page(port)

    assert (status, again) == (200, 200)
    assert f"127.0.0.1:{port}" in text
    assert second != first


@pytest.mark.parametrize(
    ("environ", "bind", "refused"),
    [
        ({}, "127.0.0.1:0", False),
        ({}, "[::1]:0", False),
        ({}, ":0", True),
        ({}, "0.0.0.0:0", True),
        ({}, "[::]:0", True),
        ({}, "example.org:0", True),
        ({"JOBSD_WEB_TOKEN": "t"}, "0.0.0.0:0", False),
    ],
)
def test_without_users_it_is_for_this_machine_alone(
    tmp_path: Path, environ: dict[str, str], bind: str, *, refused: bool
) -> None:
    options = load(tmp_path, environ, Flags())

    with pytest.raises(ConfigurationError) if refused else contextlib.nullcontext() as caught:
        require_web(options, environ, bind)

    assert not caught or "JOBSD_WEB_PASSWORD" in caught.value.faults[0].hint


def test_the_users_of_the_file_are_read_and_their_faults_are_named(tmp_path: Path) -> None:
    file = tmp_path / "config/queue.yml"
    file.parent.mkdir()
    file.write_text("web: {users: {ann: {password: a b, role: operator}}}\n")
    [ann] = load(tmp_path, {}, Flags()).web.users
    file.write_text("web: {users: {ann: {role: king, password: pa55}, bob: {role: viewer}}}\n")

    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {}, Flags())

    assert (ann.name, ann.password, ann.role) == ("ann", "a b", "operator")
    assert "users.ann has a role that is none of viewer" in str(caught.value)
    assert "users.bob has neither a password nor a token" in str(caught.value)
    assert "pa55" not in str(caught.value)
