"""Whether jobs that nobody here can run hold up the others: a million of them, put aside."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.configuration.options import WorkerOptions
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.jobs import registry
from jobsd.jobs.draft import Draft
from jobsd.worker.worker import Worker

from .drain import drain
from .filling import fill, fill_parked
from .jobs import noop, stamp
from .kept import DRAINED, LAYOUT
from .latency import taken_times
from .pairs import Case, Contender, Measured
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Database, Server

_PARKED = 1_000_000
_ELSEWHERE = "elsewhere"
_POLL_S = 0.002
_PATIENCE_S = 300.0
_REST_S, _GAP_S = 1.5, 0.02


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a drain beside parked jobs, and one behind jobs that are yet to be parked."""
    parked, jobs = max(100, int(_PARKED * scale)), max(20, int(2 * DRAINED * scale))
    with server.database() as beside, server.database() as alone:
        fill_parked(beside, _ELSEWHERE, parked)
        yield Case(
            f"drain beside {parked:,} parked",
            Contender("beside", partial(_drain, server, beside, jobs)),
            Contender("alone", partial(_drain, server, alone, jobs)),
            target="ratio ≥ 0.95",
        )
    yield Case(
        f"drain behind {parked:,} unknown",
        Contender("behind", partial(_drain_behind, server, parked, jobs)),
        Contender("alone", partial(_drain_behind, server, 0, jobs)),
        pairs_max=3,
    )
    yield Case(
        f"first start behind {parked:,} unknown",
        Contender("behind", partial(_first_behind, server, parked)),
        Contender("alone", partial(_first_behind, server, 0)),
        pairs_max=3,
        target="≤ 30 s",
    )
    starts = max(10, int(1000 * scale))
    yield Case(
        "starts every 20 ms of two services that share a queue",
        Contender("two", partial(_starts, server, ("stamp-a", "stamp-b"), starts)),
        Contender("one", partial(_starts, server, ("stamp-a",), starts)),
        pairs_max=3,
        target="p50: ratio ≤ 2",
    )


def _drain(server: Server, database: Database, jobs: int) -> Measured:
    fill(database, noop.definition.name, jobs)
    database.settle()
    return drain(server, database, jobs, *LAYOUT)


def _drain_behind(server: Server, unknown: int, jobs: int) -> Measured:
    """Drain what lies behind unknown jobs, from the start: the walk over these counts."""
    with server.database() as database:
        fill_parked(database, _ELSEWHERE, 0)
        if unknown:
            fill(database, _ELSEWHERE, unknown)
        return _drain(server, database, jobs)


def _starts(server: Server, services: tuple[str, ...], jobs: int) -> Measured:
    """Store jobs of the services by turns of a die; each has a worker that knows its class."""
    with taken_times(jobs) as times, server.database() as database:
        options = WorkerOptions(threads=3, coroutines=0)
        running = [
            Workers(database.target, 1, options, partial(_worker_of, name)) for name in services
        ]
        for workers in running:
            workers.go()
        dice = random.Random(20)  # noqa: S311 - the same turns each time
        client.configure(client=Client(database.target))
        try:
            time.sleep(_REST_S)
            for _ in range(jobs):
                time.sleep(_GAP_S)
                name = dice.choice(services)
                times.enqueue(partial(_enqueue, name))
            return Measured(times.figures())
        finally:
            client.configure()
            for workers in running:
                workers.stop()


def _enqueue(name: str, number: int) -> None:
    client.enqueue(Draft(name, "default", 0, f"[{number}]"))


def _worker_of(name: str, *arguments: Any) -> Worker:  # noqa: ANN401 - a worker's
    registry.register(replace(stamp.definition, name=name))
    return Worker(*arguments)


def _first_behind(server: Server, unknown: int) -> Measured:
    """Take the time from the workers' connecting until the one known job is finished."""
    with server.database() as database:
        fill_parked(database, _ELSEWHERE, 0)
        fill(database, _ELSEWHERE, unknown)
        fill(database, noop.definition.name, 1)
        database.settle()
        processes, threads = LAYOUT
        options = WorkerOptions(threads=threads)
        workers = Workers(database.target, processes, options)
        began = workers.go()
        end = began + _PATIENCE_S
        while not workers.finished():
            if monotonic() > end:
                raise TimeoutError("the known job was not run in time")
            time.sleep(_POLL_S)
        seconds = monotonic() - began
        workers.stop()
        return Measured({"seconds": seconds})
