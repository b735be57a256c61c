"""What was recorded by a statement whose answer was lost is emitted of, once."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.event_recorder import Emitted, EventRecorder, names
from jobsd.enqueueing.client import enqueue, enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.draft import Draft
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Discard, Retry, Snooze
from jobsd.states.reconciliation import Sent
from jobsd.supervisor.recovery.claims import recover
from lost_answers import losing
from waiting import wait_until

from .bodies import gate, note, noted, wait_for_gate
from .dead_processes import dead_process, terminate
from .test_counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target
    from lost_answers import LostAnswers

    from .conftest import Count, Driven, MakeWorker

EVENTS = {
    "finish": "job.finished",
    "fail": "job.failed",
    "retry": "job.retried",
    "retry at once": "job.retried",
    "discard": "job.discarded",
    "snooze": "job.snoozed",
    "snooze at once": "job.snoozed",
}


@job(max_attempts=2, retry_on=KeyError)
def end(how: str) -> None:
    """End as is wished; in another way when it comes round again."""
    again = how in noted
    noted.append(how)
    if again:
        assert gate.wait(60)
        return
    match how:
        case "fail":
            raise ValueError(how)
        case "retry" | "retry at once":
            raise Retry(after=3600 if how == "retry" else 0)
        case "discard":
            raise Discard(how)
        case "snooze" | "snooze at once":
            raise Snooze(3600 if how == "snooze" else 0)
        case _:
            pass


@job(limits_concurrency=Limit(to=1, key="k"))
def end_limited() -> None:
    """Hold a slot, and succeed."""


@pytest.fixture
def way(target: Target) -> Iterator[tuple[LostAnswers, Target]]:
    """Lead a worker to the server on a way where answers may be lost."""
    with losing(target) as way:
        yield way


@pytest.fixture
def emitted(recorder: EventRecorder) -> Emitted:
    """What is emitted of jobs' ends."""
    return recorder.events(*EVENTS.values(), "job.released", "claims.lost")


def lose(driven: Driven, way: LostAnswers) -> None:
    """Wait for outcomes, let their answer be lost, and connect anew."""
    ledger = driven.worker.ledger
    wait_until(lambda: _all_have_ended(driven))
    _cut(driven, way)
    assert ledger.has_unrecorded


def until_emitted(driven: Driven, emitted: Emitted) -> None:
    """Take rounds until something is emitted, and a few more for what is emitted twice."""
    driven.until(lambda: emitted)
    for _ in range(5):
        driven.worker.poll()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("how", EVENTS)
@pytest.mark.failure(
    "The connection breaks between the commit of an outcome and its answer.",
    "The worker reads back that it is recorded, and reports it once: event, hook and metric.",
)
def test_an_outcome_with_a_lost_answer_is_emitted_once(
    how: str,
    way: tuple[LostAnswers, Target],
    make_worker: MakeWorker,
    emitted: Emitted,
    keep: bool,  # noqa: FBT001 - a parameter
) -> None:
    lossy, target = way
    driven = make_worker(threads=1, keep=keep, target=target)
    stored = end.enqueue(how)
    _claim(driven)

    lose(driven, lossy)
    driven.worker.connect()
    until_emitted(driven, emitted)

    ((name, facts),) = emitted
    assert (name, facts["job_id"], facts["attempt"]) == (EVENTS[how], stored.id, 1)
    outcome = name.removeprefix("job.")
    assert counted(driven) == ({outcome: 1} if outcome != "snoozed" else {})
    assert sum(driven.context.entry.queue("default").durations()[0]) == 1


def test_so_is_that_its_arguments_did_not_fit(
    way: tuple[LostAnswers, Target], make_worker: MakeWorker, recorder: EventRecorder
) -> None:
    lossy, target = way
    driven = make_worker(threads=1, target=target, unknown_class_after_s=600)
    emitted = recorder.events("job.set_aside")
    enqueue(Draft("tests.worker.test_lost_answers.end_limited", "default", 0, "[1]"))
    _claim(driven)

    lose(driven, lossy)
    driven.worker.connect()
    until_emitted(driven, emitted)

    assert len(emitted) == 1


@pytest.mark.parametrize("keep", [True, False])
def test_so_is_that_of_a_job_that_held_a_limit(
    way: tuple[LostAnswers, Target],
    make_worker: MakeWorker,
    emitted: Emitted,
    keep: bool,  # noqa: FBT001 - a parameter
) -> None:
    lossy, target = way
    driven = make_worker(threads=1, keep=keep, target=target)
    end_limited.enqueue()
    _claim(driven)

    lose(driven, lossy)
    driven.worker.connect()
    until_emitted(driven, emitted)

    assert names(emitted) == ["job.finished"]
    assert counted(driven) == {"finished": 1}


def test_outcomes_and_releases_of_a_batch_with_a_lost_answer_are_emitted_once(
    way: tuple[LostAnswers, Target], make_worker: MakeWorker, emitted: Emitted, count: Count
) -> None:
    lossy, target = way
    enqueue_many([end.with_args("fail"), note.with_args(1), *[wait_for_gate.with_args()] * 2])
    driven = make_worker(threads=1, prefetch=10, target=target)
    _claim(driven)
    wait_until(lambda: len(noted) == 3)
    driven.worker.stop()
    _cut(driven, lossy)
    driven.worker.connect()

    until_emitted(driven, emitted)

    assert count("ready_executions") == 1
    assert counted(driven) == {"failed": 1, "finished": 1, "released": 1}
    assert [name for name, _ in emitted if name != "job.released"] == [
        "job.failed",
        "job.finished",
    ]


