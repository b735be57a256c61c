"""Who may only enqueue, only read, or operate can do that, and all of it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors
from sqlalchemy.orm import Session as OrmSession

from jobsd.acts import discards, queues, retries
from jobsd.database.connection import Session, Target
from jobsd.enqueueing.client import aenqueue_many, enqueue_many
from jobsd.errors import DuplicateError, EnqueueError
from jobsd.operations import audit
from jobsd.recurring import runs, tasks
from jobsd.recurring.definition import define
from security.lesser import LATER, NAMES, dropped, limited, plain, raised, replaced, skipped

if TYPE_CHECKING:
    from rows import Rows
    from security.lesser import Roles

SQL = """
SELECT jobsd.enqueue('sql', '[1]', queue => 'mail', priority => 5, max_attempts => 2);
SELECT jobsd.enqueue('sql', '{"n": 1}', wait_until => '2099-01-01 00:00Z');
SELECT jobsd.enqueue('sql', '[2]', concurrency_key => 'k', concurrency_duration => '1 min');
SELECT jobsd.enqueue('sql', '[3]', concurrency_key => 'd', on_conflict => 'discard');
SELECT jobsd.enqueue('sql', '[4]', concurrency_key => 'd', on_conflict => 'discard');
SELECT jobsd.enqueue('sql', '[5]', unique_key => 'u', expires_in => '1 hour');
SELECT jobsd.enqueue('sql', '[10]', expires_in => '1 hour');
SELECT jobsd.enqueue('sql', '[6]', unique_key => 'u');
SELECT jobsd.enqueue(
    'sql', '[7]', unique_key => 'r', unique_until => 'started', unique_on_conflict => 'replace'
);
SELECT jobsd.enqueue(
    'sql', '[8]', unique_key => 'r', unique_until => 'started', unique_on_conflict => 'replace',
    unique_max_wait => '1 hour'
);
SELECT jobsd.enqueue('sql', '[9]', unique_key => 'w', unique_until => NULL,
    unique_within => '1 hour');
"""


def _enqueue_all(url: str) -> list[object]:
    """Enqueue in every way; return what callers were told."""
    reported: list[object] = [each.enqueue(*args).state for each, args in _one_by_one()]
    with psycopg.connect(url) as caller:
        calls = _one_by_one("c", connection=caller)
        reported += [each.enqueue(*args).state for each, args in calls]
    reported += [each.state for each in enqueue_many(_drafts_of("m"))]
    reported += [each.state for each in enqueue_many(_common_drafts("p"))]
    with psycopg.connect(url) as caller:
        reported += [each.state for each in enqueue_many(_drafts_of("n"), connection=caller)]
        stored = enqueue_many(_common_drafts("q"), connection=caller)
        reported += [each.state for each in stored]
    with psycopg.connect(url, autocommit=True) as caller:
        caller.execute(SQL.encode())
    reported += asyncio.run(_enqueue_all_awaiting())
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with OrmSession(engine) as orm:
        orm.execute(sa.text("SELECT 1"))
        handle = plain.using(after_commit=orm).enqueue("after")
        orm.commit()
    engine.dispose()
    return [*reported, handle.state]


def _drafts_of(mark: str) -> list[Any]:
    """Return jobs of each kind, whose keys are those of this mark alone."""
    return [
        plain.with_args(mark),
        plain.using(wait_until=LATER).with_args(mark),
        plain.using(queue="other", priority=-9).with_args(f"{mark}\u20ac \\ \" '\n\t"),
        limited.with_args(mark),
        limited.with_args(mark),
        limited.using(wait_until=LATER).with_args(mark),
        dropped.with_args(mark),
        skipped.with_args(mark),
        skipped.with_args(mark),
        replaced.using(wait_until=LATER).with_args(mark, 2),
        replaced.with_args(mark, 3),
    ]


def _common_drafts(mark: str) -> list[Any]:
    """Return jobs of which none is unique or may be dropped: they are stored at once."""
    return [
        plain.with_args(f"{mark}1"),
        plain.using(wait_until=LATER).with_args(f"{mark}2"),
        plain.using(queue="other", expires_in="1h").with_args(f"{mark}\u20ac \\ \" '\n\t"),
        limited.using(wait_until=LATER, expires_in="1h").with_args(mark),
        *[limited.using(priority=number % 2).with_args(mark) for number in range(5)],
        *[limited.using(queue="other").with_args(mark) for _ in range(3)],
    ]


def _one_by_one(mark: str = "o", **options: Any) -> list[Any]:
    """Return calls of each kind, given the options of all."""
    calls: list[tuple[Any, dict[str, Any], tuple[object, ...]]] = [
        (plain, {}, (mark,)),
        (plain, {"wait": timedelta(hours=1), "expires_in": "1h"}, (mark,)),
        (limited, {}, (mark,)),
        (dropped, {}, (mark,)),
        (skipped, {}, (mark,)),
        (skipped, {}, (mark,)),
        (replaced, {"wait_until": LATER}, (mark, 2)),
        (replaced, {}, (mark, 3)),
    ]
    return [(kind.using(**(own | options)), args) for kind, own, args in calls]


async def _enqueue_all_awaiting() -> list[object]:
    reported = [(await each.aenqueue(*args)).state for each, args in _one_by_one("a")]
    return [*reported, *(each.state for each in await aenqueue_many(_drafts_of("b")))]


STORED = """
SELECT job.class_name, job.queue_name, job.priority, job.max_attempts, job.retries_crash,
    job.arguments::text, job.concurrency_key, job.concurrency_limit, job.concurrency_duration,
    job.on_conflict, job.unique_key, job.unique_until, job.scheduled_at = '2099-01-01 00:00Z',
    state.state, held.until, job.expires_in, expiration.job_id IS NULL,
    blocked.position IS NULL, blocked.yields
