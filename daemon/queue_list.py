"""The queues as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = dict[str, Any]


def _is_paused(value: object) -> str:
    return "yellow" if value else ""


COLUMNS = (
    Column("name", "QUEUE"),
    Column("ready", rank=1, right=True),
    Column("oldest_age", "OLDEST", rank=2, right=True),
    Column("paused", rank=3, style=_is_paused),
    Column("claimed", rank=4, right=True, on="terminal"),
    Column("failed", rank=5, right=True, on="terminal"),
    Column("scheduled", rank=6, right=True, on="terminal"),
    Column("blocked", rank=7, right=True, on="terminal"),
    Column("reason", rank=8, cuts=True, on="terminal"),
)
EMPTY = "no queue has jobs that have not ended, and none is paused"


def for_people(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows with the number of jobs of each state in columns of their own."""
    return [{**row["jobs"], **row, "jobs": None} for row in rows]
