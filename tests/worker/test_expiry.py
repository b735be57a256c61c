"""A worker begins no job whose time is over."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.errors import JobDiscardedError
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import constant
from waiting import wait_until

from .bodies import gate, noted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import MakeWorker


@job(expires_in="1h", result_ttl="1h")
def plain(n: int) -> None:
    noted.append(n)


@job(expires_in="1h")
async def coroutine(n: int) -> None:
    noted.append(n)


@job
async def blocking(url: str) -> None:
    """Hold the loop until the time of all others is over."""
    over = (
        "SELECT max(expires_at) + interval '0.1 s' < clock_timestamp() FROM jobsd.expirations"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        wait_until(lambda: connection.execute(over).fetchone() == (True,))


@job(expires_in="1h", limits_concurrency=Limit(to=1, key="all"))
def limited(n: int) -> None:
    noted.append(n)


@job(expires_in="1h", max_attempts=3, backoff=constant(0))
def failing(n: int) -> None:
    noted.append(n)
    assert gate.wait(60)
    raise LookupError("told to fail")


OVER = "UPDATE jobsd.expirations SET expires_at = now() - interval '1 ms'"
ENDS = "SELECT outcome, reason, attempts, started_at IS NULL FROM jobsd.jobs ORDER BY id"


@pytest.fixture
def heard(recorder: EventRecorder) -> list[dict[str, Any]]:
    return recorder.facts("job.discarded")


@pytest.mark.parametrize("made", [plain, coroutine, limited])
@pytest.mark.parametrize("keep", [True, False])
def test_a_job_claimed_too_late_is_not_begun(
    made: Any, make_worker: MakeWorker, rows: Rows, heard: list[dict[str, Any]], *, keep: bool
) -> None:
    worker = make_worker(keep=keep, coroutines=2)
    late = [made.enqueue(n).id for n in range(3)]
    rows(OVER)
    made.enqueue(3)

    worker.until(lambda: not rows("SELECT 1 FROM jobsd.jobs WHERE outcome IS NULL"))

    assert noted == [3]
    expired = [("discarded", "expired", 0, True)] * 3
    assert rows(ENDS) == ([*expired, ("finished", None, 1, False)] if keep else [])
    assert sorted(each["job_id"] for each in heard) == late
    assert {each["reason"] for each in heard} == {"expired"}
    counters = worker.context.entry.queue("default")
    assert (counters.outcome("expired"), counters.outcome("discarded")) == (3, 3)
    of_classes = [each.outcome("discarded") for each in worker.context.entry.classes()]
    assert of_classes == [3]


def test_a_job_that_reaches_its_thread_too_late_is_not_begun(
    make_worker: MakeWorker, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker()
    plain.enqueue(1)
    post = worker.worker.pool.post

    def late(jobs: list[Any], *more: Any) -> None:
        post([each._replace(expires_at=monotonic() - 60) for each in jobs], *more)

    monkeypatch.setattr(worker.worker.pool, "post", late)

    worker.until(lambda: rows("SELECT outcome FROM jobsd.jobs") == ["discarded"])

    assert noted == []


def test_what_waits_for_its_turn_in_the_loop_too_long_is_not_begun(
    target: Target, make_worker: MakeWorker, rows: Rows, heard: list[dict[str, Any]]
) -> None:
    worker = make_worker(coroutines=3)
    blocking.enqueue(target.url)
    for n in range(2):
        coroutine.using(expires_in=1).enqueue(n)

    worker.until(lambda: not rows("SELECT 1 FROM jobsd.jobs WHERE outcome IS NULL"))

    assert noted == []
    assert rows(ENDS) == [
        ("finished", None, 1, False),
        *[("discarded", "expired", 0, True)] * 2,
    ]
    assert [each["reason"] for each in heard] == ["expired"] * 2


@pytest.fixture
def _cancelled_when_claimed(rows: Rows) -> Iterator[None]:
    rows(
        "CREATE FUNCTION public.cancel() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.cancelled = NEW.job_ids; RETURN NEW; END'"
    )
    rows(
        "CREATE TRIGGER cancel BEFORE INSERT ON jobsd.claims"
        " FOR EACH ROW EXECUTE FUNCTION public.cancel()"
    )
    yield
    rows("DROP FUNCTION public.cancel CASCADE")


@pytest.mark.usefixtures("_cancelled_when_claimed")
@pytest.mark.parametrize("made", [plain, coroutine, limited])
@pytest.mark.parametrize("keep", [True, False])
def test_a_late_job_cancelled_in_its_claim_is_discarded_as_cancelled(
    made: Any, make_worker: MakeWorker, rows: Rows, heard: list[dict[str, Any]], *, keep: bool
) -> None:
    worker = make_worker(keep=keep, coroutines=2)
    handle = made.enqueue(1)
    rows(OVER)

    worker.until(lambda: not rows("SELECT 1 FROM jobsd.jobs WHERE outcome IS NULL"))

    assert rows(ENDS) == ([("discarded", "cancelled", 0, True)] if keep else [])
    assert [(each["job_id"], each["reason"]) for each in heard] == [(handle.id, "cancelled")]
    counters = worker.context.entry.queue("default")
    assert (counters.outcome("cancelled"), counters.outcome("expired")) == (1, 0)


@pytest.mark.parametrize("made", [plain, coroutine, limited])
def test_a_job_perhaps_not_late_by_the_clock_of_the_server_is_released(
    made: Any,
    make_worker: MakeWorker,
    rows: Rows,
    heard: list[dict[str, Any]],
    monkeypatch: Any,
) -> None:
    """Its time is counted from when the claim was asked for, which was long ago here."""
    worker = make_worker(coroutines=2)
    confirm = worker.worker._confirm_row
    monkeypatch.setattr(worker.worker, "_confirm_row", lambda: confirm() - 7200)
    monkeypatch.setattr(worker.worker.pool, "_trust_s", 10_000.0)
    monkeypatch.setattr(worker.worker.pool, "_trust_s", 10_000.0)
    made.enqueue(1)
    released = worker.context.entry.queue("default").outcome
    worker.until(lambda: released("released"))
    assert (noted, heard) == ([], [])

    monkeypatch.undo()
    worker.until(lambda: rows("SELECT outcome FROM jobsd.jobs") == ["finished"])

    assert noted == [1]


def test_another_attempt_is_not_begun_after_it(make_worker: MakeWorker, rows: Rows) -> None:
    worker = make_worker()
    failing.enqueue(1)
    worker.until(lambda: noted)
    rows(OVER)
    gate.set()

    worker.until(lambda: rows("SELECT outcome FROM jobsd.jobs") == ["discarded"])

    assert noted == [1]
    assert rows("SELECT reason, attempts FROM jobsd.jobs") == [("expired", 1)]


@pytest.mark.parametrize("keep", [True, False])
def test_a_waiter_of_an_expired_job_gets_its_end_also_once_it_is_cleared(
    make_worker: MakeWorker, rows: Rows, *, keep: bool
) -> None:
    worker = make_worker(keep=keep)
    handle = plain.enqueue(1)
    rows(OVER)

    worker.until(lambda: not rows("SELECT 1 FROM jobsd.jobs WHERE outcome IS NULL"))
    rows("DELETE FROM jobsd.jobs")

    with pytest.raises(JobDiscardedError):
        handle.result(60)


def test_the_outcome_of_an_expired_job_is_no_success_in_a_recovery(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker()
    plain.enqueue(1)
    rows(OVER)
    worker.until(lambda: worker.worker.ledger.has_claims)
    wait_until(lambda: not worker.worker.pool.in_hand)

    entry = worker.context.entry

    assert (list(entry.running()), list(entry.endings())) == ([], [])
