"""What keeps the embedded server from starting, and how it is reported."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import psycopg
import pytest

from jobsd.database.clients import other_clients
from jobsd.embedded import Location, Server
from jobsd.errors import EmbeddedServerError
from waiting import Stopwatch


def test_data_of_another_version_is_refused_by_both_names(fresh_place: Location) -> None:
    fresh_place.data.mkdir(parents=True)
    (fresh_place.data / "PG_VERSION").write_text("9\n")
    if os.geteuid() == 0:
        shutil.chown(fresh_place.data, "nobody")

    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 9; found: \d\d"):
        Server(fresh_place, os.environ, other_clients).ensure()


def test_a_server_that_can_not_start_quotes_its_log(fresh_place: Location) -> None:
    server = Server(fresh_place, os.environ, other_clients)
    server.ensure()
    server.stop()
    with (fresh_place.data / "postgresql.auto.conf").open("a") as file:
        file.write("max_connections = lots\n")

    with pytest.raises(EmbeddedServerError) as caught:
        server.ensure()

    assert any('"max_connections": "lots"' in line for line in caught.value.log)
    assert caught.value.where == fresh_place.directory


def test_a_directory_too_deep_for_a_socket_has_it_elsewhere(fresh_place: Location) -> None:
    deep = Location(fresh_place.directory / ("d" * 100), "test", fresh_place.copies)
    server = Server(deep, os.environ, other_clients)
    try:
        psycopg.connect(server.ensure()).close()
        assert deep.socket.stat().st_mode & 0o777 == 0o700
        assert deep.socket.stat().st_uid == deep.data.stat().st_uid
    finally:
        server.stop()
        shutil.rmtree(deep.socket)


def test_a_server_starts_below_a_folder_with_quotes_in_its_name(fresh_place: Location) -> None:
    odd = Location(
        fresh_place.directory / """it's "a" back\\slash""", "test", fresh_place.copies
    )
    server = Server(odd, os.environ, other_clients)
    try:
        with psycopg.connect(server.ensure()) as connection:
            hba = connection.execute("SHOW hba_file").fetchone()
        assert hba == (f"{odd.directory}/pg_hba.conf",)
    finally:
        server.stop()


def test_a_socket_folder_that_jobsd_did_not_create_is_refused(
    fresh_place: Location,
) -> None:
    deep = Location(fresh_place.directory / ("e" * 100), "test", fresh_place.copies)
    deep.socket.symlink_to("/tmp")
    try:
        with pytest.raises(EmbeddedServerError, match="something that jobsd did not create"):
            Server(deep, os.environ, other_clients).ensure()
    finally:
        deep.socket.unlink()


def test_a_directory_that_can_not_be_made_is_one_clear_error() -> None:
    server = Server(Location(Path("/proc/nowhere/postgres")), os.environ, other_clients)

    with pytest.raises(EmbeddedServerError, match=r"/proc/nowhere.*JOBSD_EMBEDDED_DIR"):
        server.ensure()


def test_a_server_that_recovers_for_long_is_waited_for_with_word_of_it(
    fresh_place: Location,
) -> None:
    reported: list[str] = []
    server = Server(fresh_place, os.environ, other_clients, reported.append)
    server.ensure()
    pid_file = fresh_place.data / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace("ready", "starting"))
    watch = Stopwatch()

    with pytest.raises(EmbeddedServerError, match="not ready after 2 s; it goes on"):
        server.ensure(timeout_s=2.2)

    said = re.match(r"PostgreSQL has been starting for (\d+) s: \d{4}-", reported[-1])
    assert said is not None
    # As long as it was: later than after two seconds on a busy machine.
    assert 2 <= int(said[1]) <= round(watch.took())
    assert server.running()


def test_a_server_in_another_container_keeps_a_second_from_the_same_directory(
    fresh_place: Location,
) -> None:
    server = Server(fresh_place, os.environ, other_clients)
    server.ensure()
    pid_file = fresh_place.data / "postmaster.pid"
    text = pid_file.read_text()
    pid_file.write_text(f"{2**22 + 1}\n")  # a number that is no process's here

    with pytest.raises(EmbeddedServerError, match="can't be seen from here"):
        server.ensure(timeout_s=0.2)

    pid_file.write_text(text)
    assert server.running()
