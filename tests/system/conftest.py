"""A project in a folder of its own, with a database of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project
from rows import Query, query_of
from system.jobs import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOBS = """
from jobsd import constant, current_job, job, stopping

@job
def quick(n):
    ledger("ran", n)

@job
def mixed(n, seconds, outcome):
    ledger("start", n)
    time.sleep(seconds)
    if outcome == "fail":
        ledger("end", n)
        raise ValueError(f"job {n} was told to fail")
    ledger("end", n)

@job
def held(n):
    ledger("start", n)
    wait_until_let_go()
    ledger("end", n)

@job
def until_told_to_stop(n):
    ledger("start", n)
    while not stopping():
        time.sleep(0.01)
    ledger("end", n)

@job
def slow(seconds=60):
    ledger("start", "slow")
    time.sleep(seconds)
    ledger("end", "slow")

@job
def hold_the_lock(seconds=30):
    import ctypes
    ledger("start", "slow")
    ctypes.PyDLL(None).sleep(seconds)

@job
def die():
    ledger("start", "die")
    os.kill(os.getpid(), 9)

@job(max_attempts=2, backoff=constant(0))
def fail_twice():
    ledger(current_job().id, "attempt", current_job().attempt)
    raise ValueError("again")

@job
def leave_first(n):
    if n == 0:
        os._exit(1)
    ledger("ran", n)

@job
def slow_at_first():
    first = not os.path.exists(os.environ["LEDGER"])
    ledger("start")
    time.sleep(60 if first else 0)
    ledger("end")

@job
def walk(step, steps):
    while step < steps and not stopping():
        ledger("step", step)
        step += 1
        while step == 3 and not stopping():
            time.sleep(0.01)
    if step < steps:
        walk.enqueue(step, steps)
"""


@pytest.fixture
def project(tmp_path: Path, empty_database: str) -> Project:
    """A project with some jobs, one worker of three threads, and no recurring tasks."""
    made = Project(tmp_path, empty_database, LEDGER=str(tmp_path / "ledger"))
    made.write("trial_jobs.py", LEDGER + JOBS)
    made.write("config/queue.yml", "import: [trial_jobs]\n")
    return made


@pytest.fixture
def query(empty_database: str) -> Iterator[Query]:
    """Ask the project's database."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        yield query_of(connection)
