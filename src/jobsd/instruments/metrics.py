"""The metrics, in the form that Prometheus reads: names and help texts are all here.

The figures come from shared memory and from the database at the moment of the scrape, so
the client library's own counters, and its files for several processes, are not used:
after 250 children had been killed those said "250 busy" with no process alive.
"""

from __future__ import annotations

import math
import platform
from functools import cache
from importlib import metadata
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest as as_text
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector
from prometheus_client.utils import (
    floatToGoString,  # pyright: ignore[reportUnknownVariableType]
)

from .figures import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from .figures import DatabaseFigures, Durations, TreeFigures

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


_as_openmetrics = cast(
    "Callable[[CollectorRegistry], bytes]",
    openmetrics_exposition.generate_latest,  # pyright: ignore[reportUnknownMemberType]
)

_number = cast("Callable[[float], str]", floatToGoString)


def exposition(
    tree: TreeFigures | None,
    database: DatabaseFigures | None,
    *,
    openmetrics: bool = False,
    told: Sequence[Metric] = (),
) -> tuple[bytes, str]:
    """Return the metrics and their content type.

    Without a tree there are no counters; without the database, no gauges that come from
    there: what is not known now is left out, never repeated from before. `told` are
    metrics of somebody else's, for what is not known here.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(tree, database, told))
    if openmetrics:
        return _as_openmetrics(registry), OPENMETRICS
    return as_text(registry), TEXT


def plain(
    database: DatabaseFigures | None, told: Sequence[Metric] = ()
) -> list[dict[str, object]]:
    """Return the metrics as plain values, for programs that read no exposition."""
    return [
        {"name": sample.name, "labels": sample.labels, "value": float(sample.value)}
        for family in _Figures(None, database, told).collect()
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
        told: Sequence[Metric] = (),
    ) -> None:
        self._tree = tree
        self._database = database
        self._told = told

    def collect(self) -> Iterator[Metric]:
        known = set[str]()
        for family in self._own():
            known |= _names(family)
            yield family
        yield from (family for family in self._told if known.isdisjoint(_names(family)))

    def _own(self) -> Iterator[Metric]:
        # What this scrape has just found out is newer than what the tree knows; but what was
        # read a moment ago is not known any more once the tree has lost the database.
        up = self._tree is None or self._tree.database_up
        database = self._database if up else None
        yield _gauge(
            "database_up", "Whether the database answers: 1 or 0.", value=database is not None
        )
        yield _build_info(database.postgresql if database else "")
        if self._tree is not None:
            yield from _tree(self._tree)
        if database is not None:
            yield from _queues(database, self._tree)
            yield from _database(database)


def _tree(tree: TreeFigures) -> Iterator[Metric]:
    yield _counter(
        "jobs",
        "Jobs by queue and by what became of them.",
        ("queue", "outcome"),
        _flat(tree.outcomes),
    )
    yield _histogram("job_duration_seconds", "How long jobs ran.", tree.runs, tree.bounds_s)
    yield _histogram(
        "job_wait_seconds",
        "How long jobs waited to start, from when they were due.",
        tree.waits,
        tree.bounds_s,
    )
    yield _counter(
        "process_restarts",
        "Processes that were replaced, by kind and by why they had ended.",
        ("kind", "reason"),
        tree.restarts.items(),
    )
    threads = {"busy": tree.busy_threads, "idle": tree.idle_threads}
    yield _gauges("worker_threads", "Threads that run jobs.", ("state",), _keyed(threads))
    yield _gauge(
        "supervisor_loop_age_seconds",
        "Seconds since the supervisor's loop last came round.",
        value=tree.loop_age_s,
    )
    yield _counter(
        "log_lines_dropped",
        "Log lines that could not be written.",
        (),
        [((), tree.dropped_lines)],
    )
    yield from _reloads(tree)


def _reloads(tree: TreeFigures) -> Iterator[Metric]:
    yield _counter(
        "reloads",
        "Reloads of the configuration by their outcome.",
        ("outcome",),
        _keyed(tree.reloads),
    )
    yield _gauge(
        "reload_last_success",
        "Whether the last reload was done: 1, also when there was none, or 0.",
        value=tree.reload_succeeded,
    )


def _queues(database: DatabaseFigures, tree: TreeFigures | None) -> Iterator[Metric]:
    # A queue that was ever seen has zeros rather than no figures: alerts need them.
    names = sorted({*database.depths, *database.latencies_s, *(tree.outcomes if tree else ())})
    yield _gauges(
        "queue_jobs",
        "Jobs by queue and state.",
        ("queue", "state"),
        (
            ((name, state), database.depths.get(name, {}).get(state, 0))
            for name in names
            for state in STATES
        ),
    )
    yield _gauges(
        "queue_latency_seconds",
        "How long the oldest ready job of the queue has waited.",
        ("queue",),
        (((name,), database.latencies_s.get(name, 0.0)) for name in names),
    )
    yield _gauges(
        "queue_claim_age_seconds",
        "How long the oldest claimed job of the queue has run, or been about to.",
        ("queue",),
        (((name,), database.claim_ages_s.get(name, 0.0)) for name in names),
    )


def _database(database: DatabaseFigures) -> Iterator[Metric]:
    yield _gauges(
        "processes",
        "Processes of all trees on this database, by kind.",
        ("kind",),
        _keyed(database.processes),
    )
    yield _gauges(
        "process_heartbeat_age_seconds",
        "Seconds since a process's loop last came round, as the database knows it.",
        ("kind", "name"),
        database.heartbeat_ages_s.items(),
    )
    yield _counter(
        "recurring_enqueued",
        "How often a recurring task was enqueued.",
        ("task",),
        (((key,), count) for key, (count, _) in database.tasks.items()),
    )
    yield _gauges(
        "recurring_last_run_timestamp_seconds",
        "When a recurring task was last enqueued.",
        ("task",),
        (((key,), last) for key, (_, last) in database.tasks.items() if last is not None),
    )
    if database.last_heartbeat is not None:
        yield _gauge(
            "heartbeat_last_timestamp_seconds",
            "When the heartbeat job last ran.",
            value=database.last_heartbeat,
        )
    yield from _lost(database)


def _lost(database: DatabaseFigures) -> Iterator[Metric]:
    yield _gauge("lost_jobs", "Jobs that were found in no table.", value=database.lost_jobs)
    if database.lost_walk_age_s is not None:
        yield _gauge(
            "lost_jobs_walk_age_seconds",
            "How long ago all jobs were last looked at for lost ones.",
            value=database.lost_walk_age_s,
        )


def _names(family: Metric) -> set[str]:
    return {family.name, *(sample.name for sample in family.samples)}


def _gauge(name: str, text: str, *, value: float) -> Metric:
    return GaugeMetricFamily(f"jobsd_{name}", text, value=value)


def _gauges(
    name: str,
    text: str,
    labels: Sequence[str],
    samples: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    family = GaugeMetricFamily(f"jobsd_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(
    name: str,
    text: str,
    labels: Sequence[str],
    samples: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    family = CounterMetricFamily(f"jobsd_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(
    name: str, text: str, durations: Mapping[str, Durations], bounds_s: Sequence[float]
) -> Metric:
    family = HistogramMetricFamily(f"jobsd_{name}", text, labels=("queue",))
    # As the library writes them: OpenMetrics has one spelling for each number.
    bounds = [_number(bound) for bound in (*bounds_s, math.inf)]
    for queue, each in durations.items():
        buckets = list(zip(bounds, map(float, accumulate(each.counts)), strict=True))
        family.add_metric((queue,), buckets, each.sum_s)
    return family


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
