"""A name server that does not answer holds up nobody for long."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo

from jobsd.database import names
from jobsd.database.async_connection import open_async_connection
from jobsd.database.connection import Session, Target
from jobsd.database.deadline import open_connection
from relay import Relay
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Resolve = Callable[[names.Parameters], names.Parameters]

AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
FREELY = {"WITHIN_S": 0.6, "SHORT_S": 0.2, "TICK_S": 0.05, "FRESH_S": 0.1}
"""The times as the tests have them, but for their proportions."""


class NameServer:
    """Answers `getaddrinfo` for names below .test; all others go to the system."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str] | OSError] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.over = threading.Event()
        self._system = socket.getaddrinfo

    def __call__(self, host: Any, *arguments: Any, **named: Any) -> list[Any]:
        if not str(host).endswith(".test"):
            return self._system(host, *arguments, **named)
        self.asked.append(host)
        while host in self.silent and not self.over.wait(0.01):
            pass
        answer = self.answers.get(host, UNKNOWN)
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in answer]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    monkeypatch.setattr(names, "_last", {})
    monkeypatch.setattr(names, "_lookups", {})
    for name, seconds in FREELY.items():
        monkeypatch.setattr(names, name, seconds)
    yield made
    made.over.set()
    wait_until(lambda: not _threads())


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "look-up"]


def _resolve(parameters: names.Parameters) -> names.Parameters:
    return names.resolve(parameters)


def _resolve_async(parameters: names.Parameters) -> names.Parameters:
    return asyncio.run(names.resolve_async(parameters))


BOTH = pytest.mark.parametrize("resolve", [_resolve, _resolve_async])


@BOTH
def test_each_address_of_each_name_is_given_beside_it(
    server: NameServer, resolve: Resolve
) -> None:
    server.answers = {"a.test": ["10.0.0.1", "10.0.0.2"], "b.test": ["10.0.0.3"]}

    found = resolve({"host": "a.test,b.test", "port": "1,2", "target_session_attrs": "primary"})

    assert found == {
        "host": "a.test,a.test,b.test",
        "hostaddr": "10.0.0.1,10.0.0.2,10.0.0.3",
        "port": "1,1,2",
        "target_session_attrs": "primary",
    }


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"host": "/run/postgresql"},
        {"host": "@abstract", "port": "5432"},
        {"host": "127.0.0.1,::1"},
        {"host": "a.test", "hostaddr": "10.0.0.9"},
        {"hostaddr": "10.0.0.9"},
        {"host": "a.test,b.test", "port": "1,2,3"},
        {"service": "here"},
    ],
)
def test_what_needs_no_lookup_is_left_as_it_is(
    server: NameServer, given: dict[str, Any]
) -> None:
    assert names.resolve(dict(given)) == given
    assert server.asked == []


def test_sockets_addresses_and_names_may_stand_side_by_side(server: NameServer) -> None:
    server.answers = {"a.test": ["10.0.0.1"]}

    found = names.resolve({"host": "/run,a.test,::1,b.test", "hostaddr": ",,,10.0.0.2"})

    assert found == {"host": "/run,a.test,::1,b.test", "hostaddr": ",10.0.0.1,::1,10.0.0.2"}
    assert server.asked == ["a.test"]


