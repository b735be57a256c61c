"""The queue, spoken to in SQL, and a dispatcher that goes on until nothing is to be done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rows import fetch

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.dispatcher.dispatcher import Dispatcher


class Table:
    """The tables, and what befalls them."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def enqueue(self, key: str | None = "k", **options: object) -> int:
        given = {"concurrency_key": key, **options}
        named = ", ".join(f"{name} => %({name})s" for name in given)
        row = self.session.connection.execute(
            f"SELECT jobsd.enqueue('x', {named})".encode(), given
        ).fetchone()
        assert row is not None
        return int(row[0])

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return fetch(self.session, query, *parameters)

    def ids(self, table: str) -> list[int]:
        found = self.rows(f"SELECT job_id FROM jobsd.{table} ORDER BY job_id")
        return [row[0] for row in found]

    def block(self, *job_ids: int) -> None:
        """Let workers have met these, and found no slot for them."""
        self.rows(
            "UPDATE jobsd.blocked_executions SET position = NULL WHERE job_id = ANY (%s)"
            " RETURNING 1",
            list(job_ids),
        )

    def hold(self, key: str, job_id: int) -> None:
        """Let a job hold the first slot of a key."""
        self.rows(
            "INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)"
            " VALUES (1, ARRAY[%s::bigint], %s, 1) RETURNING 1",
            *(job_id, key),
        )

    def make_due(self) -> None:
        self.rows(
            "UPDATE jobsd.scheduled_executions SET scheduled_at = now() - interval '1 s'"
            " RETURNING 1"
        )

    def remove(self, table: str, job_id: int) -> None:
        self.rows(f"DELETE FROM jobsd.{table} WHERE job_id = %s RETURNING 1", job_id)


def turn(dispatcher: Dispatcher, rounds: int = 10) -> None:
    """Take rounds until there is nothing to do at once."""
    for _ in range(rounds):
        if dispatcher.poll() > 0:
            return
    pytest.fail("the dispatcher goes on and on")
