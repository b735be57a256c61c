"""Jobs that are dropped by hand: from any state but claimed, with their slots freed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing.placed import block, claim, enqueue, fail
from harness.job_rows import assert_job_is, assert_only_job_is, places
from jobsd.acts import discards
from jobsd.acts.discards import discard, discard_all
from jobsd.errors import Error, NotFoundError, RefusedError
from jobsd.processes import registry

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

pytestmark = pytest.mark.usefixtures("default_client")


def _one_in_each_state(session: Session) -> dict[str, int]:
    jobs = {
        "scheduled": enqueue(wait="1h"),
        "failed": enqueue(),
        "ready": enqueue(key="a"),
        "blocked": enqueue(key="a"),
    }
    fail(session, jobs["failed"])
    block(session, jobs["blocked"])
    assert places(session) == {job_id: state for state, job_id in jobs.items()}
    return jobs


@pytest.mark.behaviour(72)
@pytest.mark.parametrize("state", ["scheduled", "ready", "blocked", "failed"])
def test_a_job_is_discarded_wherever_it_is(session: Session, state: str) -> None:
    job_id = _one_in_each_state(session)[state]

    assert discard(job_id) == state
    assert_job_is(session, job_id, "discarded")
    finished = session.connection.execute(
        "SELECT finished_at IS NOT NULL FROM jobsd.jobs WHERE id = %s", (job_id,)
    ).fetchone()
    assert finished == (True,)


@pytest.mark.parametrize("state", ["scheduled", "ready", "blocked", "failed"])
def test_a_job_that_is_not_kept_leaves_nothing(session: Session, state: str) -> None:
    job_id = _one_in_each_state(session)[state]

    discard(job_id, keep=False)

    assert job_id not in places(session)
    left = session.connection.execute(
        "SELECT id FROM jobsd.jobs WHERE id = %(id)s"
        " UNION ALL SELECT job_id FROM jobsd.attempts WHERE job_id = %(id)s",
        {"id": job_id},
    ).fetchall()
    assert left == []


@pytest.mark.behaviour(72)
def test_the_discard_of_the_first_job_unblocks_the_next(session: Session) -> None:
    first, second, third = (enqueue(key="a") for _ in range(3))
    block(session, second, third)

    discard(first)

    assert places(session) == {first: "discarded", second: "ready", third: "blocked"}


@pytest.mark.behaviour(72)
def test_the_discard_of_a_blocked_job_leaves_the_others_alone(session: Session) -> None:
    first, second, third = (enqueue(key="a") for _ in range(3))
    block(session, second, third)

    discard(second)

    assert places(session) == {first: "ready", second: "discarded", third: "blocked"}


@pytest.mark.behaviour(72)
def test_the_discard_of_many_lets_as_many_others_be_met(session: Session) -> None:
    two = [enqueue(key="a", to=2) for _ in range(5)]
    one = [enqueue(key="b") for _ in range(3)]
    block(session, *two[2:], *one[1:])

    assert discard_all(state="ready") == 3
    left = {job_id for job_id, state in places(session).items() if state == "ready"}
    assert left == {*two[2:4], one[1]}


def test_discarding_all_that_waits_leaves_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discards, "BATCH", 2)
    jobs = [enqueue(key="a", to=2) for _ in range(9)]
    block(session, *jobs[2:])

    assert discard_all() == 9
    assert places(session) == dict.fromkeys(jobs, "discarded")


@pytest.mark.behaviour(63)
def test_a_claimed_job_is_refused_naming_the_process_that_has_it(session: Session) -> None:
    job_id = enqueue()
    process = registry.register(
        session, kind="worker", name="worker-7", supervisor_id=0, metadata={}
    )
    claim(session, process, job_id)

    with pytest.raises(RefusedError, match=rf"job {job_id} .* claimed by worker-7 \(pid \d+"):
        discard(job_id)
    assert_only_job_is(session, job_id, "claimed")


@pytest.mark.parametrize("outcome", ["finished", "discarded"])
def test_a_job_that_has_ended_is_refused_saying_so(session: Session, outcome: str) -> None:
    job_id = enqueue()
    discard(job_id)
    session.connection.execute("UPDATE jobsd.jobs SET outcome = %s", (outcome,))

    with pytest.raises(RefusedError, match=f"job {job_id} is {outcome} already"):
        discard(job_id)


@pytest.mark.parametrize("job_id", [1, 0, -1, 2**63, 2**80])
def test_a_number_that_is_no_job_is_not_found(job_id: int) -> None:
    with pytest.raises(NotFoundError, match=f"there is no job {job_id}"):
        discard(job_id)


def test_a_job_being_claimed_is_not_discarded(session: Session, target: Target) -> None:
    claimed, other = enqueue(), enqueue()
    with psycopg.connect(target.url) as worker:
        worker.execute(
            "SELECT FROM jobsd.ready_executions WHERE job_id = %s FOR UPDATE", (claimed,)
        )

        with pytest.raises(RefusedError, match="just being claimed"):
            discard(claimed)
        assert discard_all() == 1
    assert places(session) == {claimed: "ready", other: "discarded"}


def test_only_selected_jobs_are_discarded(session: Session) -> None:
    states = _one_in_each_state(session)
    other = enqueue("other", wait="1h")
    claimed = enqueue()
    claim(session, 1, claimed)

    assert discard_all(state="scheduled", queue="mail") == 1
    assert discard_all(queue="other", limit=5) == 1
    assert discard_all(limit=1) == 1
    assert places(session) == {
        states["scheduled"]: "discarded",
        other: "discarded",
        states["blocked"]: "discarded",
        states["ready"]: "ready",
        states["failed"]: "failed",
        claimed: "claimed",
    }
    assert discard_all() == 2


@pytest.mark.parametrize("state", ["claimed", "finished", "discarded"])
def test_nothing_is_discarded_from_a_state_in_which_it_can_not_be(state: str) -> None:
    with pytest.raises(RefusedError, match=f"{state} jobs can't be discarded"):
        discard_all(state=state)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, 2**80, "7"])
def test_an_invalid_limit_discards_nothing(session: Session, limit: Any) -> None:
    job_id = enqueue()

    for state in (None, "ready"):
        with pytest.raises(Error, match=r"limit: .* is not a whole number from 1"):
            discard_all(state=state, limit=limit)
    assert_only_job_is(session, job_id, "ready")


def test_an_unknown_state_is_an_error_that_names_all() -> None:
    with pytest.raises(
        Error, match="'gone' is not a state; the states are scheduled, ready, blocked"
    ):
        discard_all(state="gone")
