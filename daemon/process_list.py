"""The processes of all trees on the database as a table for people."""

from collections.abc import Sequence
from typing import Any

from . import output, values
from .table import Column

Row = dict[str, Any]

COLUMNS = (
    Column("id", show=values.number, right=True),
    Column("kind", rank=5),
    Column("name"),
    Column("pid", show=values.number, right=True),
    Column("hostname", "HOST", rank=4),
    Column("queues", on="terminal"),
    Column("threads", rank=2, right=True, on="terminal"),
    Column("life", "STATE", on="terminal", style=output.colored),
    Column("heartbeat_age", "HEARTBEAT", rank=1, right=True),
    Column("created_at", "STARTED", rank=6, brief=values.brief_moment, on="terminal"),
    Column("metadata", on="pipe"),
)
EMPTY = "no process is registered: nothing runs on this database"


def for_people(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with what a worker's metadata say in columns of their own."""
    names = ("queues", "threads")
    return [{**row, **{name: row["metadata"].get(name) for name in names}} for row in rows]
