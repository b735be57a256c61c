"""Jobs become ready when they are due, each once, in batches."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.acts import everything
from jobsd.database import listener
from jobsd.database.connection import Session as Listening
from jobsd.jobs.definition import job
from jobsd.processes.process import REST_MAX_S
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from jobsd.dispatcher.dispatcher import Dispatcher

    from .conftest import Make


@job
def later() -> None: ...


def _schedule(session: Session, count: int, due: str) -> None:
    session.connection.execute(
        "WITH job AS (INSERT INTO jobsd.jobs (queue_name, class_name, scheduled_at)"
        f" SELECT 'q', 'x', now() + interval '{due}' FROM generate_series(1, {count})"
        " RETURNING id, scheduled_at) INSERT INTO jobsd.scheduled_executions"
        " SELECT id, scheduled_at, 0, 'q' FROM job".encode()
    )


def _count(session: Session, table: str) -> int:
    row = session.connection.execute(f"SELECT count(*) FROM jobsd.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def _ids(session: Session, table: str) -> list[int]:
    query = f"SELECT job_id FROM jobsd.{table}".encode()
    return [row[0] for row in session.connection.execute(query).fetchall()]


def _left_s(session: Session) -> float:
    row = session.connection.execute(
        "SELECT extract(epoch FROM min(scheduled_at) - clock_timestamp())::float8"
        " FROM jobsd.scheduled_executions"
    ).fetchone()
    assert row is not None
    return float(row[0])


def test_due_jobs_become_ready_and_the_others_wait(make: Make, session: Session) -> None:
    _schedule(session, 3, "-1 second")
    _schedule(session, 2, "1 hour")
    dispatcher, _ = make()

    dispatcher.poll()

    assert (_count(session, "ready_executions"), _count(session, "scheduled_executions")) == (
        3,
        2,
    )


@pytest.mark.behaviour(52)
def test_a_backlog_goes_in_batches_without_a_pause(make: Make, session: Session) -> None:
    _schedule(session, 25, "-1 second")
    dispatcher, _ = make(batch_size=10)

    rests = [dispatcher.poll() for _ in range(4)]

    assert (rests[:3], rests[3] > 1) == ([0, 0, 0], True)
    assert _count(session, "ready_executions") == 25


def test_a_dispatched_job_gets_a_new_position_behind_ready_jobs(
    make: Make, session: Session
) -> None:
    _schedule(session, 1, "-1 second")
    ready = later.enqueue()
    dispatcher, _ = make()

    dispatcher.poll()

    assert _count(session, f"ready_executions WHERE position > {ready.id}") == 1


@pytest.mark.behaviour(53)
def test_several_dispatchers_share_the_work_and_double_nothing(
    make: Make, session: Session
) -> None:
    _schedule(session, 2000, "-1 second")
    dispatchers = [make(batch_size=50)[0] for _ in range(3)]

    def run(dispatcher: Dispatcher) -> None:
        while dispatcher.poll() == 0:
            continue

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, dispatchers))

    assert (_count(session, "ready_executions"), _count(session, "scheduled_executions")) == (
        2000,
        0,
    )


def test_a_locked_job_holds_up_no_other(make: Make, session: Session, target: Target) -> None:
    _schedule(session, 3, "-1 second")
    dispatcher, _ = make()

    with psycopg.connect(target.url) as other:
        first = "SELECT FROM jobsd.scheduled_executions ORDER BY job_id LIMIT 1 FOR UPDATE"
        other.execute(first)
        dispatcher.poll()

        assert _count(session, "ready_executions") == 2


def test_the_job_due_first_becomes_ready_first(make: Make, session: Session) -> None:
    for due in ("-1 second", "-3 seconds", "-2 seconds"):
        _schedule(session, 1, due)
    in_order = _ids(session, "scheduled_executions ORDER BY scheduled_at")
    dispatcher, _ = make()

    dispatcher.poll()

    assert _ids(session, "ready_executions ORDER BY position") == in_order


def test_the_first_batch_of_a_backlog_takes_the_jobs_due_first(
    make: Make, session: Session
) -> None:
    for seconds in (1, 6, 3, 5, 2, 4):
        _schedule(session, 1, f"-{seconds} seconds")
    in_order = _ids(session, "scheduled_executions ORDER BY scheduled_at")
    dispatcher, _ = make(batch_size=2)

    batches = [
        (dispatcher.poll(), _ids(session, "ready_executions ORDER BY position"))[1]
        for _ in range(3)
    ]

    assert batches == [in_order[:2], in_order[:4], in_order]


def test_a_sleeping_worker_is_woken_by_dispatched_jobs(
    make: Make, session: Session, target: Target
) -> None:
    _schedule(session, 3, "-1 second")
    dispatcher, _ = make()
    with contextlib.closing(Listening(target, "listener", listen=True)) as listener:
        _ = listener.connection
        session.connection.execute("INSERT INTO jobsd.sleepers VALUES (1, 'worker')")

        dispatcher.poll()

        listener.connection.execute("SELECT 1")
        assert listener.notifications() == ["ready q"]


def test_a_sleeping_worker_is_woken_by_a_dispatched_limited_job(
    make: Make, session: Session, target: Target
) -> None:
    _schedule(session, 1, "-1 second")
    session.connection.execute(
        "UPDATE jobsd.jobs SET concurrency_key = 'k', on_conflict = 'block'"
    )
    session.connection.execute("UPDATE jobsd.scheduled_executions SET concurrency_key = 'k'")
    dispatcher, _ = make()
    with contextlib.closing(Listening(target, "listener", listen=True)) as listener:
        _ = listener.connection
        session.connection.execute("INSERT INTO jobsd.sleepers VALUES (1, 'worker')")

        dispatcher.poll()

        listener.connection.execute("SELECT 1")
        assert listener.notifications() == ["limited q"]


def test_it_rests_until_the_next_job_is_due(make: Make, session: Session) -> None:
    _schedule(session, 1, "4 seconds")
    dispatcher, _ = make()
    left_s = _left_s(session)

    rest_s = dispatcher.poll()

    assert _left_s(session) <= rest_s <= left_s


@pytest.mark.behaviour(52)
def test_enqueueing_an_earlier_scheduled_job_wakes_the_dispatcher(
    make: Make, session: Session
) -> None:
    dispatcher, context = make()
    dispatcher.poll()
    socket = dispatcher.socket()
    assert socket is not None

    later.using(wait=0.2).enqueue()

    assert context.nap.take(5, [socket])
    assert dispatcher.poll() <= 0.2
    wait_until(
        lambda: _count(session, "ready_executions"),
        between=lambda: context.nap.take(dispatcher.poll()),
    )


def test_a_job_that_is_ready_wakes_no_dispatcher(make: Make, session: Session) -> None:
    dispatcher, context = make()
    dispatcher.poll()
    session.connection.execute(
        "INSERT INTO jobsd.sleepers (process_id, kind)"
        " SELECT process_id + 1, 'worker' FROM jobsd.sleepers"
    )

    later.enqueue()
    later.using(wait=0.2).enqueue()

    socket = dispatcher.socket()
    assert socket is not None
    assert context.nap.take(30, [socket])
    assert dispatcher.session.notifications() == ["due"]


@pytest.mark.failure(
    "The server crashes, or a standby takes over, behind a pooler: only the listener breaks,"
    " and the table of idle registrations is empty.",
    "The dispatcher registers as idle again, and is woken as before.",
)
@pytest.mark.parametrize("reconnects_after_s", [0.1, 0.0])
def test_it_registers_again_as_idle_once_its_listener_was_broken(
    make: Make,
    session: Session,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
    reconnects_after_s: float,
) -> None:
    """By the next poll another one may listen already: of one that stood still, it does."""
    monkeypatch.setattr(listener, "RECONNECT_AFTER_S", reconnects_after_s)
    dispatcher, _ = make(listen_url=target.url)
    dispatcher.poll()
    session.connection.execute(
        "WITH emptied AS (DELETE FROM jobsd.sleepers)"
        " SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name LIKE '%wake-ups' AND datname = current_database()"
    )

    def says_so() -> bool:
        dispatcher.poll()
        return session.connection.execute("SELECT FROM jobsd.sleepers").rowcount == 1

    wait_until(says_so)


def test_a_job_that_is_due_before_it_polls_by_itself_wakes_it(make: Make) -> None:
    dispatcher, context = make()
    dispatcher.poll()
    socket = dispatcher.socket()
    assert socket is not None

    later.using(wait=4).enqueue()

    assert context.nap.take(30, [socket])


def test_a_job_far_ahead_does_not_wake_the_dispatcher(make: Make) -> None:
    dispatcher, context = make()
    dispatcher.poll()
    socket = dispatcher.socket()
    assert socket is not None

    later.using(wait="1h").enqueue()

    assert not context.nap.take(0.1, [socket])


def test_without_wakeups_the_polling_interval_is_its_rhythm(make: Make) -> None:
    dispatcher, _ = make(wakeups="off")

    assert (dispatcher.poll(), dispatcher.socket()) == (1, None)


def test_a_job_scheduled_at_infinity_stops_no_dispatcher(make: Make, session: Session) -> None:
    later.using(wait=60).enqueue()
    session.connection.execute(
        "UPDATE jobsd.scheduled_executions SET scheduled_at = 'infinity'"
    )
    dispatcher, _ = make()

    assert 0 < dispatcher.poll() <= 5


def test_a_dispatcher_leaves_due_jobs_while_everything_is_paused(
    make: Make, session: Session
) -> None:
    everything.pause(session)
    _schedule(session, 3, "-1 second")
    dispatcher, context = make()

    rest_s = dispatcher.poll()
    left = _count(session, "scheduled_executions")
    context.scoreboard.everything_paused = 0
    dispatcher.poll()

    assert (rest_s, left, _count(session, "ready_executions")) == (REST_MAX_S, 3, 3)
