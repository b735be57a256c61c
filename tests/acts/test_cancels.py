"""Jobs that are cancelled: what waits is discarded, what is claimed is told to stop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from enqueueing.placed import block, claim, enqueue, fail, in_claims
from harness.job_rows import assert_job_is, places
from jobsd.acts import cancels
from jobsd.acts.cancels import CancelRequest, acancel, cancel, cancel_all, requests
from jobsd.errors import Error, NotFoundError, RefusedError
from jobsd.operations.job_info import find
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")


def _one_in_each_state(session: Session, rows: Rows) -> dict[str, int]:
    jobs = {
        "scheduled": enqueue(wait="1h"),
        "ready": enqueue(),
        "blocked": enqueue(key="a"),
        "claimed": enqueue(),
        "failed": enqueue(),
        "lost": enqueue(),
    }
    block(session, jobs["blocked"])
    claim(session, 7, jobs["claimed"])
    fail(session, jobs["failed"])
    rows("DELETE FROM jobsd.ready_executions WHERE job_id = %s", jobs["lost"])
    return jobs


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("state", ["scheduled", "ready", "blocked", "lost"])
def test_a_job_that_waits_is_discarded_as_cancelled(
    session: Session, rows: Rows, state: str, *, keep: bool
) -> None:
    jobs = _one_in_each_state(session, rows)
    job_id = jobs.pop(state)

    assert cancel(job_id, keep=keep) == state

    left = rows("SELECT outcome, reason FROM jobsd.jobs WHERE id = %s", job_id)
    assert left == ([("discarded", "cancelled")] if keep else [])
    jobs.pop("lost", None)
    assert {id_: was for id_, was in places(session).items() if id_ != job_id} == {
        id_: was for was, id_ in jobs.items()
    }


def test_a_limited_job_that_is_cancelled_lets_the_next_be_met(session: Session) -> None:
    first, second, third = (enqueue(key="a") for _ in range(3))
    block(session, second, third)

    cancel(first)

    assert places(session) == {first: "discarded", second: "ready", third: "blocked"}


def test_a_claimed_job_is_noted_in_its_claim(session: Session, rows: Rows) -> None:
    first, second, other = enqueue(), enqueue(), enqueue()
    claim(session, 7, first, second)
    claim(session, 8, other)

    assert (cancel(first), cancel(second, force=True), cancel(first)) == ("claimed",) * 3

    (one,), (two,) = in_claims(session, first), in_claims(session, second)
    assert requests(session, 7) == [
        CancelRequest(one, forced=False),
        CancelRequest(two, forced=True),
    ]
    assert requests(session, 8) == []
    assert rows("SELECT job_ids FROM jobsd.claims WHERE process_id = 7") == [[first, second]]
    info = find(first)
    assert info is not None
    assert (info.state, info.reason, [each["reason"] for each in info.why]) == (
        "claimed",
        "cancelled",
        ["cancelled", "process_lost"],
    )


@pytest.mark.parametrize("state", ["failed", "finished", "discarded"])
def test_a_job_that_has_ended_is_refused_saying_so(
    session: Session, rows: Rows, state: str
) -> None:
    job_id = enqueue()
    if state == "failed":
        fail(session, job_id)
    else:
        rows("DELETE FROM jobsd.ready_executions")
        rows("UPDATE jobsd.jobs SET outcome = %s", state)

    with pytest.raises(RefusedError, match=rf"job {job_id} (is|has) {state}"):
        cancel(job_id)
    with pytest.raises(psycopg.Error, match=f"cancel: job {job_id} is {state}"):
        rows("SELECT jobsd.cancel(%s)", job_id)


def test_unknown_and_invalid_ids_are_refused(rows: Rows) -> None:
    with pytest.raises(NotFoundError, match="there is no job 4711"):
        cancel(4711)
    with pytest.raises(NotFoundError):
        cancel(2**70)
    with pytest.raises(Error, match="is not the id of a job"):
        cancel("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(psycopg.Error, match="cancel: there is no job 4711"):
        rows("SELECT jobsd.cancel(4711)")


def test_sql_does_the_same(session: Session, rows: Rows) -> None:
    jobs = _one_in_each_state(session, rows)

    for state in ("scheduled", "ready", "blocked", "claimed"):
        assert rows("SELECT jobsd.cancel(%s, true)", jobs[state]) == [state]

    assert rows("SELECT forced FROM jobsd.claims") == [[jobs["claimed"]]]
    assert sorted(rows("SELECT id FROM jobsd.jobs WHERE reason = 'cancelled'")) == sorted(
        jobs[state] for state in ("scheduled", "ready", "blocked")
    )


def test_cancel_all_returns_the_state_of_each_job(
    session: Session, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.acts.discards.BATCH", 2)
    jobs = _one_in_each_state(session, rows)
    other = enqueue("other")

    done = cancel_all(queue="mail")

    failed, lost = jobs.pop("failed"), jobs.pop("lost")
    assert done == {id_: state for state, id_ in jobs.items()}
    assert_job_is(session, failed, "failed")
    assert cancel_all() == {jobs["claimed"]: "claimed", other: "ready"}
    assert cancel_all(state="lost") == {lost: "lost"}


def test_with_a_limit_the_newest_jobs_of_all_states_are_cancelled() -> None:
    enqueue(wait="1h")
    ready, scheduled = enqueue(), enqueue(wait="1h")

    assert cancel_all(limit=2) == {ready: "ready", scheduled: "scheduled"}


def test_jobs_that_end_during_cancel_all_are_reported(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, goes, stays = enqueue(), enqueue(), enqueue()
    real = cancels.ids

    def late(*given: object) -> object:
        found = real(*given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        rows("DELETE FROM jobsd.ready_executions WHERE job_id <> %s", stays)
        rows("UPDATE jobsd.jobs SET outcome = 'finished' WHERE id = %s", ends)
        rows("DELETE FROM jobsd.jobs WHERE id = %s", goes)
        return found

    monkeypatch.setattr(cancels, "ids", late)

    assert cancel_all() == {ends: "finished", goes: "gone", stays: "ready"}


def test_ended_jobs_are_refused_by_cancel_all() -> None:
    with pytest.raises(RefusedError, match="finished jobs can't be cancelled: they have ended"):
        cancel_all(state="finished")
    assert cancel_all(limit=5) == {}


def test_a_job_that_is_just_being_claimed_is_met_again(target: Target, rows: Rows) -> None:
    job_id = enqueue()
    with psycopg.connect(target.url) as worker:
        worker.execute(b"DELETE FROM jobsd.ready_executions")
        worker.execute(
            b"INSERT INTO jobsd.claims (process_id, job_ids) VALUES (7, %s)", ([job_id],)
        )
        got: list[str] = []
        thread = threading.Thread(target=lambda: got.append(cancel(job_id)))
        thread.start()
        wait_until(lambda: rows(_ASKED))
        worker.commit()
        thread.join(60)

    assert got == ["claimed"]
    assert rows("SELECT cancelled FROM jobsd.claims") == [[job_id]]


_ASKED = (
    "SELECT 1 FROM pg_stat_activity"
    " WHERE datname = current_database() AND query LIKE '%%place.job_id = jobs.id%%'"
    " AND pid <> pg_backend_pid()"
)


def test_a_claim_that_is_locked_is_not_waited_for(target: Target, session: Session) -> None:
    job_id = enqueue()
    claim(session, 7, job_id)
    with psycopg.connect(target.url) as holder:
        holder.execute(b"SELECT FROM jobsd.claims FOR UPDATE")

        with pytest.raises(RefusedError, match="changed by another session"):
            cancel(job_id)


def test_an_event_loop_cancels_too() -> None:
    assert asyncio.run(acancel(enqueue())) == "ready"
