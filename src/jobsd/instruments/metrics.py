"""The metrics, in the form that Prometheus reads: names and help texts are all here.

The figures come from shared memory and from the database at the moment of the scrape, so
the client library's own counters, and its files for several processes, are not used:
after 250 children had been killed those said "250 busy" with no process alive.
"""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest as as_text
from prometheus_client.core import InfoMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector

from jobsd.states import UNFINISHED

from . import families
from .server_metrics import server_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from .figures import DatabaseFigures, TreeFigures

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


_as_openmetrics = cast(
    "Callable[[CollectorRegistry], bytes]",
    openmetrics_exposition.generate_latest,  # pyright: ignore[reportUnknownMemberType]
)


def exposition(
    tree: TreeFigures | None,
    database: DatabaseFigures | None,
    *,
    openmetrics: bool = False,
    published: Sequence[Metric] = (),
) -> tuple[bytes, str]:
    """Return the metrics and their content type.

    Without a tree there are no counters; without the database, no gauges that come from
    there: what is not known now is left out, never repeated from before. `published` are
    the metrics of a running tree's exposition, for what is not known here.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(tree, database, published))
    if openmetrics:
        return _as_openmetrics(registry), OPENMETRICS
    return as_text(registry), TEXT


def plain(
    database: DatabaseFigures | None, published: Sequence[Metric] = ()
) -> list[dict[str, object]]:
    """Return the metrics as plain values, for programs that read no exposition."""
    return [
        {"name": sample.name, "labels": sample.labels, "value": float(sample.value)}
        for family in _Figures(None, database, published).collect()
        for sample in family.samples
    ]


def accepts_openmetrics(accept: str) -> bool:
    """Return whether an Accept header asks for OpenMetrics rather than for plain text."""
    return any(
        part.split(";")[0].strip() == "application/openmetrics-text"
        for part in accept.split(",")
    )


class _Figures(Collector):
    """One scrape."""

    def __init__(
        self,
        tree: TreeFigures | None,
        database: DatabaseFigures | None,
        published: Sequence[Metric] = (),
    ) -> None:
        self._tree = tree
        self._database = database
        self._published = published

    def collect(self) -> Iterator[Metric]:
        known = set[str]()
        for family in self._own():
            known |= families.names(family)
            yield family
        yield from (
            family for family in self._published if known.isdisjoint(families.names(family))
        )

    def _own(self) -> Iterator[Metric]:
        # What this scrape has just found out is newer than what the tree knows; but what was
        # read a moment ago is not known any more once the tree has lost the database.
        up = self._tree is None or self._tree.database_up
        database = self._database if up else None
        yield families.gauge(
            "database_up", "Whether the database answers: 1 or 0.", value=database is not None
        )
        yield _build_info(database.postgresql if database else "")
        if self._tree is not None:
            yield from _tree(self._tree)
        if database is not None:
            yield from _queues(database, self._tree)
            yield from _database(database)
            yield from server_metrics(database)


def _tree(tree: TreeFigures) -> Iterator[Metric]:
    yield from _jobs(tree)
    yield families.histogram(
        "job_duration_seconds", "How long jobs ran.", tree.runs, tree.bounds_s
    )
    yield families.histogram(
        "job_wait_seconds",
        "How long jobs waited to start, from when they were due.",
        tree.waits,
        tree.bounds_s,
    )
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


def _jobs(tree: TreeFigures) -> Iterator[Metric]:
    yield families.counter(
        "jobs",
        "Jobs by queue and by what became of them.",
        ("queue", "outcome"),
        _flat(tree.outcomes),
    )
    yield families.counter(
        "timeouts",
        "Jobs whose time was over, by queue: interrupted (soft), or ended with their process.",
        ("queue", "kind"),
        _flat(tree.timeouts),
    )
    yield families.counter(
        "expired",
        "Jobs that were discarded since they were not begun in time, by queue.",
        ("queue",),
        _keyed(tree.expired),
    )
    yield families.counter(
        "cancelled",
        "Jobs that were cancelled once they were claimed, and did not succeed, by queue.",
        ("queue",),
        _keyed(tree.cancelled),
    )


def _processes(tree: TreeFigures) -> Iterator[Metric]:
    threads = {"busy": tree.busy_threads, "idle": tree.idle_threads}
    yield families.gauges(
        "worker_threads", "Threads that run jobs.", ("state",), _keyed(threads)
    )
    yield families.gauges(
        "process_resident_bytes",
        "Memory of a process of this tree that is its own or shared, by kind and number.",
        ("kind", "number"),
        tree.resident_bytes.items(),
    )
    coroutines = {"busy": tree.busy_coroutines, "idle": tree.idle_coroutines}
    yield families.gauges(
        "coroutines", "Asynchronous jobs that run, and may run.", ("state",), _keyed(coroutines)
    )


def _reloads(tree: TreeFigures) -> Iterator[Metric]:
    yield families.counter(
        "reloads",
        "Reloads of the configuration by their outcome.",
        ("outcome",),
        _keyed(tree.reloads),
    )
    yield families.gauge(
        "reload_last_success",
        "Whether the last reload was done: 1, also when there was none, or 0.",
        value=tree.reload_succeeded,
    )


def _queues(database: DatabaseFigures, tree: TreeFigures | None) -> Iterator[Metric]:
    # A queue that was ever seen has zeros rather than no figures: alerts need them.
    seen = tree.outcomes if tree else ()
    names = sorted({*database.depths, *database.latencies_s, *database.paused, *seen})
    yield families.gauges(
        "queue_jobs",
        "Jobs by queue and state.",
        ("queue", "state"),
        (
            ((name, state), database.depths.get(name, {}).get(state, 0))
            for name in names
            for state in UNFINISHED
        ),
    )
    yield families.gauges(
        "queue_latency_seconds",
        "How long the oldest ready job of the queue has waited.",
        ("queue",),
        (((name,), database.latencies_s.get(name, 0.0)) for name in names),
    )
    yield families.gauges(
        "queue_paused",
        "Whether the queue is paused: 1 or 0.",
        ("queue",),
        (((name,), name in database.paused) for name in names),
    )
    yield families.gauges(
        "queue_claim_age_seconds",
        "How long the oldest claimed job of the queue has run, or been about to.",
        ("queue",),
        (((name,), database.claim_ages_s.get(name, 0.0)) for name in names),
    )
    yield from _unknown(names, database)


def _unknown(names: Sequence[str], database: DatabaseFigures) -> Iterator[Metric]:
    yield families.gauges(
        "queue_unknown_class_jobs",
        "Ready jobs of classes that no worker knows which takes from the queue.",
        ("queue",),
        (((name,), database.unknown_jobs.get(name, 0)) for name in names),
    )
    yield families.gauges(
        "queue_unknown_class_age_seconds",
        "For how long there have been such jobs.",
        ("queue",),
        (((name,), database.unknown_for_s.get(name, 0.0)) for name in names),
    )


def _database(database: DatabaseFigures) -> Iterator[Metric]:
    yield families.gauges(
        "processes",
        "Processes of all trees on this database, by kind.",
        ("kind",),
        _keyed(database.processes),
    )
    yield families.gauges(
        "process_heartbeat_age_seconds",
        "Seconds since a process's loop last came round, as the database knows it.",
        ("kind", "name"),
        database.heartbeat_ages_s.items(),
    )
    yield families.counter(
        "recurring_enqueued",
        "How often a recurring task was enqueued.",
        ("task",),
        (((key,), count) for key, (count, _) in database.tasks.items()),
    )
    yield families.gauges(
        "recurring_last_run_timestamp_seconds",
        "When a recurring task was last enqueued.",
        ("task",),
        (((key,), last) for key, (_, last) in database.tasks.items() if last is not None),
    )
    if database.last_heartbeat is not None:
        yield families.gauge(
            "heartbeat_last_timestamp_seconds",
            "When the heartbeat job last ran.",
            value=database.last_heartbeat,
        )
    yield from _lost(database)


def _lost(database: DatabaseFigures) -> Iterator[Metric]:
    yield families.gauge(
        "lost_jobs", "Jobs that were found in no table.", value=database.lost_jobs
    )
    if database.lost_walk_age_s is not None:
        yield families.gauge(
            "lost_jobs_walk_age_seconds",
            "How long ago all jobs were last looked at for lost ones.",
            value=database.lost_walk_age_s,
        )


def _flat(nested: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[tuple[str, str], float]]:
    for outer, counts in nested.items():
        for inner, count in counts.items():
            yield (outer, inner), count


def _keyed(counts: Mapping[str, int]) -> Iterator[tuple[tuple[str], float]]:
    return (((key,), count) for key, count in counts.items())


def _build_info(postgresql: str) -> Metric:
    built = {
        "version": _version(),
        "python": platform.python_version(),
        "postgresql": postgresql,
    }
    return InfoMetricFamily("jobsd_build", "Which jobsd this is, and on what it runs.", built)


@cache
def _version() -> str:
    return metadata.version("jobsd")
