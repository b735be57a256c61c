"""Limits hold in a real tree, whatever becomes of those who hold them."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from system.jobs import ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

JOBS = """
from jobsd import Job, Limit, constant, current_job, job
from trial_jobs import ledger
import os, time

def occupy(n, seconds, fails=False):
    ledger("start", n)
    time.sleep(seconds)
    ledger("end", n)
    if fails:
        raise ValueError(n)

@job(limits_concurrency=Limit(group="shared"))
def one(n, seconds=0.05, fails=False):
    occupy(n, seconds, fails)

class Other(Job):
    limits_concurrency = Limit(group="shared")
    def perform(self, n, seconds=0.05, fails=False):
        occupy(n, seconds, fails)

@job(limits_concurrency=Limit(to=3))
def three(n):
    occupy(n, 0.1)

@job(limits_concurrency=Limit(duration=0.2))
def overdue(n, seconds):
    occupy(n, seconds)

@job(limits_concurrency=Limit(on_conflict="discard"), max_attempts=3, backoff=constant(0))
def stubborn():
    ledger("attempt", current_job().attempt)
    if current_job().attempt < 3:
        raise OSError("not yet")

@job(limits_concurrency=Limit(group="long"))
def long():
    first = not os.path.exists(os.environ["LEDGER"])
    ledger("start", "long")
    time.sleep(60 if first else 0)
    ledger("end", "long")

@job(limits_concurrency=Limit(group="long"))
def after():
    ledger("after")
"""
ENQUEUE = """
import json, os, sys
import jobsd, limited_jobs
jobsd.configure(os.environ["DATABASE_URL"])
calls = json.loads(sys.argv[1])
jobs = [getattr(limited_jobs, name).with_args(*given) for name, given in calls]
print(json.dumps([one.state for one in jobsd.enqueue_many(jobs)]))
"""
SLOTS = "SELECT job_ids FROM jobsd.claims WHERE concurrency_key IS NOT NULL"
STATES = "SELECT outcome, count(*) FROM jobsd.jobs GROUP BY 1 ORDER BY 1 NULLS LAST"


@pytest.fixture
def limited(project: Project) -> Project:
    """The project, with two workers of three threads and jobs that have limits."""
    project.write("limited_jobs.py", JOBS)
    project.write(
        "config/queue.yml",
        "import: [limited_jobs]\nworkers: [{processes: 2}]\n"
        "dispatchers: [{concurrency_maintenance_interval: 1}]\n"
        "supervisor: {shutdown_timeout: 1}\n",
    )
    return project


def _enqueue(project: Project, *calls: tuple[str, object]) -> list[object]:
    """Enqueue jobs in a program of the project's, as their limits say; return their states."""
    states: list[object] = json.loads(project.python(ENQUEUE, json.dumps(calls)))
    return states


def _most_at_once(words: list[str]) -> int:
    """Return how many jobs ran at once, by what they have written."""
    running = most = 0
    for word in words:
        running += {"start": 1, "end": -1}[word.split()[0]]
        most = max(most, running)
    return most


def _all_ended(project: Project, tree: Tree, jobs: int) -> None:
    wait_until(
        lambda: sum("end" in word for word in ledger(project)) == jobs, what=tree.reported
    )


@pytest.mark.behaviour(67, 69)
@pytest.mark.parametrize("fails", [False, True])
def test_eleven_jobs_of_one_key_never_overlap_and_all_end(
    limited: Project, query: Query, *, fails: bool
) -> None:
    with limited.start() as tree:
        tree.wait_event("supervisor.ready")

        names = ("one", "Other")
        states = _enqueue(
            limited, *((names[n % 2], [n, 0.05, fails and n % 3 == 0]) for n in range(11))
        )

        _all_ended(limited, tree, 11)
        wait_until(lambda: not query(SLOTS), 5, tree.reported)
        assert states == ["ready"] * 11
        assert _most_at_once(ledger(limited)) == 1
        assert query(STATES) == ([("finished", 7), (None, 4)] if fails else [("finished", 11)])


