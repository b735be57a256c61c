"""A job whose arguments do not fit the code of this worker waits for another worker."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.acts import inspect
from jobsd.database.statements import Statements
from jobsd.dispatcher.due_cursor import HEAD
from jobsd.enqueueing.client import enqueue
from jobsd.jobs.definition import job
from jobsd.jobs.draft import Draft
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique
from jobsd.operations.why import Reason, why
from jobsd.supervisor.recovery.claims import recover
from waiting import wait_until

from .bodies import gate, noted, wait_for_gate
from .dead_processes import dead_process

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import Count, Driven, MakeWorker

LONG_S = 600.0
DISPATCH = Statements("jobsd.dispatcher", "dispatcher.sql")["dispatch"]


@job(name="aside.greet")
def greet(name: str, *, mood: str = "glad") -> None:
    noted.append((name, mood))


@job(name="aside.agreet")
async def agreet(name: str, mood: str = "glad") -> None:
    noted.append((name, mood))


@job(name="aside.again", max_attempts=3, backoff=lambda _: 60)
def greet_again(name: str) -> None:
    raise ValueError(name)


@job(limits_concurrency=Limit(to=1, key="one", group="aside", on_conflict="discard"))
def greet_alone(name: str) -> None:
    noted.append(name)


@job(limits_concurrency=Limit(to=1, key="one", group="aside"))
def wait_alone() -> None:
    wait_for_gate.perform_now()


@job(unique=Unique(until="started"))
def greet_once(name: str = "") -> None:
    noted.append(name)


@pytest.fixture
def worker(make_worker: MakeWorker) -> Driven:
    """A worker that sets jobs aside."""
    return make_worker(unknown_class_after_s=LONG_S)


def _of_another_deploy(
    class_name: str, arguments: str = '["a", "b", "c"]', max_attempts: int = 1
) -> int:
    stored = enqueue(Draft(class_name, "default", 0, arguments, max_attempts=max_attempts))
    assert stored.id is not None
    return stored.id


def _fit(session: Session, arguments: str = '["a"]') -> None:
    """Change the arguments, as if they had come to a worker of their own deploy."""
    session.connection.execute("UPDATE jobsd.jobs SET arguments = %s", (arguments,))


def _make_due(session: Session) -> None:
    session.connection.execute("UPDATE jobsd.scheduled_executions SET scheduled_at = now()")
    session.fetch(DISPATCH, {"limit": 100, **HEAD.parameters()})


@pytest.mark.failure(
    "A job of a newer or older deploy has arguments that its function here does not take.",
    "It is set aside for five seconds at a time, without an attempt, until another worker takes"
    " it; after `unknown_class_after` it fails",
)
@pytest.mark.parametrize("name", ["aside.greet", "aside.agreet"], ids=["thread", "coroutine"])
@pytest.mark.parametrize(
    "arguments", ["[]", '["a", "b", "c"]', '{"name": "a", "colour": "red"}', '{"mood": "sad"}']
)
def test_a_job_with_unfit_arguments_is_set_aside_untouched(
    worker: Driven, count: Count, session: Session, name: str, arguments: str
) -> None:
    _of_another_deploy(name, arguments)
    worker.until(lambda: count("scheduled_executions"))
    worker.until(worker.at_rest)

    assert count("scheduled_executions WHERE scheduled_at - now() BETWEEN '3 s' AND '5 s'") == 1
    assert count("jobs WHERE attempts = 0 AND started_at IS NULL AND outcome IS NULL") == 1
    assert count("attempts") == count("claims") == count("failed_executions") == 0
    _fit(session)
    _make_due(session)
    worker.until(lambda: count("jobs WHERE outcome = 'finished' AND attempts = 1"))
    assert noted == [("a", "glad")]


def test_a_job_that_is_set_aside_reports_its_reason(
    worker: Driven, count: Count, session: Session
) -> None:
    job_id = _of_another_deploy("aside.greet")

    def reasons() -> list[Reason]:
        return why(session, inspect.find(session, job_id), 60.0)

    worker.until(lambda: count("scheduled_executions"))
    first = reasons()[0]
    _make_due(session)
    due = reasons()[0]

    assert (first.reason, due.reason) == ("set_aside", "set_aside")
    assert first.sentence.startswith("it was set aside ")
    assert "its arguments do not fit" in first.sentence
    assert first.details == {"since": inspect.find(session, job_id).set_aside_at}
    _fit(session)
    worker.until(lambda: count("jobs WHERE outcome = 'finished'"))
    assert reasons() == []


@pytest.mark.parametrize("name", ["aside.greet", "aside.agreet"], ids=["thread", "coroutine"])
def test_unfit_arguments_fail_at_once_in_development_and_test(
    make_worker: MakeWorker, count: Count, name: str
) -> None:
    _of_another_deploy(name)

    worker = make_worker()
    worker.until(lambda: count("scheduled_executions") + count("failed_executions"))

    # As a call with them does, by its policy.
    assert count("attempts WHERE error ->> 'type' = 'TypeError'") == 1
    assert count("jobs WHERE attempts = 1") == 1


def test_a_job_is_set_aside_for_unknown_class_after_and_then_fails(
    make_worker: MakeWorker, count: Count, session: Session, rows: Rows
) -> None:
    _of_another_deploy("aside.greet")
    worker = make_worker(unknown_class_after_s=LONG_S)
    worker.until(lambda: count("scheduled_executions"))
    rows(f"UPDATE jobsd.jobs SET set_aside_at = now() - interval '{LONG_S - 60} s'")

    _make_due(session)
    worker.until(lambda: count("scheduled_executions"))
    assert count(f"jobs WHERE set_aside_at < now() - interval '{LONG_S - 70} s'") == 1
    assert count("attempts") == 0

    rows(f"UPDATE jobsd.jobs SET set_aside_at = now() - interval '{LONG_S + 1} s'")
    _make_due(session)
    worker.until(lambda: count("failed_executions"))
    assert count("attempts WHERE error ->> 'type' = 'TypeError'") == 1


def test_a_run_restarts_the_time_of_being_set_aside(
    make_worker: MakeWorker, count: Count, session: Session, rows: Rows
) -> None:
    _of_another_deploy("aside.again", max_attempts=3)
    worker = make_worker(unknown_class_after_s=LONG_S)
    worker.until(lambda: count("scheduled_executions"))
    rows(f"UPDATE jobsd.jobs SET set_aside_at = now() - interval '{LONG_S - 60} s'")

    _fit(session)
    _make_due(session)
    worker.until(lambda: count("jobs WHERE attempts = 1"))
    assert count("jobs WHERE set_aside_at IS NULL") == 1

    _fit(session, '["a", "b"]')
    _make_due(session)
    worker.until(lambda: count("jobs WHERE set_aside_at > now() - interval '1 minute'"))
    assert count("attempts") == count("jobs WHERE attempts = 1") == 1


def test_its_slot_is_free_meanwhile_and_it_is_not_dropped_when_it_comes_back(
    make_worker: MakeWorker, count: Count, session: Session, rows: Rows
) -> None:
    first = greet_alone.enqueue("a")
    rows(f"""UPDATE jobsd.jobs SET arguments = '["a", "b"]' WHERE id = {first.id}""")
    wait_alone.enqueue()
    worker = make_worker(unknown_class_after_s=LONG_S)

    worker.until(lambda: noted == [None] and not worker.worker.ledger.has_unrecorded)
    assert count(f"scheduled_executions WHERE job_id = {first.id}") == 1

    rows(f"""UPDATE jobsd.jobs SET arguments = '["c"]' WHERE id = {first.id}""")
    _make_due(session)
    worker.until(lambda: count("blocked_executions WHERE position IS NULL"))
    gate.set()
    worker.until(lambda: noted == [None, "c"])


def test_its_unique_key_still_counts_until_it_starts(
    make_worker: MakeWorker, count: Count, session: Session, rows: Rows
) -> None:
    first = greet_once.enqueue()
    rows("""UPDATE jobsd.jobs SET arguments = '["a", "b"]'""")
    worker = make_worker(unknown_class_after_s=LONG_S)
    worker.until(lambda: count("scheduled_executions"))

    again = greet_once.enqueue()
    assert again.id == first.id

    _fit(session)
    _make_due(session)
    worker.until(lambda: noted == ["a"])
    worker.until(lambda: not count("claims"))
    assert greet_once.enqueue().id != first.id


def test_each_job_set_aside_has_an_event_and_its_class_one_warning(
    make_worker: MakeWorker, count: Count, recorder: EventRecorder
) -> None:
    emitted = recorder.events("job.")
    ids = [_of_another_deploy("aside.greet") for _ in range(3)]
    worker = make_worker(unknown_class_after_s=LONG_S, slow_after_s=0.0)

    worker.until(lambda: count("scheduled_executions") == 3)
    worker.until(worker.at_rest)

    named = [(name, facts["class_name"]) for name, facts in emitted if name != "job.enqueued"]
    assert sorted(named) == sorted(
        [("job.unfit", "aside.greet"), *[("job.set_aside", "aside.greet")] * 3]
    )
    facts = [facts for name, facts in emitted if name == "job.set_aside"]
    assert sorted(each["job_id"] for each in facts) == ids
    assert {(each["attempt"], each["retry_in"]) for each in facts} == {(1, 5.0)}
    (refused,) = (facts for name, facts in emitted if name == "job.unfit")
    assert "greet() too many positional arguments" in refused["reason"]
    counters = worker.context.entry.queue("default")
    assert counters.outcome("failed") == counters.outcome("retried") == 0


def test_a_worker_that_dies_before_that_is_recorded_has_not_touched_it(
    make_worker: MakeWorker, count: Count, session: Session
) -> None:
    _of_another_deploy("aside.greet")
    _of_another_deploy("aside.agreet")
    worker = make_worker(unknown_class_after_s=LONG_S)
    worker.worker.poll()
    pools = worker.worker.pool, worker.worker.pool
    wait_until(lambda: all(pool.uncollected and not pool.in_hand for pool in pools))
    entry = worker.context.entry

    assert (entry.running(), entry.succeeded(), entry.endings()) == ([], [], [])
    recover(session, dead_process(session))

    assert count("ready_executions") == count("jobs WHERE attempts = 0") == 2
