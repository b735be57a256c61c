"""In a real tree jobs that a transaction holds begin when it has committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from system.jobs import ledger, let_go
from waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

JOBS = """
from jobsd import Limit, Unique, job
from trial_jobs import ledger, wait_until_let_go

@job(limits_concurrency=Limit(group="g", key="all"))
def occupy():
    ledger("occupies")
    wait_until_let_go()

@job(unique=Unique(until="started"), limits_concurrency=Limit(group="g", key="all"))
def limited():
    ledger("ran")

@job(unique=Unique(until="started"))
def plain():
    ledger("ran")
"""
_ENQUEUE = "SELECT jobsd.enqueue('held_jobs.{}', wait => %s::interval)"
_BEGINS_S = 1.0
_ASLEEP_S = 2.0
"""So long after it could have begun a job is let go: all have gone to sleep by then."""
_DUE = "SELECT FROM jobsd.scheduled_executions WHERE scheduled_at <= now()"
_BLOCKED = "SELECT FROM jobsd.blocked_executions WHERE position IS NULL"


@pytest.fixture
def held_jobs(project: Project) -> Project:
    """The project, with unique jobs, one of which has a limit."""
    project.write("held_jobs.py", JOBS)
    project.write("config/queue.yml", "import: [trial_jobs, held_jobs]\n")
    return project


@pytest.mark.failure(
    "A transaction holds a unique job while its time comes, or a slot of its limit is freed",
    "The job begins within a second after the commit, not at the next check",
)
@pytest.mark.parametrize(("name", "wait"), [("plain", "1s"), ("limited", None)])
def test_a_held_job_begins_when_it_is_let_go(
    held_jobs: Project, empty_database: str, query: Query, name: str, wait: str | None
) -> None:
    with held_jobs.start() as tree, psycopg.connect(empty_database) as holder:
        tree.wait_event("supervisor.ready")
        wait_until(lambda: query("SELECT FROM jobsd.definitions WHERE class_name ~ 'plain'"))
        if name == "limited":
            query("SELECT jobsd.enqueue('held_jobs.occupy')")
            wait_until(lambda: ledger(held_jobs), what=tree.reported)
        text: Any = _ENQUEUE.format(name)
        with psycopg.connect(empty_database) as mine:
            first = mine.execute(text, (wait,)).fetchone()
        if name == "limited":
            wait_until(lambda: query(_BLOCKED), what=tree.reported)
        assert holder.execute(text, (wait,)).fetchone() == first
        let_go(held_jobs)
        if wait:
            wait_until(lambda: query(_DUE), what=tree.reported)
        else:
            wait_until(lambda: not query("SELECT FROM jobsd.claims"), what=tree.reported)
        let_pass(_ASLEEP_S)
        assert "ran" not in ledger(held_jobs)
        holder.commit()

        wait_until(lambda: "ran" in ledger(held_jobs), _BEGINS_S, tree.reported)
