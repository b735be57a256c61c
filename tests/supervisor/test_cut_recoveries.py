"""A recovery whose session ends at any of its statements is done, and reported, once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from cut_sessions import HOW, RECOVERS_S, CutSessions, cutting, points
from harness.event_recorder import Emitted, names
from harness.job_rows import places
from jobsd.database.connection import Session
from jobsd.processes.process import WAITED_OUT
from jobsd.supervisor.recovery.recovery import Recovery
from waiting import wait_until

from .test_recovery_unanswered import WAYS, Dead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Target

TABLES = ("claims", "processes", "ready_executions", "failed_executions", "attempts", "jobs")

_LEFT = "SELECT FROM jobsd.claims"


@pytest.fixture
def way(target: Target) -> Iterator[tuple[CutSessions, Session]]:
    with cutting(target) as (way, led):
        session = Session(led, "jobsd monitor")
        yield way, session
        session.close()


@pytest.mark.failure(
    "The session of a monitor ends at any statement of a recovery, before it is done, or"
    " behind that.",
    "The monitor connects again: each job is recovered once, and reported once",
)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("act", "event"), WAYS)
def test_a_session_that_ends_anywhere_recovers_each_job_once(  # noqa: PLR0917 - a case
    act: Callable[[Dead], Callable[[Recovery], object]],
    event: str,
    how: str,
    way: tuple[CutSessions, Session],
    session: Session,
    reported: Emitted,
) -> None:
    cuts, led = way
    for at in points(cuts, 1, how):
        _clear(session, reported)
        dead = Dead(session)
        recovery = Recovery(led, dead.scoreboard.entries[0], keep_finished=True)

        _recover(led, recovery, act(dead), session)

        jobs = sorted(facts["job_id"] for _, facts in reported if "job_id" in facts)
        assert jobs == dead.jobs, (how, at)
        assert names(reported).count(event) == 1, (how, at)
        assert {*places(session).values()} - {"finished"} == {"failed", "ready"}, (how, at)


def _clear(session: Session, reported: Emitted) -> None:
    for table in TABLES:
        session.connection.execute(f"DELETE FROM jobsd.{table}".encode())
    reported.clear()


def _recover(
    led: Session, recovery: Recovery, act: Callable[[Recovery], object], session: Session
) -> None:
    """Do as the monitor does, until it is done.

    What the session that was cut off holds locked, until the server has noticed, is left alone
    for that long: a process whose row is locked may be alive.
    """

    def is_done() -> bool:
        try:
            recovery.report_committed()
            left = act(recovery) is False
            return not left and not session.connection.execute(_LEFT).fetchall()
        except WAITED_OUT:
            led.close()
            return False

    wait_until(is_done, RECOVERS_S)
    with contextlib.suppress(*WAITED_OUT):
        recovery.report_committed()
    led.close()
