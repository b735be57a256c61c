"""When ended jobs are recorded, and what follows a claim at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jobsd.enqueueing.client import enqueue_many
from jobsd.processes.nap import Nap

from .bodies import note, noted, wait_for_gate

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from jobsd.states.claims import Ended
    from jobsd.worker.recording import Recording
    from jobsd.worker.turn import ClaimRequest, TurnResult

    from .conftest import Count, MakeWorker

ALL_DONE = "jobs WHERE outcome = 'finished'"


def test_claims_of_a_backlog_record_ended_jobs(make_worker: MakeWorker, count: Count) -> None:
    driven = make_worker(threads=1, prefetch=0)
    recorded: list[tuple[int, bool]] = []
    turns = driven.worker.turns
    plain = turns.take

    def take_and_note(
        recording: Recording, *, release: Iterable[Ended], request: ClaimRequest | None
    ) -> TurnResult | None:
        if recording:
            recorded.append((len(recording.successes), request is not None))
        return plain(recording, release=release, request=request)

    turns.take = take_and_note  # type: ignore[method-assign]
    enqueue_many(note.with_args(value) for value in range(10))

    driven.until(lambda: count(ALL_DONE) == 10)

    assert recorded == [(1, True)] * 10


def test_beside_a_long_job_an_outcome_is_recorded_though_nothing_is_claimed(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker(threads=2)
    wait_for_gate.enqueue("gate")
    driven.until(lambda: "gate" in noted)
    note.enqueue("short")
    driven.until(lambda: "short" in noted)
    driven.context.quiet = True

    driven.until(lambda: count(ALL_DONE) == 1, within_s=10)


def test_a_job_that_ends_at_once_is_collected_by_the_poll_that_claims_it(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    nap, ledger = driven.context.nap, driven.worker.ledger
    monkeypatch.setattr(nap, "yield_gil", partial(Nap.yield_gil, nap, 30.0))
    note.enqueue("next")
    driven.until(lambda: "next" in noted)

    assert not driven.worker.pool.uncollected
    assert ledger.size == ledger.unrecorded == 1
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
    assert not driven.worker.ledger.has_claims


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

    assert next(rest for rest in rests if driven.worker.ledger.has_claims) == 0
