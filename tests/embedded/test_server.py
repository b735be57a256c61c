"""Starting the embedded server, whatever became of the one before it."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from embedded.actor import Actor, asked, eventually, postmaster_pid
from jobsd.database.clients import other_clients
from jobsd.embedded import Server

if TYPE_CHECKING:
    from jobsd.embedded import Location

AS_ROOT = os.geteuid() == 0


def value(server: Server, query: str) -> object:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


def starts(place: Location) -> int:
    return sum(log.read_text().count("starting PostgreSQL") for log in place.logs.iterdir())


def test_a_new_server_has_its_database_with_statistics_and_checksums(server: Server) -> None:
    assert value(server, "SELECT current_database()") == "jobsd"
    assert value(server, "SELECT count(*) >= 0 FROM pg_stat_statements") is True
    assert value(server, "SHOW data_checksums") == "on"
    assert value(server, "SHOW listen_addresses") == ""


def test_the_folder_of_a_server_is_none_of_gits(server: Server) -> None:
    folder = Path(str(value(server, "SHOW data_directory"))).parent

    assert (folder / ".gitignore").read_text(encoding="ascii") == "*\n"


def test_five_starters_at_once_start_one_server(fresh_place: Location) -> None:
    with ExitStack() as stack:
        actors = [stack.enter_context(Actor("ensure", fresh_place)) for _ in range(5)]

        said = [actor.says() for actor in actors]

    assert said == [fresh_place.url] * 5
    assert starts(fresh_place) == 1


def test_five_threads_at_once_start_one_server(place: Location) -> None:
    Server(place, os.environ, other_clients).stop()
    before = starts(place)

    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(Server(place, os.environ, other_clients).ensure) for _ in range(5)]

    assert [call.result() for call in calls] == [place.url] * 5
    assert starts(place) == before + 1


def test_psql_of_the_server_ignores_connection_variables(server: Server) -> None:
    environ = {"PGPORT": "1", "PGHOST": "/nowhere", "PGUSER": "x", "PGDATABASE": "x"}
    command = (server.psql(), server.url(), "-Atc", "SELECT 1")

    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)

    assert said.stdout == "1\n"


def test_the_server_outlives_its_starter_as_nobodys_child(place: Location) -> None:
    Server(place, os.environ, other_clients).stop()
    with Actor("ensure", place) as starter:
        assert starter.says() == place.url
        starter.kill()

    pid = postmaster_pid(place)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    parent, session, terminal = int(fields[1]), int(fields[3]), int(fields[4])

    assert parent not in (starter.process.pid, os.getpid())
    assert session not in (os.getsid(0), os.getsid(os.getpid()))
    assert terminal == 0
    assert Server(place, os.environ, other_clients).running()


def test_a_server_that_a_worker_starts_is_not_taken_for_memory_as_soon(place: Location) -> None:
    Server(place, os.environ, other_clients).stop()
    with Actor("ensure", place) as starter:
        Path(f"/proc/{starter.process.pid}/oom_score_adj").write_text("500")
        assert starter.says() == place.url

    score = Path(f"/proc/{postmaster_pid(place)}/oom_score_adj").read_text()

    assert score == "0\n"


@pytest.mark.failure(
    "The embedded server is killed.",
    "The next process that needs it starts it again; all committed data are there.",
)
def test_a_killed_server_is_started_again_with_all_that_was_committed(
    place: Location, server: Server
) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    os.kill(postmaster_pid(place), signal.SIGKILL)

    server.ensure()

    assert value(server, "SELECT n FROM kept") == 42


def test_a_killed_server_left_as_a_zombie_is_started_again(place: Location) -> None:
    Server(place, os.environ, other_clients).stop()

    assert asked("ensure_over_a_zombie", place) == place.url


@pytest.mark.failure(
    "The pid file of the embedded server names a process of another user.",
    "It is not believed, and not signalled.",
)
def test_a_pid_file_that_names_a_foreign_process_is_no_server(place: Location) -> None:
    server = Server(place, os.environ, other_clients)
    server.ensure()
    lines = (place.data / "postmaster.pid").read_text().split("\n")
    server.stop()
    owner = place.data.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=owner if AS_ROOT else None) as foreign:
        forged = "\n".join([str(foreign.pid), *lines[1:]])
        for name in (place.data / "postmaster.pid", place.socket / ".s.PGSQL.5432.lock"):
            name.write_text(forged)
            os.chown(name, owner, -1)

        assert not server.running()
        server.ensure()
        assert server.stop()
        assert foreign.poll() is None
        foreign.kill()


@pytest.mark.failure(
    "The process that starts the embedded server is killed at any moment.",
    "The next one starts it, or finds it.",
)
@pytest.mark.parametrize("sign", ["data.new-*/base", "data/postmaster.pid"])
def test_a_starter_that_is_killed_leaves_nothing_that_hinders_the_next(
    fresh_place: Location, sign: str
) -> None:
    with Actor("ensure", fresh_place) as starter:
        assert eventually(lambda: list(fresh_place.directory.glob(sign)))
        starter.kill()

    assert asked("ensure", fresh_place) == fresh_place.url
    assert eventually(
        lambda: _restarted(fresh_place) and not list(fresh_place.directory.glob("data.*"))
    )


def _restarted(place: Location) -> bool:
    server = Server(place, os.environ, other_clients)
    return server.stop() and server.ensure() == place.url


def test_signals_that_its_starter_ignored_or_blocked_reach_the_server(place: Location) -> None:
    server = Server(place, os.environ, other_clients)
    server.stop()
    asked("ensure_deaf", place)

    assert server.stop(timeout_s=20) is True
