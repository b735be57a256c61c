"""Jobs and claims as rows, written past the program, and where each job is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.acts import listing
from jobsd.processes import registry

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_PLACES = """
SELECT job_id, 'scheduled' FROM jobsd.scheduled_executions
UNION ALL SELECT job_id, 'ready' FROM jobsd.all_ready_executions
UNION ALL SELECT job_id, 'blocked' FROM jobsd.blocked_executions WHERE position IS NULL
UNION ALL SELECT job_id, 'failed' FROM jobsd.failed_executions
UNION ALL SELECT job_id, 'claimed' FROM jobsd.claimed_executions
UNION ALL SELECT id, outcome FROM jobsd.jobs WHERE outcome IS NOT NULL
"""


def make_jobs(session: Session, count: int, **columns: object) -> list[int]:
    """Write jobs that are nowhere yet; return their ids."""
    values = {"queue_name": "default", "class_name": "app.job", **columns}
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    query = (
        f"INSERT INTO jobsd.jobs ({names})"
        f" SELECT {marks} FROM generate_series(1, {count}) RETURNING id"
    )
    rows = session.connection.execute(query.encode(), values)
    return [row[0] for row in rows.fetchall()]


def claim(session: Session, process_id: int, jobs: tuple[int, ...] | list[int]) -> int:
    """Write a claim; return its id."""
    row = session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (%s, %s) RETURNING id",
        (process_id, list(jobs)),
    ).fetchone()
    assert row is not None
    return int(row[0])


def worker_row(session: Session, name: str = "worker-dead") -> int:
    """Write the row of a worker; return its id."""
    return registry.register(session, kind="worker", name=name, supervisor_id=0, metadata={})


def places(session: Session) -> dict[int, str]:
    """Return where each job is; each is in one place only."""
    rows = session.connection.execute(_PLACES.encode()).fetchall()
    found = dict(rows)
    assert len(found) == len(rows), "a job is in two places"
    return found


def lost_jobs_of(session: Session) -> list[int]:
    """Return the lost jobs, as a search of all jobs finds them."""
    return list(listing.ids(session, listing.Filter("lost")))


def assert_job_is(session: Session, job_id: int, state: str) -> None:
    """See that a job is in this state, and in no other."""
    found = places(session).get(job_id, "in no place")
    assert found == state, f"job {job_id} is {found}, not {state}"


def assert_only_job_is(session: Session, job_id: int, state: str) -> None:
    """See that there is one job, and that it is in this state."""
    assert places(session) == {job_id: state}


def failure(session: Session, job_id: int) -> dict[str, Any]:
    """Return the error with which a job has failed."""
    row = session.connection.execute(
        "SELECT error FROM jobsd.failed_executions WHERE job_id = %s", (job_id,)
    ).fetchone()
    assert row is not None
    error: dict[str, Any] = row[0]
    return error


def process_names(session: Session) -> set[str]:
    """Return the names of all processes that have a row."""
    return {row.name for row in registry.processes(session)}
