"""Puts many rows into the product's tables at once, where it is not the enqueue that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.database.statements import Statements

if TYPE_CHECKING:
    from .server import Database

_STATEMENTS = Statements("benchmarks", "filling.sql")


def fill(database: Database, class_name: str, jobs: int, *, state: str = "ready") -> None:
    """Store so many jobs.

    They are "ready", "failed", "finished" some days ago, or "scheduled" for next year.
    """
    with database.connect() as connection:
        statement = _STATEMENTS[state].render("jobsd")
        for first in range(1, jobs + 1, _BATCH):
            last = min(jobs, first + _BATCH - 1)
            before = connection.execute(_STATEMENTS["last"].render("jobsd")).fetchone()
            connection.execute(statement, (class_name, first, last))
            if state == "finished":
                connection.execute(_STATEMENTS["finish"].render("jobsd"), before)


def fill_spread(
    database: Database, class_name: str, jobs: int, *, priorities: int = 1, queues: int = 1
) -> None:
    """Store so many ready jobs, in turn with so many priorities, and in so many queues."""
    parameters = {
        "class_name": class_name,
        "jobs": jobs,
        "priorities": priorities,
        "queues": queues,
    }
    with database.connect() as connection:
        connection.execute(_STATEMENTS["spread"].render("jobsd"), parameters)


def fill_queues(database: Database, class_name: str, jobs: int, queues: int) -> None:
    """Store so many ready jobs, in turn in so many queues."""
    with database.connect() as connection:
        connection.execute(_STATEMENTS["queues"].render("jobsd"), (queues, class_name, jobs))


def fill_tasks(database: Database, class_name: str, tasks: int) -> None:
    """Store so many recurring tasks, each with ten runs."""
    with database.connect() as connection:
        connection.execute(_STATEMENTS["tasks"].render("jobsd"), (class_name, tasks))


def fill_parked(database: Database, class_name: str, jobs: int) -> None:
    """Store so many jobs in the lane of a class that only a worker elsewhere knows."""
    with database.connect() as connection:
        connection.execute(_STATEMENTS["knower"].render("jobsd"), (class_name,))
        connection.execute(_STATEMENTS["parked"].render("jobsd"), (class_name, jobs))


def fill_limited(database: Database, class_name: str, jobs: int, keys: int, limit: int) -> None:
    """Store so many jobs in turn for so many keys, of each of which `limit` may run at once."""
    parameters = {"class_name": class_name, "jobs": jobs, "keys": keys, "limit": limit}
    with database.connect() as connection:
        connection.execute(_STATEMENTS["limited"].render("jobsd"), parameters)


_BATCH = 1_000_000
