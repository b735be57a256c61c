"""Somebody holds a row of a job locked while it ends: its outcome waits, and nothing else."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from database.pgbouncer import pgbouncer
from jobsd.database.connection import Target
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.states import claims
from jobsd.supervisor.recovery.claims import DeadProcess, recover
from jobsd.worker.constants import LOCKED_MAX
from waiting import Stopwatch

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from jobsd.database.connection import Session
    from jobsd.jobs.draft import EnqueuedJob
    from jobsd.states.claims import InClaim

    from .conftest import Count, Driven, MakeWorker

_OUTCOMES = """
SELECT coalesce(job.outcome, CASE
    WHEN failed.job_id IS NOT NULL THEN 'failed'
    WHEN scheduled.job_id IS NOT NULL THEN 'scheduled'
    ELSE 'open'
END)
FROM jobsd.jobs AS job
LEFT JOIN jobsd.failed_executions AS failed ON failed.job_id = job.id
LEFT JOIN jobsd.scheduled_executions AS scheduled ON scheduled.job_id = job.id
WHERE job.id = %s
"""
WHAT = {
    "its job": "SELECT FROM jobsd.jobs WHERE id = %s FOR UPDATE",
    "its job, to share": "SELECT FROM jobsd.jobs WHERE id = %s FOR SHARE",
    "its claim": "SELECT FROM jobsd.claims WHERE %s = ANY (job_ids) FOR UPDATE",
}


@job
async def anote(value: object) -> None:
    noted.append(value)


@job
def fail_at_gate() -> None:
    wait_for_gate.perform_now()
    raise ValueError("as it was told")


@job(max_attempts=2, backoff=lambda _attempt: 60)
def retry_at_gate() -> None:
    fail_at_gate.perform_now()


@job(limits_concurrency=Limit(to=1, key="one"))
def alone_at_gate() -> None:
    wait_for_gate.perform_now()


BECOMES: dict[str, Callable[[], EnqueuedJob]] = {
    "finished": wait_for_gate.enqueue,
    "failed": fail_at_gate.enqueue,
    "scheduled": retry_at_gate.enqueue,
    "finished with a limit": alone_at_gate.enqueue,
}


class Holder:
    """Who has looked at a row FOR UPDATE, and has not ended his transaction."""

    def __init__(self, url: str, statement: str, job_id: int) -> None:
        self._connection = psycopg.connect(url)
        cursor = self._connection.execute(statement.encode(), (job_id,))
        assert cursor.rowcount == 1

    def end(self) -> None:
        """Let go of it."""
        self._connection.close()


@contextlib.contextmanager
def _held(session: Session, statement: str, job_id: int | None) -> Generator[Holder]:
    assert job_id is not None
    holder = Holder(session.target.url, statement, job_id)
    try:
        yield holder
    finally:
        holder.end()


@pytest.fixture(params=["directly", "behind a pooler"])
def worker(
    request: pytest.FixtureRequest, target: Target, make_worker: MakeWorker
) -> Iterator[Driven]:
    """A worker, directly or behind a pooler, where nothing can be set once and for all."""
    pooled = request.param == "behind a pooler"
    way = pgbouncer(target.url) if pooled else contextlib.nullcontext(target.url)
    with way as url:
        made = make_worker(target=Target(url))
        yield made
        made.worker.disconnect()


def _until_finished(worker: Driven, count: Count, wanted: int) -> None:
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == wanted)


def _outcome(session: Session, job_id: int | None) -> str:
    row = session.connection.execute(_OUTCOMES.encode(), (job_id,)).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.failure(
    "Another session holds the row of a job that runs locked (`SELECT … FOR UPDATE`), or its"
    " claim's.",
    "Its outcome waits until it is released; the worker records and claims all others.",
)
@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("becomes", BECOMES)
def test_only_the_outcome_of_the_locked_job_waits(
    worker: Driven, session: Session, count: Count, what: str, becomes: str
) -> None:
    mine = BECOMES[becomes]()
    worker.until(lambda: noted == [None])
    with _held(session, WHAT[what], mine.id) as holder:
        gate.set()
        enqueue_many(note.with_args(n) for n in range(50))

        worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 50)
        note.enqueue("later")
        worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 51)

        assert _outcome(session, mine.id) == "open"
        assert count(f"claimed_executions WHERE job_id = {mine.id}") == 1
        holder.end()
        watch = Stopwatch()
        worker.until(lambda: _outcome(session, mine.id) == becomes.split(maxsplit=1)[0])
        assert watch.took() < 3

    assert count("claims") == 0
    assert Counter(noted)["later"] == 1


def test_a_worker_that_waits_for_a_locked_row_waits_once(
    worker: Driven, session: Session, count: Count
) -> None:
    mine = wait_for_gate.enqueue()
    worker.until(lambda: noted == [None])
    with _held(session, WHAT["its job"], mine.id):
        gate.set()
        worker.until(worker.at_rest)
        watch = Stopwatch()

        for n in range(20):
            note.enqueue(n)
            _until_finished(worker, count, n + 1)

        # Twenty turns; each would have waited for half a second.
        assert watch.took() < 5


@pytest.mark.failure(
    "Another session holds the claim that is the slot of a limit locked while its holder ends.",
    "The slot is given back when it is released; jobs without a limit go on.",
)
def test_a_locked_slot_holds_up_its_own_job_only(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    worker = make_worker()
    mine, blocked = alone_at_gate.enqueue(), alone_at_gate.enqueue()
    worker.until(lambda: noted == [None])
    slot = "SELECT FROM jobsd.claims WHERE job_ids[1] = %s FOR UPDATE"
    with _held(session, slot, mine.id) as holder:
        gate.set()
        note.enqueue(1)
        worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)
        assert (_outcome(session, mine.id), _outcome(session, blocked.id)) == ("open", "open")
        holder.end()

        worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 3)

    assert count("claims") == 0


def test_a_job_that_is_given_back_waits_for_no_lock_of_its_row(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    worker = make_worker(threads=1, prefetch=3)
    first = wait_for_gate.enqueue()
    worker.until(lambda: noted == [None])
    jobs = [note.enqueue(n) for n in range(3)]
    worker.until(lambda: worker.worker.pool.waiting == 3)
    with _held(session, WHAT["its job"], jobs[1].id):
        worker.worker.stop()
        worker.until(lambda: count("ready_executions") == 3)

    gate.set()
    worker.until(lambda: worker.worker.stopped)
    assert _outcome(session, first.id) == "finished"


@pytest.mark.failure(
    "A worker is killed while the outcome of a job waits for a locked row.",
    "What the job became is known, however many have ended since.",
)
@pytest.mark.parametrize("becomes", ["finished", "failed"])
def test_an_outcome_that_waits_for_a_lock_is_known_after_a_death(
    make_worker: MakeWorker, session: Session, count: Count, becomes: str
) -> None:
    worker = make_worker()
    mine = BECOMES[becomes]()
    worker.until(lambda: noted == [None])
    with _held(session, WHAT["its job"], mine.id):
        gate.set()
        worker.until(lambda: bool(worker.worker.ledger.locked))
        enqueue_many(note.with_args(n) for n in range(3 * LOCKED_MAX))
        worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 3 * LOCKED_MAX, 30)
    entry = worker.context.entry

    recover(
        session,
        DeadProcess(
            worker.worker.process_id,
            "w",
            {"type": "T", "message": "m"},
            running=entry.running(),
            succeeded=entry.succeeded(),
            endings=entry.endings(),
        ),
    )

    assert _outcome(session, mine.id) == becomes


@pytest.mark.parametrize("kind", [note, anote], ids=["threads", "loop"])
def test_when_all_rows_are_locked_a_worker_claims_no_more_than_it_can_remember(
    kind: Any, make_worker: MakeWorker, session: Session, count: Count
) -> None:
    worker = make_worker(coroutines=100)
    enqueue_many(kind.with_args(n) for n in range(3 * LOCKED_MAX))
    with psycopg.connect(session.target.url) as holder:
        holder.execute("SELECT FROM jobsd.jobs FOR UPDATE")
        worker.until(lambda: len(worker.worker.ledger.locked) >= LOCKED_MAX - 3, 60)
        for _ in range(5):
            worker.worker.poll()
        assert count("claimed_executions") <= LOCKED_MAX
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 3 * LOCKED_MAX, 60)

    assert len(noted) == len({*noted}) == 3 * LOCKED_MAX
    assert count("claims") == 0


@pytest.mark.failure(
    "A turn waits for a lock that is on none of its rows.",
    "It is tried once more, with the usual time of a statement, and then counts as an outage",
)
def test_a_lock_of_another_kind_is_an_outage(
    make_worker: MakeWorker, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker()
    worker.worker.session.deadline_s = 2.0

    def nothing(_session: Session, _jobs: object) -> set[InClaim]:
        return set()

    monkeypatch.setattr(claims, "locked", nothing)
    mine = wait_for_gate.enqueue()
    worker.until(lambda: noted == [None])
    with _held(session, WHAT["its job"], mine.id):
        gate.set()
        watch = Stopwatch()

        with pytest.raises(errors.LockNotAvailable):
            worker.until(lambda: False)

        assert watch.took() > 0.5 + 1.5
