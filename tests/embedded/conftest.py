"""Places for embedded servers: the real thing, each stopped and removed in the end."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobsd.database.clients import other_clients
from jobsd.embedded import Location, Server
from jobsd.embedded.account import Account
from jobsd.embedded.binaries import find, usable
from kept import kept_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def copies() -> Iterator[Path]:
    """Where binaries are copied to that users can't reach."""
    folder = kept_folder("jobsd-test-copies-")
    yield folder
    shutil.rmtree(folder)


def made_place(copies: Path) -> Iterator[Location]:
    folder = kept_folder("jobsd-test-")
    place = Location(folder / "postgres", "test", copies)
    try:
        yield place
    finally:
        Server(place, os.environ, other_clients).stop()
        shutil.rmtree(folder)


@pytest.fixture
def fresh_place(copies: Path) -> Iterator[Location]:
    """A place where no server was ever made."""
    yield from made_place(copies)


@pytest.fixture(scope="module")
def place(copies: Path) -> Iterator[Location]:
    """A place for many tests; whether the server runs is up to them."""
    yield from made_place(copies)


@pytest.fixture
def server(place: Location) -> Server:
    """A server that runs, and that nobody uses."""
    running = Server(place, os.environ, other_clients)
    running.ensure()
    return running


@pytest.fixture(scope="module")
def reachable(copies: Path) -> dict[str, str]:
    """The variable that leads an ordinary user to binaries that it can run."""
    place = Location(Path("/nowhere"), "test", copies)
    entry = pwd.getpwnam("nobody")
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    binaries = find(place, os.environ)
    if os.geteuid() == 0:
        binaries = usable(binaries, account, place, os.environ)
    return {"JOBSD_PG_BINDIR": str(binaries.directory)}
