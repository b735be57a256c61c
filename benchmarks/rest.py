"""What the product takes when there is nothing to do: how it wakes, its memory.

A machine that has rested runs the first thousands of instructions many times slower, the more
the longer it has rested, and counts that as processor time. So this too is held against
something: as many processes as the tree has with a connection, which do nothing but ask for a
constant as often as the tree looks by itself.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

from . import tree
from .filling import fill
from .jobs import noop
from .meter import Meter, threads_cpu_s, wakes
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Database, Server

_MINUTE_S = 60.0
_BOOT_S = 12.0
"""Past this, what a start does is over, and the looks of a worker are five seconds apart."""
_SETTLE_S = 1.0
_JOBS = 10_000
_POLL_S = 0.05
_PATIENCE_S = 120.0
_POLL_EVERY_S = 5.0
_CONNECTED = {False: 3, True: 4}
"""Processes of the tree that have a connection: monitor, dispatcher, worker; the scheduler."""
_IDLER = """
import sys, time, psycopg
kept = psycopg.connect(sys.argv[1], autocommit=True)
print(flush=True)
while True:
    time.sleep(float(sys.argv[2]))
    kept.execute("SELECT 1").fetchall()
"""
_BARE = (
    "import sys, psycopg; kept = psycopg.connect(sys.argv[1]); print(flush=True);"
    " sys.stdin.read()"
)


def idle_cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a minute of the default tree, and of one that has a recurring task as well."""
    seconds = max(1.0, _MINUTE_S * scale)
    for name, recurring in (("default tree", False), ("with a scheduler", True)):
        yield Case(
            name,
            Contender("jobsd", partial(_idle, server, seconds, recurring=recurring)),
            Contender("driver", partial(_idle_driver, server, seconds, _CONNECTED[recurring])),
            pairs_max=3,
            target="≤ 60 statements, ≤ 0.2 s CPU a minute",
        )


def memory_cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield the tree's memory, at rest and after jobs, beside a driver that is connected."""
    jobs = max(10, int(_JOBS * scale))
    for name, count, recurring in (
        ("default tree", 0, False),
        ("with a scheduler", 0, True),
        (f"after {jobs:,} jobs", jobs, False),
    ):
        yield Case(
            name,
            Contender("jobsd", partial(_memory, server, count, recurring=recurring)),
            Contender("driver", partial(_memory_of_driver, server)),
            pairs_max=3,
            target="≤ 75 MiB, better 60",
        )


def _idle(server: Server, seconds: float, *, recurring: bool) -> Measured:
    with server.database() as database, tree.running(database, recurring=recurring) as started:
        time.sleep(min(_BOOT_S, seconds))
        return _at_rest(server, database, started.pids(), seconds)


def _idle_driver(server: Server, seconds: float, processes: int) -> Measured:
    """Measure processes that ask for a constant every few seconds."""
    every_s = str(min(_POLL_EVERY_S, seconds / 4))
    with server.database() as database, contextlib.ExitStack() as stack:
        idler = [sys.executable, "-c", _IDLER, database.url, every_s]
        running: list[subprocess.Popen[bytes]] = []
        for _ in range(processes):
            one = stack.enter_context(subprocess.Popen(idler, stdout=subprocess.PIPE))
            stack.callback(one.kill)
            running.append(one)
        for one in running:
            assert one.stdout is not None  # noqa: S101 - asked for
            one.stdout.readline()
        time.sleep(_SETTLE_S)
        return _at_rest(server, database, [one.pid for one in running], seconds)


def _at_rest(server: Server, database: Database, pids: list[int], seconds: float) -> Measured:
    meter, began = Meter(server, database.name), monotonic()
    cpu_before, wakes_before = sum(map(threads_cpu_s, pids)), sum(map(wakes, pids))
    time.sleep(seconds)
    cpu, woken = sum(map(threads_cpu_s, pids)), sum(map(wakes, pids))
    total = meter.read_at_work()
    minutes = (monotonic() - began) / _MINUTE_S
    connections = _count(database, "pg_stat_activity WHERE datname = current_database()")
    figures = {
        "cpu_s_per_min": cpu - cpu_before,
        "wakes_per_min": woken - wakes_before,
        "server_cpu_s_per_min": total.server_cpu_s,
        "statements_per_min": total.statements,
        "wal_bytes_per_min": total.wal_bytes,
    }
    reported = {
        name: figure / minutes for name, figure in figures.items() if figure is not None
    }
    # But for the one that counts them.
    return Measured({**reported, "connections": connections - 1})


def _memory(server: Server, jobs: int, *, recurring: bool) -> Measured:
    with server.database() as database, tree.running(database, recurring=recurring) as started:
        if jobs:
            fill(database, noop.definition.name, jobs)
            await_finished(database, jobs)
        time.sleep(_SETTLE_S)
        return Measured({"pss_mib": started.pss_mib(), "processes": len(started.pids())})


def _memory_of_driver(server: Server) -> Measured:
    """Measure one interpreter that has loaded the driver alone and is connected."""
    with subprocess.Popen(
        [sys.executable, "-c", _BARE, server.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as bare:
        assert bare.stdout is not None  # noqa: S101 - asked for
        bare.stdout.readline()
        measured = Measured({"pss_mib": tree.pss_mib(bare.pid), "processes": 1})
        bare.communicate()
    return measured


def await_finished(database: Database, jobs: int) -> None:
    """Wait until this many jobs have finished.

    Raises:
        TimeoutError: when they do not in time.
    """
    end = monotonic() + _PATIENCE_S
    while _count(database, "jobsd.jobs WHERE outcome = 'finished'") < jobs:
        if monotonic() > end:
            raise TimeoutError("the jobs were not run in time")
        time.sleep(_POLL_S)


def _count(database: Database, what: str) -> int:
    with database.connect() as connection:
        row = connection.execute(b"SELECT count(*) FROM " + what.encode()).fetchone()
    return int(row[0]) if row else 0
