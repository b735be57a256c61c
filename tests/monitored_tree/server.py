"""A PostgreSQL of a test's own, that can be stopped in its tracks."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import psutil

from jobsd.database.clients import other_clients
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.embedded import Location, Server
from kept import kept_folder

if TYPE_CHECKING:
    from collections.abc import Generator


class OwnServer:
    """One server; `freeze` stops all of its processes, as a hung machine does."""

    def __init__(self, place: Location) -> None:
        self._place = place
        self._server = Server(place, os.environ, other_clients)
        self._frozen: list[psutil.Process] = []

    def start(self) -> Target:
        """Start it, and make the tables."""
        target = Target(self._server.ensure())
        migrate(target)
        return target

    def stop(self) -> None:
        """Stop it in order."""
        self.thaw()
        self._server.stop()

    def freeze(self) -> None:
        """Stop everything: it takes connections, and answers nothing."""
        pid = int((self._place.data / "postmaster.pid").read_text().split("\n")[0])
        postmaster = psutil.Process(pid)
        postmaster.suspend()
        self._frozen = [postmaster, *postmaster.children()]
        for process in self._frozen[1:]:
            process.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        frozen, self._frozen = self._frozen, []
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@contextlib.contextmanager
def own_server() -> Generator[OwnServer]:
    """A server that is gone after the block."""
    folder = kept_folder("jobsd-test-")
    server = OwnServer(Location(folder / "postgres", "test", folder / "copies"))
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
