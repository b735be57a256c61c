"""What had ended without success in a process that dies becomes what it was to become."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import in_claims
from harness.job_rows import failure, make_jobs, places
from harness.monitor_options import make_options
from harness.played_tree import PlayedTree, tree_on
from jobsd.jobs.policy import Ending

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

OUTCOMES = ("failed", "retried", "discarded", "snoozed")


def _ended(jobs: list[int], wait_s: float = 600.0) -> tuple[Ending, ...]:
    return tuple(
        Ending(job, 0, outcome, wait_s, "mail.ServerError")
        for job, outcome in zip(jobs, OUTCOMES, strict=False)
    )


def _rows(session: Session, query: str) -> dict[int, Any]:
    return dict(session.connection.execute(query.encode()).fetchall())


@pytest.mark.parametrize("reason", ["signal", "terminated"])
@pytest.mark.failure(
    "A worker dies after a job has raised, and before that is recorded.",
    "The job fails, or is retried, discarded or snoozed, as was decided; its attempt has the"
    " type of its own error and says that the rest is lost",
)
@pytest.mark.behaviour(22)
def test_ended_jobs_of_a_dead_process_get_their_intended_outcome(
    tree: PlayedTree, session: Session, reason: str
) -> None:
    jobs = make_jobs(session, 4, max_attempts=3)
    failed, retried, discarded, snoozed = jobs
    monitor = tree.start_monitor()
    worker = tree.start_worker(*jobs, running=(snoozed,), endings=_ended(jobs))

    tree.destroy(worker, monitor, reason=reason)

    assert places(session) == {
        failed: "failed",
        retried: "scheduled",
        discarded: "discarded",
        snoozed: "scheduled",
    }
    wait = "extract(epoch FROM scheduled_at - now())::int"
    waits = _rows(session, f"SELECT job_id, {wait} FROM jobsd.scheduled_executions")
    assert all(590 <= wait_s <= 600 for wait_s in waits.values())
    attempts = _rows(session, "SELECT id, attempts FROM jobsd.jobs")
    assert attempts == {failed: 1, retried: 1, discarded: 1, snoozed: 0}
    errors = _rows(session, "SELECT job_id, error FROM jobsd.attempts")
    assert errors.keys() == {failed, retried, discarded}
    assert errors[retried] == errors[failed] == failure(session, failed)
    assert errors[failed]["type"] == "mail.ServerError"
    assert errors[failed]["message"].startswith("its error message is lost, because it was no")
    assert "was killed by SIGKILL" in errors[failed]["message"]


def test_the_outcomes_are_counted_and_reported(tree: PlayedTree, session: Session) -> None:
    jobs = make_jobs(session, 4, queue_name="mail")
    monitor = tree.start_monitor()
    worker = tree.start_worker(*jobs, endings=_ended(jobs))

    tree.destroy(worker, monitor)

    counters = monitor.queue("mail")
    assert [counters.outcome(outcome) for outcome in OUTCOMES[:3]] == [1, 1, 1]
    assert tree.wait_only_event("job.retried")["error"]["type"] == "mail.ServerError"
    recovered = tree.wait_only_event("process.recovered")
    assert [recovered[outcome] for outcome in OUTCOMES] == [1, 1, 1, 1]


def test_an_ending_of_an_earlier_claim_is_ignored(tree: PlayedTree, session: Session) -> None:
    jobs = runs, waits = make_jobs(session, 2)
    monitor = tree.start_monitor()
    worker = tree.start_worker(*jobs)
    for job in jobs:
        worker.ended_as(Ending(job, 2**40, "discarded", 0.0, "Discard"))
    worker.started(0, *in_claims(session, runs)[0])

    tree.destroy(worker, monitor)

    assert places(session) == {runs: "failed", waits: "ready"}
    assert failure(session, runs)["type"] == "ProcessExitError"


def test_without_preserved_finished_jobs_discarded_ones_are_deleted(
    target: Target, session: Session
) -> None:
    jobs = make_jobs(session, 3)
    options = make_options(target)
    forgetful = replace(options, jobs=replace(options.jobs, preserve_finished_jobs=False))
    with tree_on(target, forgetful) as tree:
        monitor = tree.start_monitor()
        worker = tree.start_worker(*jobs, endings=_ended(jobs))

        tree.destroy(worker, monitor)

        assert tree.wait_only_event("job.discarded")["job_id"] == jobs[2]
    assert set(_rows(session, "SELECT id, 1 FROM jobsd.jobs")) == set(jobs[:2])
    assert set(_rows(session, "SELECT job_id, 1 FROM jobsd.attempts")) == set(jobs[:2])
