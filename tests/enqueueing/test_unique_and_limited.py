"""Jobs that are unique and have a limit: one decision counts nothing that the other dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from enqueueing.drivers import ANY_DRIVER, in_session
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import DuplicateError
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session as OrmSession

    from jobsd.database.connection import Session, Target
    from jobsd.jobs.draft import EnqueuedJob
    from rows import Rows

_BOTH = Limit(group="both", key="all")
_PICKY = Limit(key="k", on_conflict="discard")


@job(name="b.picky", unique=Unique(key="n", until=None, within="1h"), limits_concurrency=_PICKY)
def picky(n: int, k: str) -> None: ...


@job(
    name="b.refused",
    unique=Unique(key="n", until=None, within="1h", on_conflict="raise"),
    limits_concurrency=_PICKY,
)
def refused(n: int, k: str) -> None: ...


@job(name="b.limited", unique=Unique(key="n"), limits_concurrency=_BOTH)
def limited(n: int) -> None: ...


@job(
    name="b.debounced",
    unique=Unique(key="n", until="started", on_conflict="replace"),
    limits_concurrency=_BOTH,
)
def debounced(n: int) -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")

_DEBOUNCE = """
SELECT jobsd.enqueue(
    'b.debounced', '[1]', wait => make_interval(secs => %(wait)s), queue => %(queue)s,
    priority => %(priority)s, concurrency_key => 'both/all',
    unique_key => 'b.debounced/1', unique_until => 'started', unique_on_conflict => 'replace'
)
"""


def test_a_job_that_its_limit_discards_has_no_key(rows: Rows) -> None:
    assert picky.enqueue(1, "k").state == "ready"
    assert picky.enqueue(2, "k").state == "discarded"
    assert enqueue_many([picky.with_args(3, "k")])[0].state == "discarded"

    assert rows("SELECT key FROM jobsd.unique_jobs") == ["b.picky/1"]


def test_blocked_jobs_do_not_wait_behind_a_dropped_duplicate(
    session: Session, rows: Rows
) -> None:
    first = limited.enqueue(1)
    placed.claim(session, 1, first.id or 0)
    enqueue_many([limited.with_args(1), limited.with_args(2)])

    assert rows("SELECT count(*) FROM jobsd.blocked_executions WHERE position > 0") == [1]


@pytest.mark.parametrize("sql", [False, True], ids=["Python", "SQL"])
@pytest.mark.parametrize("how", [{"wait": 3600}, {"queue": "elsewhere"}, {"priority": 50}])
def test_blocked_jobs_do_not_wait_behind_a_replaced_job(
    target: Target, rows: Rows, how: dict[str, Any], *, sql: bool
) -> None:
    """The job that a debounce puts off was the one of its key that workers meet."""
    first, second, _ = enqueue_many(
        [debounced.with_args(1), limited.with_args(2), limited.with_args(3)]
    )
    assert rows("SELECT job_id FROM jobsd.blocked_executions WHERE position > 0") == [first.id]

    if sql:
        with psycopg.connect(target.url) as mine:
            mine.execute(_DEBOUNCE, {"wait": None, "queue": None, "priority": None, **how})
    else:
        debounced.using(**how).enqueue(1)

    query = "SELECT position > 0 FROM jobsd.blocked_executions WHERE job_id = %s"
    assert rows(query, second.id) == [True]
    assert rows("SELECT count(*) FROM jobsd.jobs") == [3]


def _same_three() -> list[Any]:
    return [picky.with_args(1, "full"), picky.with_args(1, "free"), picky.with_args(1, "more")]


def _check_same_three(stored: Sequence[EnqueuedJob]) -> None:
    assert [each.state for each in stored] == ["discarded", "ready", "duplicate"]
    assert stored[1].id == stored[2].id


def test_a_job_dropped_by_its_limit_makes_no_job_a_duplicate(rows: Rows) -> None:
    """In a bulk all keys are taken before limits decide: what is dropped gives its key back."""
    picky.enqueue(9, "full")
    stored = enqueue_many(_same_three())

    _check_same_three(stored)
    assert rows("SELECT id FROM jobsd.jobs WHERE arguments -> 0 = '1'") == [stored[1].id]


@ANY_DRIVER
def test_in_a_callers_bulk_a_dropped_job_makes_no_job_a_duplicate(
    driver: str, target: Target, rows: Rows
) -> None:
    picky.enqueue(9, "full")

    def work(orm: OrmSession) -> None:
        _check_same_three(enqueue_many(_same_three(), connection=orm))
        orm.commit()

    in_session(driver, target, work)

    assert rows("SELECT count(*) FROM jobsd.jobs WHERE arguments -> 0 = '1'") == [1]


def test_a_job_dropped_by_its_limit_raises_for_no_other() -> None:
    refused.enqueue(9, "full")
    stored = enqueue_many([refused.with_args(1, "full"), refused.with_args(1, "free")])

    assert [each.state for each in stored] == ["discarded", "ready"]
    with pytest.raises(DuplicateError):
        enqueue_many([refused.with_args(2, "other"), refused.with_args(1, "free")])
