"""What a worker and a job cost: memory, processor time, WAL, disk; plain and with each feature.

The features are those of `operations/capacity`. Jobs are stored in bulk, and run by the whole
tree with the shipped settings. Disk is the size of the tables that hold rows at the end, and of
their indexes, after a vacuum.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from jobsd import configure, enqueue_many, queues
from jobsd.clock import monotonic

from . import tree
from .children import Children, cpu_of
from .jobs import alone, failing_once, large, noop, tagged, unique, with_result
from .meter import Meter, threads_cpu_s
from .pairs import Case, Contender, Measured
from .rest import await_finished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.jobs.draft import Draft

    from .server import Database, Server

_BULK = 1000
_FURTHER = 4
_SIZES = b"""
SELECT pg_table_size(oid), pg_indexes_size(oid)
FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'jobsd'::regnamespace AND reltuples > 0
"""


def _large(number: int) -> Draft:
    return large.with_args(number, "x" * 1000)


def _scheduled(number: int) -> Draft:
    return noop.using(wait="100ms").with_args(number)


class _Feature(NamedTuple):
    name: str
    draft: Callable[[int], Draft]
    jobs: int


_FEATURES = (
    _Feature("plain", noop.with_args, 100_000),
    _Feature("1kB", _large, 50_000),
    _Feature("tags", tagged.with_args, 50_000),
    _Feature("limit", alone.with_args, 50_000),
    _Feature("unique", unique.with_args, 50_000),
    _Feature("result", with_result.with_args, 50_000),
    _Feature("scheduled", _scheduled, 50_000),
    _Feature("retried", failing_once.with_args, 20_000),
)


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a worker process, then a job with each feature."""
    yield Case("a further worker at rest", Contender("jobsd", partial(_further_worker, server)))
    for feature in _FEATURES:
        jobs = max(50, int(feature.jobs * scale))
        yield Case(feature.name, Contender("jobsd", partial(_run, server, feature.draft, jobs)))


def _run(server: Server, draft: Callable[[int], Draft], jobs: int) -> Measured:
    with server.database() as database:
        configure(database.url)
        with tree.running(database) as started:
            queues.pause("default", "to be measured")
            database.settle()
            meter = Meter(server, database.name)
            stored = Children(1, lambda _: partial(_store, database, draft, jobs)).run()
            cpu_before_s, began = _cpu_s(started), monotonic()
            queues.resume("default")
            await_finished(database, jobs)
            seconds, cpu_s = monotonic() - began, _cpu_s(started) - cpu_before_s
            memory = started.pss_mib()
        configure()
        usage = meter.read().per(jobs, cpu_of(stored) + cpu_s)
        table, index = _bytes(database)
        figures = {
            "jobs_per_s": jobs / seconds,
            "enqueue_us": cpu_of(stored) / jobs * 1e6,
            "run_us": cpu_s / jobs * 1e6,
            "table_bytes": table / jobs,
            "index_bytes": index / jobs,
            "tree_mib": memory,
        }
        return Measured(figures, usage)


def _further_worker(server: Server) -> Measured:
    """Measure how much more memory a tree has with four more workers, for each of them."""
    with server.database() as database:
        with tree.running(database) as started:
            least_mib = started.pss_mib()
        with tree.running(database, workers=1 + _FURTHER) as started:
            more_mib = started.pss_mib()
        return Measured({"mib": (more_mib - least_mib) / _FURTHER})


def _cpu_s(started: tree.Tree) -> float:
    return sum(map(threads_cpu_s, started.pids()))


def _store(database: Database, draft: Callable[[int], Draft], jobs: int) -> None:
    configure(database.url)
    for first in range(0, jobs, _BULK):
        enqueue_many(draft(number) for number in range(first, min(jobs, first + _BULK)))


def _bytes(database: Database) -> tuple[int, int]:
    """Return the bytes of the tables that hold rows, and of their indexes."""
    with database.connect() as connection:
        connection.execute("VACUUM ANALYZE", prepare=False)
        rows = connection.execute(_SIZES).fetchall()
    return sum(table for table, _ in rows), sum(index for _, index in rows)
