"""A recovery settles what it finds, and knows later whom it has recovered."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.job_rows import assert_only_job_is, claim, make_jobs, places
from jobsd.acts import inspect
from jobsd.clock import monotonic_ns
from jobsd.enqueueing import completion
from jobsd.processes import registry
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.states.claims import InClaim
from jobsd.supervisor.monitor.heartbeats import Beat, write_heartbeats
from jobsd.supervisor.recovery.claims import DeadProcess, recover
from jobsd.supervisor.recovery.peers import PeerProcess
from jobsd.supervisor.recovery.recovery import Recovery

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target


def test_a_claim_that_is_committed_after_the_recovery_was_never_started(
    session: Session,
) -> None:
    (job,) = make_jobs(session, 1)
    scoreboard = Scoreboard()
    own, dead = scoreboard.entries[:2]
    dead.take("worker", "worker-late")
    row_id = registry.register(
        session, kind="worker", name="worker-late", supervisor_id=0, metadata={}
    )
    dead.row_id = row_id
    dead.record_exit(signal.SIGKILL, "signal", 0)
    recovery = Recovery(session, own, keep_finished=True)
    recovery.recover(dead)

    claim(session, row_id, [job])
    peer = PeerProcess(row_id, "worker", "worker-late", 1, "here", 0.0, "", "", "", 3)

    assert recovery.recover_vanished(peer)
    assert_only_job_is(session, job, "ready")


@pytest.mark.parametrize("beats", [False, True])
@pytest.mark.failure(
    "A tree stands still for so long that another tree is about to declare it dead, and then"
    " continues",
    "Its worker writes its heartbeat before it claims anything, and is not pruned; or it"
    " finds its row gone",
)
def test_a_process_that_has_beaten_since_the_survey_is_not_pruned(
    session: Session, *, beats: bool
) -> None:
    (job,) = make_jobs(session, 1)
    row_id = registry.register(
        session, kind="worker", name="worker-slow", supervisor_id=0, metadata={}
    )
    claim(session, row_id, [job])
    (seen,) = session.connection.execute(
        b"""
        UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '60 s'
        RETURNING extract(epoch FROM last_heartbeat_at)::float8
        """
    ).fetchall()
    peer = PeerProcess(row_id, "worker", "worker-slow", 1, "here", seen[0], "", "", "", 3)
    if beats:
        again = registry.register(
            session, kind="worker", name="worker-slow", supervisor_id=0, metadata={}
        )
        assert again == row_id

    assert Recovery(session, Scoreboard().entries[0], keep_finished=True).prune(peer, 60.0)

    assert places(session) == {job: "claimed" if beats else "failed"}
    assert [row.id for row in registry.processes(session)] == [row_id] * beats


def test_a_job_just_given_a_claim_of_its_own_counts_as_run(session: Session) -> None:
    job, other = make_jobs(session, 2)
    row_id = registry.register(
        session, kind="worker", name="worker-dead", supervisor_id=0, metadata={}
    )
    claim_id = claim(session, row_id, [job, other])
    moves = {"job_id": job, "claim_id": claim_id}
    assert len(session.fetch(completion.STATEMENTS["isolate"], moves)) == 1

    # Its process was killed before it had the answer.
    known = DeadProcess(row_id, "worker-dead", {}, running=[InClaim(job, claim_id)])
    recover(session, known)

    assert places(session) == {job: "failed", other: "ready"}


def test_a_cancelled_job_that_gets_a_claim_of_its_own_stays_cancelled(
    session: Session,
) -> None:
    job, other = make_jobs(session, 2)
    row_id = registry.register(
        session, kind="worker", name="worker-dead", supervisor_id=0, metadata={}
    )
    claim_id = claim(session, row_id, [job, other])
    session.connection.execute(
        "UPDATE jobsd.claims SET cancelled = %(ids)s, forced = %(ids)s", {"ids": [job]}
    )
    session.connection.execute("UPDATE jobsd.jobs SET max_attempts = 3, retries_crash = true")
    moves = {"job_id": job, "claim_id": claim_id}

    ((own,),) = session.fetch(completion.STATEMENTS["isolate"], moves)
    marks = session.connection.execute(
        "SELECT cancelled, forced FROM jobsd.claims WHERE id = %s", (own,)
    ).fetchall()
    recover(session, DeadProcess(row_id, "worker-dead", {}, running=[InClaim(job, own)]))

    assert marks == [([job], [job])]
    assert session.connection.execute(
        "SELECT outcome, reason FROM jobsd.jobs WHERE id = %s", (job,)
    ).fetchall() == [("discarded", "cancelled")]
    assert places(session)[other] == "ready"


@pytest.mark.parametrize("retries", [True, False])
def test_a_crash_that_is_retried_wakes_the_dispatchers(
    session: Session, target: Target, *, retries: bool
) -> None:
    (job,) = make_jobs(session, 1)
    row_id = registry.register(
        session, kind="worker", name="worker-dead", supervisor_id=0, metadata={}
    )
    sleeper = registry.register(
        session, kind="dispatcher", name="dispatcher-asleep", supervisor_id=0, metadata={}
    )
    claim(session, row_id, [job])
    session.connection.execute(
        "UPDATE jobsd.jobs SET max_attempts = 3, retries_crash = %s", (retries,)
    )
    session.connection.execute(
        "INSERT INTO jobsd.sleepers (process_id, kind) VALUES (%s, 'dispatcher')", (sleeper,)
    )
    with psycopg.connect(target.url, autocommit=True) as dispatcher:
        dispatcher.execute('LISTEN """jobsd"".due"')

        recover(session, DeadProcess(row_id, "worker-dead", {}, threads=1))

        sent = dispatcher.notifies(timeout=5 if retries else 0.1, stop_after=1)
        heard = [each.payload for each in sent]
    assert places(session) == {job: "scheduled" if retries else "failed"}
    assert heard == ["due"] * retries


def test_without_a_scoreboard_the_first_jobs_of_a_claim_up_to_the_capacity_count_as_run(
    session: Session,
) -> None:
    jobs = make_jobs(session, 8)
    row_id = registry.register(
        session, kind="worker", name="worker-far", supervisor_id=0, metadata={}
    )
    claim(session, row_id, jobs)

    recover(session, DeadProcess(row_id, "worker-far", {}, threads=5))

    ran = dict.fromkeys(jobs[:5], "failed")
    assert places(session) == {**dict.fromkeys(jobs, "ready"), **ran}


@pytest.mark.parametrize("own", [True, False], ids=["of this tree", "of another tree"])
def test_a_killed_attempt_has_its_start_time(session: Session, *, own: bool) -> None:
    job, waiting = make_jobs(session, 2)
    row_id = registry.register(
        session, kind="worker", name="worker-dead", supervisor_id=0, metadata={}
    )
    claim_id = claim(session, row_id, [job, waiting])
    if own:
        dead = DeadProcess(
            row_id, "worker-dead", {}, running=[InClaim(job, claim_id)], ages_s={job: 90.0}
        )
    else:
        write_heartbeats(session, [Beat(row_id, monotonic_ns(), 0, {job: 90.0})])
        dead = DeadProcess(row_id, "worker-dead", {}, threads=1)

    recover(session, dead)

    (attempt,) = inspect.attempts(session, job)
    began = inspect.find(session, job).job.started_at
    assert began is not None
    assert attempt.started_at == began
    assert (attempt.ended_at - began).total_seconds() == pytest.approx(90, abs=5)
    assert inspect.find(session, waiting).job.started_at is None
