"""The metrics that a tree counts in shared memory."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from . import families
from .figures import TreeFigures


def tree_metrics(tree: TreeFigures) -> Iterator[Metric]:
    """Yield the families."""
    yield from _jobs(tree)
    yield families.histogram(
        "job_duration_seconds",
        "Duration of the jobs of a queue.",
        "queue",
        tree.runs,
        tree.bounds_s,
    )
    yield families.histogram(
        "job_wait_seconds",
        "How long jobs waited between the time they were due and their start.",
        "queue",
        tree.waits,
        tree.bounds_s,
    )
    yield from _classes(tree)
    yield families.counter(
        "process_restarts",
        "Processes that were replaced, by kind and by the reason for their end.",
        ("kind", "reason"),
        tree.restarts.items(),
    )
    yield from _processes(tree)
    yield families.gauge(
        "supervisor_loop_age_seconds",
        "Seconds since the supervisor's loop last began an iteration.",
        value=tree.loop_age_s,
    )
    yield families.counter(
        "log_lines_dropped",
        "Log lines that could not be written.",
        (),
        [((), tree.dropped_lines)],
    )
    yield from _reloads(tree)
    yield from _troubles(tree)
    yield from _web(tree)


def _jobs(tree: TreeFigures) -> Iterator[Metric]:
    yield families.counter(
        "jobs",
        "Jobs that ended, by queue and outcome.",
        ("queue", "outcome"),
        families.flat(tree.outcomes),
    )
    yield families.counter(
        "timeouts",
        "Jobs that reached their time limit: interrupted (soft), or killed (hard).",
        ("queue", "kind"),
        families.flat(tree.timeouts),
    )
    yield families.counter(
        "expired",
        "Jobs that were discarded because they had not started in time, by queue.",
        ("queue",),
        families.keyed(tree.expired),
    )
    yield families.counter(
        "cancelled",
        "Jobs that were cancelled after their claim and did not succeed, by queue.",
        ("queue",),
        families.keyed(tree.cancelled),
    )


def _classes(tree: TreeFigures) -> Iterator[Metric]:
    yield families.counter(
        "class_jobs",
        "Jobs that ended, by class and outcome.",
        ("class", "outcome"),
        families.flat(tree.class_outcomes),
    )
    yield families.histogram(
        "class_duration_seconds",
        "Duration of the jobs of a class.",
        "class",
        tree.class_runs,
        tree.bounds_s,
    )
    yield families.counter(
        "failures",
        "Attempts that ended with an error, by its type and by retry or failure.",
        ("error", "outcome"),
        families.flat(tree.failures),
    )


def _processes(tree: TreeFigures) -> Iterator[Metric]:
    threads = {"busy": tree.busy_threads, "idle": tree.idle_threads}
    yield families.gauges(
        "worker_threads",
        "Jobs that workers may run at once, in threads or as coroutines: busy and idle.",
        ("state",),
        families.keyed(threads),
    )
    yield families.gauges(
        "process_resident_bytes",
        "Resident memory of a process of this tree, by kind and number.",
        ("kind", "number"),
        tree.resident_bytes.items(),
    )
    coroutines = {"busy": tree.busy_coroutines, "idle": tree.idle_coroutines}
    yield families.gauges(
        "coroutines",
        "Jobs that run on event loops, and how many more may on those of `coroutines: N`.",
        ("state",),
        families.keyed(coroutines),
    )


def _web(tree: TreeFigures) -> Iterator[Metric]:
    if tree.web_requests:
        yield families.counter(
            "web_requests",
            "Requests to the dashboard, by page and status.",
            ("page", "status"),
            tree.web_requests.items(),
        )


def _reloads(tree: TreeFigures) -> Iterator[Metric]:
    yield families.counter(
        "reloads",
        "Reloads of the configuration, by outcome.",
        ("outcome",),
        families.keyed(tree.reloads),
    )
    yield families.gauge(
        "reload_last_success",
        "Whether the last reload succeeded: 1 or 0; 1 if there was none.",
        value=tree.reload_succeeded,
    )


def _troubles(tree: TreeFigures) -> Iterator[Metric]:
    yield families.counter(
        "prunes",
        "Processes of other trees that were pruned because their heartbeats had stopped.",
        (),
        [((), tree.prunes)],
    )
    yield families.counter(
        "claims_lost",
        "Claims that were taken away before the outcomes of their jobs were recorded.",
        (),
        [((), tree.claims_lost)],
    )
    yield families.counter(
        "outages",
        "How often the database became unreachable.",
        (),
        [((), tree.outages)],
    )
    yield families.counter(
        "outage_seconds",
        "How long all past outages of the database have lasted together.",
        (),
        [((), tree.outage_s)],
    )
    yield families.gauge(
        "outage_age_seconds",
        "How long the present outage of the database has lasted; 0 without one.",
        value=tree.outage_age_s,
    )
