"""Who stops the embedded server, and what others find meanwhile."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg

from database.embedded_actor import Actor, eventually, postmaster_pid
from jobsd.database.embedded import Server

if TYPE_CHECKING:
    from jobsd.database.embedded import Location


def test_stopping_stops_and_says_whether_anything_ran(server: Server) -> None:
    assert server.stop() is True
    assert server.running() is False
    assert server.stop() is False


def test_asking_makes_nothing(fresh_place: Location) -> None:
    server = Server(fresh_place, os.environ)

    assert (server.stop(), server.running()) == (False, False)
    assert server.url() == fresh_place.url
    assert not fresh_place.directory.exists()


def test_who_needs_a_server_while_others_stop_it_gets_one(
    place: Location, server: Server
) -> None:
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