@pytest.mark.parametrize("how", ["finish", "fail"])
@pytest.mark.parametrize("keep", [True, False])
def test_an_unrecorded_outcome_is_emitted_by_the_statement_that_records_it(
    how: str,
    make_worker: MakeWorker,
    session: Session,
    emitted: Emitted,
    keep: bool,  # noqa: FBT001 - a parameter
) -> None:
    driven = make_worker(threads=1, keep=keep)
    end.enqueue(how)
    _claim(driven)
    wait_until(lambda: _all_have_ended(driven))
    # The server ends the session before it does anything.
    terminate(session)
    with pytest.raises(psycopg.OperationalError):
        driven.worker.poll()
    driven.worker.disconnect()
    driven.worker.connect()

    until_emitted(driven, emitted)

    assert names(emitted) == [EVENTS[how]]
    assert sum(counted(driven).values()) == 1


@pytest.mark.parametrize("how", ["finish", "fail", "snooze"])
@pytest.mark.failure(
    "A lock holds up an outcome for longer than its worker waits.",
    "The worker, which sends it again meanwhile, reports it once.",
)
def test_an_outcome_recorded_long_after_the_connection_broke_is_emitted_once(
    how: str, make_worker: MakeWorker, session: Session, emitted: Emitted
) -> None:
    driven = make_worker(threads=1)
    end.enqueue(how)
    _claim(driven)
    wait_until(lambda: _all_have_ended(driven))
    with session.connection.transaction():
        session.connection.execute("SELECT FROM jobsd.claims FOR UPDATE")
        for _ in range(2):
            driven.worker.session.connection.deadline_s = 0.2  # type: ignore[attr-defined]
            with pytest.raises(psycopg.OperationalError):
                driven.worker.poll()
            driven.worker.disconnect()
            driven.worker.connect()
        assert emitted == []

    until_emitted(driven, emitted)

    assert names(emitted) == [EVENTS[how]]


@pytest.mark.parametrize("how", ["finish", "fail", "retry", "discard"])
def test_a_worker_recovered_in_the_meantime_emits_its_recorded_outcomes(
    how: str,
    way: tuple[LostAnswers, Target],
    make_worker: MakeWorker,
    session: Session,
    emitted: Emitted,
) -> None:
    lossy, target = way
    driven = make_worker(threads=1, target=target)
    end.enqueue(how)
    _claim(driven)
    lose(driven, lossy)
    _prune(session)

    driven.worker.connect()
    until_emitted(driven, emitted)

    assert names(emitted) == [EVENTS[how]]
    assert sum(counted(driven).values()) == 1


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("how", EVENTS)
def test_outcomes_recovered_by_another_process_are_not_emitted_by_the_worker(
    how: str,
    make_worker: MakeWorker,
    session: Session,
    emitted: Emitted,
    keep: bool,  # noqa: FBT001 - a parameter
) -> None:
    driven = make_worker(threads=1, keep=keep)
    end.enqueue(how)
    _claim(driven)
    pool, ledger = driven.worker.pool, driven.worker.ledger
    wait_until(lambda: _all_have_ended(driven))
    ledger.add(pool.collect())
    driven.worker._uncertain.sent(ledger.recording(), driven.worker.process_id)
    driven.worker.disconnect()
    # As if its statement had never come; and it is taken for dead.
    _prune(session)

    driven.worker.connect()
    for _ in range(5):
        driven.worker.poll()

    assert [name for name, _ in emitted if name != "claims.lost"] == []
    assert (counted(driven), driven.context.entry.claims_lost) == ({}, 1)


def test_an_outcome_sent_twice_is_searched_for_as_each_of_both(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    searched: list[int] = []

    def recorded(_: Session, sent: list[Sent], *_more: object, **_how: object) -> object:
        searched.extend(each.process_id for each in sent)
        return {}

    monkeypatch.setattr("jobsd.worker.report.recorded", recorded)
    driven = make_worker(threads=1)
    uncertain, ledger = driven.worker._uncertain, driven.worker.ledger
    end.enqueue("finish")
    _claim(driven)
    wait_until(lambda: _all_have_ended(driven))
    ledger.add(driven.worker.pool.collect())
    recording = ledger.recording()
    for process_id in (71, 72):
        uncertain.sent(recording, process_id)
        uncertain.mark_uncertain()

    gone = ledger.abandon()
    uncertain.reconcile(session, gone)

    assert searched == [71, 72]


def _cut(driven: Driven, way: LostAnswers) -> None:
    # An array of jobs, or of what became of them.
    way.lose(b"{")
    with pytest.raises(psycopg.OperationalError):
        driven.until(lambda: False)
    assert way.lost == 1
    driven.worker.disconnect()


def _claim(driven: Driven) -> None:
    driven.until(lambda: driven.worker.pool.uncollected)


def _all_have_ended(driven: Driven) -> bool:
    pool = driven.worker.pool
    return bool(pool.uncollected) and not pool.in_hand


def _prune(session: Session) -> None:
    recover(session, dead_process(session, threads=1))
    session.connection.execute("DELETE FROM jobsd.processes")
