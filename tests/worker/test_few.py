"""A worker that was woken claims a few jobs by a statement of their own, and then many."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.states import ready
from jobsd.states.claims import draw_id
from jobsd.worker.constants import FEW

from .bodies import note, noted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.database.connection import Session
    from jobsd.database.statements import Statement
    from jobsd.states.claims import Ended
    from jobsd.worker.recording import Recording
    from jobsd.worker.turn import ClaimRequest, TurnResult

    from .conftest import Count, Driven, MakeWorker

ALL_DONE = "jobs WHERE outcome = 'finished'"


def _claims(driven: Driven) -> list[tuple[str, int]]:
    """Return a list that gets the statement of each claim, and how many jobs it has brought."""
    claims: list[tuple[str, int]] = []
    turns = driven.worker.turns
    plain = turns.take

    def take_and_note(
        recording: Recording, *, release: Iterable[Ended], request: ClaimRequest | None
    ) -> TurnResult | None:
        result = plain(recording, release=release, request=request)
        if request is not None and result is not None and result.size:
            claims.append((request.statement.name, result.size))
        return result

    turns.take = take_and_note  # type: ignore[method-assign]
    return claims


@pytest.mark.parametrize(
    ("queues", "statement"),
    [
        (("*",), ready.CLAIM_FIRST_ANY),
        (("default",), ready.CLAIM_FIRST_NAMED),
        # In the order of its list.
        (("other", "default"), ready.CLAIM_NAMED),
    ],
)
def test_one_job_is_claimed_by_the_statement_for_few(
    queues: tuple[str, ...],
    statement: Statement,
    make_worker: MakeWorker,
    count: Count,
) -> None:
    driven = make_worker(queues=queues)
    claims = _claims(driven)
    note.enqueue(1)

    driven.until(lambda: count(ALL_DONE) == 1)

    assert claims == [(statement.name, 1)]


@pytest.mark.parametrize(
    ("queues", "statement"),
    [(("*",), ready.CLAIM_ANY), (("default",), ready.CLAIM_NAMED)],
)
def test_jobs_are_claimed_from_the_cursor_until_a_sweep_may_be_made(
    queues: tuple[str, ...],
    statement: Statement,
    make_worker: MakeWorker,
    count: Count,
) -> None:
    driven = make_worker(queues=queues)
    note.enqueue(1)
    driven.until(lambda: count(ALL_DONE) == 1)
    claims = _claims(driven)
    cursor = driven.worker.claiming.cursor
    # As after a sweep that took long; a poll in between may have swept.
    cursor.advance([(None if queues == ("*",) else "default", 0, 1)], sweep=False)
    cursor.swept_at, cursor.sweep_allowed_at = monotonic(), monotonic() + 60.0
    driven.worker.claiming.ahead.prepared = None

    note.enqueue(2)
    driven.until(lambda: count(ALL_DONE) == 2)

    assert claims == [(statement.name, 1)]


def test_jobs_left_after_few_are_claimed_together(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(note.using(priority=-n).with_args(n) for n in range(3 * FEW))
    driven = make_worker(threads=1, prefetch=3 * FEW)
    claims = _claims(driven)

    driven.until(lambda: count(ALL_DONE) == 3 * FEW)

    assert claims[0] == (ready.CLAIM_FIRST_ANY.name, FEW)
    assert claims[1][0] == ready.CLAIM_ANY.name
    assert noted == [*range(3 * FEW)][::-1]


def test_a_job_that_was_deleted_is_no_part_of_few(
    make_worker: MakeWorker, count: Count, session: Session
) -> None:
    gone, *_ = enqueue_many(note.with_args(n) for n in range(3))
    session.connection.execute("DELETE FROM jobsd.jobs WHERE id = %s", (gone.id,))
    driven = make_worker()

    driven.until(lambda: count(ALL_DONE) == 2 and not count("claims"))

    assert {*noted} == {1, 2}
    assert count("ready_executions") == 0


@pytest.mark.usefixtures("default_client")
@pytest.mark.parametrize("pick", ready.OF_FEW, ids=lambda pick: pick.name)
def test_when_a_job_expires_comes_along_with_few(pick: Statement, session: Session) -> None:
    enqueue_many([note.using(expires_in=60).with_args(1), note.with_args(2)])
    asked = {"limit": FEW, "process_id": 7, "claim_id": draw_id(), "asked_at": 1000.0}

    rows = session.fetch(
        ready.turn(None, pick),
        {
            **asked,
            "queue_name": "default",
            "foreign": [],
        },
    )

    at = ClaimedJob._fields.index("expires_at") - 1  # a row has no claim
    (first, second) = sorted(row[at] or 0.0 for row in rows)
    assert first == 0.0
    assert 1050.0 < second <= 1060.0
