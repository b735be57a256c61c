"""Trees of two deploys on one database: each runs what it knows and leaves the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.project import Project
from system.jobs import LEDGER, enqueue, enqueue_many, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

OLD = f"""{LEDGER}
from jobsd import job

@job
def known(n):
    ledger(os.environ["DEPLOY"], "known", n)
"""
OLD_CHANGED = """
@job(max_attempts=2)
def changed(n):
    ledger(os.environ["DEPLOY"], "changed", n)
"""
NEW_CHANGED = """
@job(max_attempts=2)
def changed(n, *, mood):
    ledger(os.environ["DEPLOY"], "changed", n)
"""
NEW = f"""{OLD}
@job
def novel(n="each second"):
    ledger(os.environ["DEPLOY"], "novel", n)
"""
EACH_SECOND = "tick: {class: trial_jobs.novel, schedule: every second}\n"
SPENT = (
    "SELECT id FROM jobsd.jobs WHERE class_name = 'trial_jobs.novel'"
    " AND (attempts > 1 OR attempts > 0 AND outcome IS NULL)"
    " UNION ALL SELECT job_id FROM jobsd.attempts UNION ALL"
    " SELECT job_id FROM jobsd.failed_executions"
)
OPEN = "SELECT id FROM jobsd.jobs WHERE outcome IS NULL"
ENQUEUED = "SELECT count(*) FROM jobsd.jobs WHERE class_name = 'trial_jobs.novel'"
PARKED = "SELECT count(*) FROM jobsd.parked_executions"
SOME_PARKED = "SELECT count(*) > 2 FROM jobsd.parked_executions"


@pytest.fixture
def deploy(tmp_path: Path, empty_database: str) -> Callable[[str], Project]:
    """Make the project of a deploy, "old" or "new": in production, on the same database."""

    def made(name: str) -> Project:
        root = tmp_path / name
        root.mkdir()
        project = Project(
            root,
            empty_database,
            LEDGER=str(tmp_path / "ledger"),
            DEPLOY=name,
            JOBSD_ENV="production",
        )
        code = NEW + NEW_CHANGED if name == "new" else OLD + OLD_CHANGED
        project.write("trial_jobs.py", code)
        project.write("config/queue.yml", "import: [trial_jobs]\n")
        if name == "new":
            project.write("config/recurring.yml", EACH_SECOND)
        return project

    return made


@pytest.fixture
def ran(tmp_path: Path, empty_database: str) -> Callable[[str], list[str]]:
    """Return what has run, of a deploy and a class: "new novel"."""
    shared = Project(tmp_path, empty_database)
    return lambda who: [line for line in ledger(shared) if line.startswith(who)]


@pytest.mark.failure(
    "In a rolling deploy the new scheduler enqueues jobs that a worker of the old deploy"
    " claims; the same happens when the deploy is rolled back",
    "No attempt is spent: jobs of the new class wait, untouched, and run in the new deploy.",
)
def test_jobs_of_a_new_class_wait_through_a_deploy_and_its_rollback(
    deploy: Callable[[str], Project], query: Query, ran: Callable[[str], list[str]]
) -> None:
    old, new = deploy("old"), deploy("new")
    with old.start("--only", "worker,dispatcher") as before:
        before.wait_event("supervisor.ready")
        # The new scheduler is there before the new worker is.
        with new.start("--only", "scheduler") as scheduler:
            wait_until(lambda: query(SOME_PARKED) == [(True,)], what=scheduler.reported)
            enqueue(query, "known", 1)
            wait_until(lambda: ran("old known"), 10, before.reported)
        assert query(SPENT) == []
        with new.start() as after:
            wait_until(lambda: query(PARKED) == [(0,)], what=after.reported)
            wait_until(lambda: len(ran("new novel")) > 3, what=after.reported)
            # Rolled back: the scheduler goes last.
        with new.start("--only", "scheduler") as scheduler:
            wait_until(lambda: query(SOME_PARKED) == [(True,)], what=scheduler.reported)
        assert query(SPENT) == []
        shown = old.run(
            "show", str(query("SELECT max(job_id) FROM jobsd.parked_executions")[0][0])
        )
        doctor = old.run("doctor").stdout
        with new.start("--only", "worker") as after:
            wait_until(lambda: not query(OPEN), what=after.reported)

    assert query(SPENT) == []
    assert [(len(ran("new novel")),)] == query(ENQUEUED)
    assert not ran("old novel")
    assert "knows class 'trial_jobs.novel'" in shown.stdout
    assert "ready jobs of 'trial_jobs.novel' in queue 'default'" in doctor


@pytest.mark.failure(
    "In a rolling deploy, and when it is rolled back, each worker meets jobs whose arguments"
    " only the other deploy takes.",
    "No attempt is spent: each job is set aside until a worker of its own deploy takes it.",
)
def test_jobs_of_a_changed_signature_wait_for_their_own_deploy(
    deploy: Callable[[str], Project], query: Query, ran: Callable[[str], list[str]]
) -> None:
    old, new = deploy("old"), deploy("new")
    of_each = 8
    set_aside = "SELECT count(*) > 0 FROM jobsd.jobs WHERE set_aside_at IS NOT NULL"
    with old.start("--only", "worker,dispatcher") as before:
        before.wait_event("supervisor.ready")
        with new.start("--only", "worker") as after:
            after.wait_event("supervisor.ready")
            for n in range(of_each):
                enqueue(query, "changed", n)
                of_new = f'{{"n": {n}, "mood": "glad"}}'
                query(f"SELECT jobsd.enqueue('trial_jobs.changed', '{of_new}', 'default')")
            wait_until(lambda: not query(OPEN), 60, after.reported)

    assert query(set_aside) == [(True,)]
    assert query("SELECT job_id FROM jobsd.attempts") == []
    assert query("SELECT DISTINCT attempts, outcome FROM jobsd.jobs") == [(1, "finished")]
    assert (len(ran("old changed")), len(ran("new changed"))) == (of_each, of_each)


def test_two_deploys_beside_each_other_share_the_work_and_move_no_job_to_and_fro(
    deploy: Callable[[str], Project], query: Query, ran: Callable[[str], list[str]]
) -> None:
    old, new = deploy("old"), deploy("new")
    jobs = 3000
    with old.start() as before, new.start("--skip-recurring") as after:
        before.wait_event("supervisor.ready")
        after.wait_event("supervisor.ready")
        for first in range(0, jobs, 100):
            some: list[tuple[object, ...]] = [(n,) for n in range(first, first + 100)]
            enqueue_many(query, "known", some)
            enqueue_many(query, "novel", some)
        wait_until(lambda: not query(OPEN), 60, after.reported)
    query("SELECT pg_stat_force_next_flush()")
    ((parked,),) = query(
        "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'parked_executions'"
    )

    assert query(SPENT) == []
    lines = [line.split()[1:3] for line in ran("")]
    assert sorted(lines) == sorted(
        [name, str(n)] for name in ("known", "novel") for n in range(jobs)
    )
    # Each is parked once, and once more when who knows it gives it back.
    assert int(str(parked)) < 3 * jobs


def test_a_tree_without_modules_beside_the_application_fails_none_of_its_jobs(
    deploy: Callable[[str], Project], query: Query, ran: Callable[[str], list[str]]
) -> None:
    application, bare = deploy("old"), deploy("mail")
    bare.write("config/queue.yml", "import: []\n")
    with bare.start() as alone:
        alone.wait_event("supervisor.ready")
        enqueue_many(query, "known", [(n,) for n in range(50)])
        wait_until(lambda: query(PARKED) == [(50,)], what=alone.reported)
        with application.start() as tree:
            wait_until(lambda: len(ran("old known")) == 50, what=tree.reported)
            enqueue_many(query, "known", [(n,) for n in range(50, 100)])
            wait_until(lambda: len(ran("old known")) == 100, what=tree.reported)
            wait_until(lambda: not query(OPEN), what=tree.reported)

    assert query("SELECT job_id FROM jobsd.attempts") == []
