"""Somebody holds a row locked that a recovery changes: that job waits, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from harness.job_rows import claim, make_jobs, places
from jobsd.jobs.policy import Ending
from jobsd.processes import registry
from jobsd.states.claims import InClaim
from jobsd.supervisor.recovery.claims import DeadProcess, Recovered, recover
from waiting import Stopwatch

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_ERROR = {"type": "ProcessExitError", "message": "it was killed"}
_JOB = "SELECT FROM jobsd.jobs WHERE id = ANY (%s) FOR UPDATE"
_CLAIM = "SELECT FROM jobsd.claims WHERE %s::bigint[] && job_ids FOR UPDATE"
_PROCESS = "SELECT FROM jobsd.processes WHERE %s::bigint[] IS NOT NULL FOR UPDATE"


def _row(session: Session) -> int:
    return registry.register(
        session, kind="worker", name="worker-dead", supervisor_id=0, metadata={}
    )


def _recover(session: Session, row_id: int, **known: Any) -> Recovered:
    return recover(session, DeadProcess(row_id, "worker-dead", _ERROR, **known))


@pytest.mark.failure(
    "A worker is killed while another session holds the row of one of its jobs locked.",
    "All its other jobs are settled at once; that job is settled once its row is released,"
    " with the outcome that it had",
)
@pytest.mark.parametrize("keep", [True, False])
def test_only_the_locked_jobs_wait(session: Session, *, keep: bool) -> None:
    ran, done, failed, claimed, free = make_jobs(session, 5)
    row_id = _row(session)
    held = claim(session, row_id, [ran, done, failed, claimed, free])
    known: dict[str, Any] = {
        "running": [InClaim(ran, held)],
        "succeeded": [InClaim(done, held), InClaim(free, held)],
        "endings": [Ending(failed, held, "failed", 0.0, "ValueError")],
        "keep": keep,
    }
    with psycopg.connect(session.target.url) as holder:
        holder.execute(_JOB.encode(), ([ran, done, failed, claimed],))
        watch = Stopwatch()

        recovered = _recover(session, row_id, **known)

        assert watch.took() < 1
        assert not recovered.complete
        assert [job.id for job in recovered.finished] == [free]
        assert [job.id for job in recovered.released] == [claimed]
        assert _recover(session, row_id, **known) == Recovered(complete=False)

    recovered = _recover(session, row_id, **known)

    assert recovered.complete
    assert [job.id for job in recovered.finished] == [done]
    assert sorted(job.id for job in recovered.failed) == [ran, failed]
    assert session.connection.execute("SELECT FROM jobsd.claims").fetchall() == []


@pytest.mark.failure(
    "A worker is killed while an open transaction refers to one of its jobs by a foreign key.",
    "That job is settled with all the others, unless its row is to be deleted: then the job"
    " waits",
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_foreign_key_lock_on_a_job_delays_only_its_erasure(
    session: Session, *, keep: bool
) -> None:
    done, other = make_jobs(session, 2)
    row_id = _row(session)
    held = claim(session, row_id, [done, other])
    known: dict[str, Any] = {"succeeded": [InClaim(done, held), InClaim(other, held)]}
    with psycopg.connect(session.target.url) as holder:
        holder.execute(_JOB.replace("UPDATE", "KEY SHARE").encode(), ([done],))

        recovered = _recover(session, row_id, **known, keep=keep)

        finished = [done, other] if keep else [other]
        assert sorted(job.id for job in recovered.finished) == finished
        assert recovered.complete == keep

    assert _recover(session, row_id, **known, keep=keep).complete


def test_a_process_known_by_its_threads_only_is_judged_in_the_same_order(
    session: Session,
) -> None:
    jobs = make_jobs(session, 6)
    row_id = _row(session)
    claim(session, row_id, jobs)
    with psycopg.connect(session.target.url) as holder:
        holder.execute(_JOB.encode(), ([jobs[1], jobs[4]],))

        recovered = _recover(session, row_id, threads=2)

        assert ([job.id for job in recovered.failed], recovered.complete) == (jobs[:1], False)
        assert sorted(job.id for job in recovered.released) == jobs[2:]
        assert places(session)[jobs[1]] == "claimed"

    recovered = _recover(session, row_id, threads=2)

    assert ([job.id for job in recovered.failed], recovered.complete) == (jobs[1:2], True)


@pytest.mark.failure(
    "A worker is killed while another session locks the row of a job that was unique until it"
    " was claimed.",
    "That job stays claimed until its row is released; then it goes back, and takes no"
    " duplicates any more",
)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("threads", [0, 1])
def test_a_job_that_goes_back_is_never_unique_again(
    session: Session, threads: int, *, keep: bool
) -> None:
    unique = {"unique_key": "k", "unique_until": "started"}
    (ran, free), (begun,) = make_jobs(session, 2), make_jobs(session, 1, **unique)
    row_id = _row(session)
    held = claim(session, row_id, [ran, begun, free])
    known: dict[str, Any] = {"keep": keep, "threads": threads}
    if not threads:
        known["running"] = [InClaim(ran, held)]
    with psycopg.connect(session.target.url) as holder:
        holder.execute(_JOB.encode(), ([begun],))

        recovered = _recover(session, row_id, **known)

        assert not recovered.complete
        assert places(session)[begun] == "claimed"
        if not threads:
            assert [job.id for job in recovered.failed] == [ran]
            assert [job.id for job in recovered.released] == [free]

    recovered = _recover(session, row_id, **known)

    # By its threads alone it is known which one ran while all others stand behind it.
    assert recovered.complete
    assert places(session) == {ran: "failed", begun: "ready", free: "ready"}
    unique_ones = session.connection.execute(
        "SELECT FROM jobsd.jobs WHERE unique_until IS NOT NULL"
    )
    assert unique_ones.fetchall() == []


@pytest.mark.failure(
    "Another session holds the claim or the row of a dead process locked",
    "The heartbeats of the monitor that recovers it do not wait for the lock; the recovery is"
    " tried again",
)
@pytest.mark.parametrize("what", [_CLAIM, _PROCESS, "LOCK TABLE jobsd.jobs -- %s"])
def test_a_recovery_waits_for_no_lock_for_long(session: Session, what: str) -> None:
    jobs = make_jobs(session, 2)
    row_id = _row(session)
    claim(session, row_id, jobs)
    with psycopg.connect(session.target.url) as holder:
        if "LOCK TABLE" in what:
            holder.execute("LOCK TABLE jobsd.jobs")
        else:
            holder.execute(what.encode(), (jobs,))
        watch = Stopwatch()

        recovered = _recover(session, row_id, threads=1)

        assert watch.took() < 2
        assert recovered.complete == (what == _PROCESS)

    assert _recover(session, row_id, threads=1).complete
    assert places(session) == {jobs[0]: "failed", jobs[1]: "ready"}
