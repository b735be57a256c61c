"""SQL decides about unique jobs as Python does, and refuses what Python refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from enqueueing import placed
from jobsd.jobs.definition import job
from jobsd.jobs.unique import Unique

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows


@job(name="s.finished", unique=Unique(key="n"))
def finished(n: int) -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


def test_sql_does_the_same(rows: Rows, session: Session) -> None:
    first = finished.enqueue(1)
    call = "SELECT jobsd.enqueue('s.finished', '[1]', unique_key => 's.finished/1'"

    assert rows(f"{call})") == [first.id]
    with pytest.raises(psycopg.errors.UniqueViolation, match=f"job {first.id} has"):
        rows(f"{call}, unique_on_conflict => 'raise')")
    placed.claim(session, 1, first.id or 0)
    assert rows(f"{call}, unique_until => NULL, unique_within => '1 h')") == [first.id]
    (second,) = rows(
        "SELECT jobsd.enqueue('q.x', unique_key => 'k', unique_until => 'started')"
    )
    replaced = rows(
        "SELECT jobsd.enqueue('q.x', '[2]', wait => '1 h', unique_key => 'k',"
        " unique_until => 'started', unique_on_conflict => 'replace',"
        " unique_max_wait => '1 min')"
    )
    assert replaced == [second]
    assert rows("SELECT arguments FROM jobsd.jobs WHERE class_name = 'q.x'") == [[2]]
    assert rows(
        "SELECT scheduled_at < now() + interval '2 min' FROM jobsd.scheduled_executions"
    ) == [True]


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ("unique_key => ''", "unique_key: 1 to 1,000 bytes"),
        ("unique_key => 'k', unique_until => 'x'", "unique_until: 'started', 'finished'"),
        (
            "unique_key => 'k', unique_until => 'started', unique_within => '1 h'",
            "unique_within: goes with",
        ),
        ("unique_key => 'k', unique_on_conflict => 'x'", "unique_on_conflict: 'skip'"),
        ("unique_key => 'k', unique_on_conflict => 'replace'", "goes with unique_until"),
        ("unique_key => 'k', unique_max_wait => '1 h'", "unique_max_wait: goes with"),
    ],
)
def test_sql_refuses_the_same(rows: Rows, options: str, reported: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=reported):
        rows(f"SELECT jobsd.enqueue('x', {options})")
