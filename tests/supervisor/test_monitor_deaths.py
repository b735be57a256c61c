"""What becomes of the jobs, the row and the entry of a process that dies."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from harness.job_rows import (
    assert_only_job_is,
    claim,
    failure,
    make_jobs,
    places,
    process_names,
)
from harness.played_tree import PlayedTree, tree_on
from jobsd.processes import registry
from jobsd.processes.process import REST_MAX_S
from jobsd.scoreboard.entry import FREE, UP
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from jobsd.processes.context import Context


@pytest.mark.failure(
    "A worker is killed that has jobs in all stages",
    "Jobs that ran have failed with a `ProcessExitError`; jobs that were only claimed are"
    " ready again; jobs that had succeeded are recorded as finished",
)
@pytest.mark.behaviour(22, 23)
def test_each_job_of_a_killed_worker_ends_as_it_was(tree: PlayedTree, session: Session) -> None:
    ran, waited, done = make_jobs(session, 3)
    monitor = tree.start_monitor()
    worker = tree.start_worker(ran, waited, done, running=(ran,), succeeded=(done,))

    tree.destroy(worker, monitor)

    assert places(session) == {ran: "failed", waited: "ready", done: "finished"}


@pytest.mark.behaviour(22)
def test_the_error_names_kind_pid_signal_and_size(tree: PlayedTree, session: Session) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))
    name, pid = worker.name, worker.pid

    tree.destroy(worker, monitor, number=signal.SIGVTALRM)

    error = failure(session, job)
    assert error["type"] == "ProcessExitError"
    assert error["message"].startswith(
        f"worker {name} (pid {pid}) was killed by SIGVTALRM; its"
    )
    assert error["message"].endswith("MiB")
    assert (error["signal"], error["exit_code"]) == ("SIGVTALRM", None)
    assert error["threads"] == {"0": job}


@pytest.mark.behaviour(23)
def test_the_error_names_the_exit_code(tree: PlayedTree, session: Session) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()

    def leave(context: Context, _: Session) -> None:
        context.entry.tick()
        os._exit(3)

    worker = tree.start_worker(job, running=(job,), live=leave)
    tree.reap(worker, "exit")
    tree.wake(monitor)
    wait_until(lambda: worker.state == FREE)

    assert "exited with code 3" in failure(session, job)["message"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [("oom", "because memory had run out"), ("hung", "because its loop stood still")],
)
def test_the_error_gives_the_reason_of_the_kill(
    tree: PlayedTree, session: Session, reason: str, said: str
) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))

    tree.destroy(worker, monitor, reason=reason)

    assert said in failure(session, job)["message"]


@pytest.mark.parametrize("reason", ["stop", "reload", "recycled", "row", "terminated"])
def test_a_process_that_was_asked_to_go_takes_no_attempt_away(
    tree: PlayedTree, session: Session, reason: str
) -> None:
    ran, waited = make_jobs(session, 2)
    monitor = tree.start_monitor()
    worker = tree.start_worker(ran, waited, running=(ran,))

    tree.destroy(worker, monitor, reason=reason)

    assert places(session) == {ran: "ready", waited: "ready"}


def test_a_job_that_may_crash_again_is_retried(tree: PlayedTree, session: Session) -> None:
    (job,) = make_jobs(session, 1, max_attempts=2, retries_crash=True)
    monitor = tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))

    tree.destroy(worker, monitor)

    assert_only_job_is(session, job, "scheduled")


def test_a_death_is_recorded_within_five_seconds_without_a_wake_up(
    target: Target, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    with tree_on(target, heartbeat_interval_s=3600) as tree:
        tree.start_monitor()
        worker = tree.start_worker(job, running=(job,))
        tree.kill(worker)
        tree.reap(worker)

        wait_until(lambda: worker.state == FREE, within_s=3 * REST_MAX_S)
        assert_only_job_is(session, job, "failed")


def test_a_woken_monitor_writes_a_death_at_once(target: Target) -> None:
    with tree_on(target, heartbeat_interval_s=60) as tree:
        monitor = tree.start_monitor()
        worker = tree.start_worker()
        tree.kill(worker)
        tree.reap(worker)
        tree.wake(monitor)

        wait_until(lambda: worker.state == FREE, within_s=2)


def test_the_row_of_the_dead_goes(tree: PlayedTree, session: Session) -> None:
    monitor = tree.start_monitor()
    worker = tree.start_worker()
    name = worker.name
    assert name in process_names(session)

    tree.destroy(worker, monitor)

    assert name not in process_names(session)


def test_a_process_that_died_before_it_was_registered_is_recovered(tree: PlayedTree) -> None:
    monitor = tree.start_monitor()
    early = tree.fork("worker", lambda _: 1)

    tree.reap(early, "exit")
    tree.wake(monitor)

    wait_until(lambda: early.state == FREE)


def test_a_row_with_an_id_missing_on_the_scoreboard_is_found_by_name(
    tree: PlayedTree, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))
    worker.row_id = 0
    name = worker.name

    tree.destroy(worker, monitor)

    assert name not in process_names(session)
    assert_only_job_is(session, job, "failed")


def test_a_row_written_by_a_last_statement_of_the_dead_goes_too(
    tree: PlayedTree, session: Session
) -> None:
    monitor = tree.start_monitor()
    worker = tree.start_worker()
    pid, supervisor = worker.pid, tree.scoreboard.supervisor_row
    identity = registry.identity(pid)
    tree.destroy(worker, monitor)

    late = registry.register(
        session,
        kind="worker",
        name="late",
        supervisor_id=supervisor,
        metadata=identity,
        pid=pid,
    )

    wait_until(lambda: "late" not in process_names(session))
    assert late


@pytest.mark.failure(
    "The last statement of a dead worker still commits a claim.",
    "The jobs are released untouched: no worker can have started them",
)
def test_a_claim_made_by_a_last_statement_of_the_dead_goes_back_at_once(
    tree: PlayedTree, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()
    worker = tree.start_worker()
    row_id = worker.row_id
    tree.destroy(worker, monitor)

    claim(session, row_id, [job])

    wait_until(lambda: places(session) == {job: "ready"})


def test_a_late_claim_of_a_dead_process_does_not_wait_for_the_next_heartbeat(
    target: Target, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    with tree_on(target, heartbeat_interval_s=3600) as tree:
        monitor = tree.start_monitor()
        worker = tree.start_worker()
        # The second look of the start is made.
        tree.survey_passes(1)
        row_id = worker.row_id
        tree.destroy(worker, monitor)
        wait_until(lambda: worker.name not in process_names(session))

        claim(session, row_id, [job])

        wait_until(lambda: places(session) == {job: "ready"})


@pytest.mark.failure(
    "The server still holds the rows of a dead worker locked.",
    "The recovery waits for no lock: these rows are settled as soon as they are free.",
)
def test_claims_that_are_locked_are_settled_once_they_are_free(
    tree: PlayedTree, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))
    with session.connection.transaction():
        session.connection.execute("SELECT id FROM jobsd.claims FOR UPDATE")
        tree.kill(worker)
        tree.reap(worker)
        tree.wake(monitor)
        tree.survey_passes()
        assert worker.state != FREE

    wait_until(lambda: worker.state == FREE)
    assert_only_job_is(session, job, "failed")


def test_a_dead_monitor_is_recovered_by_its_successor(
    tree: PlayedTree, session: Session
) -> None:
    first = tree.start_monitor()
    name = first.name
    (job,) = make_jobs(session, 1)
    worker = tree.start_worker(job, running=(job,))
    tree.kill(first)
    tree.reap(first)
    tree.kill(worker)
    tree.reap(worker)

    tree.start_monitor()

    wait_until(lambda: first.state == worker.state == FREE)
    assert name not in process_names(session)
    assert_only_job_is(session, job, "failed")


def test_deaths_are_counted_and_reported(tree: PlayedTree, session: Session) -> None:
    ran, waited = make_jobs(session, 2, queue_name="mail")
    monitor = tree.start_monitor()
    worker = tree.start_worker(ran, waited, running=(ran,))
    name = worker.name

    tree.destroy(worker, monitor)

    counters = monitor.queue("mail")
    assert (counters.outcome("failed"), counters.outcome("released")) == (1, 1)
    recovered = tree.wait_only_event("process.recovered")
    assert (recovered["child"], recovered["reason"], recovered["failed"]) == (name, "signal", 1)
    failed = tree.wait_only_event("job.failed")
    assert (failed["job_id"], failed["error"]["type"]) == (ran, "ProcessExitError")
    assert tree.wait_only_event("job.released")["job_id"] == waited


def test_a_living_process_is_never_recovered(tree: PlayedTree, session: Session) -> None:
    (job,) = make_jobs(session, 1)
    tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))
    tree.kill(worker, signal.SIGSTOP)

    tree.survey_passes(3)

    assert (worker.state, places(session)) == (UP, {job: "claimed"})
