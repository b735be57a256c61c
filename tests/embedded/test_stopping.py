"""Who stops the embedded server, and what others find meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from embedded.actor import Actor, eventually, postmaster_pid
from jobsd.database.clients import other_clients
from jobsd.embedded import Server, postmaster
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from jobsd.embedded import Location


def test_stopping_returns_whether_a_server_ran(server: Server) -> None:
    assert server.stop() is True
    assert server.running() is False
    assert server.stop() is False


def test_asking_makes_nothing(fresh_place: Location) -> None:
    server = Server(fresh_place, os.environ, other_clients)

    assert (server.stop(), server.running()) == (False, False)
    assert server.url() == fresh_place.url
    assert not fresh_place.directory.exists()


def test_a_server_is_ensured_while_others_stop_it(place: Location, server: Server) -> None:
    with ExitStack() as stack:
        verbs = ["stop", "ensure", "stop", "ensure", "stop", "ensure"]
        actors = [stack.enter_context(Actor(verb, place)) for verb in verbs]

        said = [actor.says() for actor in actors]

    assert said[1::2] == [place.url] * 3
    assert server.ensure() == place.url


def test_a_server_that_waits_for_its_clients_to_go_is_replaced(
    place: Location, server: Server
) -> None:
    with psycopg.connect(server.url()):
        before = postmaster_pid(place)
        os.kill(before, signal.SIGTERM)
        assert eventually(lambda: "stopping" in (place.data / "postmaster.pid").read_text())

        server.ensure()

    assert postmaster_pid(place) != before


@pytest.mark.failure(
    "The embedded server is stopped while one of its processes stands still (SIGSTOP).",
    "The stop is cut short after ten seconds; all committed data are there at the next start",
)
def test_a_stop_does_not_wait_for_a_process_that_stands_still(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postmaster, "STUCK_S", 0.5)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        os.kill(connection.info.backend_pid, signal.SIGSTOP)

        assert server.stop(timeout_s=20)

    with psycopg.connect(server.ensure()) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]


@pytest.mark.failure(
    "The embedded server is stopped in the first moments of its recovery from a crash.",
    "PostgreSQL 18 would never finish stopping: the stop is cut short, and the server"
    " recovers at the next start",
)
def test_a_stop_that_meets_the_beginning_of_a_recovery_ends(
    place: Location, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postmaster, "STUCK_S", 0.5)
    recovery = _begun_recovery(place, server)
    with ThreadPoolExecutor(1) as threads:
        stopping = threads.submit(server.stop, 20)
        pid_file = place.data / "postmaster.pid"
        assert eventually(lambda: "stopping" in pid_file.read_text())
        recovery.resume()

        assert stopping.result(20)

    with psycopg.connect(server.ensure()):
        assert server.running()


def _stopped_startup(postmaster: psutil.Process) -> psutil.Process | None:
    """Stop the process that recovers, as soon as there is one; None if it was too short."""

    def stopped() -> psutil.Process | None:
        for child in postmaster.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "startup" in " ".join(child.cmdline()):
                    child.suspend()
                    return child
        return None

    watch = Stopwatch()
    found = wait_until(
        lambda: stopped() or watch.over(2.0),
        between=lambda: None,  # it lives for milliseconds
    )
    return found if isinstance(found, psutil.Process) else None


def _begun_recovery(place: Location, server: Server) -> psutil.Process:
    """Crash the server; return the process that is to recover it, stopped at its beginning."""
    first = psutil.Process(postmaster_pid(place))
    for _ in range(5):
        with psycopg.connect(server.ensure()) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        if (startup := _stopped_startup(first)) is not None:
            return startup
    pytest.fail("the recovery was over each time before it could be stopped")


def test_the_last_supervisor_stops_the_server(place: Location, server: Server) -> None:
    with Actor("supervise", place) as first, Actor("supervise", place) as second:
        assert (first.says(), second.says()) == ("holding", "holding")

        first.go_on()
        assert first.says() is False
        assert server.running()

        second.go_on()
        assert second.says() is True
        assert not server.running()


def test_a_client_keeps_the_last_supervisor_from_stopping_the_server(
    place: Location, server: Server
) -> None:
    with Actor("supervise", place) as supervisor, Actor("connect", place) as client:
        assert (supervisor.says(), client.says()) == ("holding", "connected")

        supervisor.go_on()

        assert supervisor.says() is False
    assert server.running()


def test_the_share_of_a_killed_supervisor_is_gone_though_its_child_lives(
    place: Location, server: Server
) -> None:
    with Actor("supervise_with_a_child", place) as supervisor:
        child = supervisor.says()
        supervisor.process.kill()
        supervisor.process.wait()
        os.kill(child, 0)

        assert server.release_and_stop_if_last(server.hold()) is True