@pytest.mark.behaviour(68)
def test_a_limit_of_three_lets_three_run_at_once_and_no_more(
    limited: Project, query: Query
) -> None:
    with limited.start() as tree:
        tree.wait_event("supervisor.ready")

        _enqueue(limited, *(("three", [n]) for n in range(12)))

        _all_ended(limited, tree, 12)
        wait_until(lambda: not query(SLOTS), 5, tree.reported)
        assert _most_at_once(ledger(limited)) == 3


@pytest.mark.behaviour(74)
def test_a_job_that_outlives_its_duration_keeps_its_slot(
    limited: Project, query: Query
) -> None:
    with limited.start() as tree:
        tree.wait_event("supervisor.ready")

        _enqueue(limited, ("overdue", [1, 2.5]), ("overdue", [2, 0]), ("overdue", [3, 0]))

        _all_ended(limited, tree, 3)
        wait_until(lambda: not query(SLOTS), 5, tree.reported)
        assert _most_at_once(ledger(limited)) == 1


@pytest.mark.behaviour(76)
def test_retries_at_once_of_a_job_that_discards_on_conflict_are_not_lost(
    limited: Project, query: Query
) -> None:
    with limited.start() as tree:
        tree.wait_event("supervisor.ready")

        _enqueue(limited, ("stubborn", []))

        wait_until(lambda: query(STATES) == [("finished", 1)], what=tree.reported)
        assert ledger(limited) == ["attempt 1", "attempt 2", "attempt 3"]


@pytest.mark.failure(
    "TERM with a job that holds a limit and runs longer than `shutdown_timeout`",
    "the job is ready again and keeps its place: it is not blocked by itself",
)
@pytest.mark.behaviour(71)
def test_a_job_that_a_stop_has_released_keeps_its_place_and_runs_first(
    limited: Project, query: Query
) -> None:
    with limited.start() as tree:
        tree.wait_event("supervisor.ready")
        _enqueue(limited, ("long", []), ("after", []))
        wait_until(lambda: ledger(limited), what=tree.reported)
        tree.terminate()

    assert query(SLOTS) == []
    assert len(query("SELECT FROM jobsd.blocked_executions")) == 2
    with limited.start() as tree:
        wait_until(lambda: query(STATES) == [("finished", 2)], what=tree.reported)
    assert ledger(limited) == ["start long", "start long", "end long", "after"]


@pytest.mark.failure(
    "a tree is killed whose jobs hold limits",
    "the next one frees their slots, and the jobs that waited for them run",
)
@pytest.mark.behaviour(28)
def test_the_next_tree_frees_the_slots_of_a_killed_one(limited: Project, query: Query) -> None:
    with limited.start() as tree:
        tree.wait_event("supervisor.ready")
        _enqueue(limited, ("long", []), ("after", []))
        wait_until(lambda: ledger(limited), what=tree.reported)
        tree.process.send_signal(signal.SIGSTOP)
        for child in tree.children():
            child.kill()
        tree.process.kill()
        wait_until(lambda: not tree.alive(), 2)
    assert len(query(SLOTS)) == 1

    with limited.start() as tree:
        wait_until(lambda: query(STATES) == [("finished", 1), (None, 1)], what=tree.reported)
        assert query("SELECT error ->> 'type' FROM jobsd.failed_executions") == [
            ("ProcessExitError",)
        ]
        wait_until(lambda: not query(SLOTS), 5, tree.reported)


@pytest.mark.behaviour(60, 78)
def test_a_limited_job_of_an_unknown_class_holds_its_slot_until_it_has_failed(
    limited: Project, query: Query
) -> None:
    with limited.start() as tree:
        tree.wait_event("supervisor.ready")
        for name in ("gone", "trial_jobs.quick"):
            query(f"SELECT jobsd.enqueue('{name}', '[1]', concurrency_key => 'k')")

        wait_until(lambda: ledger(limited) == ["ran 1"], what=tree.reported)
        wait_until(lambda: not query(SLOTS), 5, tree.reported)
        assert query("SELECT error ->> 'type' FROM jobsd.failed_executions") == [
            ("UnknownJobError",)
        ]
