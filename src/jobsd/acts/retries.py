"""Failed jobs: kept until a person retries or discards them; this module retries them.

It also retries lost jobs (`lost`), but only on request: they may still be running.

A retried job has all its attempts again, and keeps its earlier errors. It goes through the
limits like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from jobsd.database.connection import Session, Statements
from jobsd.enqueueing.on_demand import lent, replaceable
from jobsd.errors import RefusedError
from jobsd.events.events import emit
from jobsd.jobs.draft import ID_MAX, JobOrId
from jobsd.states import lost

from . import inspect, listing

STATEMENTS = Statements("jobsd.acts", "retries.sql")

BATCH = 500


@replaceable
def retry(job: JobOrId, *, with_lost: bool = False, session: Session | None = None) -> str:
    """Retry a failed job; return its new state: "ready".

    With `with_lost`, retry a lost job too, although it may still be running.

    Raises:
        NotFoundError: when there is no such job.
        RefusedError: when it has not failed, is lost and `with_lost` is not given, or is unique
            and another job has its key.
        Error: for an invalid id.
    """
    job_id = inspect.check_id(job)
    with lent(session) as taken:
        inspect.require_same(taken, job)
        for done in batches(taken, [job_id], with_lost=with_lost):
            if done:
                return "ready"
        raise RefusedError(refusal(taken, inspect.find(taken, job_id)))


@replaceable
def retry_all(
    *,
    queue: str | None = None,
    class_name: str | None = None,
    since: float | str | timedelta | None = None,
    limit: int | None = None,
    session: Session | None = None,
) -> int:
    """Retry all failed jobs that match the filters, the oldest first; return their number.

    `since` selects jobs by their age ("1h"); `limit` selects the newest ones. Commits a few
    hundred jobs at a time.

    Raises:
        Error: for an invalid filter.
    """
    meant = listing.wanted("failed", queue, class_name, since)
    with lent(session) as taken:
        chosen = listing.ids(taken, meant, limit)
        return sum(map(len, batches(taken, chosen)))


def batches(
    session: Session, ids: Sequence[int], *, with_lost: bool = False
) -> Iterator[list[int]]:
    """Retry jobs, a transaction for each few hundred; jobs that have not failed are skipped.

    Skipped, too, are lost jobs, unless `with_lost`, and unique jobs whose key another job has.
    """
    for start in range(0, len(ids), BATCH):
        done = _retry(session, list(ids[start : start + BATCH]), with_lost=with_lost)
        if done:
            emit("jobs.retried", size=len(done), job_ids=done)
        yield done


def refusal(session: Session, found: inspect.Found) -> str:
    """Return the reason why a job was not retried."""
    job = found.job
    if job.state == "failed":
        if present := session.fetch(STATEMENTS["taken"], {"id": job.id}):
            return taken(job.id, present[0][0])
        return f"job {job.id} is just being changed by another session"
    if job.state == "lost":
        return (
            f"job {job.id} is lost (in no table) and may still be running: --yes"
            " (`with_lost=True`) retries it nevertheless"
        )
    return f"job {job.id} has not failed: it is {job.state}"


def taken(job_id: int, holder: int) -> str:
    """Return the reason why a job was not retried whose key another job has."""
    return f"job {job_id} can't be retried: job {holder} has its unique key"


def _retry(session: Session, ids: list[int], *, with_lost: bool) -> list[int]:
    known = [job_id for job_id in ids if 0 < job_id <= ID_MAX]
    with session.connection.transaction():
        refused = dict(session.fetch(STATEMENTS["retry"], {"ids": known}))
        retried = [job_id for job_id, is_refused in refused.items() if not is_refused]
        if with_lost:
            retried += lost.ready(session, [each for each in known if each not in refused])
    return retried
