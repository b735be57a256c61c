"""Failed jobs are counted by class and error when they come and go, and nobody waits for it."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from driven_worker import make_worker, scoreboard
from enqueueing.placed import enqueue, fail
from jobsd.acts import discards, retries
from jobsd.database.connection import Session
from jobsd.jobs.definition import job
from jobsd.operations import failures, queues

if TYPE_CHECKING:
    from driven_worker import MakeWorker
    from jobsd.database.connection import Target
    from rows import Rows

__all__ = ["make_worker", "scoreboard"]

pytestmark = pytest.mark.usefixtures("default_client")
_TYPES = ("KeyError", "ValueError")
_WORDS = ("user 42 is gone", "user 43 is gone", "no route")


@job(queue="mail", max_attempts=1)
def break_down(number: int) -> None:
    raise ValueError(f"user {number} at 0x7f{number} is gone since 12:30:0{number}")


def _truth(rows: Rows) -> Counter[tuple[str, str]]:
    """Count the jobs that are failed now."""
    found = rows(
        "SELECT job.class_name, failed.error ->> 'type' FROM jobsd.failed_executions AS failed"
        " JOIN jobsd.jobs AS job ON job.id = failed.job_id"
    )
    return Counter(map(tuple, found))


def _counted(session: Session) -> Counter[tuple[str, str]]:
    found = failures.groups(session)
    assert all(sum(each["jobs"] for each in row["messages"]) == row["jobs"] for row in found)
    return Counter({(row["class_name"], row["error_type"]): row["jobs"] for row in found})


class _Histories:
    """What can be done to failed jobs, in any order."""

    def __init__(self, session: Session, rows: Rows, seed: int) -> None:
        self.session = session
        self.rows = rows
        self.random = random.Random(seed)  # noqa: S311 - a history

    def step(self) -> None:
        act = self.random.choice(["fail", "fail", "fail", "change", "away", "fold", "by_hand"])
        getattr(self, act)()

    def some(self) -> list[int]:
        ids = self.rows("SELECT job_id FROM jobsd.failed_executions ORDER BY job_id")
        return self.random.sample(ids, min(len(ids), self.random.randint(1, 3)))

    def fail(self) -> None:
        name = self.random.choice(["a", "b"])
        job_id = enqueue(self.random.choice(["mail", "bulk"]), name=name)
        fail(self.session, job_id)
        self.change([job_id])

    def change(self, ids: list[int] | None = None) -> None:
        error = "jsonb_build_object('type', %s::text, 'message', %s::text)"
        update = f"UPDATE jobsd.failed_executions SET error = {error} WHERE job_id = ANY (%s)"
        kind, message = self.random.choice(_TYPES), self.random.choice(_WORDS)
        self.rows(update, kind, message, self.some() if ids is None else ids)

    def away(self) -> None:
        chosen = self.some()
        if self.random.random() < 0.5:
            list(retries.batches(self.session, chosen))
        else:
            keep = self.random.random() < 0.5
            list(discards.batches(self.session, chosen, keep=keep))

    def by_hand(self) -> None:
        act = self.random.choice(["retry", "discard"])
        for job_id in self.some():
            self.rows(f"SELECT jobsd.{act}(%s)", job_id)

    def fold(self) -> None:
        failures.fold(self.session)


@pytest.mark.parametrize("seed", range(6))
def test_the_counts_are_exact_whatever_is_done(session: Session, rows: Rows, seed: int) -> None:
    history = _Histories(session, rows, seed)

    for _ in range(25):
        history.step()
        assert _counted(session) == _truth(rows)

    failures.fold(session)
    assert _counted(session) == _truth(rows)
    assert rows("SELECT count(*) FROM jobsd.failure_counts WHERE NOT folded") == [0]
    assert rows("SELECT count(*) FROM jobsd.failure_counts WHERE jobs <= 0") == [0]


def test_what_fails_in_a_worker_is_one_group_by_what_its_messages_have_in_common(
    session: Session, make_worker: MakeWorker, rows: Rows
) -> None:
    ids = [break_down.enqueue(number).id for number in range(4)]
    driven = make_worker()
    driven.until(lambda: rows("SELECT count(*) FROM jobsd.failed_executions") == [4])

    (found,) = failures.groups(session)

    assert found["jobs"] == 4
    assert found["queue_names"] == ["mail"]
    assert found["last_id"] in ids
    assert found["first_failed_at"] is not None
    (message,) = found["messages"]
    assert message["pattern"] == "user * at * is gone since *"
    assert message["jobs"] == 4
    assert queues.depths(session, 10_001)[0]["mail"]["failed"] == 4


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("no digits at all", "no digits at all"),
        ("row 5 of 1,204.50", "row * of *"),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301 is no order", "* is no order"),
        ("at <Order object at 0x7f3a2b>", "at <Order object at *>"),
        ("until 2026-01-31 12:30:01.5", "until * *"),
        ("a face is no number", "a face is no number"),
        ("x" * 500, "x" * 300),
    ],
)
def test_the_pattern_of_a_message_leaves_out_what_differs(
    rows: Rows, message: str, pattern: str
) -> None:
    assert rows("SELECT jobsd.error_pattern(%s)", message) == [pattern]


def test_identical_failures_in_two_transactions_do_not_wait_for_each_other(
    session: Session, target: Target, rows: Rows
) -> None:
    first, second = enqueue(), enqueue()
    with (
        contextlib.closing(Session(target, "jobsd test")) as other,
        other.connection.transaction(),
    ):
        fail(other, first)
        rows("SET lock_timeout = '100ms'")
        fail(session, second)
        failures.fold(session)
        during = failures.groups(session)[0]["jobs"]
        within = failures.groups(other)[0]["jobs"]
    failures.fold(session)

    assert (during, within) == (1, 2)
    assert failures.groups(session)[0]["jobs"] == 2


def test_two_trees_that_fold_at_once_count_nothing_twice(
    session: Session, target: Target, rows: Rows
) -> None:
    fail(session, *(enqueue() for _ in range(3)))
    with contextlib.closing(Session(target, "jobsd test")) as other:
        with other.connection.transaction():
            failures.fold(other)
            rows("SET lock_timeout = '100ms'")
            fail(session, enqueue())
            failures.fold(session)
        failures.fold(other)

    assert failures.groups(session)[0]["jobs"] == 4
    fail(session, enqueue())
    failures.fold(session)
    assert rows("SELECT jobs FROM jobsd.failure_counts") == [5]


def test_a_failed_job_that_has_gone_is_subtracted_once_its_failure_is_no_longer_locked(
    session: Session, target: Target, rows: Rows
) -> None:
    fail(session, *(enqueue() for _ in range(2)))
    oldest = "SELECT min(id) FROM jobsd.jobs"
    with psycopg.connect(target.url) as holder:
        holder.execute("SELECT FROM jobsd.failure_counts FOR UPDATE")
        rows(f"DELETE FROM jobsd.failed_executions WHERE job_id = ({oldest})")
        failures.fold(session)
        assert rows("SELECT jobs FROM jobsd.failure_counts WHERE folded") == [-1]

    assert failures.groups(session)[0]["jobs"] == 1
    fail(session, enqueue())
    failures.fold(session)
    assert rows("SELECT jobs FROM jobsd.failure_counts") == [2]


def test_a_rolled_back_delete_of_a_failure_is_not_counted(session: Session, rows: Rows) -> None:
    job_id = enqueue()
    fail(session, job_id)

    with pytest.raises(psycopg.errors.RaiseException) as raised:
        rows(
            "DO $$ BEGIN DELETE FROM jobsd.failed_executions; RAISE EXCEPTION 'undone'; END $$"
        )

    assert "undone" in str(raised.value)
    assert failures.groups(session)[0]["jobs"] == 1
