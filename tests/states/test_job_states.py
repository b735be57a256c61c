"""In SQL, each job has its state, and failed and waiting ones can be retried and discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from harness.job_rows import assert_job_is, assert_only_job_is, places
from jobsd.job_states import STATES
from jobsd.jobs.definition import job
from jobsd.jobs.unique import Unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target
    from rows import Rows


@job(name="v.only", unique=Unique(key="n"))
def only(n: int) -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


def _one_of_each(session: Session, rows: Rows) -> dict[str, int]:
    made = {
        state: placed.enqueue() for state in STATES if state not in {"scheduled", "blocked"}
    }
    made["scheduled"] = placed.enqueue(wait="1h")
    made["blocked"] = placed.enqueue(key="full")
    placed.block(session, made["blocked"])
    placed.claim(session, 1, made["claimed"])
    placed.fail(session, made["failed"])
    for outcome in ("finished", "discarded"):
        rows("DELETE FROM jobsd.ready_executions WHERE job_id = %s", made[outcome])
        rows("UPDATE jobsd.jobs SET outcome = %s WHERE id = %s", outcome, made[outcome])
    rows("DELETE FROM jobsd.ready_executions WHERE job_id = %s", made["lost"])
    return made


def test_each_job_has_its_state_once(session: Session, rows: Rows) -> None:
    made = _one_of_each(session, rows)

    found = rows("SELECT state, id FROM jobsd.job_states")
    assert sorted(found) == sorted(made.items())


def test_a_limited_job_that_may_be_claimed_is_ready(rows: Rows) -> None:
    job_id = placed.enqueue(key="free")

    assert rows("SELECT state FROM jobsd.job_states WHERE id = %s", job_id) == ["ready"]


@pytest.mark.parametrize(
    ("state", "table"),
    [("failed", "failed_executions"), ("scheduled", "scheduled_executions")],
)
def test_a_state_reads_its_small_table_alone(
    session: Session, rows: Rows, state: str, table: str
) -> None:
    _one_of_each(session, rows)
    (plan,) = rows(
        f"EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM jobsd.job_states WHERE state = '{state}'"
    )

    read = {name for name in _read(plan[0]["Plan"]) if name != "jobs"}
    assert read == {table}


def _read(node: dict[str, Any]) -> Iterator[str]:
    """Yield the tables that are read: PostgreSQL 15 plans a part that it never executes."""
    if "Relation Name" in node and node["Actual Loops"]:
        yield node["Relation Name"]
    for child in node.get("Plans", []):
        yield from _read(child)


def test_a_failed_job_is_retried(session: Session, rows: Rows) -> None:
    job_id, limited = placed.enqueue(), placed.enqueue(key="k")
    placed.fail(session, job_id, limited)

    assert rows("SELECT jobsd.retry(%s), jobsd.retry(%s)", job_id, limited) == [
        ("ready", "ready")
    ]
    assert places(session) == {job_id: "ready", limited: "ready"}
    assert rows("SELECT DISTINCT attempts FROM jobsd.jobs") == [0]


@pytest.mark.parametrize("state", ["ready", "scheduled", "blocked", "failed"])
def test_what_waits_or_failed_is_discarded(session: Session, rows: Rows, state: str) -> None:
    job_id = _one_of_each(session, rows)[state]

    assert rows("SELECT jobsd.discard(%s)", job_id) == [state]
    assert_job_is(session, job_id, "discarded")


def test_a_discard_may_keep_nothing_and_hands_its_turn_over(
    session: Session, rows: Rows
) -> None:
    first, second = placed.enqueue(key="k"), placed.enqueue(key="k")
    placed.block(session, second)

    assert rows("SELECT jobsd.discard(%s, keep => false)", first) == ["ready"]
    assert_only_job_is(session, second, "ready")
    assert rows("SELECT id FROM jobsd.jobs") == [second]


@pytest.mark.parametrize(
    ("act", "state", "reported"),
    [
        ("retry", "ready", "is ready"),
        ("retry", "finished", "is finished"),
        ("discard", "claimed", "is claimed"),
        ("discard", "discarded", "is discarded"),
    ],
)
def test_an_impossible_act_is_refused(
    session: Session, rows: Rows, act: str, state: str, reported: str
) -> None:
    job_id = _one_of_each(session, rows)[state]

    wrong = psycopg.errors.ObjectNotInPrerequisiteState
    with pytest.raises(wrong, match=f"{act}: job {job_id} {reported}"):
        rows(f"SELECT jobsd.{act}(%s)", job_id)


@pytest.mark.parametrize("act", ["retry", "discard"])
def test_an_unknown_job_is_none(rows: Rows, act: str) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match=f"{act}: there is no job 4711"):
        rows(f"SELECT jobsd.{act}(4711)")


def test_a_unique_job_with_a_taken_key_is_not_retried(session: Session, rows: Rows) -> None:
    first = only.enqueue(1)
    placed.fail(session, first.id or 0)
    second = only.enqueue(1)

    with pytest.raises(psycopg.errors.UniqueViolation, match=f"job {second.id} has the unique"):
        rows("SELECT jobsd.retry(%s)", first.id)


def test_a_locked_job_is_refused_without_waiting(target: Target, rows: Rows) -> None:
    job_id = placed.enqueue()
    with psycopg.connect(target.url) as claiming:
        claiming.execute("SELECT FROM jobsd.ready_executions FOR UPDATE")
        wrong = psycopg.errors.ObjectNotInPrerequisiteState
        with pytest.raises(wrong, match=f"discard: job {job_id} is"):
            rows("SELECT jobsd.discard(%s)", job_id)
