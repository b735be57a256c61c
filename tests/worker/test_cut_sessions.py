"""A worker whose session ends at any of its statements loses no job, and reports each once."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from cut_sessions import HOW, RECOVERS_S, cutting, points
from harness.event_recorder import Emitted, EventRecorder, names
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Discard, Retry, Snooze
from jobsd.processes.process import WAITED_OUT
from jobsd.supervisor.recovery.claims import recover
from waiting import wait_until

from .bodies import noted
from .dead_processes import dead_process

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from rows import Rows

    from .conftest import Driven, MakeWorker


EVERY = [
    pytest.param(11, id="every eleventh"),
    pytest.param(1, id="each", marks=pytest.mark.long),
]


@job(max_attempts=2, result_ttl="1h")
def end_by(how: str) -> None:
    """End as is wished; a retry succeeds."""
    attempt = current_job().attempt
    noted.append((how, attempt))
    if attempt == 2 or (how == "snooze" and noted.count((how, 1)) > 1):
        return
    match how:
        case "fail":
            raise Discard(how)
        case "retry":
            raise Retry(after=0)
        case "snooze":
            raise Snooze(0)
        case _:
            pass


@job(limits_concurrency=Limit(to=1, key="k"))
def end_in_turn(n: int) -> None:
    """Hold the only slot."""
    noted.append((n, 1))


JOBS = [
    *(end_by.with_args(how) for how in ("finish", "fail", "retry", "snooze", "finish too")),
    *(end_in_turn.with_args(n) for n in range(3)),
]
RAN = Counter(
    [
        *(("finish", 1), ("finish too", 1), ("fail", 1), ("retry", 1), ("retry", 2)),
        *(("snooze", 1), ("snooze", 1), (0, 1), (1, 1), (2, 1)),
    ]
)
REPORTED = Counter({"job.finished": 7, "job.discarded": 1, "job.retried": 1, "job.snoozed": 1})
LEFT = """
SELECT
    (SELECT count(*) FROM jobsd.jobs WHERE outcome IS NULL),
    (SELECT count(*) FROM jobsd.claims),
    (SELECT count(*) FROM jobsd.all_ready_executions),
    (SELECT count(*) FROM jobsd.scheduled_executions),
    (SELECT count(*) FROM jobsd.blocked_executions)
"""


@pytest.fixture
def reported(recorder: EventRecorder) -> Emitted:
    """The ends that were reported."""
    return recorder.events(*REPORTED)


@pytest.mark.failure(
    "The session of a worker ends at any of its statements, before it is done, or behind that.",
    "The worker connects anew: no job is lost, each runs once, and is reported once.",
)
@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("how", HOW)
def test_a_session_that_ends_anywhere_costs_no_job_and_no_event(  # noqa: PLR0917 - a case
    how: str,
    every: int,
    target: Target,
    make_worker: MakeWorker,
    rows: Rows,
    reported: Emitted,
) -> None:
    with cutting(target) as (way, led):
        for at in points(way, every, how):
            _begin(rows, reported)
            driven = make_worker(target=led, threads=3, connects=False)
            _end_all(driven, rows)

            assert Counter(noted) == RAN, (how, at)
            assert Counter(names(reported)) == REPORTED, (how, at)


@pytest.mark.failure(
    "A worker is killed amid any of its statements.",
    "Its successor runs what it left; every job ends, and no slot stays taken.",
)
@pytest.mark.parametrize("every", EVERY)
def test_a_worker_that_is_killed_anywhere_leaves_every_job_to_others(  # noqa: PLR0917
    every: int,
    target: Target,
    session: Session,
    make_worker: MakeWorker,
    rows: Rows,
    reported: Emitted,
) -> None:
    with cutting(target) as (way, led):
        for at in points(way, every, "unheard"):
            _begin(rows, reported)
            driven = make_worker(target=led, threads=3, connects=False)
            try:
                driven.worker.connect()
                _rounds(driven, rows)
            except WAITED_OUT:
                if rows("SELECT id FROM jobsd.processes"):
                    recover(session, dead_process(session, threads=3, release=True))
                    rows("DELETE FROM jobsd.processes RETURNING 1")
                driven = make_worker("successor", threads=3)
                _rounds(driven, rows)
            _end_all(driven, rows)

            # Who was killed may have run a job without being able to record it.
            assert Counter(noted) >= RAN, at


def _begin(rows: Rows, reported: Emitted) -> None:
    rows("DELETE FROM jobsd.jobs RETURNING 1")
    rows("DELETE FROM jobsd.attempts RETURNING 1")
    noted.clear()
    reported.clear()
    enqueue_many(JOBS)


def _rounds(driven: Driven, rows: Rows) -> None:
    driven.until(lambda: set(rows(LEFT)[0]) == {0}, RECOVERS_S)


def _end_all(driven: Driven, rows: Rows) -> None:
    """Do as `run` does until all jobs have ended, and a few rounds more; then end."""
    connected = driven.worker.session.connected

    def has_ended() -> bool:
        nonlocal connected
        try:
            if not connected:
                driven.worker.connect()
                connected = True
            _rounds(driven, rows)
            for _ in range(3):
                driven.worker.poll()
            driven.worker.stop()
            driven.until(lambda: driven.worker.stopped)
        except WAITED_OUT:
            driven.worker.disconnect()
            connected = False
            return False
        return True

    wait_until(has_ended, RECOVERS_S)
    with contextlib.suppress(*WAITED_OUT):
        driven.worker.farewell()
    driven.worker.disconnect()
    driven.context.entry.free()
