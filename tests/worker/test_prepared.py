"""A claim that was prepared before a rest, and what may come between."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import math
import select
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.database.statements import Statement
from jobsd.states import ready
from jobsd.worker.claiming.cursor import Gap
from jobsd.worker.constants import POLL_MAX_S
from waiting import wait_until

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobsd.database.connection import Row, Session
    from jobsd.database.statements import Bound
    from jobsd.states.claims import Ended
    from jobsd.worker.recording import Recording
    from jobsd.worker.turn import ClaimRequest, TurnResult

    from .conftest import Count, Driven, MakeWorker

ALL_DONE = "jobs WHERE outcome = 'finished'"


def rest(driven: Driven) -> None:
    """Let the worker rest until nothing but a notification, or its longest poll, ends that."""
    claiming = driven.worker.claiming
    driven.until(lambda: claiming.idle.stands and claiming.ahead.prepared is not None)
    polling, search = claiming.polling, claiming.limited.search
    polling._backoff_s = search._pause_s = POLL_MAX_S
    polling.next_poll = search.due_at = monotonic() + POLL_MAX_S
    claiming.cursor.sweep_allowed_at = 0.0
    driven.worker.poll()
    driven.until(lambda: claiming.ahead.prepared is not None)


def _claims(driven: Driven) -> list[tuple[Statement, bool, bool]]:
    """Return a list that gets of each claim: by what, whether sent before, whether a sweep."""
    claims: list[tuple[Statement, bool, bool]] = []
    turns = driven.worker.turns
    plain = turns.take

    def take_and_note(
        recording: Recording, *, release: Iterable[Ended], request: ClaimRequest | None
    ) -> TurnResult | None:
        if request is not None:
            claims.append((request.statement, request.answer is not None, request.sweep))
        return plain(recording, release=release, request=request)

    turns.take = take_and_note  # type: ignore[method-assign]
    return claims


@pytest.mark.parametrize(
    ("queues", "pick"),
    [(("*",), ready.CLAIM_FIRST_ANY), (("default",), ready.CLAIM_FIRST_NAMED)],
)
def test_a_job_that_ends_a_rest_is_claimed_as_was_prepared(
    queues: tuple[str, ...], pick: Statement, make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker(queues=queues)
    rest(driven)
    claims = _claims(driven)

    note.enqueue(1)
    driven.until(lambda: count(ALL_DONE) == 1)

    assert claims[0] == (pick, True, True)
    assert noted == [1]


def test_a_job_that_is_committed_between_a_claim_and_its_answer_is_found_at_once(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()
    rest(driven)
    session = driven.worker.session
    plain = session.send_bound

    def send_and_receive_while_another_is_enqueued(bound: Bound) -> Callable[[], list[Row]]:
        session.send_bound = plain  # type: ignore[method-assign]
        rows = plain(bound)()
        note.enqueue(2)
        # So that its notification is read with an answer, and ends no nap.
        select.select([session.fileno() or 0], [], [], 30.0)
        session.fetch(Statement("nothing", "SELECT"))
        return lambda: rows

    session.send_bound = (  # type: ignore[method-assign]
        send_and_receive_while_another_is_enqueued
    )
    note.enqueue(1)
    driven.until(lambda: noted[:1] == [1])
    began = monotonic()
    driven.until(lambda: count(ALL_DONE) == 2)

    # Else the next poll would find it.
    assert noted == [1, 2]
    assert monotonic() - began < POLL_MAX_S - 1


@pytest.mark.parametrize("word", ["lane", "limited", "resumed", "cancel"])
def test_any_other_notification_discards_a_prepared_claim(
    word: str, make_worker: MakeWorker
) -> None:
    driven = make_worker()
    rest(driven)
    claiming = driven.worker.claiming

    claiming.hear("ready", "default")
    assert claiming.ahead.prepared is not None

    claiming.hear(word, "default")
    assert claiming.ahead.prepared is None


def test_a_prepared_claim_does_not_outlive_its_connection(
    make_worker: MakeWorker,
) -> None:
    driven = make_worker()
    rest(driven)

    driven.worker.connect()

    assert driven.worker.claiming.ahead.prepared is None


def _hold_back(driven: Driven) -> None:
    driven.context.quiet = True


def _stop(driven: Driven) -> None:
    driven.worker.stop()


@pytest.mark.parametrize("end", [_hold_back, _stop])
def test_a_draining_worker_does_not_send_a_prepared_claim(
    end: Callable[[Driven], None], make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()
    rest(driven)
    note.enqueue(1)
    driven.context.nap.take(30.0, [driven.worker.socket() or 0])
    claims = _claims(driven)

    end(driven)
    driven.worker.poll()

    assert not claims
    assert count("claims") == 0
    assert count("ready_executions") == 1


def test_past_a_gap_nothing_is_sent_before_its_turn(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()
    rest(driven)
    claims, claiming = _claims(driven), driven.worker.claiming
    claiming.cursor.skip(Gap(None, 5, 0, 10))
    claiming.ahead.prepare(driven.worker.process_id, math.inf)

    note.enqueue(1)
    driven.until(lambda: count(ALL_DONE) == 1)

    assert claims[0] == (ready.CLAIM_ANY, False, True)


def test_nothing_is_sent_once_our_row_may_be_old(make_worker: MakeWorker) -> None:
    driven = make_worker()
    rest(driven)
    claims, claiming = _claims(driven), driven.worker.claiming
    claiming.ahead.prepare(driven.worker.process_id, monotonic() - 0.001)

    claiming.hear("ready", "default")
    driven.worker.poll()

    assert [sent for _, sent, _ in claims] == [False]


def test_nothing_is_prepared_while_a_job_is_in_hand(make_worker: MakeWorker) -> None:
    driven = make_worker()
    rest(driven)
    assert driven.worker.claiming.ahead.prepared is not None

    note.enqueue(1)
    driven.until(lambda: driven.worker.ledger.has_claims)

    assert driven.worker.claiming.ahead.prepared is None


def test_each_prepared_claim_has_an_id_of_its_own(
    make_worker: MakeWorker, session: Session
) -> None:
    driven = make_worker()
    rest(driven)
    claims = _claims(driven)
    made: set[int] = set()

    for n in (1, 2):
        gate.clear()
        wait_for_gate.enqueue()
        driven.until(lambda: driven.worker.ledger.has_claims)
        made |= {
            row[0] for row in session.fetch(Statement("ids", "SELECT id FROM jobsd.claims"))
        }
        gate.set()
        rest(driven)
        assert len(made) == n

    assert [sent for _, sent, _ in claims].count(True) >= 2
    assert all(1 << 52 <= each < 1 << 53 for each in made)


@pytest.mark.failure(
    "The connection breaks after a claim was sent and before it was answered.",
    "The job is released when the worker is back, and runs once.",
)
def test_a_job_of_a_claim_sent_on_a_broken_connection_runs_once(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()
    rest(driven)
    session = driven.worker.session
    plain = session.send_bound

    def send_and_lose(bound: Bound) -> Callable[[], list[Row]]:
        session.send_bound = plain  # type: ignore[method-assign]
        plain(bound)
        wait_until(lambda: not count("ready_executions"))
        return _lose

    session.send_bound = send_and_lose  # type: ignore[method-assign]
    note.enqueue(1)
    with pytest.raises(psycopg.OperationalError, match="lost"):
        driven.until(lambda: False)
    assert count("claims") == 1

    driven.worker.disconnect()
    driven.worker.connect()
    driven.until(lambda: count(ALL_DONE) == 1)

    assert noted == [1]


def _lose() -> list[Row]:
    raise psycopg.OperationalError("lost")
