"""Measures how fast waiting jobs are run, by the product's and the prototype's workers.

The time starts when the workers, which are already forked, may connect. It ends when the last
outcome is committed.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.configuration.options import WorkerOptions

from . import prototype, wire
from .children import Children, cpu_of
from .filling import fill
from .jobs import BODIES
from .meter import Meter, Total, sessions
from .pairs import Case, Contender, Measured
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .children import Lap
    from .server import Database, Server

LAYOUTS = ((1, 1), (1, 3), (2, 5))
_JOBS = {"no-op": 100_000, "1 ms sleep": 2_000, "1 ms CPU": 1_500}
_POLL_S = 0.002
_PATIENCE_S = 300.0

_TARGETS = {
    ("no-op", 1, 3): "≥ 40,000 jobs/s, ratio ≥ 0.6",
    ("no-op", 2, 5): "≥ 50,000 jobs/s, ratio ≥ 0.6",
}


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield each body with each layout of processes by threads."""
    for body in BODIES:
        for processes, threads in LAYOUTS:
            # With a millisecond in each job, more threads run more of them in the same time.
            width = processes * threads if body == "1 ms sleep" else processes
            jobs = max(20, int(_JOBS[body] * scale * (1 if body == "no-op" else width)))
            ours = partial(ours_once, server, body, jobs, processes, threads)
            theirs = partial(theirs_once, server, body, jobs, processes, threads)
            yield Case(
                f"{processes}x{threads} {body}",
                contender("jobsd", ours),
                contender("prototype", theirs),
                target=_TARGETS.get((body, processes, threads), ""),
            )


def contender(name: str, once: Callable[[], tuple[int, Measured]]) -> Contender:
    """Return a contender that runs `once`, which returns the number of jobs and figures."""

    def count() -> float:
        with wire.recorded() as record:
            jobs, _ = once()
            return record.round_trips() / jobs

    return Contender(name, lambda: once()[1], count)


def ours_once(
    server: Server, body: str, jobs: int, processes: int, threads: int
) -> tuple[int, Measured]:
    """Drain a database of its own with the product's workers."""
    with server.database() as database:
        fill(database, BODIES[body].definition.name, jobs)
        database.settle()
        return jobs, drain(server, database, jobs, processes, threads)


def drain(  # noqa: PLR0913, PLR0917 - what is run, and how wide
    server: Server,
    database: Database,
    jobs: int,
    processes: int,
    threads: int,
    coroutines: int | None = None,
    queues: str = "*",
) -> Measured:
    """Run the waiting jobs with the product's workers; other sessions may be connected."""
    with server.connect() as connection:
        others = sessions(connection, database.name)
    options = WorkerOptions(threads=threads, coroutines=coroutines, queues=(queues,))
    workers = Workers(database.target, processes, options)
    meter = Meter(server, database.name)
    began = workers.go()
    ended = _await(lambda: workers.finished() >= jobs)
    laps = workers.stop()
    return _measured(jobs, ended - began, meter.read(others), laps)


def theirs_once(
    server: Server, body: str, jobs: int, processes: int, threads: int
) -> tuple[int, Measured]:
    """Drain a database of its own with the prototype's workers."""
    with server.database() as database:
        with database.connect() as connection:
            prototype.make_tables(connection)
            connection.execute(prototype.sql("fill"), (jobs,))
        database.settle()
        tally = prototype.Tally()

        def prepare(number: int) -> Callable[[], None]:
            words = tally.words[number : number + 1]
            return prototype.Worker(database, threads, BODIES[body], words).drain

        children = Children(processes, prepare)
        meter = Meter(server, database.name)
        began = children.go()
        ended = _await(lambda: tally.total() >= jobs)
        laps = children.laps()
        return jobs, _measured(jobs, ended - began, meter.read(), laps)


def _await(condition: Callable[[], bool]) -> float:
    end = monotonic() + _PATIENCE_S
    while not condition():
        if monotonic() > end:
            raise TimeoutError("the jobs were not run in time")
        time.sleep(_POLL_S)
    return monotonic()


def _measured(jobs: int, seconds: float, total: Total, laps: list[Lap[Any]]) -> Measured:
    return Measured({"jobs_per_s": jobs / seconds}, total.per(jobs, cpu_of(laps)))
