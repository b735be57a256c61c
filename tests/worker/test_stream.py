"""In a stream of single jobs, outcomes wait for each other, so that claims need not."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.processes.nap import Nap

from .bodies import note, noted, wait_for_gate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.jobs.enqueueable import FunctionJob
    from jobsd.states.claims import Ended
    from jobsd.worker.recording import Recording
    from jobsd.worker.turn import ClaimRequest, TurnResult

    from .conftest import Count, Driven, MakeWorker

ALL_DONE = "jobs WHERE outcome = 'finished'"
FLUSH_S = "jobsd.worker.worker.FLUSH_S"
STREAM_S = "jobsd.worker.claiming.polling.STREAM_S"


@job(max_attempts=1)
def fail(value: object) -> None:
    noted.append(value)
    raise LookupError


@job(result_ttl="1h")
def give(value: object) -> object:
    noted.append(value)
    return value


@job(limits_concurrency=Limit(to=1, key="all"))
def take_slot(value: object) -> None:
    noted.append(value)


@pytest.fixture(autouse=True)
def _long_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, jobs come within a moment, and outcomes are not old."""
    monkeypatch.setattr(FLUSH_S, 3600.0)
    monkeypatch.setattr(STREAM_S, 3600.0)


def _stream(driven: Driven, jobs: int) -> None:
    """Let jobs come one after another: each when the one before has ended."""
    for value in range(jobs):
        note.enqueue(value)
        _await_end(driven, value)


def _await_end(driven: Driven, value: object) -> None:
    driven.until(lambda: value in noted and not driven.worker._pool.in_hand)


def _recordings(driven: Driven) -> list[int]:
    """Return a list that gets of each turn how many successes it records, if it does any."""
    recordings: list[int] = []
    turns = driven.worker._turns
    plain = turns.take

    def take_and_note(
        recording: Recording, *, release: Iterable[Ended], request: ClaimRequest | None
    ) -> TurnResult | None:
        if recording:
            recordings.append(len(recording.successes))
        return plain(recording, release=release, request=request)

    turns.take = take_and_note  # type: ignore[method-assign]
    return recordings


def test_successes_of_a_stream_wait_for_one_turn_that_records_all(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    recordings = _recordings(driven)

    # Of the first one nobody knew that others would follow.
    _stream(driven, 10)
    assert recordings == [1]

    monkeypatch.setattr(FLUSH_S, 0.0)
    driven.until(lambda: count(ALL_DONE) == 10)
    assert recordings == [1, 9]


def test_once_no_more_jobs_come_nothing_waits(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    _stream(driven, 4)

    monkeypatch.setattr(STREAM_S, 0.0)

    driven.until(lambda: count(ALL_DONE) == 4)


def test_claims_of_a_backlog_record_ended_jobs(make_worker: MakeWorker, count: Count) -> None:
    driven = make_worker(threads=1, prefetch=0)
    recordings = _recordings(driven)
    enqueue_many(note.with_args(value) for value in range(10))

    driven.until(lambda: count(ALL_DONE) == 10)

    assert recordings == [1] * 10


@pytest.mark.parametrize("other", [fail, give, take_slot])
def test_an_outcome_with_possible_waiters_is_recorded_at_once_with_all_others(
    other: FunctionJob[[object], object], make_worker: MakeWorker
) -> None:
    driven = make_worker()
    _stream(driven, 4)
    assert driven.worker._ledger.size == 3

    other.enqueue("other")
    _await_end(driven, "other")

    driven.until(lambda: not driven.worker._ledger.has_claims)


def test_a_returned_job_is_released_by_the_next_claim(make_worker: MakeWorker) -> None:
    driven = make_worker(threads=1, prefetch=9)
    _stream(driven, 3)
    ledger, pool = driven.worker._ledger, driven.worker._pool
    assert ledger.size == 2
    wait_for_gate.enqueue("gate")
    driven.until(lambda: "gate" in noted)
    note.enqueue("behind")
    driven.until(lambda: pool.waiting == 1)

    ledger.give_back(pool.take_back())
    note.enqueue("next")

    driven.until(lambda: ledger.size == pool.in_hand)


def test_the_next_claim_of_a_stream_is_prepared_while_outcomes_wait(
    make_worker: MakeWorker,
) -> None:
    driven = make_worker()
    _stream(driven, 3)

    driven.until(lambda: driven.worker._claiming.ahead.prepared is not None)

    assert driven.worker._ledger.has_unrecorded


def test_none_is_prepared_while_a_job_of_a_stream_runs(make_worker: MakeWorker) -> None:
    driven = make_worker()
    _stream(driven, 3)
    wait_for_gate.enqueue("gate")

    driven.until(lambda: "gate" in noted)
    polls = iter(range(10))
    driven.until(lambda: next(polls, None) is None)

    assert driven.worker._ledger.has_unrecorded
    assert driven.worker._claiming.ahead.prepared is None


def test_a_job_that_ends_at_once_is_collected_by_the_poll_that_claims_it(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    _stream(driven, 3)
    nap, ledger = driven.context.nap, driven.worker._ledger
    monkeypatch.setattr(nap, "yield_gil", partial(Nap.yield_gil, nap, 30.0))
    note.enqueue("next")
    driven.until(lambda: "next" in noted)

    assert not driven.worker._pool.uncollected
    assert ledger.size == len(ledger._runs) == 3
    assert not nap.take(0)


def test_a_lone_job_that_ends_at_once_is_recorded_at_once(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    nap = driven.context.nap
    monkeypatch.setattr(nap, "yield_gil", partial(Nap.yield_gil, nap, 30.0))
    note.enqueue("lone")
    rests = iter(driven.worker.poll, None)

    assert next(rest for rest in rests if "lone" in noted) == 0
    driven.worker.poll()
    assert not driven.worker._ledger.has_claims


def test_a_stop_that_is_asked_for_while_threads_take_their_jobs_is_begun_at_once(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    nap = driven.context.nap

    def stop_meanwhile() -> bool:
        driven.context.request_stop()
        return Nap.yield_gil(nap, 30.0)

    monkeypatch.setattr(nap, "yield_gil", stop_meanwhile)
    wait_for_gate.enqueue("gate")
    rests = iter(driven.worker.poll, None)

    assert next(rest for rest in rests if driven.worker._ledger.has_claims) == 0