def test_the_environment_names_a_host_too(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = {"a.test": ["10.0.0.1"]}
    monkeypatch.setenv("PGHOST", "a.test")
    monkeypatch.setenv("PGPORT", "77")

    assert names.resolve({"dbname": "x"}) == {
        "dbname": "x",
        "host": "a.test",
        "hostaddr": "10.0.0.1",
        "port": "77",
    }


@BOTH
def test_a_silent_name_server_fails_a_connect_in_time_and_has_one_thread(
    server: NameServer, resolve: Resolve
) -> None:
    server.silent = {"a.test"}
    watch = Stopwatch()

    for _ in range(5):
        with pytest.raises(psycopg.OperationalError, match=r"name not resolved within 0\.6 s"):
            resolve({"host": "a.test"})

    # The first one alone has waited.
    assert 0.5 < watch.took() < 2.5
    assert (server.asked, _threads()) == (["a.test"], ["look-up"])


@BOTH
def test_while_it_is_silent_the_last_addresses_are_tried(
    server: NameServer, resolve: Resolve
) -> None:
    server.answers = {"a.test": ["10.0.0.1", "10.0.0.2"]}
    first = resolve({"host": "a.test"})
    server.silent = {"a.test"}
    wait_until(lambda: names.resolve({"host": "a.test"}) and len(server.asked) == 2)

    for _ in range(3):
        assert resolve({"host": "a.test"}) == first
    assert len(server.asked) == 2

    server.answers = {"a.test": ["10.0.0.3"]}
    server.silent = set()
    wait_until(lambda: resolve({"host": "a.test"})["hostaddr"] == "10.0.0.3")


def test_a_server_that_gives_up_leaves_the_last_addresses_too(server: NameServer) -> None:
    server.answers = {"a.test": ["10.0.0.1"]}
    first = names.resolve({"host": "a.test"})

    server.answers = {"a.test": AGAIN}
    wait_until(lambda: names.resolve({"host": "a.test"}) and len(server.asked) > 1)
    assert names.resolve({"host": "a.test"}) == first


def test_a_name_that_is_no_more_is_not_tried(server: NameServer) -> None:
    server.answers = {"a.test": ["10.0.0.1"]}
    names.resolve({"host": "a.test"})
    server.answers = {"a.test": UNKNOWN}

    def fails() -> bool:
        try:
            names.resolve({"host": "a.test"})
        except psycopg.OperationalError as error:
            return "failed to resolve host 'a.test'" in str(error) and "not known" in str(error)
        return False

    wait_until(fails)


def test_hosts_that_are_known_are_tried_without_the_others(server: NameServer) -> None:
    server.answers = {"a.test": ["10.0.0.1"], "c.test": UNKNOWN}
    server.silent = {"b.test"}
    watch = Stopwatch()

    found = names.resolve({"host": "a.test,b.test,c.test", "port": "1,2,3"})

    assert found == {"host": "a.test", "hostaddr": "10.0.0.1", "port": "1"}
    assert watch.took() < 0.55, "with one to try it has waited for the others"


def test_a_loop_waits_a_moment_at_a_time(server: NameServer) -> None:
    server.silent = {"a.test"}
    tries = 0

    def settled() -> bool:
        nonlocal tries
        watch = Stopwatch()
        tries += 1
        try:
            names.require_settled("host=a.test", "host=/run", None)
        except names.StillLookingUpError:
            return False
        finally:
            assert watch.took() < 0.5
        return True

    wait_until(settled, 10)
    assert tries > 1
    with pytest.raises(psycopg.OperationalError, match="not resolved"):
        names.resolve({"host": "a.test"})


def test_a_fork_resolves_by_itself_and_knows_the_last_addresses(server: NameServer) -> None:
    server.answers = {"a.test": ["10.0.0.1"]}
    names.resolve({"host": "a.test"})
    server.silent = {"a.test"}
    wait_until(lambda: names.resolve({"host": "a.test"}) and len(server.asked) == 2)
    context = multiprocessing.get_context("fork")
    heard, says = context.Pipe(duplex=False)

    def ask() -> None:
        says.send((names.resolve({"host": "a.test"})["hostaddr"], len(server.asked)))

    process = context.Process(target=ask)
    process.start()
    assert heard.poll(30)
    assert heard.recv() == ("10.0.0.1", 3)
    process.join()


def test_a_process_without_room_for_a_thread_reports_it(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(psycopg.OperationalError, match="can't start new thread"):
        names.resolve({"host": "a.test"})


@pytest.fixture
def by_name(server: NameServer, target: Target) -> Target:
    """The database, by a name; the name server is silent from now on."""
    server.answers = {"db.test": ["127.0.0.1"]}
    return Target(conninfo.make_conninfo(Relay(target.url).url, host="db.test"))


def test_a_session_connects_by_the_last_address(server: NameServer, by_name: Target) -> None:
    session = Session(by_name, "test")
    assert session.connection.info.host == "db.test"
    session.close()
    server.silent = {"db.test"}
    wait_until(lambda: names.resolve({"host": "db.test"}) and len(server.asked) == 2)

    assert session.connection.info.hostaddr == "127.0.0.1"
    assert session.connection.info.host == "db.test"
    session.close()


def test_connections_of_both_kinds_report_a_silent_name_server(server: NameServer) -> None:
    server.silent = {"a.test"}
    target = Target("postgresql://u@a.test/x")

    with pytest.raises(psycopg.OperationalError, match="name not resolved within"):
        open_connection(target.url, "test", 5)
    with pytest.raises(psycopg.OperationalError, match="name not resolved within"):
        asyncio.run(open_async_connection(target, "test"))


def test_a_connect_of_a_coroutine_holds_up_no_other(server: NameServer) -> None:
    server.silent = {"a.test"}

    async def both() -> int:
        connecting = asyncio.create_task(names.resolve_async({"host": "a.test"}))
        turns = 0
        while not connecting.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(psycopg.OperationalError):
            await connecting
        return turns

    assert asyncio.run(both()) > 5
