"""Results and errors that are too large, together or alone, for the line to the server."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cut_sessions import work_until
from jobsd.database.portions import BYTES_MAX
from jobsd.enqueueing import client, waiting
from jobsd.enqueueing.client import Client
from jobsd.enqueueing.unread import Unread
from jobsd.errors import ResultError
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.definition import job
from jobsd.jobs.draft import EnqueuedJob
from jobsd.jobs.policy import Verdict
from jobsd.performing.perform import Outcome, Run
from jobsd.states import results
from jobsd.worker.constants import CLAIMED_MAX, LOCKED_MAX
from jobsd.worker.recording import Recording, RunPortions
from slow_way import slowed

from .bodies import gate, noted

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Session, Target
    from rows import Rows
    from slow_way import SlowWay

    from .conftest import Count, MakeWorker

KIB = 1024


@job(result_ttl="1h", max_attempts=3)
def give(number: int, size: int) -> str:
    noted.append(number)
    return chr(97 + number % 26) * size


@job(result_ttl="1h")
def give_together(number: int, size: int) -> str:
    noted.append(number)
    assert gate.wait(60)
    return "x" * size


@job
def keep_nothing() -> None:
    noted.append(-1)


@contextlib.contextmanager
def _asking_over(target: Target, rate: float, deadline_s: float) -> Generator[SlowWay]:
    """Let this process wait for jobs over a slow line."""
    with slowed(target, rate) as (way, through):
        client.configure(client=Client(replace(through, deadline_s=deadline_s)))
        try:
            yield way
        finally:
            waiting.end_all()
            client.configure()


def _store(session: Session, sizes: list[int]) -> list[EnqueuedJob]:
    query = (
        "INSERT INTO jobsd.results (job_id, state, result, expires_at)"
        " SELECT turn, 'finished', jsonb_build_array(repeat(md5(turn::text), size / 32)),"
        " now() + interval '1 h'"
        " FROM unnest(%s::int[]) WITH ORDINALITY AS sized (size, turn)"
    )
    session.connection.execute(query, (sizes,))
    return [EnqueuedJob(turn, "ready") for turn in range(1, len(sizes) + 1)]


def _texts(handles: list[EnqueuedJob], within_s: float) -> list[int]:
    with ThreadPoolExecutor(len(handles)) as pool:
        futures = [pool.submit(handle.result, within_s) for handle in handles]
        return [len(str(future.result())) for future in futures]


@pytest.mark.failure(
    "A program waits for results that take longer than a deadline over its line, all together",
    "It reads them some MiB at a time, and fewer after each deadline",
)
def test_results_are_read_in_portions_that_the_line_bears(
    session: Session, target: Target
) -> None:
    handles = _store(session, [256 * KIB] * 20)

    with _asking_over(target, rate=2 * KIB * KIB, deadline_s=1):
        lengths = _texts(handles, 30)

    assert lengths == [256 * KIB] * 20


@pytest.mark.failure(
    "A program waits for results of which one takes longer than a deadline by itself",
    "It is told so, after three deadlines, and has all others",
)
def test_a_result_that_is_too_large_for_the_line_holds_up_no_other(
    session: Session, target: Target
) -> None:
    large, *others = _store(session, [900 * KIB, *[KIB] * 10])

    with _asking_over(target, rate=256 * KIB, deadline_s=0.7), ThreadPoolExecutor(2) as pool:
        result, waited = pool.submit(large.result, 60), pool.submit(large.wait, 60)
        lengths = _texts(others, 60)
        with pytest.raises(ResultError, match="the result of job 1 can't be read: each of 3"):
            result.result()

    assert waited.result() == "finished"
    assert lengths == [KIB] * 10


def test_one_statement_reads_no_more_than_its_portion(session: Session) -> None:
    sizes = [900 * KIB] * 6
    ids = [each.id or 0 for each in _store(session, sizes)]

    first = results.values(session, ids, BYTES_MAX)
    least = results.values(session, ids, 1)

    assert [*first] == ids[:4]
    assert [*least] == ids[:1]
    assert {len(each["result"]) for each in first.values()} == {900 * KIB - 900 * KIB % 32 + 4}


@pytest.mark.failure(
    "The results of a worker's jobs take longer than a deadline over its line, all together",
    "They are recorded some MiB at a time, and fewer after each deadline; jobs behind them run",
)
def test_results_are_recorded_in_portions_that_the_line_bears(
    make_worker: MakeWorker, target: Target, count: Count
) -> None:
    handles = [give_together.enqueue(number, 256 * KIB) for number in range(12)]
    keep_nothing.enqueue()

    def all_have_ended() -> bool:
        if len(noted) >= len(handles):
            gate.set()  # They end together.
        return count("jobs WHERE outcome = 'finished'") == 13

    with slowed(target, 1.5 * KIB * KIB) as (_, through):
        driven = make_worker(
            target=replace(through, deadline_s=1), threads=12, connects=False, prefetch=12
        )
        work_until(driven.worker, all_have_ended)

    assert sorted(map(str, noted)) == sorted(map(str, range(-1, 12)))
    assert count("results") == len(handles)


@pytest.mark.failure(
    "One result takes longer than a deadline by itself, while the database answers",
    "After three deadlines its job fails with `ResultError`; all others are recorded meanwhile",
)
def test_a_result_that_does_not_get_through_fails_its_job_alone(
    make_worker: MakeWorker, target: Target, rows: Rows, count: Count
) -> None:
    large = give.enqueue(0, 900 * KIB)
    for number in range(1, 6):
        give.enqueue(number, KIB)

    with slowed(target, 256 * KIB) as (_, through):
        driven = make_worker(
            target=replace(through, deadline_s=1.5), threads=2, connects=False, prefetch=12
        )
        work_until(driven.worker, lambda: count("failed_executions") > 0 == count("claims"))

    why = (
        "the result of tests.worker.test_large_results.give can't be kept:"
        " each of 3 statements that stored it alone took too long"
    )
    assert noted.count(0) == 1
    assert rows(
        "SELECT job_id, error->>'type', error->>'message' FROM jobsd.failed_executions"
    ) == [(large.id, "ResultError", why)]
    assert count("jobs WHERE outcome = 'finished'") == 5
    assert count("results") == 5


def test_a_late_result_goes_behind_all_others(make_worker: MakeWorker) -> None:
    ledger = make_worker().worker.ledger
    large, *small = [_run(number, size) for number, size in enumerate([900 * KIB, 1, 1])]
    ledger.claims = {1: {run.job.id for run in (large, *small)}}
    ledger.add([large, *small])

    counts: list[int] = []
    for _ in range(3):
        recording = ledger.recording()
        counts.append(len(recording.others))
        ledger.was_late(recording)

    assert counts == [3, 1, 1]
    assert ledger._runs == [small[1], large, small[0]]


def test_a_worker_with_a_backlog_claims_less_and_at_last_nothing(
    make_worker: MakeWorker,
) -> None:
    worker = make_worker().worker
    usual = worker.turns.room
    worker.ledger._behind = [_run(number, 900 * KIB) for number in range(70)]
    less = worker.turns.room
    worker.ledger._behind += [_run(number, 900 * KIB) for number in range(70, 80)]
    nothing = worker.turns.room

    assert (usual, less, nothing) == (CLAIMED_MAX, LOCKED_MAX - 70, 0)


def test_waiters_are_notified_of_a_result_that_does_not_get_through() -> None:
    portions, recording = RunPortions(), _recording(_run(1, KIB))

    found = [portions.was_late(recording) for _ in range(3)][-1]

    assert found is not None
    notified = _recording(found[1]).keep_results()
    assert notified is not None
    assert (notified[1]["states"], notified[1]["results"]) == (["failed"], [None])


def test_an_error_that_does_not_get_through_is_recorded_by_its_type() -> None:
    run = _run(1, 0)
    facts = {"type": "ValueError", "message": "x" * KIB, "stack": "y" * KIB}
    outcome = replace(run.outcome, verdict=Verdict("retried"), result=None)
    outcome = replace(outcome, error=json.dumps(facts))
    portions, recording = RunPortions(), _recording(run._replace(outcome=outcome))

    found = [portions.was_late(recording) for _ in range(3)][-1]

    assert found is not None
    assert found[1].outcome.verdict == outcome.verdict
    assert json.loads(found[1].outcome.error or "") == {
        "type": "ValueError",
        "message": "(each of 3 statements that stored it alone took too long)",
        "stack": "",
    }


def test_a_result_that_is_read_late_comes_after_all_others() -> None:
    unread = Unread()
    for job_id in range(3):
        unread.add(results.End(job_id, "finished", unread=True))

    unread._note_late([0])

    assert [*unread._ends] == [1, 2, 0]


def _run(number: int, size: int) -> Run:
    job = ClaimedJob._make(None for _ in ClaimedJob._fields)._replace(id=number, claim_id=1)
    outcome = Outcome(Verdict("finished"), result="x" * size, ttl_s=60)
    return Run(job, outcome, 0.0, 1.0)


def _recording(run: Run) -> Recording:
    return Recording({1: {run.job.id}}, {}, [run], [], [], "worker-test", keep=True)
