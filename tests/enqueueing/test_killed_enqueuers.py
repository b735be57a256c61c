"""A program that is killed amid `enqueue_many` has stored all of its jobs, or none."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

MANY = 2500
"""More than one statement stores."""
PROGRAM = """
import sys
import psycopg
from jobsd import configure, enqueue_many, job

@job(name="killed.note")
def note(n): ...

_, url, way, many = sys.argv
configure(url)
n = 0
while True:
    n += 1
    jobs = [note.with_args(n)] * int(many)
    if way == "alone":
        enqueue_many(jobs)
    else:
        with psycopg.connect(url) as connection:
            enqueue_many(jobs, connection=connection)
    print(n, flush=True)
"""
BUSY = """
SELECT state, wait_event, query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend'
    AND state IN ('active', 'idle in transaction')
"""
STORED = """
SELECT (arguments ->> 0)::integer, count(*)
FROM jobsd.jobs
GROUP BY 1
ORDER BY 1
"""
READY = "SELECT count(*) FROM jobsd.ready_executions"


@pytest.mark.failure(
    "A program is killed amid `enqueue_many`.",
    "All of its jobs are stored, or none of them.",
)
@pytest.mark.parametrize("way", ["alone", "within"])
@pytest.mark.parametrize("after", [1, 3])
def test_an_enqueuer_that_is_killed_has_stored_all_or_none(
    target: Target, session: Session, way: str, after: int
) -> None:
    def busy() -> list[tuple[object, ...]]:
        return session.connection.execute(BUSY).fetchall()

    command = [sys.executable, "-c", PROGRAM, target.url, way, str(MANY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        done = [int(program.stdout.readline()) for _ in range(after)]
        wait_until(busy, 30)
        program.kill()
        done += map(int, program.stdout.read().split())
    wait_until(lambda: not busy(), 30, busy)

    stored = dict(session.connection.execute(STORED).fetchall())
    assert set(stored.values()) == {MANY}
    assert set(done) <= stored.keys() <= {*done, len(done) + 1}
    assert session.connection.execute(READY).fetchall() == [(MANY * len(stored),)]
