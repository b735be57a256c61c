"""Databases that are full, and what is measured in them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .drain import drain
from .filling import fill
from .jobs import noop

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pairs import Measured
    from .server import Database, Server

LAYOUT = (1, 3)
"""Processes and threads of the drains that are compared with themselves."""
DRAINED = 50_000


class Kept:
    """A database that is filled when it is first asked for, and kept until `close`."""

    def __init__(self, server: Server, state: str, rows: int) -> None:
        self._server = server
        self._state = state
        self._rows = rows
        self._stack = contextlib.ExitStack()
        self._made: Database | None = None

    @property
    def database(self) -> Database:
        """The full database."""
        if self._made is None:
            self._made = self._stack.enter_context(self._server.database())
            fill(self._made, noop.definition.name, self._rows, state=self._state)
            self._made.settle()
        return self._made

    def close(self) -> None:
        """Drop it."""
        self._stack.close()


def drain_more(
    server: Server,
    database: Database,
    jobs: int,
    meanwhile: Callable[[], object] = lambda: None,
) -> Measured:
    """Drain as many jobs as are put in before, so that what waits stays as long as it is.

    `meanwhile` is called when all is ready, and lets something else begin.
    """
    fill(database, noop.definition.name, jobs)
    database.settle(analyze=False)
    meanwhile()
    return drain(server, database, jobs, *LAYOUT)


def drain_alone(server: Server, jobs: int) -> Measured:
    """Drain a database that holds nothing else."""
    with server.database() as database:
        fill(database, noop.definition.name, jobs)
        database.settle()
        return drain(server, database, jobs, *LAYOUT)
