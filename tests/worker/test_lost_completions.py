"""The answer to what a worker asks about jobs that complete themselves is lost."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo

from jobsd.acts.cancels import cancel
from jobsd.enqueueing import completion
from jobsd.errors import Cancelled, CompletionError
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.states.claims import InClaim
from lost_answers import losing
from waiting import wait_until

from .bodies import gate, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import MakeWorker

URL = [""]


def complete(*, commits: bool) -> None:
    with psycopg.connect(URL[0]) as connection:
        current_job().complete(connection=connection)
        noted.append("open")
        assert gate.wait(60)
        if not commits:
            raise LookupError("rolled back")


@job(limits_concurrency=Limit(to=1, key="all"))
def commits() -> None:
    complete(commits=True)


@job
def rolls_back() -> None:
    complete(commits=False)


@job
def goes_on() -> None:
    """Catch that it can't complete, then run on whatever comes."""
    another = conninfo.make_conninfo(URL[0], dbname="postgres")
    with contextlib.suppress(CompletionError), psycopg.connect(another) as connection:
        current_job().complete(connection=connection)
    noted.append("goes on")
    while not gate.is_set():
        with contextlib.suppress(Cancelled):
            gate.wait(0.01)


@pytest.mark.failure(
    "The connection breaks while the slot of a job that completed itself is handed over.",
    "That job is counted once, those that ended beside it are recorded, the slot goes on.",
)
def test_a_lost_answer_about_a_slot_loses_no_other_end(
    make_worker: MakeWorker, rows: Rows, target: Target
) -> None:
    URL[0] = target.url
    with losing(target) as (way, through):
        worker = make_worker(target=through, threads=2)
        rolls_back.enqueue()
        commits.enqueue()
        worker.until(lambda: noted == ["open"] * 2)
        commits.enqueue()
        gate.set()
        wait_until(lambda: not worker.worker.pool.in_hand)

        way.lose(b"hand_over")
        with pytest.raises(psycopg.OperationalError):
            worker.until(lambda: False)
        worker.worker.disconnect()
        worker.worker.connect()

        worker.until(lambda: rows("SELECT count(*) FROM jobsd.failed_executions") == [1])
        worker.until(
            lambda: rows("SELECT count(*) FROM jobsd.jobs WHERE outcome = 'finished'") == [2]
        )
        worker.until(lambda: not worker.worker.ledger.claims)
    assert worker.context.entry.queue("default").outcome("finished") == 2
    assert worker.context.entry.claims_lost == 0


@pytest.mark.failure(
    "A job that completes itself is taken from its worker, and in the meantime finishes"
    " elsewhere",
    "The worker that has lost it neither counts nor reports that end as its own",
)
def test_the_end_of_another_attempt_is_not_its_own(
    make_worker: MakeWorker, rows: Rows, target: Target
) -> None:
    URL[0] = target.url
    worker = make_worker(threads=1)
    whole = completion.isolate

    def isolate(job_id: int, claim_id: int) -> completion.Isolated:
        answer = whole(job_id, claim_id)
        rows("DELETE FROM jobsd.claims")
        rows("UPDATE jobsd.jobs SET attempts = 2, outcome = 'finished', finished_at = now()")
        return answer

    gate.set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "isolate", isolate)
        commits.enqueue()
        worker.until(lambda: worker.worker.ledger.completing)
        worker.until(lambda: not worker.worker.ledger.claims)

    assert worker.context.entry.queue("default").outcome("finished") == 0


@pytest.mark.failure(
    "A worker loses a claim of several jobs, one of which asks for a claim of its own.",
    "The worker gives the claim up, and does not read its claims all the time.",
)
def test_a_claim_that_is_gone_is_given_up_though_a_job_wants_to_complete(
    make_worker: MakeWorker, rows: Rows
) -> None:
    wait_for_gate.enqueue()
    wait_for_gate.enqueue()
    worker = make_worker(threads=2)
    worker.until(lambda: len(noted) == 2)
    ledger = worker.worker.ledger
    (claim,) = ledger.claims
    ledger.completing.add(claim)

    rows("DELETE FROM jobsd.claims")
    worker.worker.reconcile_at = 0.0
    worker.worker.poll()

    assert not ledger.claims


def test_a_request_that_timed_out_is_forgotten() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "ISOLATED_WITHIN_S", 0.01)
        with pytest.raises(CompletionError):
            completion.isolate(1, 2)

    assert not completion.REQUESTS


@pytest.mark.failure(
    "A job that could not complete itself runs on, and is cancelled by force.",
    "Its process is ended when the job has not stopped in time, although its claim is another"
    " one now",
)
def test_one_in_a_claim_of_its_own_is_cancelled_by_force(
    make_worker: MakeWorker, target: Target
) -> None:
    URL[0] = target.url
    handle = goes_on.enqueue()
    wait_for_gate.enqueue()
    worker = make_worker(threads=2)
    entry = worker.context.entry
    worker.until(lambda: len(noted) == 2 and entry.running())
    worker.until(lambda: worker.worker.ledger._moved)

    cancel(handle.id or 0, force=True)
    worker.until(lambda: entry.next_hard_ns)

    late = entry.overdue(entry.next_hard_ns)
    assert [each.job.job_id for each in late] == [handle.id]
    gate.set()
    worker.until(worker.at_rest)


def test_the_limit_of_a_job_moves_with_it_into_another_claim(make_worker: MakeWorker) -> None:
    entry = make_worker().context.entry
    entry.started(0, 5, 7)
    limit = entry.hard_limit(0)
    limit.say(1.0, 1.0, ("failed", 0.0), 0, InClaim(5, 7), 1.0)

    entry.moved(5, 7, 9)

    assert [each.job for each in entry.overdue()] == [InClaim(5, 9)]
    entry.rest(0)
