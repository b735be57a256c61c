"""A role that may only enqueue is returned when its jobs were created, too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from security.lesser import dropped, limited, plain, replaced, skipped

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from security.lesser import Roles

KINDS = [plain, limited, dropped, skipped, replaced]


@pytest.mark.parametrize("made", KINDS)
def test_a_job_of_a_lesser_role_is_returned_with_its_moment(
    made: Any, lesser: Roles, session: Session
) -> None:
    lesser.become("enqueue-only")
    first = made.enqueue(1)
    handles = [first, asyncio.run(plain.aenqueue(2))]
    handles += enqueue_many([plain.with_args(3), skipped.with_args(4), skipped.with_args(4)])
    with psycopg.connect(lesser.urls["enqueue-only"]) as connection:
        handles.append(plain.using(connection=connection).enqueue(5))
        handles += enqueue_many([skipped.with_args(4)], connection=connection)
    if made in {skipped, replaced}:
        again = made.enqueue(1)
        assert (again.id, again.created_at) == (first.id, first.created_at)

    stored = dict(
        session.connection.execute("SELECT id, created_at FROM jobsd.jobs").fetchall()
    )
    assert [each.created_at for each in handles] == [stored[each.id] for each in handles]
    assert handles[3].created_at == handles[4].created_at == handles[-1].created_at
