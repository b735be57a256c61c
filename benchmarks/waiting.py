"""Both contenders at rest, waiting to be woken: for the time from an enqueue to its start."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from jobsd import configure

from . import prototype, tree
from .children import Children
from .jobs import noop, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .server import Connection, Database

    Enqueue = Callable[[int], object]
    """Stores the job of a number, which will be stamped; a negative one is not."""

    Waiting = Callable[[Database], contextlib.AbstractContextManager[Callable[[], Enqueue]]]
    """Has workers wait during a block; gives what makes an `Enqueue`, in any process."""

_THREADS = 3


@contextlib.contextmanager
def ours(database: Database) -> Generator[Callable[[], Enqueue]]:
    """Have the product's whole tree wait, with the shipped settings."""
    configure(database.url)
    try:
        with tree.running(database):
            yield lambda: _enqueue
    finally:
        configure()


@contextlib.contextmanager
def theirs(database: Database) -> Generator[Callable[[], Enqueue]]:
    """Have a worker of the prototype wait."""
    with database.connect() as connection:
        prototype.make_tables(connection)
    words = prototype.Tally().words[:1]

    def prepare(_number: int) -> Callable[[], None]:
        stopping: list[bool] = []
        signal.signal(signal.SIGTERM, lambda _signal, _frame: stopping.append(True))
        worker = prototype.Worker(database, _THREADS, _stamp, words)
        return lambda: worker.listen(lambda: bool(stopping))

    children = Children(1, prepare)
    children.go()
    with contextlib.ExitStack() as connected:
        try:
            yield lambda: _prototype_enqueue(connected.enter_context(database.connect()))
        finally:
            os.kill(children.pids[0], signal.SIGTERM)
            children.laps()


def _enqueue(number: int) -> None:
    (stamp if number >= 0 else noop).enqueue(number)


def _prototype_enqueue(connection: Connection) -> Enqueue:
    return lambda number: connection.execute(prototype.sql("enqueue"), (f"[{number}]",))


def _stamp(number: int) -> None:
    if number >= 0:
        stamp(number)
