"""Jobs that are in no table: found when an operator asks, and left to the operator."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing.placed import block, claim, enqueue, fail
from harness.job_rows import assert_only_job_is, lost_jobs_of, places
from jobsd.acts import inspect, listing
from jobsd.acts.discards import discard, discard_all
from jobsd.acts.retries import retry, retry_all
from jobsd.daemon.cli import lost_jobs
from jobsd.daemon.cli.lost_jobs import fix
from jobsd.errors import RefusedError
from jobsd.processes import registry
from jobsd.states import lost
from jobsd.worker.constants import RECONCILE_S
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

pytestmark = pytest.mark.usefixtures("default_client")

_READY_TO_CLAIMED = """
WITH gone AS (DELETE FROM jobsd.ready_executions RETURNING job_id)
INSERT INTO jobsd.claims (process_id, job_ids)
SELECT 1, array_agg(job_id) FROM gone HAVING count(*) > 0
"""
_CLAIMED_TO_SCHEDULED = """
WITH gone AS (DELETE FROM jobsd.claims RETURNING job_ids)
INSERT INTO jobsd.scheduled_executions (job_id, scheduled_at, priority, queue_name)
SELECT unnest(job_ids), now(), 0, 'mail' FROM gone
"""
_SCHEDULED_TO_FAILED = """
WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING job_id)
INSERT INTO jobsd.failed_executions (job_id, error) SELECT job_id, '{}' FROM gone
"""
_FAILED_TO_READY = """
WITH gone AS (DELETE FROM jobsd.failed_executions RETURNING job_id)
INSERT INTO jobsd.ready_executions SELECT job_id, job_id, 0, 'mail' FROM gone
"""
_MOVES = (_READY_TO_CLAIMED, _CLAIMED_TO_SCHEDULED, _SCHEDULED_TO_FAILED, _FAILED_TO_READY)


def _lose(session: Session, *job_ids: int) -> list[int]:
    for table in ("ready", "blocked"):
        session.connection.execute(
            f"DELETE FROM jobsd.{table}_executions WHERE job_id = ANY (%s)".encode(),
            (list(job_ids),),
        )
    return list(job_ids)


def _listed(session: Session) -> list[int]:
    return [job.id for job in listing.listed(session, listing.Filter("lost")).jobs]


@pytest.mark.failure(
    "A job is in no table: rows were removed by hand, or a defect has lost it.",
    "`doctor --lost`, `list --state lost` and `show` find it when asked. An operator decides"
    " whether it runs again; `doctor --lost --fix` lets it, unless a worker may be running it",
)
def test_a_job_that_is_in_no_table_is_found(session: Session) -> None:
    gone, _ = enqueue(), enqueue()

    _lose(session, gone)

    assert (_listed(session), lost_jobs_of(session)) == ([gone], [gone])
    assert inspect.find(session, gone).job.state == "lost"


def test_a_search_goes_by_slices_of_the_primary_key_to_the_end(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 10)
    jobs = [enqueue() for _ in range(35)]
    gone = _lose(session, jobs[0], *jobs[12:15], jobs[34])
    fetch, read = session.fetch, list[int]()

    def read_by_slices(*asked: Any) -> Any:
        rows = fetch(*asked)
        read.append(rows[0][1])
        return rows

    monkeypatch.setattr(session, "fetch", read_by_slices)

    assert lost_jobs_of(session) == gone
    assert read == [10, 10, 10, 5]


def test_a_job_that_is_anywhere_or_has_ended_is_not_lost(session: Session) -> None:
    ready, claimed, failed, dropped, holder = (enqueue() for _ in range(5))
    claim(session, 1, claimed, holder)
    fail(session, failed)
    discard(dropped)
    scheduled = enqueue(wait=3600)
    enqueue(key="k")
    blocked = enqueue(key="k")
    block(session, blocked)

    assert lost_jobs_of(session) == []

    assert {places(session)[job] for job in (ready, claimed, failed, dropped, scheduled)} == {
        *("ready", "claimed", "failed", "discarded", "scheduled")
    }


def test_a_lost_job_made_ready_by_hand_is_no_longer_lost(session: Session) -> None:
    (gone,) = _lose(session, enqueue())

    session.connection.execute(
        "INSERT INTO jobsd.ready_executions SELECT id, id, 0, queue_name FROM jobsd.jobs"
    )

    assert (_listed(session), lost_jobs_of(session)) == ([], [])
    assert inspect.find(session, gone).job.state == "ready"


def test_a_lost_job_is_retried_only_with_with_lost(session: Session) -> None:
    (gone,) = _lose(session, enqueue())

    with pytest.raises(RefusedError, match="may still be running: --yes"):
        retry(gone)
    assert retry_all() == 0
    assert retry(gone, with_lost=True) == "ready"

    assert (places(session), _listed(session)) == ({gone: "ready"}, [])


def test_a_lost_job_that_is_retried_goes_through_its_limit(session: Session) -> None:
    gone, waits = enqueue(key="k"), enqueue(key="k")
    _lose(session, gone)

    assert retry(gone, with_lost=True) == "ready"

    assert places(session) == {gone: "ready", waits: "ready"}


@pytest.mark.parametrize("keep", [True, False])
def test_a_lost_job_is_discarded(session: Session, *, keep: bool) -> None:
    gone, waits = enqueue(key="k"), enqueue(key="k")
    _lose(session, gone)

    assert discard(gone, keep=keep) == "lost"

    dropped = {gone: "discarded"} if keep else {}
    assert places(session) == {waits: "ready", **dropped}
    assert _listed(session) == []


def test_all_lost_jobs_are_discarded_by_a_filter(session: Session) -> None:
    gone = _lose(session, enqueue(), enqueue("other"))
    stays = enqueue()

    assert discard_all(state="lost", queue="mail") == 1
    assert discard_all() == 1
    assert discard_all(state="lost") == 1

    assert places(session) == dict.fromkeys([*gone, stays], "discarded")


def test_two_retries_of_a_lost_job_make_it_ready_once(session: Session, target: Target) -> None:
    (gone,) = _lose(session, enqueue())
    with psycopg.connect(target.url) as other:
        other.execute("SELECT FROM jobsd.jobs WHERE id = %s FOR UPDATE", (gone,))
        with pytest.raises(RefusedError):
            retry(gone, with_lost=True)
        other.execute("INSERT INTO jobsd.ready_executions VALUES (%s, 1, 0, 'mail')", (gone,))

    with pytest.raises(RefusedError, match="it is ready"):
        retry(gone, with_lost=True)

    assert_only_job_is(session, gone, "ready")


@pytest.mark.parametrize("act", ["retry", "fix"])
def test_an_act_checks_again_behind_the_lock(
    act: str, session: Session, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gone,) = _lose(session, enqueue())
    fetch = session.fetch

    def put_back_before_the_lock(statement: Any, *parameters: Any) -> Any:
        if statement.name == "lock":
            with psycopg.connect(target.url, autocommit=True) as other:
                other.execute(
                    "INSERT INTO jobsd.ready_executions VALUES (%s, 1, 0, 'mail')", (gone,)
                )
        return fetch(statement, *parameters)

    monkeypatch.setattr(session, "fetch", put_back_before_the_lock)
    if act == "fix":
        assert fix(session, [gone], 60) == []
    else:
        with pytest.raises(RefusedError):
            retry(gone, with_lost=True, session=session)

    assert_only_job_is(session, gone, "ready")
    assert session.connection.execute("SELECT FROM jobsd.ready_executions").rowcount == 1


def test_a_job_that_moves_is_never_lost(session: Session, target: Target) -> None:
    """Each move is one statement, as those of a worker and a dispatcher are."""
    jobs = [enqueue() for _ in range(300)]
    rounds, over = [0], threading.Event()

    def move() -> None:
        with psycopg.connect(target.url, autocommit=True) as mover:
            while not over.is_set():
                for statement in _MOVES:
                    mover.execute(statement.encode())
                rounds[0] += 1

    mover = threading.Thread(target=move)
    mover.start()
    found = list[int]()

    def checked() -> bool:
        with session.connection.transaction():
            found.extend(lost.hold(session, jobs))
        found.extend(lost_jobs_of(session))
        return rounds[0] >= 100

    try:
        wait_until(checked, 60)
    finally:
        over.set()
        mover.join()

    assert found == []


def test_a_fix_leaves_a_job_that_a_worker_runs(session: Session) -> None:
    runs, gone = _lose(session, enqueue(), enqueue())
    process_id = _worker(session)
    session.connection.execute(
        "UPDATE jobsd.processes SET running = jsonb_build_object(%s::text, 1) WHERE id = %s",
        (runs, process_id),
    )

    assert fix(session, [runs, gone], 0.1) == [gone]

    assert (places(session), _listed(session)) == ({gone: "ready"}, [runs])


@pytest.mark.parametrize("how", ["beats", "goes"])
def test_a_fix_waits_for_a_heartbeat_of_each_living_worker(
    how: str, session: Session, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat that was there before the search says nothing of a job claimed after it."""
    monkeypatch.setattr(lost_jobs, "SETTLE_S", 0.2)
    (gone,) = _lose(session, enqueue())
    process_id = _worker(session)
    waits, fixed = [0], list[list[int]]()
    change = {
        "beats": "UPDATE jobsd.processes SET last_heartbeat_at = now(), running = '{\"%s\": 1}'"
        " WHERE id = %s",
        "goes": "DELETE FROM jobsd.processes WHERE %s > 0 AND id = %s",
    }[how]

    def wait(_: float) -> None:
        waits[0] += 1
        if waits[0] == 20:
            with psycopg.connect(target.url, autocommit=True) as other:
                other.execute((change % (gone, process_id)).encode())
        pause.wait(0.05)

    pause = threading.Event()
    monkeypatch.setattr("jobsd.daemon.cli.lost_jobs.time.sleep", wait)

    fixed.append(fix(session, [gone], 60))

    assert waits[0] >= 20
    assert fixed == ([[]] if how == "beats" else [[gone]])


def test_a_worker_has_read_its_claims_back_before_a_fix() -> None:
    assert lost_jobs.SETTLE_S > RECONCILE_S


def _worker(session: Session) -> int:
    return registry.register(
        session, kind="worker", name=registry.new_name("worker"), supervisor_id=0, metadata={}
    )
