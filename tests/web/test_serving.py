"""The dashboard as a process: slow clients, a tree that has one, and who is let in where."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import made
from harness.project import Project
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.daemon.tree.listener import bound, require_web
from jobsd.errors import ConfigurationError
from jobsd.web import channels
from jobsd.web.serving import Serving
from ports import free_port
from waiting import wait_until

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


def _slow(port: int, source: str = "127.0.0.2") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 20, (source, 0))


def test_a_page_comes_while_a_hundred_clients_are_slow(target: Target) -> None:
    listener = bound("127.0.0.1:0")
    port = listener.getsockname()[1]
    serving = Serving(made(target), listener)
    serving.start()

    with contextlib.ExitStack() as slow:
        for number in range(100):
            client = slow.enter_context(_slow(port, f"127.0.0.{2 + number // 15}"))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        status, text = _page(port)
    serving.stop()

    assert status == 200
    assert "Overview" in text


def test_an_address_with_too_many_connections_gets_retry_after(target: Target) -> None:
    listener = bound("127.0.0.1:0")
    port = listener.getsockname()[1]
    serving = Serving(made(target), listener)
    serving.start()

    with contextlib.ExitStack() as many:
        places = [many.enter_context(_slow(port)) for _ in range(channels.OF_ADDRESS_MAX)]
        for place in places:
            place.sendall(b"GET / HTTP/1.1\r\n")
        # Once it is answered, what was sent before has been read.
        status, _ = _page(port)
        refused = many.enter_context(_slow(port)).recv(1_000)
        places[0].close()
        wait_until(lambda: not _is_refused(port), 30)
    serving.stop()

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 5" in refused
    assert status == 200


def test_an_answered_connection_gives_way_to_a_new_one(target: Target) -> None:
    listener = bound("127.0.0.1:0")
    port = listener.getsockname()[1]
    serving = Serving(made(target), listener)
    serving.start()

    with contextlib.ExitStack() as many:
        for _ in range(channels.OF_ADDRESS_MAX):
            client = many.enter_context(_slow(port))
            client.sendall(b"GET /assets/none HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1_000).startswith(b"HTTP/1.1 404 ")
        # Sooner than the server closes a connection because it is idle.
        wait_until(lambda: not _is_refused(port), 5)
    serving.stop()


def _is_refused(port: int) -> bool:
    with _slow(port) as client:
        client.sendall(b"GET /assets/none HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return client.recv(1_000).startswith(b"HTTP/1.1 503 ")


def test_through_a_trusted_proxy_many_may_come(target: Target) -> None:
    listener = bound("127.0.0.1:0")
    port = listener.getsockname()[1]
    serving = Serving(made(target, trusted_proxies=("127.0.0.2/32",)), listener)
    serving.start()

    with contextlib.ExitStack() as many:
        for _ in range(channels.OF_ADDRESS_MAX + 5):
            many.enter_context(_slow(port)).sendall(b"GET / HTTP/1.1\r\n")
        refused = _is_refused(port)
    serving.stop()

    assert not refused


def test_a_request_that_never_ends_is_cut_off(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = bound("127.0.0.1:0")
    serving = Serving(made(target), listener)
    serving.start()
    monkeypatch.setattr(channels, "REQUEST_S", 0.0)

    with _slow(listener.getsockname()[1]) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX-Slow: a")

        def is_closed() -> bool:
            try:
                client.sendall(b"a")
                client.settimeout(0.05)
                return client.recv(10) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_closed, 30)
    serving.stop()


def _asset(port: int) -> bytes:
    _, page = _page(port, "/audit")
    (path,) = re.findall(r'src="(/assets/[^"]*htmx[^"]*)"', page)
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def test_a_client_that_reads_no_answer_keeps_no_connection(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "UNREAD_S", 0.5)
    monkeypatch.setattr(channels, "WAITING_MAX", 1_000)
    listener = bound("127.0.0.1:0")
    port = listener.getsockname()[1]
    serving = Serving(made(target), listener)
    serving.start()
    wanted = _asset(port)

    def places() -> list[Any]:
        return list(serving._server.active_channels.values())

    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", port))
        # The answers are more than the buffers of both sides take.
        client.sendall(400 * wanted)
        wait_until(lambda: any(each.total_outbufs_len for each in places()), 60)
        wait_until(lambda: not places(), 60)
        status, _ = _page(port)
    serving.stop()

    assert status == 200


def test_a_client_that_reads_slowly_is_not_cut_off(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(channels, "monotonic", lambda: now[0])
    monkeypatch.setattr(channels, "WAITING_MAX", 1_000)
    listener = bound("127.0.0.1:0")
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    port = listener.getsockname()[1]
    serving = Serving(made(target), listener)
    serving.start()
    wanted = _asset(port)

    with contextlib.ExitStack() as opened:
        client = opened.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        # So few that they are read at once: while an answer waits, no request is read.
        client.sendall(60 * wanted)
        # Once all is answered, nothing is added to what waits: it gets less by reading alone.
        place = wait_until(lambda: _answered(serving), 60, "all answers")
        answers = opened.enter_context(client.makefile("rb"))

        def was_taken() -> bool:
            return bool(answers.read(65_536)) and place._sent_at == now[0]

        for _ in range(3):
            now[0] += channels.UNREAD_S - 1
            wait_until(was_taken, 60, "an answer of which something was taken")
        assert not place.will_close
    serving.stop()


def _answered(serving: Serving) -> Any:
    places = list(serving._server.active_channels.values())
    return next((each for each in places if each.total_outbufs_len and not each.requests), None)


def test_a_client_can_not_send_many_requests_ahead(target: Target) -> None:
    listener = bound("127.0.0.1:0")
    port = listener.getsockname()[1]
    serving = Serving(made(target), listener)
    serving.start()
    wanted = _asset(port)

    answers = b""
    with (
        socket.create_connection(("127.0.0.1", port), 60) as client,
        contextlib.suppress(OSError),
    ):
        client.sendall(90 * wanted)
        while came := client.recv(65_536):
            answers += came
    status, _ = _page(port)
    serving.stop()

    assert answers.count(b"HTTP/1.1 200 OK") < 90
    assert status == 200


@pytest.mark.system
def test_a_tree_serves_it_and_replaces_its_process(
    tmp_path: Path, target: Target, rows: Rows
) -> None:
    port = free_port()
    project = Project(tmp_path, target.url)
    monitor = free_port()
    project.write("config/queue.yml", f"workers: [{{}}]\nweb: {{bind: '127.0.0.1:{port}'}}\n")

    def process() -> int:
        found = rows("SELECT pid FROM jobsd.processes WHERE kind = 'web'")
        return int(found[0]) if found else 0

    with project.start(JOBSD_METRICS_BIND=f"127.0.0.1:{monitor}"):
        first = wait_until(process, 40, "the row of the dashboard's process")
        status, text = _page(port, "/processes")
        os.kill(first, signal.SIGKILL)
        second = wait_until(lambda: process() not in {0, first} and process(), 40)
        again, _ = _page(port)
        _page(port, "/api/v1/jobs/4711")
        _, metrics = _page(monitor, "/metrics")

    assert (status, again) == (200, 200)
    # The first process was killed; what it had counted stays.
    assert 'jobsd_web_requests_total{page="/processes",status="200"} 1.0' in metrics
    assert 'jobsd_web_requests_total{page="/jobs/ID",status="404"} 1.0' in metrics
    assert f"127.0.0.1:{port}" in text
    assert second != first


@pytest.mark.system
def test_a_quiet_worker_claims_nothing_and_its_successor_does(
    tmp_path: Path, target: Target, rows: Rows
) -> None:
    port = free_port()
    project = Project(tmp_path, target.url)
    project.write("config/queue.yml", f"workers: [{{}}]\nweb: {{bind: '127.0.0.1:{port}'}}\n")

    def worker() -> int:
        found = rows("SELECT id FROM jobsd.processes WHERE kind = 'worker'")
        return int(found[0]) if len(found) == 1 else 0

    def ended(job_id: object) -> bool:
        query = "SELECT outcome = 'finished' FROM jobsd.jobs WHERE id = %s"
        return rows(query, job_id) == [True]

    with project.start():
        first = wait_until(worker, 40, "the row of the worker")
        wait_until(lambda: _page(port)[0] == 200, 40, "the dashboard")
        _post(port, f"/processes/{first}/quiet")
        held = _post(port, "/heartbeats/run")
        # Once it has been looked for several times, it is not just about to be claimed.
        polls = "SELECT last_heartbeat_at FROM jobsd.processes WHERE kind = 'supervisor'"
        seen = rows(polls)
        wait_until(lambda: rows(polls) != seen, 40, "a heartbeat")
        waits = rows("SELECT count(*) FROM jobsd.ready_executions")
        _post(port, f"/processes/{first}/restart")
        wait_until(lambda: ended(held), 40, "the end of the job")
        second = wait_until(lambda: worker() not in {0, first} and worker(), 40)

    assert waits == [1]
    assert second != first


def _post(port: int, path: str) -> object:
    """Act; return the id that the answer has, as a program gets it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        headers = {"Sec-Fetch-Site": "same-origin"}
        connection.request("POST", f"/api/v1{path}", headers=headers)
        got = connection.getresponse()
        text = got.read()
        assert got.status == 200, text
        return json.loads(text)["id"]


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


