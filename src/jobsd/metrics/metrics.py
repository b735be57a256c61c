"""The metrics, in the form that Prometheus reads: names and help texts are here and beside.

The figures come from shared memory and from the database at the moment of the scrape, so the
client library's own counters, and its files for several processes, are not used: after 250
children had been killed, these reported 250 busy threads with no process alive.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from prometheus_client import exposition as text_exposition
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector

from jobsd.machine import PROGRAM_VERSION

from . import families, queue_metrics, tree_metrics
from .figures import DatabaseFigures, TreeFigures

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


_as_openmetrics = cast(
    "Callable[[Collector], bytes]",
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

    Without a tree there are no counters; without the database, no gauges of the database:
    unknown values are left out, never repeated from before. `published` are the metrics of a
    running tree's exposition, for values that are unknown here.
    """
    return _written(Scrape(tree, lambda: database, published), openmetrics=openmetrics)


def exposition_with(
    tree: TreeFigures, database: Callable[[], DatabaseFigures | None], *, openmetrics: bool
) -> tuple[bytes, str]:
    """Return the metrics; `database` is called when all of the tree's metrics are written."""
    return _written(Scrape(tree, database), openmetrics=openmetrics)


def _written(figures: Scrape, *, openmetrics: bool) -> tuple[bytes, str]:
    if openmetrics:
        return _as_openmetrics(figures), OPENMETRICS
    return text_exposition.generate_latest(figures), TEXT


def plain(
    database: DatabaseFigures | None, published: Sequence[Metric] = ()
) -> list[dict[str, object]]:
    """Return the metrics as plain values, for programs that read no exposition."""
    return [
        {"name": sample.name, "labels": sample.labels, "value": float(sample.value)}
        for family in Scrape(None, lambda: database, published).collect()
        for sample in family.samples
    ]


def accepts_openmetrics(accept: str) -> bool:
    """Return whether an Accept header asks for OpenMetrics rather than for plain text."""
    return any(
        part.split(";")[0].strip() == "application/openmetrics-text"
        for part in accept.split(",")
    )


class Scrape(Collector):
    """One scrape."""

    def __init__(
        self,
        tree: TreeFigures | None,
        database: Callable[[], DatabaseFigures | None],
        published: Sequence[Metric] = (),
    ) -> None:
        self._tree = tree
        self._database = database
        self._published = published

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        known = set[str]()
        for family in self._own():
            known |= {family.name, f"{family.name}_total", f"{family.name}_info"}
            yield family
        yield from (family for family in self._published if family.name not in known)

    def _own(self) -> Iterator[Metric]:
        if self._tree is not None:
            yield from tree_metrics.tree_metrics(self._tree)
        # This scrape's result is newer than the tree's; but when the tree has lost the database
        # since, the values of the database are unknown again.
        found = self._database()
        database = found if self._tree is None or self._tree.database_up else None
        yield families.gauge(
            "database_up", "Whether the database answers: 1 or 0.", value=database is not None
        )
        yield _build_info(database.postgresql if database else "")
        if database is not None:
            yield from queue_metrics.queue_metrics(database, self._tree)
            yield from queue_metrics.server_metrics(database)


def _build_info(postgresql: str) -> Metric:
    built = {
        "version": PROGRAM_VERSION,
        "python": platform.python_version(),
        "postgresql": postgresql,
    }
    return InfoMetricFamily("jobsd_build", "Versions of jobsd, Python and PostgreSQL.", built)
