"""The metrics of queues, processes, recurring tasks and tables, from the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from jobsd.job_states import UNFINISHED

from . import families, figures
from .figures import DatabaseFigures, TreeFigures


def queue_metrics(database: DatabaseFigures, tree: TreeFigures | None) -> Iterator[Metric]:
    """Yield the families of metrics; each queue that the tree has seen is in each of them."""
    yield from _queues(database, tree)
    yield from _processes(database)
    yield from _tasks(database)
    yield from _heartbeat(database)


def _queues(database: DatabaseFigures, tree: TreeFigures | None) -> Iterator[Metric]:
    # Each queue that was ever seen has samples of 0, not none: alerts need a value.
    seen = tree.outcomes if tree else ()
    names = sorted({*database.depths, *database.latencies_s, *database.paused, *seen})
    yield families.gauges(
        "queue_jobs", "Jobs by queue and state.", ("queue", "state"), _depths(names, database)
    )
    yield families.gauges(
        "queue_latency_seconds",
        "How long the oldest ready job of the queue has waited; 0 without one.",
        ("queue",),
        families.of(names, database.latencies_s),
    )
    yield families.gauges(
        "queue_paused",
        "Whether the queue is paused: 1 or 0.",
        ("queue",),
        families.of(names, dict.fromkeys(database.paused, 1)),
    )
    yield families.gauges(
        "queue_claim_age_seconds",
        "How long ago the oldest claimed job of the queue was claimed.",
        ("queue",),
        families.of(names, database.claim_ages_s),
    )
    yield from _busy(names, database)
    yield from _arrivals(database)
    yield from _unknown(names, database)


def _depths(names: Sequence[str], database: DatabaseFigures) -> Iterator[families.Sample]:
    none = dict[str, int]()
    for name in names:
        depth = database.depths.get(name, none)
        yield from (((name, state), depth.get(state, 0)) for state in UNFINISHED)


def _busy(names: Sequence[str], database: DatabaseFigures) -> Iterator[Metric]:
    if database.busy_threads is not None:
        yield families.gauges(
            "queue_busy_threads",
            "Threads of this tree that run jobs of the queue.",
            ("queue",),
            families.of(names, database.busy_threads),
        )


def _arrivals(database: DatabaseFigures) -> Iterator[Metric]:
    yield families.counter(
        "queue_enqueued",
        "Jobs that were enqueued to the queue, by all programs; up to a minute late.",
        ("queue",),
        families.keyed(database.enqueued),
    )
    if database.desired_workers is not None:
        yield families.gauges(
            "desired_workers",
            "Workers that the queue needs for its jobs to start within monitor.latency_target.",
            ("queue",),
            families.keyed(database.desired_workers),
        )


def _unknown(names: Sequence[str], database: DatabaseFigures) -> Iterator[Metric]:
    yield families.gauges(
        "queue_unknown_class_jobs",
        "Ready jobs of classes that no worker of the queue knows.",
        ("queue",),
        families.of(names, database.unknown_jobs),
    )
    yield families.gauges(
        "queue_unknown_class_age_seconds",
        "How long there have been ready jobs of classes that no worker of the queue knows.",
        ("queue",),
        families.of(names, database.unknown_for_s),
    )


def _processes(database: DatabaseFigures) -> Iterator[Metric]:
    yield families.gauges(
        "processes",
        "Processes of all trees on this database, by kind.",
        ("kind",),
        families.keyed(database.processes),
    )
    yield families.gauges(
        "process_heartbeat_age_seconds",
        "Seconds since the loop of a process last began an iteration, by the database.",
        ("kind", "name"),
        database.heartbeat_ages_s.items(),
    )


def _tasks(database: DatabaseFigures) -> Iterator[Metric]:
    tasks = database.tasks
    yield families.counter(
        "recurring_enqueued",
        "Runs of a recurring task that were enqueued.",
        ("task",),
        (((key,), runs.enqueued) for key, runs in tasks.items()),
    )
    yield families.counter(
        "recurring_missed",
        "Runs of a recurring task that no scheduler enqueued in time.",
        ("task",),
        (((key,), runs.missed) for key, runs in tasks.items()),
    )
    yield families.gauges(
        "recurring_failed_runs",
        "How many of the last five runs of a recurring task have failed.",
        ("task",),
        (((key,), runs.failed) for key, runs in tasks.items()),
    )
    yield families.gauges(
        "recurring_disabled",
        "Whether the recurring task is disabled, by its file or by a person: 1 or 0.",
        ("task",),
        (((key,), runs.disabled) for key, runs in tasks.items()),
    )
    yield families.gauges(
        "recurring_last_run_timestamp_seconds",
        "Time of a recurring task's last run.",
        ("task",),
        (((key,), runs.last_at) for key, runs in tasks.items() if runs.last_at is not None),
    )
    yield families.gauges(
        "recurring_next_run_timestamp_seconds",
        "Time of a recurring task's next run; absent for a disabled task.",
        ("task",),
        (((key,), runs.next_at) for key, runs in tasks.items() if runs.next_at is not None),
    )


def _heartbeat(database: DatabaseFigures) -> Iterator[Metric]:
    if database.last_heartbeat is not None:
        yield families.gauge(
            "heartbeat_last_timestamp_seconds",
            "Time of the heartbeat job's last run.",
            value=database.last_heartbeat,
        )


def server_metrics(database: figures.DatabaseFigures) -> Iterator[Metric]:
    """Yield the families."""
    yield families.gauges(
        "health_finding",
        "Whether the health of the queue has this finding, by evidence: 1 or 0.",
        ("finding", "severity"),
        database.findings.items(),
    )
    yield families.gauge(
        "dispatch_lag_seconds",
        "How long ago the oldest scheduled job was due that has not been dispatched.",
        value=database.dispatch_lag_s,
    )
    yield families.gauge(
        "oldest_transaction_seconds",
        "Age of the oldest transaction in the database that this role can see.",
        value=database.oldest_transaction_s,
    )
    yield families.gauges(
        "table_bytes",
        "Size of a table of jobsd, with its indexes.",
        ("table",),
        (((name,), table.bytes) for name, table in database.tables.items()),
    )
    yield families.gauges(
        "table_rows",
        "Live and dead rows of a table of jobsd, as estimated by PostgreSQL.",
        ("table", "state"),
        (
            ((name, state), rows)
            for name, table in database.tables.items()
            for state, rows in (("live", table.live_rows), ("dead", table.dead_rows))
        ),
    )
