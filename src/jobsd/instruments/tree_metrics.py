"""The metrics that a tree counts in shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import families

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .families import AnyFamily
    from .figures import TreeFigures


def tree_metrics(tree: TreeFigures) -> Iterator[AnyFamily]:
    """Yield the families."""
    yield from _jobs(tree)
    yield families.histogram(
        "job_duration_seconds", "How long jobs ran.", "queue", tree.runs, tree.bounds_s
    )
    yield families.histogram(
        "job_wait_seconds",
        "How long jobs waited to start, from when they were due.",
        "queue",
        tree.waits,
        tree.bounds_s,
    )
    yield from _classes(tree)
    yield families.counter(
        "process_restarts",
        "Processes that were replaced, by kind and by why they had ended.",
        ("kind", "reason"),
        tree.restarts.items(),
    )
    yield from _processes(tree)
    yield families.gauge(
        "supervisor_loop_age_seconds",
        "Seconds since the supervisor's loop last came round.",
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


def _jobs(tree: TreeFigures) -> Iterator[AnyFamily]:
    yield families.counter(
        "jobs",
        "Jobs by queue and by what became of them.",
        ("queue", "outcome"),
        families.flat(tree.outcomes),
    )
    yield families.counter(
        "timeouts",
        "Jobs whose time was over, by queue: interrupted (soft), or ended with their process.",
        ("queue", "kind"),
        families.flat(tree.timeouts),
    )
    yield families.counter(
        "expired",
        "Jobs that were discarded since they were not begun in time, by queue.",
        ("queue",),
        families.keyed(tree.expired),
    )
    yield families.counter(
        "cancelled",
        "Jobs that were cancelled once they were claimed, and did not succeed, by queue.",
        ("queue",),
        families.keyed(tree.cancelled),
    )


def _classes(tree: TreeFigures) -> Iterator[AnyFamily]:
    yield families.counter(
        "class_jobs",
        "Jobs by class and by what became of them.",
        ("class", "outcome"),
        families.flat(tree.class_outcomes),
    )
    yield families.histogram(
        "class_duration_seconds",
        "How long jobs of the class ran.",
        "class",
        tree.class_runs,
        tree.bounds_s,
    )
    yield families.counter(
        "failures",
        "Attempts that an error has ended, by its type: the job failed, or is retried.",
        ("error", "outcome"),
        families.flat(tree.failures),
    )


def _processes(tree: TreeFigures) -> Iterator[AnyFamily]:
    threads = {"busy": tree.busy_threads, "idle": tree.idle_threads}
    yield families.gauges(
        "worker_threads", "Threads that run jobs.", ("state",), families.keyed(threads)
    )
    yield families.gauges(
        "process_resident_bytes",
        "Memory of a process of this tree that is its own or shared, by kind and number.",
        ("kind", "number"),
        tree.resident_bytes.items(),
    )
    coroutines = {"busy": tree.busy_coroutines, "idle": tree.idle_coroutines}
    yield families.gauges(
        "coroutines",
        "Asynchronous jobs that run, and may run.",
        ("state",),
        families.keyed(coroutines),
    )


def _reloads(tree: TreeFigures) -> Iterator[AnyFamily]:
    yield families.counter(
        "reloads",
        "Reloads of the configuration by their outcome.",
        ("outcome",),
        families.keyed(tree.reloads),
    )
    yield families.gauge(
        "reload_last_success",
        "Whether the last reload was done: 1, also when there was none, or 0.",
        value=tree.reload_succeeded,
    )


def _troubles(tree: TreeFigures) -> Iterator[AnyFamily]:
    yield families.counter(
        "prunes",
        "Processes of other trees whose heartbeats had stopped, and that were taken for dead.",
        (),
        [((), tree.prunes)],
    )
    yield families.counter(
        "claims_lost",
        "Claims that were taken away before what became of their jobs was recorded.",
        (),
        [((), tree.claims_lost)],
    )
    yield families.counter(
        "outages",
        "How often the database could not be reached.",
        (),
        [((), tree.outages)],
    )
    yield families.counter(
        "outage_seconds",
        "How long all outages that are over have lasted.",
        (),
        [((), tree.outage_s)],
    )
    yield families.gauge(
        "outage_age_seconds",
        "How long the outage has lasted that is not over; 0 without one.",
        value=tree.outage_age_s,
    )
