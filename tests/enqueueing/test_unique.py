"""Of a unique job there is one at most, for as long as its definition says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from harness.event_recorder import EventRecorder, names
from jobsd.acts import discards, retries
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import DuplicateError, RefusedError
from jobsd.jobs import unique
from jobsd.jobs.definition import job
from jobsd.jobs.unique import Unique
from jobsd.states.claims import STATEMENTS, Ended, conclusion

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target
    from rows import Rows


@job(name="q.started", unique=Unique(key="n", until="started"))
def started(n: int, note: str = "") -> None: ...


@job(name="q.finished", unique=Unique(key="n"))
def finished(n: int, note: str = "") -> None: ...


@job(name="q.hourly", unique=Unique(key="n", until=None, within="1h"))
def hourly(n: int) -> None: ...


@job(name="q.strict", unique=Unique(key="n", on_conflict="raise"))
def strict(n: int) -> None: ...


@job(
    name="q.latest",
    unique=Unique(key="n", until="started", on_conflict="replace", max_wait="1h"),
)
def latest(n: int, note: str = "") -> None: ...


@job(name="q.plain")
def plain(n: int) -> None: ...


def _do(n: int) -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


def _end(
    session: Session, job_id: int, outcome: str, *, wait_s: float = 0, keep: bool = True
) -> None:
    """Let the worker that has claimed a job record what became of it."""
    (named,) = placed.in_claims(session, job_id)
    error = '{"type": "E", "message": "told to"}' if outcome in {"failed", "retried"} else None
    ended = Ended(named.claim_id, job_id, outcome, wait_s=wait_s, error=error, position=job_id)
    session.fetch(STATEMENTS["conclude"], conclusion([ended], "w", keep=keep))


def _claimed(session: Session, made: Any, n: int = 1) -> int:
    stored = made.enqueue(n)
    assert stored.state == "ready"
    placed.claim(session, 1, stored.id)
    return int(stored.id)


@pytest.mark.parametrize("made", [started, finished, hourly])
def test_a_second_one_is_the_first_one(made: Any, rows: Rows) -> None:
    first, second, other = made.enqueue(1), made.enqueue(1), made.enqueue(2)

    assert (first.state, second.state, other.state) == ("ready", "duplicate", "ready")
    assert second.id == first.id != other.id
    assert rows("SELECT id FROM jobsd.jobs ORDER BY 1") == [first.id, other.id]


@pytest.mark.parametrize("outcome", ["released", "retried", "snoozed"])
def test_until_started_is_over_at_the_claim_and_never_comes_again(
    session: Session, outcome: str
) -> None:
    first = _claimed(session, started)
    while_it_runs = started.enqueue(1)
    assert while_it_runs.state == "ready"
    placed.claim(session, 2, while_it_runs.id or 0)

    _end(session, first, outcome)
    _end(session, while_it_runs.id or 0, outcome, wait_s=30)

    assert started.enqueue(1).state == "ready"
    assert started.enqueue(1).state == "duplicate"


def test_a_job_that_was_only_parked_still_waits_to_be_started(session: Session) -> None:
    first = _claimed(session, started)
    _end(session, first, "parked")

    assert (started.enqueue(1).id, started.enqueue(1).state) == (first, "duplicate")


def test_a_scheduled_one_waits_too(session: Session) -> None:
    first = started.using(wait="1h").enqueue(1)

    assert started.enqueue(1).id == first.id
    placed.claim(session, 1)


@pytest.mark.parametrize("outcome", ["released", "retried", "snoozed", "parked"])
def test_until_finished_counts_while_it_runs_and_is_tried_again(
    session: Session, outcome: str
) -> None:
    first = _claimed(session, finished)
    assert finished.enqueue(1).id == first
    _end(session, first, outcome, wait_s=0 if outcome == "parked" else 30)

    assert (finished.enqueue(1).id, finished.enqueue(1).state) == (first, "duplicate")


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("outcome", ["finished", "failed", "discarded"])
def test_until_finished_is_over_at_the_end(
    session: Session, outcome: str, *, keep: bool
) -> None:
    first = _claimed(session, finished)
    _end(session, first, outcome, keep=keep)

    assert finished.enqueue(1).state == "ready"
    assert finished.enqueue(1).state == "duplicate"


def test_a_discarded_job_frees_its_unique_key(session: Session) -> None:
    for made in (started, finished):
        first = made.enqueue(1)
        discards.discard(first.id or 0, session=session)

        assert made.enqueue(1).state == "ready"


def test_within_counts_whatever_has_become_of_it(session: Session, rows: Rows) -> None:
    first = _claimed(session, hourly)
    _end(session, first, "finished", keep=False)

    assert rows("SELECT count(*) FROM jobsd.jobs") == [0]
    assert (hourly.enqueue(1).id, hourly.enqueue(1).state) == (first, "duplicate")

    rows("UPDATE jobsd.unique_jobs SET ends_at = now() RETURNING 1")
    second = hourly.enqueue(1)
    assert second.state == "ready"
    # It begins a period of its own.
    assert (hourly.enqueue(1).id, hourly.enqueue(1).state) == (second.id, "duplicate")
    assert rows("SELECT ends_at > now() + interval '50 min' FROM jobsd.unique_jobs") == [True]


def test_raise_names_the_job_of_the_key(rows: Rows) -> None:
    first = strict.enqueue(1)

    with pytest.raises(
        DuplicateError, match=f"job {first.id} has its unique key 'q.strict/1'"
    ) as reported:
        strict.enqueue(1)
    assert reported.value.job_id == first.id
    with pytest.raises(DuplicateError):
        enqueue_many([plain.with_args(1), strict.with_args(2), strict.with_args(1)])
    assert rows("SELECT id FROM jobsd.jobs") == [first.id]


def test_a_caller_goes_on_after_a_refusal(target: Target) -> None:
    strict.enqueue(1)
    with psycopg.connect(target.url) as mine:
        with pytest.raises(DuplicateError):
            strict.using(connection=mine).enqueue(1)
        assert strict.using(connection=mine).enqueue(2).state == "ready"
    assert strict.using(unique_key=3).enqueue(2).state == "ready"


def test_what_waits_is_replaced(rows: Rows) -> None:
    first = latest.using(wait=30, priority=4).enqueue(1, "old")
    again = latest.using(wait=60, queue="mail").enqueue(1, "new")

    assert (again.id, again.state) == (first.id, "scheduled")
    assert rows("SELECT arguments ->> 1, queue_name, priority FROM jobsd.jobs") == [
        ("new", "mail", 0)
    ]
    query = (
        "SELECT queue_name, scheduled_at > now() + interval '50 s'"
        " FROM jobsd.scheduled_executions"
    )
    assert rows(query) == [("mail", True)]
    assert latest.enqueue(1, "now").state == "ready"
    assert rows("SELECT count(*) FROM jobsd.scheduled_executions") == [0]
    assert rows("SELECT queue_name, position > job_id FROM jobsd.ready_executions") == [
        ("default", True)
    ]


def test_a_ready_job_keeps_its_position_when_it_is_replaced(rows: Rows) -> None:
    first, _ = latest.enqueue(1), latest.enqueue(2)
    latest.enqueue(1, "new")

    assert rows("SELECT position FROM jobsd.ready_executions ORDER BY 1 LIMIT 1") == [first.id]


def test_a_debounce_has_an_end(rows: Rows) -> None:
    latest.using(wait="50m").enqueue(1)
    rows("UPDATE jobsd.jobs SET created_at = now() - interval '30 min' RETURNING 1")
    latest.using(wait="50m").enqueue(1)

    query = "SELECT extract(epoch FROM scheduled_at - now())::int / 60 FROM jobsd.jobs"
    assert rows(query)[0] in {29, 30}
    rows("UPDATE jobsd.jobs SET created_at = now() - interval '2 h' RETURNING 1")
    assert latest.using(wait="50m").enqueue(1).state == "ready"


def test_a_claimed_job_is_not_replaced(session: Session, rows: Rows) -> None:
    first = _claimed(session, latest)
    second = latest.enqueue(1, "new")

    assert second.state == "ready"
    assert second.id != first
    assert rows("SELECT count(*) FROM jobsd.jobs") == [2]


def test_many_are_decided_about_together(rows: Rows) -> None:
    first = finished.enqueue(1)
    one, other, third, fourth, fifth = enqueue_many(
        [
            finished.with_args(1),
            plain.with_args(5),
            finished.with_args(2),
            finished.with_args(2),
            started.using(wait=30).with_args(2),
        ]
    )

    states = [each.state for each in (one, other, third, fourth, fifth)]
    assert states == ["duplicate", "ready", "ready", "duplicate", "scheduled"]
    assert (one.id, fourth.id) == (first.id, third.id)
    assert (other.id or 0) < (third.id or 0) < (fifth.id or 0)
    assert rows("SELECT count(*) FROM jobsd.jobs") == [4]


def test_of_many_duplicates_none_takes_an_id_of_a_transaction(rows: Rows) -> None:
    enqueue_many(finished.with_args(number) for number in range(100))
    (before,) = rows("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")

    found = enqueue_many(finished.with_args(number) for number in range(100))

    assert found.duplicates == 100
    (after,) = rows("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    # The tables of others lie in the same server.
    assert after - before < 100


def test_many_replace_too(rows: Rows) -> None:
    first = latest.enqueue(1, "old")
    (again, once_more) = enqueue_many(
        [latest.with_args(1, "new"), latest.with_args(1, "newest")]
    )

    assert first.id == again.id == once_more.id
    assert rows("SELECT arguments ->> 1 FROM jobsd.jobs") == ["newest"]


def test_one_enqueue_may_have_a_key_of_its_own() -> None:
    first = finished.using(unique_key=("day", 7)).enqueue(1)

    assert finished.using(unique_key=("day", 7)).enqueue(2).id == first.id
    assert finished.enqueue(1).state == "ready"
    loose = plain.using(unique_key="once").enqueue(1)
    assert plain.using(unique_key="once").enqueue(2).id == loose.id
    assert plain.enqueue(3).state == "ready"


def test_classes_of_a_group_share_their_keys() -> None:
    ours = Unique(key="n", group="g")
    one = job(name="q.one", unique=ours)(_do)
    two = job(name="q.two", unique=ours)(_do)

    assert one.enqueue(1).id == two.enqueue(1).id


def test_a_failed_job_with_a_taken_unique_key_is_not_retried(
    session: Session, rows: Rows
) -> None:
    first = finished.enqueue(1)
    placed.fail(session, first.id or 0)
    second = finished.enqueue(1)
    assert second.state == "ready"
    taken = f"SELECT present FROM jobsd.retake_unique(ARRAY[{first.id}]::bigint[])"
    assert rows(taken) == [second.id]

    with pytest.raises(RefusedError, match=f"job {second.id} has its unique key"):
        retries.retry(first.id or 0, session=session)
    assert retries.retry_all(session=session) == 0
    discards.discard(second.id or 0, session=session)
    assert retries.retry(first.id or 0, session=session) == "ready"
    assert finished.enqueue(1).id == first.id


def test_of_several_failed_ones_of_a_key_the_first_is_retried(session: Session) -> None:
    ids: list[int] = []
    for _ in range(3):
        ids.append(finished.enqueue(1).id or 0)
        placed.fail(session, ids[-1])

    assert list(retries.batches(session, ids)) == [[ids[0]]]


def test_keys_that_no_job_needs_are_forgotten(session: Session, rows: Rows) -> None:
    _end(session, _claimed(session, finished, 1), "finished")
    _end(session, _claimed(session, finished, 2), "failed")
    _end(session, _claimed(session, started, 3), "released")
    _claimed(session, started, 4)
    started.enqueue(5)
    hourly.enqueue(6)

    assert sum(unique.forget(session)) == 2
    assert rows("SELECT key FROM jobsd.unique_jobs ORDER BY 1") == [
        "q.finished/2", "q.hourly/6", "q.started/4", "q.started/5",
    ]  # fmt: skip


def test_a_timedelta_is_stored_as_the_duration(rows: Rows) -> None:
    job(name="q.d", unique=Unique(until=None, within=timedelta(days=2)))(lambda: None).enqueue()

    query = "SELECT extract(epoch FROM ends_at - now())::int / 3600 FROM jobsd.unique_jobs"
    assert rows(query)[0] in {47, 48}


def test_events_report_the_outcome_of_an_enqueue(events: Callable[[], list[str]]) -> None:
    for made in (finished, latest):
        made.enqueue(1)
        made.enqueue(1)
    enqueue_many([finished.with_args(1)])

    assert events() == [
        "job.enqueued", "job.duplicate", "job.enqueued", "job.replaced",
        "jobs.enqueued", "jobs.duplicate",
    ]  # fmt: skip


@pytest.fixture
def events(recorder: EventRecorder) -> Any:
    emitted = recorder.events()
    return lambda: names(emitted)
