"""A host of the URL that is silent costs its time once, and is not forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo

from database.firewall import firewall
from jobsd.database import hosts
from jobsd.database.async_connection import open_async_connection
from jobsd.database.deadline import (
    connect_parameters,
    open_connection,
)
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target

_S = 60.0


class Silent:
    """A port of the loopback that drops whoever asks for a connection, until it is freed."""

    def __init__(self) -> None:
        self._sockets = contextlib.ExitStack()
        listener = self._sockets.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=0)
        )
        self.port: int = listener.getsockname()[1]
        # The backlog is full when it has one more than it should.
        for _ in range(3):
            waiting = self._sockets.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(("127.0.0.1", self.port))

    def free(self) -> None:
        self._sockets.close()

    def before(self, url: str, **more: str) -> str:
        """Return a URL of two hosts: this one, and then that of the other URL."""
        second = conninfo.conninfo_to_dict(url)
        both = {
            "host": f"127.0.0.1,{second.get('host') or 'localhost'}",
            "port": f"{self.port},{second.get('port') or 5432}",
        }
        return conninfo.make_conninfo(url, **both, sslmode="disable", **more)


class Attempts(logging.Handler):
    """Notes the ports at which the driver tries."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("connection attempt"):
            self.ports.append(int(text.split("port: '")[1].split("'")[0]))


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.free()


@pytest.fixture
def attempts() -> Iterator[list[int]]:
    noted, logger = Attempts(), logging.getLogger("psycopg")
    logger.addHandler(noted)
    logger.setLevel(logging.DEBUG)
    yield noted.ports
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(noted)


def _nowhere(url: str) -> str:
    return conninfo.make_conninfo(url, host="127.0.0.1", port=str(free_port()))


def _found_silent(url: str) -> None:
    hosts.note(connect_parameters(url, "test"), hosts.LONG_S)


def _works(url: str) -> bool:
    with open_connection(url, "test", _S) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.failure(
    "A host that stands before the primary in the URL is silent.",
    "An attempt waits `connect_timeout` for it once; the next ones skip it for 30 s",
)
def test_a_silent_host_is_waited_for_once(
    silent: Silent, target: Target, attempts: list[int]
) -> None:
    url = silent.before(target.url, connect_timeout="2", target_session_attrs="read-write")

    assert all(_works(url) for _ in range(3))

    assert (attempts.count(silent.port), len(attempts)) == (1, 4)


def test_a_silent_host_is_not_tried_while_no_other_will_do(
    silent: Silent, target: Target, attempts: list[int]
) -> None:
    url = silent.before(target.url, target_session_attrs="standby")
    _found_silent(url)

    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match="not in hot standby"):
            open_connection(url, "test", _S)

    assert (attempts.count(silent.port), len(attempts)) == (0, 2)


def test_a_host_that_was_silent_is_taken_as_soon_as_it_shows_life(
    silent: Silent, target: Target
) -> None:
    url = silent.before(_nowhere(target.url))
    _found_silent(url)

    with pytest.raises(psycopg.OperationalError, match="refused"):
        open_connection(url, "test", _S)
    silent.free()
    with firewall(target.url, silent.port):
        assert _works(url)


def test_a_host_that_was_silent_regains_its_place(
    silent: Silent, target: Target, attempts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = silent.before(target.url)
    _found_silent(url)
    silent.free()

    with firewall(target.url, silent.port):
        assert _works(url)
        assert attempts.count(silent.port) == 0

        monkeypatch.setattr(hosts, "SILENT_S", 0.0)
        assert _works(url)
        assert attempts[1:] == [silent.port]


def test_coroutines_go_past_a_silent_host_too(
    silent: Silent, target: Target, attempts: list[int]
) -> None:
    async def connect(url: str) -> None:
        connection = await open_async_connection(replace(target, url=url), "test")
        connection.part()

    url = silent.before(target.url, connect_timeout="2")
    asyncio.run(connect(url))
    asyncio.run(connect(url))
    assert (attempts.count(silent.port), len(attempts)) == (1, 3)

    silent.free()
    with firewall(target.url, silent.port):
        asyncio.run(connect(silent.before(_nowhere(target.url))))
        assert attempts[-1] == silent.port


def test_a_host_that_refuses_or_hangs_is_not_silent(silent: Silent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        ports = (silent.port, free_port(), hanging.getsockname()[1])
        given: dict[str, Any] = {"host": ",".join(["127.0.0.1"] * 3)}
        given["port"] = ",".join(map(str, ports))
        hosts.note(given, hosts.LONG_S)

        heard = hosts.heard(given)
        assert heard == {"host": "127.0.0.1,127.0.0.1", "port": f"{ports[1]},{ports[2]}"}
        assert hosts.awake(given) is None


def test_after_a_quick_attempt_no_host_is_silent(silent: Silent, target: Target) -> None:
    given = connect_parameters(silent.before(target.url), "test")

    hosts.note(given, hosts.LONG_S / 2)

    assert hosts.heard(given)["port"] == given["port"]


def test_a_host_that_is_far_away_is_tried_again_after_a_while(
    silent: Silent, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = connect_parameters(silent.before(target.url), "test")
    now = [1000.0]
    monkeypatch.setattr(hosts, "monotonic", lambda: now[0])
    hosts.note(given, hosts.LONG_S)

    now[0] += hosts.SILENT_S - 1
    assert hosts.awake(given) is None
    assert hosts.heard(given)["port"] != given["port"]

    now[0] += 2
    assert hosts.heard(given)["port"] == given["port"]


def test_if_all_hosts_are_silent_all_are_tried(silent: Silent) -> None:
    given = {"host": "127.0.0.1,localhost", "port": str(silent.port)}

    hosts.note(given, hosts.LONG_S)

    assert hosts.heard(given) == given


@pytest.mark.parametrize(
    "given",
    [
        {"host": "a,b", "port": "1,2,3"},
        {"host": "a,b,c", "hostaddr": "127.0.0.1,127.0.0.2"},
        {"host": "/run/a,/run/b", "port": "5432"},
        {"host": ",", "port": ""},
    ],
    ids=["too many ports", "too few addresses", "sockets", "no names"],
)
def test_what_libpq_refuses_or_finds_by_itself_is_left_to_it(given: dict[str, str]) -> None:
    hosts.note(given, hosts.LONG_S)

    assert hosts.are_several(given)
    assert hosts.heard(given).get("host") == given["host"]
    assert hosts.awake(given) is None


@pytest.mark.parametrize("given", [{}, {"host": "a", "port": "1"}, {"host": None}])
def test_one_host_is_no_choice(given: dict[str, Any]) -> None:
    assert not hosts.are_several(given)


def test_one_port_is_that_of_all_hosts() -> None:
    assert hosts.places({"host": "a,b", "port": "5433"}) == [
        {"host": "a", "port": "5433"},
        {"host": "b", "port": "5433"},
    ]


def test_the_socket_of_a_url_is_no_host_that_could_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hangs(*_: object) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", hangs)
    parameters = {"host": "/run/of a test,@of a test,", "port": "1"}

    hosts.note(parameters, hosts.LONG_S)

    assert hosts.heard(parameters) == parameters | {"port": "1,1,1"}
    assert hosts.awake(parameters) is None
