"""Workers are killed again and again; every job ends once, and the truth is told."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.clock import monotonic
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

JOBS = 20_000
SECONDS = 20
KILLS = 9


def _enqueue_evenly(url: str, tree: Tree, seed: int) -> None:
    """Store the jobs over the time, and kill a worker every two seconds meanwhile.

    Who is late makes up for it: each tenth of the jobs but the last is followed by a kill.
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    began, stored, kills = monotonic(), 0, 0
    with psycopg.connect(url, autocommit=True) as connection:
        while stored < JOBS:
            due = int(JOBS * (monotonic() - began) / SECONDS) + 1
            next_kill = JOBS * (kills + 1) // (KILLS + 1)
            wanted = min(due, next_kill)
            _store(connection, stored, wanted, dice)
            stored = wanted
            if stored == next_kill < JOBS:
                kills += 1
                dice.choice(wait_until(lambda: tree.children("worker"))).send_signal(
                    signal.SIGKILL
                )
            tree.process.poll()


def _store(connection: psycopg.Connection, first: int, end: int, dice: random.Random) -> None:
    arguments = [
        json.dumps([n, dice.random() * 0.02, dice.choice(["pass", "pass", "pass", "fail"])])
        for n in range(first, end)
    ]
    connection.execute(
        "WITH job AS (INSERT INTO jobsd.jobs (queue_name, class_name, arguments)"
        " SELECT 'default', 'trial_jobs.mixed', a::jsonb FROM unnest(%s::text[]) a"
        " RETURNING id) INSERT INTO jobsd.ready_executions"
        " SELECT id, id, 0, 'default' FROM job",
        (arguments,),
    )


@pytest.mark.failure(
    "a worker is killed every two seconds while 20,000 jobs run",
    "none is lost, run twice or ended twice; each crash is reported; each worker has a"
    " successor within two seconds",
)
@pytest.mark.behaviour(22, 31, 46)
@pytest.mark.timeout(180)
def test_no_job_is_lost_or_ended_twice_while_workers_are_killed(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml",
        "import: [trial_jobs]\nworkers: [{processes: 3, threads: 5}]\ndispatchers: [{}]\n",
    )
    watch = Stopwatch()
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        _enqueue_evenly(project.environ["DATABASE_URL"], tree, seed=7)
        wait_until(lambda: not query("SELECT FROM jobsd.claims"), 60, "claims are left")
        wait_until(
            lambda: not query("SELECT FROM jobsd.ready_executions"), 60, "ready are left"
        )
        wait_until(lambda: not query("SELECT FROM jobsd.claims"), 60, "claims are left")
        wait_until(lambda: _all_are_followed(tree), 5, tree.reported)
        _check_replacements(tree, watch)
        seconds = tree.terminate()
        deaths = [e for e in tree.events("process.exited") if e.get("signal") == "SIGKILL"]

    assert (tree.process.returncode, seconds < 6, len(deaths) >= 8) == (0, True, True)
    _check_tables(query)
    _check_truth(project, query)


def _check_tables(query: Query) -> None:
    places = query(
        "SELECT (finished_at IS NOT NULL)::int + (f.job_id IS NOT NULL)::int"
        " + (r.job_id IS NOT NULL)::int + (s.job_id IS NOT NULL)::int"
        " + (c.job_id IS NOT NULL)::int, count(*) FROM jobsd.jobs j"
        " LEFT JOIN jobsd.failed_executions f ON f.job_id = j.id"
        " LEFT JOIN jobsd.ready_executions r ON r.job_id = j.id"
        " LEFT JOIN jobsd.scheduled_executions s ON s.job_id = j.id"
        " LEFT JOIN jobsd.claimed_executions c ON c.job_id = j.id GROUP BY 1"
    )
    assert places == [(1, JOBS)]
    assert query("SELECT count(*) FROM jobsd.jobs WHERE attempts <> 1") == [(0,)]


def _check_truth(project: Project, query: Query) -> None:
    """Compare the ledger, which the jobs have written themselves, with the tables."""
    starts: Counter[int] = Counter()
    ends: Counter[int] = Counter()
    for line in (project.root / "ledger").read_text(encoding="utf-8").splitlines():
        word, number, *_ = line.split()
        (starts if word == "start" else ends)[int(number)] += 1
    crashed = {
        int(str(row[0]))
        for row in query(
            "SELECT arguments ->> 0 FROM jobsd.jobs j JOIN jobsd.failed_executions f"
            " ON f.job_id = j.id WHERE f.error ->> 'type' = 'ProcessExitError'"
        )
    }
    never_ran = set(range(JOBS)) - set(starts)
    begun_and_not_ended = {number for number in starts if not ends[number]}

    assert [number for number, times in starts.items() if times > 1] == [], "run twice"
    # A thread says that it starts a job just before the job's first line runs.
    assert never_ran <= crashed, "some never ran"
    assert begun_and_not_ended <= crashed, "a crash was not told"
    # Failures whose record died with the process count as crashes too; nothing else may.
    assert len(crashed - begun_and_not_ended) <= 15 * 10, "too many ended and yet crashed"


def _all_are_followed(tree: Tree) -> bool:
    return len(tree.events("process.replaced")) == len(tree.events("process.exited"))


def _check_replacements(tree: Tree, watch: Stopwatch) -> None:
    """Each killed worker had a successor within two seconds."""
    exits = {e["name"]: e["timestamp"] for e in tree.events("process.exited")}
    waits = [
        datetime.fromisoformat(event["timestamp"])
        - datetime.fromisoformat(exits[event["predecessor"]])
        for event in tree.events("process.replaced")
    ]
    assert len(waits) == len(exits)
    assert watch.of(max(waits).total_seconds()) < 2
