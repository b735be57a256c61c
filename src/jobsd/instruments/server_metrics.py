"""The metrics of how late dispatchers are, of our tables, and of old transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import families

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .families import AnyFamily
    from .figures import DatabaseFigures


def server_metrics(database: DatabaseFigures) -> Iterator[AnyFamily]:
    """Yield the families."""
    yield families.gauge(
        "dispatch_lag_seconds",
        "For how long the oldest scheduled job has been due, and was not dispatched.",
        value=database.dispatch_lag_s,
    )
    yield families.gauge(
        "oldest_transaction_seconds",
        "How old the oldest transaction in the database is, as far as this role sees.",
        value=database.oldest_transaction_s,
    )
    yield families.gauges(
        "table_bytes",
        "How large a table of the queue is, its indexes included.",
        ("table",),
        (((name,), table.bytes) for name, table in database.tables.items()),
    )
    yield families.gauges(
        "table_rows",
        "Rows of a table of the queue, as PostgreSQL has counted them.",
        ("table", "state"),
        (
            ((name, state), rows)
            for name, table in database.tables.items()
            for state, rows in (("live", table.live_rows), ("dead", table.dead_rows))
        ),
    )
