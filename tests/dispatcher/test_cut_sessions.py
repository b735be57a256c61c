"""A dispatcher whose session ends at any of its statements does all of its work, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cut_sessions import HOW, CutSessions, cutting, points, work_until
from enqueueing import placed
from jobsd.processes.process import WAITED_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.event_recorder import Emitted, EventRecorder
    from jobsd.database.connection import Target
    from jobsd.dispatcher.dispatcher import Dispatcher
    from rows_of_limits import Table

    from .conftest import Make

EXPIRE = "UPDATE jobsd.expirations SET expires_at = now() - interval '1 s' RETURNING 1"
GONE = "SELECT id FROM jobsd.jobs WHERE outcome = 'discarded' ORDER BY id"
EVERY = [
    pytest.param(7, id="every seventh"),
    pytest.param(1, id="each", marks=pytest.mark.long),
]


@pytest.fixture
def way(target: Target) -> Iterator[CutSessions]:
    with cutting(target) as (way, _):
        yield way


@pytest.fixture
def reported(recorder: EventRecorder) -> Emitted:
    """What was reported of jobs that ended without a run."""
    return recorder.events("jobs.discarded")


class Work:
    """Something of each kind that a dispatcher does."""

    def __init__(self, table: Table) -> None:
        self._table = table
        for name in ("jobs", "blocked_executions", "claims"):
            table.rows(f"DELETE FROM jobsd.{name} RETURNING 1")
        for name in ("ready_executions", "scheduled_executions", "expirations"):
            table.rows(f"DELETE FROM jobsd.{name} RETURNING 1")
        self.due = [table.enqueue(None, wait="1 h") for _ in range(3)]
        self.due.append(table.enqueue("due", wait="1 h"))
        table.make_due()
        self.expired = [table.enqueue(None, expires_in="1 h") for _ in range(2)]
        table.rows(EXPIRE)
        self.blocked = table.enqueue("free")
        placed.block(table.session, self.blocked)

    def is_done(self) -> bool:
        gone = self._table.rows(GONE)
        return (
            {*self._table.ids("all_ready_executions")} == {*self.due, self.blocked}
            and [row[0] for row in gone] == self.expired
            and self._table.ids("scheduled_executions") == []
            and self._table.ids("expirations") == []
        )

    @property
    def reported(self) -> dict[str, list[int]]:
        return {"jobs.discarded": self.expired}


@pytest.mark.failure(
    "The session of a dispatcher ends at any of its statements, before it is done, or behind"
    " that.",
    "The dispatcher connects again and does the rest: each job is in one place, and each job"
    " that is discarded is reported once",
)
@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("how", HOW)
def test_a_session_that_ends_anywhere_leaves_nothing_undone(  # noqa: PLR0917 - a case
    how: str,
    every: int,
    make: Make,
    table: Table,
    way: CutSessions,
    reported: Emitted,
) -> None:
    dispatcher, _ = make(url=way.url)
    dispatcher.disconnect()
    for at in points(way, every, how):
        work = Work(table)
        reported.clear()

        _work(dispatcher, work)

        assert _jobs_of(reported) == work.reported, (how, at)


def _jobs_of(reported: Emitted) -> dict[str, list[int]]:
    """Return the jobs of each event, as often as they were reported."""
    jobs: dict[str, list[int]] = {"jobs.discarded": []}
    for name, facts in reported:
        jobs[name] += facts["job_ids"]
    return jobs


@pytest.mark.failure(
    "A dispatcher is killed amid any of its statements.",
    "Its successor does the rest; each job is in exactly one place",
)
@pytest.mark.parametrize("every", EVERY)
def test_a_dispatcher_killed_at_any_statement_leaves_the_rest_to_its_successor(
    every: int, make: Make, table: Table, way: CutSessions
) -> None:
    for _ in points(way, every, "unheard"):
        work = Work(table)
        try:
            dispatcher, context = make(url=way.url)
            while not work.is_done():
                dispatcher.poll()
        except WAITED_OUT:
            dispatcher, context = make()
            _work(dispatcher, work)
        dispatcher.disconnect()
        context.entry.free()


def _work(dispatcher: Dispatcher, work: Work) -> None:
    work_until(dispatcher, work.is_done)
