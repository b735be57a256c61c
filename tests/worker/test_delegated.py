"""Who waits for a claim that was sent before its turn: a thread, if a job waits for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.jobs.definition import job

from .bodies import note, noted
from .test_prepared import ALL_DONE, rest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.states.claims import Ended
    from jobsd.worker.recording import Recording
    from jobsd.worker.turn import ClaimRequest, TurnResult

    from .conftest import Count, Driven, MakeWorker


@job
def note_thread() -> None:
    noted.append(threading.current_thread().name)


def _takers(driven: Driven) -> list[str]:
    """Return a list that gets of each claim which thread waits for its answer."""
    takers: list[str] = []
    turns = driven.worker.turns
    plain = turns.take

    def take_and_note(
        recording: Recording, *, release: Iterable[Ended], request: ClaimRequest | None
    ) -> TurnResult | None:
        if request is not None:
            takers.append(threading.current_thread().name)
        return plain(recording, release=release, request=request)

    turns.take = take_and_note  # type: ignore[method-assign]
    return takers


def test_the_thread_that_waits_for_a_claim_begins_its_job(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker(threads=3)
    rest(driven)
    takers = _takers(driven)

    note_thread.enqueue()
    driven.until(lambda: count(ALL_DONE) == 1)

    assert takers[0] == noted[0] != threading.current_thread().name


def test_a_claim_that_brings_nothing_leaves_the_thread_to_the_next_job(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker(threads=1)
    for _ in range(3):
        rest(driven)
        driven.worker.claiming.hear("ready", "default")
        driven.worker.poll()
    rest(driven)

    note.enqueue("job")

    driven.until(lambda: count(ALL_DONE) == 1)


def test_a_worker_that_polls_by_itself_wakes_no_thread_for_it(
    make_worker: MakeWorker,
) -> None:
    driven = make_worker()
    rest(driven)
    takers = _takers(driven)

    driven.worker.claiming.polling.next_poll = monotonic()
    driven.worker.poll()

    assert takers == [threading.current_thread().name]
