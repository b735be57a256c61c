"""The metrics of how late dispatchers are, of our tables, and of old transactions."""

from __future__ import annotations

from collections.abc import Iterator

from . import families, figures
from .families import AnyFamily


def server_metrics(database: figures.DatabaseFigures) -> Iterator[AnyFamily]:
    """Yield the families."""
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