FROM jobsd.jobs AS job
LEFT JOIN jobsd.job_states AS state ON state.id = job.id
LEFT JOIN jobsd.unique_jobs AS held ON held.job_id = job.id
LEFT JOIN jobsd.expirations AS expiration ON expiration.job_id = job.id
LEFT JOIN jobsd.blocked_executions AS blocked ON blocked.job_id = job.id
ORDER BY job.class_name, job.arguments::text, job.queue_name, job.unique_key, state.state,
    job.priority, job.id
"""


def test_an_enqueue_only_role_enqueues_the_same_in_every_way(lesser: Roles, rows: Rows) -> None:
    lesser.become("all")
    reported = _enqueue_all(lesser.urls["all"])
    stored = rows(STORED)
    rows("DELETE FROM jobsd.jobs RETURNING 1")
    for table in ("ready", "scheduled", "blocked"):
        rows(f"DELETE FROM jobsd.{table}_executions RETURNING 1")
    rows("DELETE FROM jobsd.expirations RETURNING 1")
    rows("DELETE FROM jobsd.unique_jobs RETURNING 1")

    lesser.become("enqueue-only")
    reported_lesser = _enqueue_all(lesser.urls["enqueue-only"])

    assert reported_lesser == reported
    assert rows(STORED) == stored
    assert {"ready", "scheduled", "discarded", "duplicate"} <= set(map(str, reported))


def test_a_duplicate_raises_for_an_enqueue_only_role(lesser: Roles) -> None:
    lesser.become("enqueue-only")
    raised.enqueue(1)

    with pytest.raises(DuplicateError):
        raised.enqueue(1)
    with pytest.raises(DuplicateError):
        enqueue_many([plain.with_args(1), raised.with_args(1)])
    query = b"SELECT jobsd.enqueue('x', unique_key => 'k', unique_on_conflict => 'raise')"
    with lesser.connect("enqueue-only") as web:
        web.execute(query)
        with pytest.raises(errors.UniqueViolation):
            web.execute(query)


def test_jobs_rolled_back_were_not_submitted(lesser: Roles, rows: Rows) -> None:
    lesser.become("enqueue-only")
    with psycopg.connect(lesser.urls["enqueue-only"]) as caller:
        plain.using(connection=caller).enqueue(1)
        enqueue_many([plain.with_args(2)], connection=caller)
        caller.rollback()
        mixed: Any = [plain.with_args(3), 4]
        with pytest.raises(EnqueueError, match=r"write job\.with_args"):
            enqueue_many(mixed, connection=caller)
        caller.rollback()

    assert rows("SELECT id FROM jobsd.jobs") == []


def test_a_role_without_any_grants_learns_which_it_lacks(lesser: Roles) -> None:
    lesser.become("outsider")

    with pytest.raises(EnqueueError, match=r"permission denied for table .*db grants ROLE"):
        plain.enqueue(1)
    with pytest.raises(EnqueueError, match=r"permission denied .*db grants ROLE"):
        enqueue_many([plain.with_args(1)])


def test_an_operating_role_does_all_acts_of_operators(lesser: Roles, rows: Rows) -> None:
    lesser.become("all")
    ids = [each.id or 0 for each in map(plain.enqueue, range(4))]
    unique = skipped.enqueue(1).id or 0
    for job_id in (ids[0], unique):
        rows(f"DELETE FROM jobsd.ready_executions WHERE job_id = {job_id} RETURNING 1")
        rows(
            f"INSERT INTO jobsd.failed_executions VALUES ({job_id}, now(), '{{}}') RETURNING 1"
        )
    limited.enqueue(1)
    with contextlib.closing(Session(Target(lesser.urls["all"]), "jobsd test")) as owner:
        nightly = define(
            "nightly", class_name=NAMES.format("plain"), schedule="@daily", args=[1]
        )
        tasks.add(owner, nightly)

    with contextlib.closing(Session(Target(lesser.urls["operate"]), "jobsd test")) as by:
        with audit.acting(by, "retry", f"job {ids[0]}") as act:
            assert retries.retry(ids[0], session=by) == "ready"
            act.add(1)
        assert retries.retry(unique, session=by) == "ready"
        assert discards.discard(ids[1], session=by) == "ready"
        assert discards.discard(ids[2], keep=False, session=by) == "ready"
        queues.pause("mail", session=by)
        queues.resume("mail", session=by)
        assert queues.clear("mail", session=by) == 2
        assert discards.discard_all(class_name=NAMES.format("limited"), session=by) == 1
        runs.run_now(by, tasks.get(by, "nightly"))
        tasks.disable(by, "nightly")
        tasks.enable(by, "nightly")
        with pytest.raises(errors.InsufficientPrivilege):
            by.connection.execute("UPDATE jobsd.jobs SET arguments = '[]'")
        with pytest.raises(errors.InsufficientPrivilege):
            by.connection.execute("UPDATE jobsd.recurring_tasks SET command = 'f()'")

    assert rows("SELECT act, jobs FROM jobsd.audit") == [("retry", 1)]
