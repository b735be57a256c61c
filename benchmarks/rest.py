"""What the product takes when there is nothing to do: processor time, statements, memory."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

from . import tree
from .filling import fill
from .jobs import noop
from .meter import Meter
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Database, Server

_MINUTE_S = 60.0
_BOOT_S = 12.0
"""Past this, what a start does is over, and the looks of a worker are five seconds apart."""
_SETTLE_S = 1.0
_JOBS = 10_000
_LOOK_S = 0.05
_PATIENCE_S = 120.0
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
            pairs_max=1,
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
    with server.database() as database:
        with tree.running(database, recurring=recurring) as started:
            time.sleep(min(_BOOT_S, seconds))
            meter, began = Meter(server, database.name), monotonic()
            cpu_before = started.cpu_s()
            time.sleep(seconds)
            cpu_s, total = started.cpu_s() - cpu_before, meter.read()
            minutes = (monotonic() - began) / _MINUTE_S
            connections = _count(
                database, "pg_stat_activity WHERE datname = current_database()"
            )
        figures = {
            "tree_cpu_s_per_min": cpu_s,
            "server_cpu_s_per_min": total.server_cpu_s,
            "statements_per_min": total.statements,
            "wal_bytes_per_min": total.wal_bytes,
            # But for the one that counts them.
            "connections": connections - 1,
        }
        return Measured(
            {
                name: figure / minutes if name.endswith("per_min") else figure
                for name, figure in figures.items()
                if figure is not None
            }
        )


def _memory(server: Server, jobs: int, *, recurring: bool) -> Measured:
    with server.database() as database, tree.running(database, recurring=recurring) as started:
        if jobs:
            fill(database, noop.definition.name, jobs)
            _await_finished(database, jobs)
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


def _await_finished(database: Database, jobs: int) -> None:
    end = monotonic() + _PATIENCE_S
    while _count(database, "jobsd.jobs WHERE outcome = 'finished'") < jobs:
        if monotonic() > end:
            raise TimeoutError("the jobs were not run in time")
        time.sleep(_LOOK_S)


def _count(database: Database, what: str) -> int:
    with database.connect() as connection:
        row = connection.execute(b"SELECT count(*) FROM " + what.encode()).fetchone()
    return int(row[0]) if row else 0
