"""Claims that are sent before their turns: who waits for them, and what may come between."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.database.statements import Statement
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.worker.claiming.polling import POLL_MAX_S
from waiting import wait_until

from .bodies import gate, note, noted, wait_for_gate
from .test_prepared import ALL_DONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobsd.jobs.enqueueable import FunctionJob
    from jobsd.states.claims import Ended
    from jobsd.worker.recording import Recording
    from jobsd.worker.turn import ClaimRequest, TurnResult
    from jobsd.worker.worker import Worker

    from .conftest import Count, Driven, MakeWorker

NOTHING = Statement("nothing", "SELECT")


@pytest.fixture(autouse=True)
def long_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, jobs come within a moment, and outcomes are not old."""
    monkeypatch.setattr("jobsd.worker.worker.FLUSH_S", 3600.0)
    monkeypatch.setattr("jobsd.worker.claiming.polling.STREAM_S", 3600.0)
    # A sweep may be made at any time.
    monkeypatch.setattr("jobsd.worker.claiming.cursor.CHEAP_S", 3600.0)
    # Limited jobs are searched only when some were heard of.
    for pause in ("PAUSE_MIN_S", "PAUSE_MAX_S", "PAUSE_BUSY_S"):
        monkeypatch.setattr(f"jobsd.worker.claiming.limited.{pause}", 3600.0)


@job(limits_concurrency=Limit(key="key"))
def wait_limited(key: str) -> None:  # noqa: ARG001 - its limit is by it
    gate.wait(60)


def stream(driven: Driven) -> None:
    """Let three jobs come one after another."""
    for value in range(3):
        note.enqueue(value)
        driven.until(lambda: len(noted) > value and not driven.worker._pool.in_hand)  # noqa: B023
    driven.until(lambda: driven.worker._claiming.ahead.prepared is not None)


def _then_enqueue(driven: Driven, *values: object) -> list[str]:
    """Enqueue these as soon as the threads have the next jobs; return what happens then.

    "sent" and "finished" say when the next claim is sent, and the last one is seen to.
    """
    happened: list[str] = []
    worker, nap = driven.worker, driven.context.nap
    send, finish, left = worker._turns.send, worker._claiming.finish, [*values]

    def enqueue_meanwhile() -> bool:
        if left:
            note.enqueue(left.pop(0))
            select.select([worker.socket() or 0], [], [], 30.0)
        return False

    def note_sent(*what: object) -> None:
        happened.append("sent")
        send(*what)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def note_finished(*what: object) -> None:
        happened.append("finished")
        finish(*what)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    nap.yield_gil = enqueue_meanwhile  # type: ignore[method-assign,assignment]
    worker._turns.send = note_sent  # type: ignore[method-assign,assignment]
    worker._claiming.finish = note_finished  # type: ignore[method-assign,assignment]
    return happened


def send_one_ahead(driven: Driven, last: FunctionJob[[object], None] = note) -> None:
    """Have a claim under way that was sent before its turn; its job is "next"."""
    stream(driven)
    _then_enqueue(driven, "next")
    last.enqueue("last")
    driven.until(lambda: driven.worker._claiming.ahead.sent is not None)
    wait_until(lambda: "last" in noted)


def test_the_next_claim_of_a_stream_is_sent_before_the_last_one_is_seen_to(
    make_worker: MakeWorker,
) -> None:
    driven = make_worker()
    stream(driven)
    happened = _then_enqueue(driven, *range(10, 13))

    note.enqueue(9)
    driven.until(lambda: len(noted) == 7)

    assert happened[:8] == ["sent", *["sent", "finished"] * 3, "finished"]
    assert noted == [0, 1, 2, *range(9, 13)]


def test_no_claim_is_sent_ahead_without_a_request(
    make_worker: MakeWorker,
) -> None:
    driven = make_worker()
    stream(driven)
    happened = _then_enqueue(driven)

    note.enqueue("last")
    select.select([driven.worker.socket() or 0], [], [], 30.0)
    driven.until(lambda: "finished" in happened)

    assert happened == ["sent", "finished"]
    assert driven.worker._claiming.ahead.sent is None


def _hold_back(driven: Driven) -> None:
    driven.context.quiet = True


def _stop(driven: Driven) -> None:
    driven.worker.stop()


