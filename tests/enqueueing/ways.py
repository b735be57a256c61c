"""The ways to enqueue along with a transaction, and what has come of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session

    Put = Callable[[object, int], None]
    Stored = Callable[[], list[object]]


@job
def note(value: int) -> None: ...


def within(connection: object, value: int) -> None:
    note.using(connection=connection).enqueue(value)


def many_within(connection: object, value: int) -> None:
    enqueue_many([note.with_args(value)], connection=connection)


def behind(connection: object, value: int) -> None:
    note.using(after_commit=connection).enqueue(value)


EITHER_WAY_WITHIN = pytest.mark.parametrize("put", [within, many_within])
EVERY_WAY = pytest.mark.parametrize("put", [within, many_within, behind])


def attributes_of(thing: object) -> dict[str, object]:
    """Return what an object has of its own, as it is now."""
    return dict(vars(thing))


def arguments_of(session: Session) -> list[object]:
    """Return the first arguments of the jobs that are stored, in their order."""
    query = "SELECT arguments -> 0 FROM jobsd.jobs ORDER BY id"
    return [row[0] for row in session.connection.execute(query)]
