"""What a dispatcher has done is reported once, also when the answer to its commit was lost."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.event_recorder import Emitted, EventRecorder, names
from lost_answers import losing
from rows_of_limits import turn as _turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target
    from jobsd.dispatcher.dispatcher import Dispatcher
    from lost_answers import LostAnswers
    from rows_of_limits import Table

    from .conftest import Make


@pytest.fixture
def heard(recorder: EventRecorder) -> Emitted:
    return recorder.events("jobs.discarded")


@pytest.fixture
def way(target: Target) -> Iterator[LostAnswers]:
    with losing(target) as (way, _):
        yield way


def _lose(dispatcher: Dispatcher, way: LostAnswers) -> None:
    """Let a commit's answer be lost, as `run` would notice it."""
    way.lose(b"COMMIT")
    with contextlib.suppress(psycopg.OperationalError):
        for _ in range(100):
            dispatcher.poll()
    assert way.lost == 1
    dispatcher.disconnect()


def _expire(table: Table) -> int:
    job = table.enqueue(None, expires_in="1 h")
    table.rows("UPDATE jobsd.expirations SET expires_at = now() - interval '1 s' RETURNING 1")
    return job


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.failure(
    "The connection of a dispatcher breaks between a commit and its answer.",
    "The dispatcher asks the server what became of it, and reports once what it discarded.",
)
def test_expired_jobs_are_reported_once(
    make: Make, table: Table, way: LostAnswers, heard: Emitted, *, keep: bool
) -> None:
    dispatcher, context = make(url=way.url, keep=keep)
    job = _expire(table)
    _lose(dispatcher, way)
    assert heard == []

    dispatcher.connect()
    _turn(dispatcher)
    _turn(dispatcher)

    assert _jobs_of(heard) == [("jobs.discarded", [job])]
    queue = context.entry.queue("default")
    assert (queue.outcome("discarded"), queue.outcome("expired")) == (1, 1)


def test_a_discard_of_which_nothing_is_left_is_not_reported(
    make: Make, table: Table, way: LostAnswers, heard: Emitted
) -> None:
    dispatcher, _ = make(url=way.url)
    _expire(table)
    _lose(dispatcher, way)
    # As on a standby that is promoted without it, and has given its number out again.
    table.rows("UPDATE jobsd.jobs SET outcome = NULL, finished_at = NULL RETURNING 1")

    dispatcher.connect()
    _turn(dispatcher)

    assert "jobs.discarded" not in names(heard)


def _jobs_of(heard: Emitted) -> list[tuple[str, list[int]]]:
    return [(name, facts["job_ids"]) for name, facts in heard]
