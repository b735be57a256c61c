"""The queues as a table for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobsd.daemon.values import human

from .table import Column

Row = dict[str, Any]


def _is_paused(value: object) -> str:
    return "yellow" if value else ""


def columns(most: int) -> tuple[Column, ...]:
    """Return the columns of queues, with at most `most` jobs of a state counted."""
    count = _counted_up_to(most)
    return (
        Column("name", "QUEUE"),
        Column("ready", rank=1, show=count, right=True),
        Column("oldest_age", "OLDEST", rank=2, right=True),
        Column("paused", rank=3, style=_is_paused),
        Column("claimed", rank=4, show=count, right=True, on="terminal"),
        Column("failed", rank=5, show=count, right=True, on="terminal"),
        Column("scheduled", rank=6, show=count, right=True, on="terminal"),
        Column("blocked", rank=7, show=count, right=True, on="terminal"),
        Column("reason", rank=8, cuts=True, on="terminal"),
    )


def _counted_up_to(most: int) -> Callable[[object], str]:
    def show(value: object) -> str:
        return f"{most:,}+" if isinstance(value, int) and value >= most else human(value)

    return show


EMPTY = "there are no queues yet: no job was enqueued, and no worker or task names a queue"


def for_people(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows with the number of jobs of each state in separate columns."""
    return [{**row["jobs"], **row, "jobs": None} for row in rows]