@pytest.mark.parametrize(
    ("web", "refused"),
    [
        ("{trusted_header: X-User, trusted_proxies: [10.0.0.1]}", False),
        ("{trusted_header: X-User}", True),
        ("{trusted_proxies: [10.0.0.1]}", True),
    ],
)
def test_users_of_a_proxy_need_both_its_header_and_its_address(
    tmp_path: Path, web: str, *, refused: bool
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/queue.yml").write_text(f"web: {web}\n", encoding="utf-8")
    options = load(tmp_path, {}, Flags())

    with pytest.raises(ConfigurationError) if refused else contextlib.nullcontext():
        require_web(options, {}, "0.0.0.0:9393")


def test_the_users_of_the_file_are_read_and_their_faults_are_named(tmp_path: Path) -> None:
    file = tmp_path / "config/queue.yml"
    file.parent.mkdir()
    file.write_text("web: {users: {ann: {password: a b, role: operator}}}\n")
    [ann] = load(tmp_path, {}, Flags()).web.users
    file.write_text("web: {users: {ann: {role: king, password: pa55}, bob: {role: viewer}}}\n")

    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {}, Flags())

    assert (ann.name, ann.password, ann.role) == ("ann", "a b", "operator")
    assert "users.ann has an unknown role; expected one of viewer" in str(caught.value)
    assert "users.bob has neither a password nor a token" in str(caught.value)
    assert "pa55" not in str(caught.value)