@pytest.mark.parametrize("end", [_hold_back, _stop])
def test_a_draining_worker_releases_jobs_of_a_claim_sent_ahead(
    end: Callable[[Driven], None], make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()
    send_one_ahead(driven)

    end(driven)
    driven.until(lambda: not driven.worker._ledger.has_claims and driven.at_rest())

    assert "next" not in noted
    assert count("ready_executions") == 1
    assert count("claims") == 0


def test_a_worker_has_not_stopped_before_its_claim_is_answered(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()
    send_one_ahead(driven)
    driven.worker.stop()

    # As if all that it has run had been recovered.
    driven.worker._pool.collect()
    driven.worker._ledger.abandon()

    assert not driven.worker.stopped
    driven.until(lambda: driven.worker.stopped)
    assert count("ready_executions") == 1


@pytest.mark.failure(
    "The connection breaks after a claim was sent and before it was answered.",
    "The job is released when the worker is back, and runs once.",
)
def test_a_job_of_a_claim_sent_on_a_broken_connection_runs_once(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    send_one_ahead(driven)
    wait_until(lambda: not count("ready_executions"))
    monkeypatch.setattr("jobsd.worker.worker.FLUSH_S", 0.0)

    driven.worker.disconnect()
    driven.worker.connect()
    driven.until(lambda: count(ALL_DONE) == 5)

    assert noted == [0, 1, 2, "last", "next"]


def test_claims_are_not_read_back_while_one_is_unanswered(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    finish = driven.worker._claiming.finish
    stream(driven)

    def finish_in_doubt(request: ClaimRequest, result: TurnResult) -> None:
        finish(request, result)
        driven.worker._reconcile_at = 0.0

    _then_enqueue(driven, "next")
    monkeypatch.setattr(driven.worker._claiming, "finish", finish_in_doubt)
    note.enqueue("last")
    driven.until(lambda: driven.worker._claiming.ahead.sent is not None)
    assert driven.worker._reconcile_at == 0.0

    # It would be taken for one of which nobody knows, and its job would be released.
    monkeypatch.setattr("jobsd.worker.worker.FLUSH_S", 0.0)
    driven.until(lambda: count(ALL_DONE) == 5)
    assert noted == [0, 1, 2, "last", "next"]
    assert driven.worker._reconcile_at > 0.0


def test_while_claims_are_to_be_read_back_none_is_sent_ahead(
    make_worker: MakeWorker,
) -> None:
    driven = make_worker()
    stream(driven)
    happened = _then_enqueue(driven, "next")
    plain = driven.worker._turns.take

    def take_in_doubt(
        recording: Recording, *, release: Iterable[Ended], request: ClaimRequest | None
    ) -> TurnResult | None:
        driven.worker._turns.take = plain  # type: ignore[method-assign]
        driven.worker._reconcile_at = 0.0
        return plain(recording, release=release, request=request)

    driven.worker._turns.take = take_in_doubt  # type: ignore[method-assign]
    note.enqueue("last")
    driven.until(lambda: "last" in noted)

    assert happened[:2] == ["sent", "finished"]
    assert driven.worker._reconcile_at > 0.0
    # What was heard meanwhile is not forgotten: no other notification comes of it.
    assert driven.worker._claiming.polling.next_poll < POLL_MAX_S
    driven.until(lambda: "next" in noted, within_s=POLL_MAX_S - 1)


def test_a_connection_that_breaks_between_two_claims_leaves_the_turn_whole(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    stream(driven)
    happened = _then_enqueue(driven)
    session = driven.worker._session

    def lose(_: object = None) -> bool:
        monkeypatch.setattr(session, "notifications", _raise_lost)
        return False

    monkeypatch.setattr(driven.context.nap, "yield_gil", lose)
    note.enqueue("last")
    with pytest.raises(psycopg.OperationalError, match="lost"):
        driven.until(lambda: False)
    monkeypatch.undo()

    assert happened == ["sent", "finished"]
    driven.worker.disconnect()
    driven.worker.connect()
    driven.until(lambda: count(ALL_DONE) == 4)
    assert noted == [0, 1, 2, "last"]


def _raise_lost() -> list[str]:
    raise psycopg.OperationalError("lost")


@pytest.mark.parametrize("stream_s", [0.0, 3600.0])
def test_a_notification_during_a_claim_is_not_forgotten(
    stream_s: float, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    worker, polling = driven.worker, driven.worker._claiming.polling
    stream(driven)
    happened = _then_enqueue(driven, "next", "third", "fourth")
    note.enqueue("last")
    driven.until(lambda: happened.count("sent") == 4)
    # Else a sweep follows it.
    assert worker._claiming.ahead.sent is not None
    assert worker._claiming.ahead.sent.sweep
    monkeypatch.setattr("jobsd.worker.claiming.polling.STREAM_S", stream_s)
    polling._backoff_s = POLL_MAX_S

    note.enqueue("later")
    wait_until(lambda: _hears(worker))

    driven.until(lambda: "later" in noted, within_s=POLL_MAX_S - 1)


def _hears(worker: Worker) -> bool:
    # This waits for the answer of the claim first, and so what follows that is heard before.
    worker._session.fetch(NOTHING)
    worker._hear()
    return worker._claiming.polling.is_due


def test_a_stopping_worker_with_a_broken_connection_reconciles_a_claim_sent_ahead(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()
    send_one_ahead(driven)
    wait_until(lambda: not count("ready_executions"))
    driven.worker.stop()
    # As if all that it has run had been recovered.
    driven.worker._pool.collect()
    driven.worker._ledger.abandon()

    driven.worker.disconnect()

    assert not driven.worker.stopped
    driven.worker.connect()
    driven.until(lambda: driven.worker.stopped)
    assert count("claims") == 0
    assert "next" not in noted


def test_no_more_is_claimed_than_there_are_threads_though_limited_jobs_come_beside(
    make_worker: MakeWorker,
) -> None:
    driven = make_worker(threads=4)
    worker = driven.worker
    wait_for_gate.enqueue()
    driven.until(lambda: worker._pool.busy == 1)
    wait_for_gate.enqueue()
    driven.until(lambda: worker._pool.busy == 2)
    _then_enqueue(driven, "plain", "too")
    for key in "abc":
        wait_limited.enqueue(key)
    wait_for_gate.enqueue()

    driven.until(lambda: worker._pool.in_hand >= 4)
    driven.until(lambda: worker._claiming.ahead.sent is None)

    assert worker._pool.in_hand == 4
