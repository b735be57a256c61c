"""A scheduler whose session ends at any of its statements enqueues each instant once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from cut_sessions import HOW, CutSessions, cutting, points, work_until
from jobsd.processes.process import WAITED_OUT

from .conftest import hourly, task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.event_recorder import Emitted
    from jobsd.database.connection import Target
    from jobsd.recurring.definition import TaskDefinition
    from rows import Rows

    from .conftest import Driven, MakeScheduler

EVERY = [
    pytest.param(3, id="every third"),
    pytest.param(1, id="each", marks=pytest.mark.long),
]
STORED = """
SELECT task_key, job_id, outcome FROM jobsd.recurring_executions ORDER BY task_key, run_at
"""


def _tasks() -> list[TaskDefinition]:
    return [
        task("once", phrase=hourly(), run_at_start=True),
        task("alone", phrase=hourly(), overlap="skip"),
        task("made up", phrase=hourly(), on_missed="once"),
        task("missed", phrase=hourly()),
    ]


@pytest.fixture
def way(target: Target) -> Iterator[tuple[CutSessions, Target]]:
    with cutting(target) as way:
        yield way


def _begin(driven: Driven, rows: Rows) -> None:
    """Let an instant of each task be due, half an hour late, but for that of `alone`."""
    for name in ("jobs", "ready_executions", "recurring_executions"):
        rows(f"DELETE FROM jobsd.{name} RETURNING 1")
    rows(
        "UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '59 min',"
        " last_run_at = NULL, updated_at = now() RETURNING 1"
    )
    driven.context.scoreboard.ran_at_start = 0


def _work(driven: Driven, rows: Rows) -> None:
    work_until(driven.scheduler, lambda: _is_done(rows))


def _is_done(rows: Rows) -> bool:
    stored = [(key, outcome) for key, _, outcome in rows(STORED)]
    return {"made up", "missed", "once", "alone"} <= {key for key, _ in stored} and (
        "once",
        None,
    ) in stored


@pytest.mark.failure(
    "The session of a scheduler ends at any of its statements, before it is done, or behind"
    " that.",
    "The scheduler connects again: each instant has one job, and is reported once",
)
@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("how", HOW)
def test_a_session_that_ends_anywhere_costs_no_run_and_doubles_none(  # noqa: PLR0917 - a case
    how: str,
    every: int,
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[CutSessions, Target],
    emitted: Emitted,
) -> None:
    cuts, target = way
    driven = make_scheduler(*_tasks(), at=target)
    _store_tasks(driven)
    for at in points(cuts, every, how):
        emitted.clear()
        _begin(driven, rows)

        _work(driven, rows)

        _check(rows, (how, at))
        jobs = [facts["job_id"] for name, facts in emitted if name == "recurring.enqueued"]
        assert sorted(jobs) == rows("SELECT id FROM jobsd.jobs ORDER BY id"), (how, at)


@pytest.mark.failure(
    "A scheduler is killed amid any of its statements.",
    "Its successor enqueues the rest: each instant has one job.",
)
@pytest.mark.parametrize("every", EVERY)
def test_a_scheduler_killed_at_any_statement_leaves_the_rest_to_its_successor(
    every: int,
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[CutSessions, Target],
) -> None:
    cuts, target = way
    first = make_scheduler(*_tasks(), at=target)
    _store_tasks(first)
    for at in points(cuts, every, "unheard"):
        _begin(first, rows)
        killed = make_scheduler(*_tasks(), at=target, scoreboard=first.context.scoreboard)
        with contextlib.suppress(*WAITED_OUT):
            killed.scheduler.connect()
            while not _is_done(rows):
                killed.scheduler.poll()
        killed.scheduler.disconnect()
        rows("DELETE FROM jobsd.processes RETURNING 1")
        successor = make_scheduler(*_tasks(), scoreboard=first.context.scoreboard)

        _work(successor, rows)

        _check(rows, at)
        for each in (killed, successor):
            each.context.entry.free()


def _store_tasks(driven: Driven) -> None:
    driven.scheduler.connect()
    driven.scheduler.disconnect()


def _check(rows: Rows, case: object) -> None:
    stored = rows(STORED)
    jobs = [job for _, job, _ in stored if job is not None]
    assert sorted(jobs) == rows("SELECT id FROM jobsd.jobs ORDER BY id"), case
    assert sorted(jobs) == rows("SELECT job_id FROM jobsd.ready_executions ORDER BY 1"), case
