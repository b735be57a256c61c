"""Jobs that expire: they are discarded if they do not start in time.

Only expiring jobs have a row in the table `expirations`, with the time of expiry. A worker
reads it when it claims such a job, and does not start an expired one. Dispatchers discard
waiting jobs that have expired, even if no worker claims from their queue. The row stays while
the job runs, because another attempt must not start after that time, either.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from jobsd.database.commits import Commits
from jobsd.database.connection import Session, Statements

from . import discards

STATEMENTS = Statements("jobsd.acts", "expirations.sql")

REASON = "expired"
BATCH = 500
_CHECKED_AT_ONCE = 1000
_BEGINNING = datetime(1, 1, 2, tzinfo=UTC), 0


def discard(
    commits: Commits, report: Callable[[dict[int, str]], None], *, keep: bool
) -> Iterator[None]:
    """Discard all expired waiting jobs, some hundreds in each transaction.

    With each commit `report` gets the jobs with their queues. Yields after each.
    """
    after, session = _BEGINNING, commits.session
    while True:
        with commits.commit() as commit:
            parameters = {"after_time": after[0], "after_id": after[1], "limit": BATCH}
            due = session.fetch(STATEMENTS["due"], parameters)
            if not due:
                return
            after = due[-1][1], due[-1][0]
            queues = {job_id: queue for job_id, _, queue in due if queue is not None}
            done = discards.expire(session, list(queues), keep=keep)
            over = [job_id for job_id, *_ in due if job_id not in queues or job_id in done]
            session.fetch(STATEMENTS["settle"], {"ids": over})
            commit.emit = partial(report, {job_id: queues[job_id] for job_id in done})
            commit.proof = STATEMENTS["ended"], {"ids": done}
        yield


def forget(session: Session) -> Iterator[None]:
    """Delete the times of expiry of jobs that ended in time; yields after each statement."""
    after = 0
    while True:
        parameters = {"after": after, "limit": _CHECKED_AT_ONCE}
        ((last,),) = session.fetch(STATEMENTS["forget"], parameters)
        if last is None:
            return
        yield
        after = last
