"""The embedded server's life: started, shared, killed, stopped; as whoever runs the tests,
and where that is root also as an ordinary user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from database.embedded_actor import Actor, asked, eventually, postmaster_pid
from jobsd.database.embedded import Location, Server
from jobsd.database.embedded.account import Account
from jobsd.database.embedded.binaries import find
from jobsd.database.embedded.copies import usable
from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_ROOT = os.geteuid() == 0
NOBODY = "nobody" if AS_ROOT else None


@pytest.fixture(scope="module")
def copies() -> Iterator[Path]:
    """Where binaries are copied to that users can't reach."""
    folder = Path(tempfile.mkdtemp(prefix="jobsd-test-copies-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def made_place(copies: Path) -> Iterator[Location]:
    # Not below pytest's folder: that is closed to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="jobsd-test-"))
    folder.chmod(0o755)
    place = Location(folder / "postgres", "test", copies)
    try:
        yield place
    finally:
        Server(place, os.environ).stop()
        shutil.rmtree(folder)


@pytest.fixture
def fresh(copies: Path) -> Iterator[Location]:
    """A place where no server was ever made."""
    yield from made_place(copies)


@pytest.fixture(scope="module")
def place(copies: Path) -> Iterator[Location]:
    """A place for many tests; whether the server runs is up to them."""
    yield from made_place(copies)


@pytest.fixture
def server(place: Location) -> Server:
    """A server that runs, and that nobody uses."""
    running = Server(place, os.environ)
    running.ensure()
    return running


@pytest.fixture(scope="module")
def reachable(copies: Path) -> dict[str, str]:
    """The variable that leads an ordinary user to binaries that it can run."""
    place = Location(Path("/nowhere"), "test", copies)
    entry = pwd.getpwnam("nobody")
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    binaries = find(place, os.environ)
    if AS_ROOT:
        binaries = usable(binaries, account, place, os.environ)
    return {"JOBSD_PG_BINDIR": str(binaries.directory)}


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


def test_an_ordinary_user_has_a_server_of_its_own(
    fresh: Location, reachable: dict[str, str]
) -> None:
    if NOBODY:
        shutil.chown(fresh.directory.parent, NOBODY)

    said = asked("ensure", fresh, NOBODY, **reachable)

    assert said == fresh.url
    assert fresh.data.stat().st_uid == fresh.directory.stat().st_uid
    assert asked("stop", fresh, NOBODY, **reachable) is True


def test_five_starters_at_once_start_one_server(fresh: Location) -> None:
    with ExitStack() as stack:
        actors = [stack.enter_context(Actor("ensure", fresh)) for _ in range(5)]

        said = [actor.says() for actor in actors]

    assert said == [fresh.url] * 5
    assert starts(fresh) == 1


def test_psql_of_the_server_connects_whatever_the_environment_says(server: Server) -> None:
    environ = {"PGPORT": "1", "PGHOST": "/nowhere", "PGUSER": "x", "PGDATABASE": "x"}
    command = (server.psql(), server.url(), "-Atc", "SELECT 1")

    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)

    assert said.stdout == "1\n"


def test_the_server_outlives_its_starter_as_nobodys_child(place: Location) -> None:
    Server(place, os.environ).stop()
    with Actor("ensure", place) as starter:
        assert starter.says() == place.url
        starter.kill()

    pid = postmaster_pid(place)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    parent, session, terminal = int(fields[1]), int(fields[3]), int(fields[4])

    assert parent not in (starter.process.pid, os.getpid())
    assert session not in (os.getsid(0), os.getsid(os.getpid()))
    assert terminal == 0
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "0\n"
    assert Server(place, os.environ).running()


def test_a_killed_server_is_started_again_with_all_that_was_committed(
    place: Location, server: Server
) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    os.kill(postmaster_pid(place), signal.SIGKILL)

    server.ensure()

    assert value(server, "SELECT n FROM kept") == 42


def test_a_killed_server_that_nobody_reaps_is_started_again(place: Location) -> None:
    Server(place, os.environ).stop()

    assert asked("ensure_over_a_zombie", place) == place.url


def test_a_pid_file_that_names_a_foreign_process_is_no_server(place: Location) -> None:
    server = Server(place, os.environ)
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


@pytest.mark.parametrize("sign", ["data.new-*/base", "data/postmaster.pid"])
def test_a_starter_that_is_killed_leaves_nothing_that_hinders_the_next(
    fresh: Location, sign: str
) -> None:
    with Actor("ensure", fresh) as starter:
        assert eventually(lambda: list(fresh.directory.glob(sign)))
        starter.kill()

    assert asked("ensure", fresh) == fresh.url
    assert eventually(lambda: _restarted(fresh) and not list(fresh.directory.glob("data.*")))


def _restarted(place: Location) -> bool:
    server = Server(place, os.environ)
    return server.stop() and server.ensure() == place.url


def test_stopping_stops_and_says_whether_anything_ran(server: Server) -> None:
    assert server.stop() is True
    assert server.running() is False
    assert server.stop() is False


def test_asking_makes_nothing(fresh: Location) -> None:
    server = Server(fresh, os.environ)

    assert (server.stop(), server.running()) == (False, False)
    assert server.url() == fresh.url
    assert not fresh.directory.exists()


def test_signals_that_its_starter_ignored_or_blocked_reach_the_server(place: Location) -> None:
    server = Server(place, os.environ)
    server.stop()
    asked("ensure_deaf", place)

    assert server.stop(patience_s=20) is True


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


def test_data_of_another_version_is_refused_by_both_names(fresh: Location) -> None:
    fresh.data.mkdir(parents=True)
    (fresh.data / "PG_VERSION").write_text("9\n")
    if NOBODY:
        shutil.chown(fresh.data, NOBODY)

    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 9; found: \d\d"):
        Server(fresh, os.environ).ensure()


def test_a_server_that_can_not_start_says_why_in_its_own_words(fresh: Location) -> None:
    server = Server(fresh, os.environ)
    server.ensure()
    server.stop()
    with (fresh.data / "postgresql.auto.conf").open("a") as file:
        file.write("max_connections = lots\n")

    with pytest.raises(EmbeddedServerError) as caught:
        server.ensure()

    assert any('"max_connections": "lots"' in line for line in caught.value.log)
    assert caught.value.where == fresh.directory


def test_a_directory_too_deep_for_a_socket_has_it_elsewhere(fresh: Location) -> None:
    deep = Location(fresh.directory / ("d" * 100), "test", fresh.copies)
    server = Server(deep, os.environ)
    try:
        psycopg.connect(server.ensure()).close()
        assert deep.socket.stat().st_mode & 0o777 == 0o700
        assert deep.socket.stat().st_uid == deep.data.stat().st_uid
    finally:
        server.stop()
        shutil.rmtree(deep.socket)


def test_the_folder_of_a_socket_that_somebody_else_has_made_is_refused(
    fresh: Location,
) -> None:
    deep = Location(fresh.directory / ("e" * 100), "test", fresh.copies)
    deep.socket.symlink_to("/tmp")
    try:
        with pytest.raises(EmbeddedServerError, match="exists already and is not ours"):
            Server(deep, os.environ).ensure()
    finally:
        deep.socket.unlink()


def test_a_directory_that_can_not_be_made_is_one_clear_error() -> None:
    server = Server(Location(Path("/proc/nowhere/postgres")), os.environ)

    with pytest.raises(EmbeddedServerError, match=r"/proc/nowhere.*JOBSD_EMBEDDED_DIR"):
        server.ensure()
